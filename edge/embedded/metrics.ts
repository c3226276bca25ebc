/** What the parts of a node count, in the shape `/metrics` asks for. */
import type { Topology } from "../../core/topology.ts";
import type { Services } from "../../services/services.ts";
import type { JournalStats, LinkStats, MetricsSources } from "../http/app.ts";
import { processUsage } from "../runtime/usage.ts";
import type { RunningNode } from "../start_node.ts";
import { nameOf } from "./status.ts";

export interface Measured {
  readonly node: RunningNode;
  readonly services: Services;
  readonly topology: Topology;
  /** Why the node has stopped, if it has. */
  readonly failed: () => string | null;
  readonly eventLoopDelayMs: () => number;
}

export function metricsOf({ node, services, topology, failed, eventLoopDelayMs }: Measured): MetricsSources {
  const nodeName = nameOf(topology.nodes);
  return {
    journal: (): JournalStats => {
      const reason = failed();
      return { ...node.journalStats(), ...(reason === null ? {} : { failed: reason }) };
    },
    links: (): readonly LinkStats[] =>
      (node.link?.stats() ?? []).map((peer) => ({
        peer: nodeName(peer.peer),
        transport: "http2",
        connected: peer.connectedSince !== null,
        rttMs: peer.rttMs,
        sentBytes: peer.sentBytes,
        receivedBytes: peer.receivedBytes,
        sentMessages: peer.sent,
        receivedMessages: peer.received,
        lost: peer.dropped,
        reconnects: peer.reconnects,
        queuedBytes: peer.queuedBytes,
      })),
    process: () => ({ ...processUsage(), eventLoopDelayMs: eventLoopDelayMs() }),
    services: () => services.stats(),
  };
}

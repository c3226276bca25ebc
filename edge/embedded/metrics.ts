/** What the parts of a node count, in the shape `/metrics` asks for. */
import type { Millis } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import type { Services } from "../../services/services.ts";
import type { JournalStats, LinkStats, MetricsSources } from "../http/app.ts";
import { keyText } from "../link/identity.ts";
import type { PeerStats, UdpPath } from "../link/link.ts";
import type { Clock } from "../runtime.ts";
import { processUsage } from "../runtime/usage.ts";
import type { RunningNode } from "../start_node.ts";
import type { OwnIdentity } from "./identity.ts";

export interface Measured {
  readonly node: RunningNode;
  readonly services: Services;
  /** Null for a node without peers. */
  readonly identity: Pick<OwnIdentity, "joins"> | null;
  readonly topology: Topology;
  readonly clock: Clock;
  /** Why the node has stopped, if it has. */
  readonly failed: () => string | null;
  readonly eventLoopDelayMs: () => number;
}

export function metricsOf({ node, services, identity, topology, clock, failed, eventLoopDelayMs }: Measured): MetricsSources {
  return {
    journal: (): JournalStats => {
      const reason = failed();
      return { ...node.journalStats(), ...(reason === null ? {} : { failed: reason }) };
    },
    links: () => (node.link?.stats() ?? []).map((peer) => linkStats(peer, topology, clock.now().mono)),
    ...(node.link === null ? {} : { linkCounts: node.link.counts.bind(node.link) }),
    learnedKey: (peer) => {
      const key = identity?.joins.learnedOf(topology.nodes.find(({ name }) => name === peer)?.id ?? 0) ?? null;
      return key === null ? null : keyText(key);
    },
    process: () => ({ ...processUsage(), eventLoopDelayMs: eventLoopDelayMs() }),
    services: () => services.stats(),
  };
}

/** A link as people see it: names for ids, durations for instants of this process's clock. */
function linkStats({ connectedSince, udp, ...stats }: PeerStats, { nodes }: Topology, now: Millis): LinkStats {
  const { name, link } = nodes.find(({ id }) => id === stats.peer)!;
  const since = (instant: Millis | null): number | null => instant === null ? null : Math.max(0, Math.round(now - instant));
  return { ...stats, peer: name, address: link, connectedMs: since(connectedSince), udp: udp === null ? null : pathStats(udp, since) };
}

function pathStats({ failingSince, ...path }: UdpPath, since: (instant: Millis | null) => number | null): LinkStats["udp"] {
  return { ...path, failingMs: since(failingSince) };
}

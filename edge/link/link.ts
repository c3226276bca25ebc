/**
 * What a host sees of the network between nodes: messages out to peers, messages in from peers, either
 * of which may be lost. Behind it are two drivers, HTTP/2 (`http2.ts`) and UDP, and a choice between them for each peer.
 */
import type { Envelope } from "../../core/effects.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import type { Topology } from "../../core/topology.ts";
import type { Runtime } from "../runtime.ts";
import type { Identity } from "./identity.ts";
import type { TraceEvent } from "./udp/trace.ts";

export interface Link {
  /** Where peers reach this node: `host:port` as bound. */
  readonly address: string;
  /** Keeps connecting to `peer` at `address` (`host:port`) until the link is closed. Calling again with another address moves it. */
  open(peer: NodeId, address: string): void;
  /**
   * Encodes once for all receivers. Messages of one turn of the event loop to one peer leave together. Never fails: what does
   * not fit or has no way is dropped and counted, and the protocol sends again.
   */
  send(envelope: Envelope): void;
  stats(): readonly PeerStats[];
  counts(): LinkCounts;
  /** Stops listening and ends all connections; nothing is called back afterwards. */
  close(): Promise<void>;
}

/** A link of one kind, of which another may make use. */
export interface Driver extends Link {
  /** Messages to the peer find a way now, as far as is known. */
  carries(peer: NodeId): boolean;
}

export interface LinkOptions {
  readonly runtime: Runtime;
  readonly topology: Topology;
  readonly identity: Identity;
  /** Port 0 picks one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Simulated one-way distance to a peer, milliseconds; default none. */
  readonly delayMs?: (peer: NodeId) => Millis;
  /** No datagram is longer; default what the way carries. */
  readonly mtuBytesMax?: number;
  /** Told what each UDP connection does; default nobody, which costs nothing. */
  readonly trace?: (peer: NodeId, event: TraceEvent) => void;
}

/** Called from the event loop, never inside `open`, `send` or `close`. */
export interface LinkEvents {
  /** The message is the receiver's to keep. */
  onMessage(from: NodeId, message: Message): void;
  /** The connection to a peer broke, or it never answers. A hint. */
  onUnreachable(peer: NodeId): void;
  /** Something an operator should read; the same sentence is not repeated while nothing changes. */
  onNotice(sentence: string): void;
}

export type DriverName = "udp" | "h2";

export interface PeerStats {
  readonly peer: NodeId;
  /** What carries messages to the peer, or would if there were a connection. */
  readonly driver: DriverName;
  /** Why this driver, for people: "as configured", "no answer over UDP for 3 s". Without a full stop. */
  readonly reason: string;
  /** Measured by the driver; null where only heartbeats know (HTTP/2). */
  readonly rttMs: number | null;
  /** Share of the packets sent lately that were lost; null where the driver cannot know (HTTP/2, like the four below). */
  readonly lossRatio: number | null;
  /** The largest datagram that is known to get through and is therefore used. */
  readonly mtuBytes: number | null;
  readonly congestionWindowBytes: number | null;
  /** Packets so far whose content was sent again, and that were given up as lost. */
  readonly retransmitted: number | null;
  readonly lost: number | null;
  /** Messages handed to the transport, and received. */
  readonly sent: number;
  readonly received: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Messages not sent: no connection, or the queue was full. */
  readonly dropped: number;
  /** Times a connection was lost after it had been open. */
  readonly reconnects: number;
  readonly queuedBytes: number;
  /** Monotonic; null while the control lane is not open. */
  readonly connectedSince: Millis | null;
  /** How UDP does towards this peer, whichever driver carries its messages; null where UDP is not tried. */
  readonly udp: UdpPath | null;
}

export interface UdpPath {
  readonly state: "trying" | "open" | "failing";
  /** The latest trouble and since when (monotonic) it lasts; both null unless `failing`. Without a full stop. */
  readonly failure: string | null;
  readonly failingSince: Millis | null;
  /** The largest datagram that got through, and the smallest that did not: what limits `mtuBytes`. Null: none so far. */
  readonly passedBytes: number | null;
  readonly stuckBytes: number | null;
}

/** What a link has seen of everybody, strangers included, since it was opened. */
export interface LinkCounts {
  /** Completed, in either direction. */
  readonly handshakes: number;
  /** Begun by somebody whom the cluster does not list, or in a way that does not fit. */
  readonly handshakesRefused: number;
  /** Datagrams that belong to no connection, were replayed, or could not be opened. */
  readonly datagramsIgnored: number;
}

/** One ordered stream to a peer: 0 for control, 2g for the order of group g, 2g + 1 for its catch-up. */
export type Lane = number;

export const controlLane: Lane = 0;
/** No group has the number 0, so that its catch-up lane is free for checkpoints. */
export const checkpointLane: Lane = 1;

/** All that a cluster has. */
export function lanesOf({ groups }: Topology): ReadonlySet<Lane> {
  return new Set([controlLane, checkpointLane, ...groups.flatMap(({ id }) => [id * 2, id * 2 + 1])]);
}

/** Small and urgent messages must not stand behind payloads, nor the payloads of one group behind another's. */
export function laneOf(message: Message): Lane {
  switch (message.kind) {
    case "propose":
    case "accept":
      return message.group * 2;
    case "entries":
      return message.group * 2 + 1;
    case "piece":
      return checkpointLane;
    default:
      return controlLane;
  }
}

/** What every part of one node's core shares: who it is, the bounds, the clock, chance, and where effects go. */
import type { HybridClock } from "./clock.ts";
import type { Millis, NodeId } from "./ids.ts";
import type { Limits } from "./limits.ts";
import type { Outbox } from "./outbox.ts";
import type { Peers } from "./peers.ts";
import type { Prng } from "./prng.ts";
import type { Reads } from "./reads.ts";
import type { Rule } from "./rules.ts";
import type { Topology } from "./topology.ts";

export interface Context {
  readonly self: NodeId;
  readonly incarnation: number;
  readonly topology: Topology;
  readonly limits: Limits;
  readonly clock: HybridClock;
  readonly random: Prng;
  readonly out: Outbox;
  readonly peers: Peers;
  readonly reads: Reads;
  readonly without: ReadonlySet<Rule>;
  /** Monotonic time of the step being taken. */
  now: Millis;
  /** Something was proposed or accepted: heartbeats stay fast until a while after. */
  activeUntil: Millis;
}

/**
 * One node's core: every group it belongs to, the merges over them, and the heartbeats that tie them
 * together. Step it with facts, drain it for effects.
 */
import type { Effects, Input, JournalRecord } from "./effects.ts";
import type { NodeId, Now } from "./ids.ts";
import type { Limits } from "./limits.ts";
import type { Rule } from "./rules.ts";
import type { Topology } from "./topology.ts";
import type { NodeView } from "./view.ts";

/** `memory`: a restart forgets everything, and the node abstains until the others have told it what it may have said. */
export type Durability = "sync" | "async" | "memory";

export interface CoreOptions {
  readonly id: NodeId;
  readonly topology: Topology;
  readonly limits: Limits;
  readonly durability: Durability;
  /** Of the random number generator; any 32-bit number. */
  readonly seed: number;
  /** Names this life of the process: random, 1 … 2^32 − 1. */
  readonly incarnation: number;
  /** Simulator only: rules taken away. */
  readonly without?: ReadonlySet<Rule>;
}

export declare class CoreNode {
  constructor(options: CoreOptions);
  /** Before the first step: every journal record, oldest first. */
  restore(record: JournalRecord): void;
  step(input: Input, now: Now): void;
  /** The arrays are the caller's; the node keeps none of them. */
  drain(): Effects;
  view(): NodeView;
}

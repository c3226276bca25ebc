/**
 * What is left of the forgotten part of a group's log: enough to go on behind it and to tell repetitions. It is a
 * function of the decided log up to its instance, hence the same wherever it is made.
 */
import type { Ballot, Instance, Origin, Stamp } from "./ids.ts";

export interface Foundation {
  /** Decided, like everything below; 0 where nothing has been forgotten. */
  readonly instance: Instance;
  /** The ballot that entry was first proposed in. */
  readonly ballot: Ballot;
  /** The largest stamp used up to there. */
  readonly stamp: Stamp;
  /** Slots filled up to there. */
  readonly slots: number;
  /** The newest `start` entries up to there, ascending. */
  readonly started: readonly Started[];
  /** Batches that have occurred up to there, by proposer; the one seen longest ago first. */
  readonly seen: readonly SeenBatches[];
}

export interface Started {
  readonly ballot: Ballot;
  readonly instance: Instance;
}

export interface SeenBatches {
  readonly origin: Origin;
  /** Every sequence up to here has occurred. */
  readonly upTo: number;
  /** Those above with a gap below, ascending. */
  readonly ahead: readonly number[];
}

export const noFoundation: Foundation = { instance: 0, ballot: 0, stamp: 0, slots: 0, started: [], seen: [] };

/** One in so many instances, remembered to find a position without reading the log. */
export interface Landmark {
  readonly instance: Instance;
  readonly stamp: Stamp;
  readonly slotBase: number;
}

/** Batches of one entry that had occurred before, by their index in it. */
export interface Repetition {
  readonly instance: Instance;
  readonly batches: readonly number[];
}

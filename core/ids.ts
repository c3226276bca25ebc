/** The plain numbers everything else is made of. All are safe integers; none is ever a bigint. */

/** Milliseconds of a monotonic clock; deadlines and durations. */
export type Millis = number;

/** Microseconds since 2024-01-01T00:00Z of a wall clock; only ever used for stamps. */
export type Micros = number;

/** Both clocks, given with every step. The core never asks for either. */
export interface Now {
  readonly mono: Millis;
  readonly wall: Micros;
}

/** A running process, for all time: 1 … 65 535. */
export type NodeId = number;

/** An address for multicast and the log that orders it: 1 … 65 535 (0 is kept for the cluster's own group). */
export type GroupId = number;

/** Who may coordinate: `round · 65 536 + node`. Ordered; 0 means none. */
export type Ballot = number;

/** A place in a group's log, dense from 1. */
export type Instance = number;

/** A hybrid-clock value in microseconds; unique in its group, increasing with the instance. */
export type Stamp = number;

/** Count of journal records handed over since the process started: what is durable is said with one number. */
export type Lsn = number;

/** One life of one proposer: `node · 2^32 + incarnation`. With a batch's sequence it names a batch for all time. */
export type Origin = number;

const ballotNodes = 65_536;

export function ballot(round: number, node: NodeId): Ballot {
  return round * ballotNodes + node;
}

export function ballotRound(value: Ballot): number {
  return Math.floor(value / ballotNodes);
}

export function ballotNode(value: Ballot): NodeId {
  return value % ballotNodes;
}

export function origin(node: NodeId, incarnation: number): Origin {
  return node * 2 ** 32 + incarnation;
}

export function originNode(value: Origin): NodeId {
  return Math.floor(value / 2 ** 32);
}

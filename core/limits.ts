/** Every bound of the core, and the relations between them. The simulator shrinks them: small limits find big bugs. */
import { assert } from "./assert.ts";

export interface Limits {
  /** Entries in flight per group, and their bytes. */
  readonly windowEntries: number;
  readonly windowBytes: number;
  /** A full entry: the coordinator stops gathering there. One larger batch still travels alone. */
  readonly entryBytes: number;
  readonly entryCommands: number;
  /** While others are in flight, commands gather for an entry for so long at most. */
  readonly gatherMs: number;
  /** A proposer's batch is closed there. */
  readonly batchBytes: number;
  readonly batchCommands: number;
  /** One command. */
  readonly payloadBytesMax: number;
  /** Undecided commands one proposer may have in one group before it refuses more. */
  readonly pendingBytes: number;
  readonly pendingCommands: number;
  /** Log suffix kept in memory per group: so much, in so many entries; older ones are read back. */
  readonly suffixBytes: number;
  readonly suffixEntries: number;
  /** What one fetch or read returns. */
  readonly fetchBytes: number;
  /** One in so many instances is a landmark: positions are found from there, and the log is trimmed to there. */
  readonly landmarkEvery: number;
  /** Entries kept per group though every replica is durably beyond them: for nodes and readers that were away for a while. */
  readonly retainBytes: number;
  /** But no more of them than so many: small ones that came alone take a sector of the disk each, and a start reads them all. */
  readonly retainEntries: number;
  /** Accepted ahead of order per group, waiting for a gap to close. */
  readonly aheadEntries: number;
  /** Heartbeats while a merge may wait for them / while nothing is going on; four times the first while only orders flow. */
  readonly heartbeatMs: number;
  readonly heartbeatIdleMs: number;
  /** How long a healthy node may be busy with itself: heartbeats that much late raise no suspicion. */
  readonly stallMs: number;
  /** How long after the last command a node still counts as active. */
  readonly activeMs: number;
  /** Nobody else may coordinate for this long after an acceptor heard the coordinator. */
  readonly leaseMs: number;
  /** First wait of an election; doubled by chance, scaled by rank. */
  readonly electionMs: number;
  /** A proposer sends again what is undecided after this long; a fetch or ask likewise. */
  readonly resendMs: number;
  /** Clock ceiling: written this far ahead, renewed at half of it. */
  readonly clockAheadMicros: number;
  /** The largest lead of any group. */
  readonly leadMicrosMax: number;
}

export const defaultLimits: Limits = {
  windowEntries: 256,
  windowBytes: 16 << 20,
  entryBytes: 64 << 10,
  entryCommands: 1_024,
  gatherMs: 4,
  batchBytes: 64 << 10,
  batchCommands: 1_024,
  payloadBytesMax: 2 << 20,
  pendingBytes: 32 << 20,
  pendingCommands: 65_536,
  suffixBytes: 8 << 20,
  suffixEntries: 8_192,
  fetchBytes: 1 << 20,
  landmarkEvery: 256,
  retainBytes: 32 << 20,
  retainEntries: 8_192,
  aheadEntries: 512,
  heartbeatMs: 10,
  heartbeatIdleMs: 250,
  stallMs: 150,
  activeMs: 250,
  leaseMs: 1_000,
  electionMs: 60,
  resendMs: 300,
  clockAheadMicros: 4_000_000,
  leadMicrosMax: 1_000_000,
};

/** Throws an AssertionError naming the relation that does not hold. */
export function checkLimits(limits: Limits): Limits {
  assert(limits.windowEntries >= 1, "Cannot start: windowEntries must be at least 1");
  assert(limits.entryBytes <= limits.windowBytes, "Cannot start: an entry must fit into windowBytes");
  assert(limits.heartbeatMs <= limits.heartbeatIdleMs, "Cannot start: heartbeatMs must not exceed heartbeatIdleMs");
  // Three heartbeats may be lost before anybody suspects an idle coordinator.
  assert(limits.heartbeatIdleMs * 3 <= limits.leaseMs, "Cannot start: leaseMs must outlast three idle heartbeats");
  assert(limits.payloadBytesMax <= limits.pendingBytes, "Cannot start: a payload must fit into pendingBytes");
  assert(limits.landmarkEvery >= 2, "Cannot start: landmarkEvery must be at least 2");
  assert(limits.aheadEntries >= limits.windowEntries, "Cannot start: aheadEntries must hold a window");
  return limits;
}

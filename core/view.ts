/** What can be seen of a node from outside: for status pages, metrics and the simulator's oracles. Reading changes nothing. */
import type { Entry } from "./entry.ts";
import type { Ballot, GroupId, Instance, Millis, NodeId, Stamp } from "./ids.ts";
import type { Position } from "./position.ts";

/**
 * Why a node follows whom it follows, or nobody. Of the coordinator that is lost: it was silent for a lease, its heartbeats are
 * overdue or its link broke, a higher ballot turned up, its quorum did not hear it, it made way. Of the one that is found: nobody
 * was known before, its predecessor made way for it, it was heard of.
 */
export type RoleReason = "lease-expired" | "suspected" | "outdone" | "no-quorum" | "handed-over" | "first" | "released" | "heard";

export interface RoleChange {
  /** Dense from 1 in one life of a node. */
  readonly number: number;
  readonly at: Millis;
  /** Whom it follows from then on; 0 for nobody. */
  readonly coordinator: NodeId;
  readonly ballot: Ballot;
  /** For a node that won an election: why there was nobody before. */
  readonly why: RoleReason;
}

export interface GroupView {
  readonly group: GroupId;
  readonly voting: boolean;
  /** Acceptors that have forgotten what they promised, where the others cannot begin a ballot without them: nobody will ever coordinate. */
  readonly forgetful: readonly NodeId[];
  readonly promised: Ballot;
  /** The ballot whose log this is, its decided base and its `start` entry. */
  readonly logBallot: Ballot;
  readonly start: Instance;
  readonly last: Instance;
  readonly decided: Instance;
  /** Durably voted in `logBallot`. */
  readonly voted: Instance;
  /** The ballot this node coordinates, or 0. */
  readonly coordinates: Ballot;
  /** The coordinator it follows, or 0. */
  readonly coordinator: NodeId;
  /** The newest changes of it, oldest first. */
  readonly roles: readonly RoleChange[];
  readonly clock: Stamp;
  /** Nothing at or below in this group is still unknown here. */
  readonly frontier: Position;
  /** The suffix kept in memory, ascending. */
  readonly suffix: readonly Entry[];
  readonly slots: number;
  /** Nothing of the log at or below is kept, and this node's replicas have all of it durably behind them up to there. */
  readonly trimmed: Instance;
  readonly safe: Instance;
  readonly pendingCommands: number;
  readonly pendingBytes: number;
}

export interface SubscriptionView {
  readonly subscription: number;
  readonly groups: readonly GroupId[];
  /** Of the last command delivered. */
  readonly delivered: Position;
  /** The group the merge waits for (0: none) and since when. */
  readonly blockedOn: GroupId;
  readonly blockedSince: Millis;
  /** Decided entries not yet consumed. */
  readonly lag: number;
}

export interface PeerView {
  readonly node: NodeId;
  /** −Infinity if never. */
  readonly heardAt: Millis;
  /** Smoothed; null until measured. */
  readonly rttMs: number | null;
  /** Suspected: its heartbeats are overdue. */
  readonly suspected: boolean;
}

export interface NodeView {
  readonly groups: readonly GroupView[];
  readonly subscriptions: readonly SubscriptionView[];
  readonly peers: readonly PeerView[];
}

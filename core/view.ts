/** What can be seen of a node from outside: for status pages, metrics and the simulator's oracles. Reading changes nothing. */
import type { Entry } from "./entry.ts";
import type { Ballot, GroupId, Instance, Millis, NodeId, Stamp } from "./ids.ts";
import type { Position } from "./position.ts";

export interface GroupView {
  readonly group: GroupId;
  readonly voting: boolean;
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

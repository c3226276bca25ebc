/**
 * The rules the order rests on, by name, so that the simulator can take one away and show that its
 * oracles notice. Production never sets any.
 */
export type Rule =
  /** The frontier needs the acceptors' clocks, not only the coordinator's. */
  | "quorum-clock"
  /** An acceptor's clock counts only while its highest promise is that ballot. */
  | "clock-of-ballot"
  /** A new coordinator takes over the clocks of its phase-1 replies. */
  | "merge-clocks"
  /** A new coordinator takes the whole log of the greatest (ballot, length), not entry by entry what it finds. */
  | "whole-log"
  /** The log of a higher ballot replaces the old one at once, not entry by entry. */
  | "atomic-install"
  /** Nothing of a ballot counts before its `start` entry is decided. */
  | "start-fence"
  /** Stamps never fall behind what has been heard or stamped. */
  | "hybrid-clock"
  /** Only a batch's first occurrence in a log has effect. */
  | "first-occurrence"
  /** Acceptance in order, without gaps. */
  | "in-order"
  /** A vote, or a promise, waits for its record. */
  | "vote-after-persist"
  /** A coordinator that lost its quorum stops. */
  | "step-down";

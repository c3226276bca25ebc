/**
 * The rules the order rests on, by name, so that the simulator can take one away and show that its
 * oracles notice. Production never sets any.
 */
export type CoreRule =
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
  | "step-down"
  /** A linearizable read asks enough acceptors to meet every quorum, not only itself. */
  | "confirm-quorum"
  /** A log is forgotten only as far as a majority of every set of replicas has it durably behind it, not one of them. */
  | "trim-quorum"
  /** A checkpoint tells which batches have occurred, so that those that come again have no effect. */
  | "foundation-seen"
  /** What has the same place in several groups is merged in the order of the groups. */
  | "tie-by-group";

/** The same for what is around the core: journal, links and services. */
export type OuterRule =
  /** The journal reports records as durable once they are. */
  | "sync-before-done"
  /** A failed sync ends the process. */
  | "failed-sync-ends"
  /** An empty directory, and one whose damage was put aside, have no vote before the others were heard. */
  | "empty-rejoins"
  | "damage-rejoins"
  /** In a new group a node votes once its journal says that its next life may. */
  | "note-before-vote"
  /** The last record of a journal counts only if all of it is there. */
  | "whole-tail"
  /** What a restarted node builds upon is written and synced first. */
  | "settled-tail"
  /** Promises, votes and the clock's ceiling are in the journal. */
  | "promise-kept"
  | "vote-kept"
  | "ceiling-kept"
  /** A record is given back with all that was in it. */
  | "whole-record"
  /** What speaks for records waits for them, also for those of earlier turns. */
  | "hold-until-durable"
  | "hold-for-older"
  /** Every replica remembers what became of a command with a key, and for long enough that it is not made again. */
  | "session-everywhere"
  | "session-long"
  /** Whoever listens hears a message with a key once, however often it was ordered. */
  | "message-once"
  /** A node answers the commands of this process, not those of its last. */
  | "own-life"
  /** A linearizable read waits for its confirmation; a scan for that of each partition; a session read for its position. */
  | "read-confirmed"
  | "scan-confirmed"
  | "session-waits"
  /** A write that timed out may have happened. */
  | "unknown-outcome"
  /** A watch goes on where it was left: nothing is skipped, nothing comes again, and partitions keep their one order. */
  | "watch-resumes"
  | "watch-once"
  | "watch-in-order"
  /** Deliveries go on where they were left. */
  | "deliveries-resume"
  /** An append happens in all of its logs, a trim up to its offset, a compare-and-set at its version. */
  | "append-atomic"
  | "trim-exact"
  | "compare-version";

export type Rule = CoreRule | OuterRule;

/**
 * The seam: facts in by `step`, effects out by `drain`. Several steps may precede one drain, so that
 * whatever reached the node in one turn of the event loop shares one journal append and one frame
 * per peer.
 */
import type { Entry } from "./entry.ts";
import type { ErrorCode } from "./errors.ts";
import type { Foundation, Landmark, Repetition } from "./foundation.ts";
import type { Ballot, GroupId, Instance, Lsn, Millis, NodeId, Stamp } from "./ids.ts";
import type { Message } from "./message.ts";
import type { Position } from "./position.ts";

/** Everything that can happen to a node. There is no other way in. */
export type Input =
  | { readonly kind: "receive"; readonly from: NodeId; readonly message: Message }
  /** Multicast to one group. Ticket (unique in this process, > 0) comes back only in a refusal; replies are the service's. */
  | { readonly kind: "propose"; readonly ticket: number; readonly group: GroupId; readonly payload: Uint8Array }
  /** All records handed over so far, up to this count, are durable. */
  | { readonly kind: "persisted"; readonly upTo: Lsn }
  /** Answers a `ReadRequest` with consecutive entries from its `from` on; fewer than asked for is fine, none means gone. */
  | { readonly kind: "read"; readonly request: number; readonly entries: readonly Entry[] }
  /**
   * Starts a merged stream of groups this node learns. `after: null` starts at the beginning, `"now"` behind
   * what could have been delivered here by now. `demand` is how many commands may be delivered before more is asked for (Infinity for replicas).
   */
  | {
    readonly kind: "subscribe";
    readonly subscription: number;
    readonly groups: readonly GroupId[];
    readonly after: Position | null | "now";
    readonly demand: number;
    /** Of a checkpoint at `after`: the instance behind which each group goes on; found by position where it is absent. */
    readonly from?: readonly { readonly group: GroupId; readonly instance: Instance }[];
    /** Groups not subscribed to: a command of a group that spans one of them waits until nothing can come before it there any more. */
    readonly abreast?: readonly GroupId[];
  }
  | { readonly kind: "demand"; readonly subscription: number; readonly commands: number }
  | { readonly kind: "unsubscribe"; readonly subscription: number }
  /**
   * Linearizable read: answered by a `Confirmation` once the subscription has delivered all that was completed before
   * now in `groups`, and all that is ordered at or before `atLeast` (a session's position).
   */
  | {
    readonly kind: "confirm";
    readonly request: number;
    readonly subscription: number;
    readonly groups: readonly GroupId[];
    readonly atLeast?: Position;
  }
  /** Nobody waits for this confirmation any more. */
  | { readonly kind: "cancel"; readonly request: number }
  /** The replicas of this node that hear a group have durable checkpoints behind this instance of it, all of them. */
  | { readonly kind: "checkpointed"; readonly groups: readonly { readonly group: GroupId; readonly instance: Instance }[] }
  /** A checkpoint, this node's own or a peer's, will be gone on from: what lies at or below it is decided and not needed. */
  | { readonly kind: "resume"; readonly from: readonly Resume[] }
  /** Somebody is being given a checkpoint and will fetch what follows: nothing above these is trimmed. Empty ends it. */
  | {
    readonly kind: "hold";
    readonly holder: number;
    readonly groups: readonly { readonly group: GroupId; readonly instance: Instance }[];
  }
  /** Coordinate no longer; let `to` take over (0: whoever is best). */
  | { readonly kind: "handover"; readonly group: GroupId; readonly to: NodeId }
  /** The journal says that the next life of this node need not hear the others first: what has waited for that votes. */
  | { readonly kind: "rejoined" }
  /** The link to this node broke. A hint: nothing depends on it. */
  | { readonly kind: "unreachable"; readonly node: NodeId }
  | { readonly kind: "wake" };

/** How far a checkpoint goes in one group. */
export interface Resume {
  readonly group: GroupId;
  /** The highest promise of the node that made it: a decision in that ballot may be among what it sums up. */
  readonly promised: Ballot;
  readonly foundation: Foundation;
}

/** Where a subscription is, with all that is needed to go on from there after everything before has been forgotten. */
export interface Cursor {
  /** Everything at or below has been delivered, and nothing above. */
  readonly position: Position;
  readonly groups: readonly Resume[];
}

export interface Envelope {
  /** Encoded once, sent to each. */
  readonly to: readonly NodeId[];
  readonly message: Message;
}

/** What must survive a restart. Handed back by `CoreNode.restore`, in order, before the first step. */
export type JournalRecord =
  | { readonly kind: "promise"; readonly group: GroupId; readonly ballot: Ballot }
  /** The next entry in the log of `ballot`. */
  | { readonly kind: "accept"; readonly group: GroupId; readonly ballot: Ballot; readonly entry: Entry }
  /** Atomic change to the log of a higher ballot: drop everything above `above`, append, hold `ballot`. */
  | {
    readonly kind: "install";
    readonly group: GroupId;
    readonly ballot: Ballot;
    readonly base: Instance;
    readonly start: Instance;
    readonly above: Instance;
    readonly entries: readonly Entry[];
  }
  /** Entries known to be decided, fetched from a peer: drop everything above `above`, append. `promised` may rise with it. */
  | {
    readonly kind: "learn";
    readonly group: GroupId;
    readonly promised: Ballot;
    readonly above: Instance;
    readonly entries: readonly Entry[];
  }
  /** A hint, written lazily: a restart may treat everything up to here as decided. */
  | { readonly kind: "decided"; readonly group: GroupId; readonly upTo: Instance }
  /**
   * Everything a group's earlier records say, in one: a restart may begin here. Where it follows other records it is a
   * checkpoint taken over from a peer, and what it does not mention is dropped.
   */
  | {
    readonly kind: "base";
    readonly group: GroupId;
    readonly promised: Ballot;
    /** The ballot whose log this is, with its base and start; 0 where it is only a decided prefix. */
    readonly ballot: Ballot;
    readonly base: Instance;
    readonly start: Instance;
    readonly foundation: Foundation;
    /** Nothing at or below can be read back. */
    readonly trimmed: Instance;
    /** Of what can still be read at or below the foundation. */
    readonly landmarks: readonly Landmark[];
    readonly repeated: readonly Repetition[];
    /** Above the foundation, none of them known to be decided. */
    readonly entries: readonly Entry[];
  }
  /** No clock value above this has been stated or will be before a higher ceiling is durable. */
  | { readonly kind: "ceiling"; readonly stamp: Stamp };

export interface ReadRequest {
  readonly request: number;
  readonly group: GroupId;
  readonly from: Instance;
  /** Inclusive. */
  readonly to: Instance;
  readonly bytesMax: number;
}

/** A run of commands of one entry, in merged order. Commands are `from ≤ index < to`, counted over all batches. */
export interface Delivery {
  readonly subscription: number;
  readonly group: GroupId;
  readonly entry: Entry;
  readonly from: number;
  readonly to: number;
  /** Indices of batches in the entry that occurred before in this log and have no effect; usually null. */
  readonly repeated: ReadonlySet<number> | null;
}

/** Everything at or below has been forgotten by every replica that could need it. */
export interface Trim {
  readonly group: GroupId;
  readonly upTo: Instance;
}

/** A subscription that cannot go on: what comes next for it has been forgotten. It has ended. */
export interface Lost {
  readonly subscription: number;
  /** One that starts behind this can go on. */
  readonly oldest: Position;
}

export interface Refusal {
  readonly ticket: number;
  readonly code: ErrorCode;
  readonly reason: string;
}

export interface Confirmation {
  readonly request: number;
  /** Everything at or below has been delivered to the subscription. */
  readonly position: Position;
}

/** Everything a node asks of its host since the last drain. */
export interface Effects {
  /** May leave at once, in any order, and may be lost. */
  readonly send: readonly Envelope[];
  /** Must be appended to the journal in this order. */
  readonly records: readonly JournalRecord[];
  /** Speak for records: they leave only once all records handed over so far are durable. */
  readonly sendAfterPersist: readonly Envelope[];
  /** Old entries to read back from the journal; each is answered by one `read` input. */
  readonly reads: readonly ReadRequest[];
  /** Per subscription merged and in order, each command exactly once per subscription. */
  readonly deliveries: readonly Delivery[];
  /** Proposals that will not be tried (again): nothing of them was or will be ordered. */
  readonly refusals: readonly Refusal[];
  /** To be carried out after the deliveries of this drain. */
  readonly confirmations: readonly Confirmation[];
  /** For the journal; `safe` to carry out late or never. */
  readonly trims: readonly Trim[];
  readonly lost: readonly Lost[];
  /** Groups in which everybody who could tell what comes next has forgotten it: only a checkpoint helps. Said again until one does. */
  readonly behind: readonly GroupId[];
  /** When to step { kind: "wake" } if nothing else happens first; Infinity for never. */
  readonly wakeAt: Millis;
}

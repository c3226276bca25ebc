/**
 * Every message between nodes. The network may lose, repeat and reorder any of them; the protocol
 * depends on none arriving. `describe` is how they read in tests, logs and the simulator.
 */
import { unreachable } from "./assert.ts";
import type { Batch, Entry } from "./entry.ts";
import {
  type Ballot,
  ballotNode,
  ballotRound,
  type GroupId,
  type Instance,
  type Millis,
  type NodeId,
  originNode,
  type Stamp,
} from "./ids.ts";
import type { Position } from "./position.ts";

export type Message =
  | Propose
  | Prepare
  | Promise1
  | Accept
  | Vote
  | Nack
  | Fetch
  | Entries
  | Heartbeat
  | Ask
  | Answer
  | Release
  | Seek
  | Offer
  | Pull
  | Piece;

/** Commands on their way to the coordinator: straight (star) or along the ring, cached by everybody on the way. */
export interface Propose {
  readonly kind: "propose";
  readonly group: GroupId;
  readonly batches: readonly Batch[];
}

/** Phase 1a. A trial asks whether the promise would be granted and changes nothing (pre-vote). */
export interface Prepare {
  readonly kind: "prepare";
  readonly group: GroupId;
  readonly ballot: Ballot;
  readonly trial: boolean;
  /** The ballot of a coordinator that released its lease in favour of the sender; 0 otherwise. */
  readonly released: Ballot;
}

/** Phase 1b, or its refusal. A granted promise speaks for a journal record. */
export interface Promise1 {
  readonly kind: "promise";
  readonly group: GroupId;
  readonly ballot: Ballot;
  readonly trial: boolean;
  readonly granted: boolean;
  readonly promised: Ballot;
  /** The ballot whose log the sender holds, and how far. */
  readonly logBallot: Ballot;
  readonly last: Instance;
  readonly decided: Instance;
  /** The group's clock at the sender, read after the promise was made. */
  readonly clock: Stamp;
}

/** Phase 2a: one entry of the log of `ballot`. */
export interface Accept {
  readonly kind: "accept";
  readonly group: GroupId;
  readonly ballot: Ballot;
  /** Entries at or below were decided when the ballot began. */
  readonly base: Instance;
  /** The instance of the ballot's `start` entry. */
  readonly start: Instance;
  /** In a ring the receiver passes it on; in a star it is not passed on. */
  readonly ring: boolean;
  /** Batches the receiver has cached already travel without bytes (a ring's "payload once per link"). */
  readonly entry: Entry;
  /** The sender's decided prefix. */
  readonly decided: Instance;
  /** What the coordinator promises to stamp above from now on; see Frontier. */
  readonly clock: Stamp;
}

/** One acceptor's word: "in `ballot` I durably hold everything up to `upTo`". Cumulative. */
export interface AcceptorVote {
  readonly node: NodeId;
  readonly upTo: Instance;
  /** The acceptor's group clock while `ballot` was its highest promise; 0 when it had promised higher. */
  readonly clock: Stamp;
}

/** Phase 2b. In a star straight from the acceptor to all; in a ring gathered and passed on. */
export interface Vote {
  readonly kind: "vote";
  readonly group: GroupId;
  readonly ballot: Ballot;
  readonly ring: boolean;
  readonly votes: readonly AcceptorVote[];
}

/** The sender of something in an old ballot learns the higher promise. */
export interface Nack {
  readonly kind: "nack";
  readonly group: GroupId;
  readonly promised: Ballot;
}

/** Asks for log entries from `from` on; the answer is bounded by `bytesMax`. */
export interface Fetch {
  readonly kind: "fetch";
  readonly group: GroupId;
  readonly from: Instance;
  readonly bytesMax: number;
}

/** Consecutive entries of the log the sender holds for `ballot`. Up to `decided` they are decided. */
export interface Entries {
  readonly kind: "entries";
  readonly group: GroupId;
  /** The sender's highest promise: whoever learns from it must not follow lower ballots any more. */
  readonly promised: Ballot;
  /** 0 when the sender holds only a decided prefix. */
  readonly ballot: Ballot;
  readonly base: Instance;
  readonly start: Instance;
  readonly last: Instance;
  readonly decided: Instance;
  readonly entries: readonly Entry[];
}

/** What a node says of itself in one group. */
export interface Beat {
  readonly group: GroupId;
  /** False while the sender has no right to vote: it restarted without memory and is still asking the others. */
  readonly voting: boolean;
  readonly promised: Ballot;
  readonly logBallot: Ballot;
  /** Durable in `logBallot`, if the sender is an acceptor: the same word as a vote. */
  readonly voted: Instance;
  readonly last: Instance;
  readonly decided: Instance;
  /** The group's clock: any later promise of the sender carries at least this. */
  readonly clock: Stamp;
  /** The ballot the sender coordinates, or 0. Then `last` is the last instance proposed and `clock` covers the rest. */
  readonly coordinates: Ballot;
  /** The most slots that any group has filled of which the sender knows (merge `rr`; 0 with `ts`). */
  readonly slots: number;
  /** All replicas of the sender that hear this group have durable checkpoints behind this instance. */
  readonly safe: Instance;
  /** The sender has nothing of the log at or below this any more. */
  readonly trimmed: Instance;
}

/** In place of how long an echo was held. */
export const heldUnknown: Millis = -1;

/** One per node pair, not per group. Also renews leases, measures round trips, and carries the newest votes. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  /** The sender's life; a change means it restarted. */
  readonly incarnation: number;
  readonly sequence: number;
  /** The sender's monotonic clock. */
  readonly sentAt: Millis;
  /** The receiver's incarnation and `sentAt` as last heard, and how long the sender held it, if known; incarnation 0 if never. */
  readonly echoIncarnation: number;
  readonly echoSentAt: Millis;
  readonly echoHeldMs: Millis;
  /** When to expect the next one. */
  readonly nextInMs: Millis;
  /** The sender waits for the receiver's word: answer at once. */
  readonly hurry: boolean;
  readonly beats: readonly Beat[];
}

/** Linearizable read, first half: how far have you accepted? */
export interface Ask {
  readonly kind: "ask";
  readonly group: GroupId;
  readonly request: number;
}

export interface Answer {
  readonly kind: "answer";
  readonly group: GroupId;
  readonly request: number;
  /** Of the last command accepted; 0 for an empty log. */
  readonly stamp: Stamp;
  /** Slots filled by everything accepted. */
  readonly slots: number;
}

/** Planned hand-over: the coordinator of `ballot` has stopped and lets the receiver take its place at once. */
export interface Release {
  readonly kind: "release";
  readonly group: GroupId;
  readonly ballot: Ballot;
}

/** Which is your newest checkpoint of this replica? Checkpoints are the hosts' own business; the core passes these four over. */
export interface Seek {
  readonly kind: "seek";
  readonly request: number;
  readonly replica: string;
}

/** The sender's newest: the state behind `position`, as a file of so many bytes; 0 bytes if there is none. */
export interface Offer {
  readonly kind: "offer";
  readonly request: number;
  readonly replica: string;
  readonly position: Position;
  readonly bytes: number;
}

/** Asks for a part of that file. */
export interface Pull {
  readonly kind: "pull";
  readonly request: number;
  readonly replica: string;
  readonly position: Position;
  readonly offset: number;
  readonly length: number;
}

/** The part, or nothing if the file is not there any more. */
export interface Piece {
  readonly kind: "piece";
  readonly request: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** `2.1` for round 2 of node 1. */
export function describeBallot(value: Ballot): string {
  return value === 0 ? "none" : `${ballotRound(value)}.${ballotNode(value)}`;
}

export function describeBatch(batch: Batch): string {
  const size = batch.bytes.byteLength === 0 ? "ref" : `${batch.count}×`;
  return `${size}n${originNode(batch.origin)}#${batch.sequence}`;
}

export function describeEntry(entry: Entry): string {
  const body = entry.kind === "batch"
    ? entry.batches.map(describeBatch).join("+")
    : entry.kind === "skip"
    ? `skip ${entry.slots}`
    : "start";
  return `${entry.instance}@${describeBallot(entry.ballot)} ${body}`;
}

/** One line, without clock values, so that it reads the same in every run of a story. */
export function describe(message: Message): string {
  switch (message.kind) {
    case "propose":
      return `propose g${message.group} ${message.batches.map(describeBatch).join("+")}`;
    case "prepare":
      return `prepare g${message.group} b=${describeBallot(message.ballot)}${message.trial ? " trial" : ""}${
        message.released ? " released" : ""
      }`;
    case "promise":
      return `promise g${message.group} b=${describeBallot(message.ballot)}${message.trial ? " trial" : ""} ` +
        (message.granted
          ? `granted log=${describeBallot(message.logBallot)}/${message.last} decided=${message.decided}`
          : `refused promised=${describeBallot(message.promised)}`);
    case "accept":
      return `accept g${message.group} b=${describeBallot(message.ballot)} ${
        describeEntry(message.entry)
      } base=${message.base} start=${message.start} decided=${message.decided}`;
    case "vote":
      return `vote g${message.group} b=${describeBallot(message.ballot)} ${
        message.votes.map((vote) => `n${vote.node}≤${vote.upTo}`).join(" ")
      }`;
    case "nack":
      return `nack g${message.group} promised=${describeBallot(message.promised)}`;
    case "fetch":
      return `fetch g${message.group} from=${message.from}`;
    case "entries":
      return `entries g${message.group} b=${describeBallot(message.ballot)} [${
        message.entries.map(describeEntry).join(", ")
      }] decided=${message.decided}`;
    case "heartbeat":
      return `heartbeat ${
        message.beats.map((beat) =>
          `g${beat.group} promised=${describeBallot(beat.promised)} log=${
            describeBallot(beat.logBallot)
          }/${beat.last} decided=${beat.decided}${beat.coordinates ? ` coordinates=${describeBallot(beat.coordinates)}` : ""}${
            beat.voting ? "" : " not-voting"
          }`
        ).join(" · ")
      }${message.hurry ? " hurry" : ""}`;
    case "ask":
      return `ask g${message.group} #${message.request}`;
    case "answer":
      return `answer g${message.group} #${message.request}`;
    case "release":
      return `release g${message.group} b=${describeBallot(message.ballot)}`;
    case "seek":
      return `seek ${message.replica}`;
    case "offer":
      return message.bytes === 0 ? `offer ${message.replica} none` : `offer ${message.replica} (${message.bytes} bytes)`;
    case "pull":
      return `pull ${message.replica} from=${message.offset}`;
    case "piece":
      return `piece from=${message.offset} (${message.bytes.byteLength} bytes)`;
    default:
      return unreachable(message);
  }
}

/**
 * Whether a message can be meant. Members are authenticated and do not lie, but one may be broken or of
 * another version: what makes no sense whatever we hold is passed over, so that it neither ends this
 * process nor enters the log. What fits the log is the log's to say (see `Log.fits`).
 */
import type { Batch, Entry } from "../entry.ts";
import { type Ballot, ballotNode, ballotRound, type NodeId, originNode } from "../ids.ts";
import type { Accept, Beat, Entries, Message } from "../message.ts";
import type { GroupSpec } from "../topology.ts";

/** Every number is below; what is counted on from there still fits into the 2^53 of the wire and the disk. */
const far = 2 ** 52;

export function isSound(from: NodeId, message: Message, spec: GroupSpec): boolean {
  if (!spec.members.includes(from)) return false;
  switch (message.kind) {
    case "propose":
      return message.batches.every((batch) =>
        batch.bytes.byteLength > 0 && isSoundBatch(batch) && spec.proposers.includes(originNode(batch.origin))
      );
    case "prepare":
      return isBallotOf(message.ballot, from, spec) && message.released < far;
    case "promise":
      return spec.acceptors.includes(from) && areNear(message.ballot, message.promised, message.logBallot, message.last, message.clock) &&
        message.decided <= message.last;
    case "accept":
      return isSoundAccept(from, message, spec);
    case "vote":
      return areNear(message.ballot) &&
        message.votes.every(({ node, upTo, clock }) =>
          (message.ring ? spec.acceptors.includes(node) : node === from) && areNear(upTo, clock)
        );
    case "nack":
      return message.promised < far;
    case "fetch":
      return message.from >= 1;
    case "entries":
      return areSoundEntries(message);
    case "release":
      return isBallotOf(message.ballot, from, spec);
    case "heartbeat":
    case "ask":
    case "answer":
    case "seek":
    case "offer":
    case "pull":
    case "piece":
      return true;
  }
}

export function isSoundBeat(from: NodeId, beat: Beat, spec: GroupSpec): boolean {
  return spec.members.includes(from) && (beat.coordinates === 0 || isBallotOf(beat.coordinates, from, spec)) &&
    areNear(beat.promised, beat.logBallot, beat.voted, beat.last, beat.decided, beat.clock, beat.slots, beat.safe, beat.trimmed);
}

function areNear(...values: readonly number[]): boolean {
  for (const value of values) if (value >= far) return false;
  return true;
}

function isBallotOf(ballot: Ballot, node: NodeId, spec: GroupSpec): boolean {
  return ballot < far && ballotRound(ballot) >= 1 && ballotNode(ballot) === node && spec.acceptors.includes(node);
}

function isSoundAccept(from: NodeId, message: Accept, spec: GroupSpec): boolean {
  const { ballot, base, start, ring, entry } = message;
  const coordinator = ballotNode(ballot);
  if (!isBallotOf(ballot, ring ? coordinator : from, spec)) return false;
  if (!areNear(message.decided, message.clock, start) || base >= start || entry.instance <= base) return false;
  // In front of the fence is what was taken over, behind it what this ballot brings.
  if (
    (entry.instance < start) !== (entry.ballot < ballot) ||
    (entry.instance === start) !== (entry.kind === "start" && entry.ballot === ballot)
  ) {
    return false;
  }
  return isSoundEntry(entry, ballot, true);
}

function areSoundEntries({ promised, ballot, base, start, last, decided, entries }: Entries): boolean {
  if (!areNear(promised, ballot, start, last) || decided > last || (ballot !== 0 && base >= start)) return false;
  const most = ballot === 0 ? promised : ballot;
  for (let index = 0; index < entries.length; index++) {
    const entry = entries[index]!;
    if (index > 0 && entry.instance !== entries[index - 1]!.instance + 1) return false;
    if (!isSoundEntry(entry, most, false)) return false;
    if (ballot !== 0 && (entry.ballot === ballot) !== (entry.instance >= start)) return false;
  }
  return true;
}

/** `references`: batches may be without their bytes. */
function isSoundEntry(
  { instance, ballot, stamp, count, slotBase, slots, kind, batches }: Entry,
  most: Ballot,
  references: boolean,
): boolean {
  if (instance < 1 || ballot < 1 || ballot > most || stamp < 1 || !areNear(instance, stamp + count, slotBase + slots)) return false;
  if (kind !== "batch") return batches.length === 0 && count === 1 && (kind === "start" ? slots === 0 : slots >= 1);
  let commands = 0;
  for (const batch of batches) {
    if (batch.bytes.byteLength === 0 ? !references : !isSoundBatch(batch)) return false;
    commands += batch.count;
  }
  return commands >= 1 && commands === count && commands === slots;
}

/** Its body holds as many commands as it says. */
function isSoundBatch({ sequence, count, bytes }: Batch): boolean {
  if (sequence < 1 || sequence >= far) return false;
  let at = 0;
  let commands = 0;
  for (const end = bytes.byteLength; at < end; commands++) {
    if (at + 4 > end) return false;
    at += 4 + ((bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0);
  }
  return at === bytes.byteLength && commands === count;
}

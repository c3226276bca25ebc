/**
 * Messages between nodes in bytes: a version byte, a kind byte, and the fields in the order of
 * core/message.ts at fixed widths. Every message has exactly one encoding and every accepted string
 * of bytes is the encoding of what it decodes to.
 */
import { unreachable } from "../../core/assert.ts";
import type { AcceptorVote, Beat, Message } from "../../core/message.ts";
import { DecodeError, Reader, type Writer } from "./bytes.ts";
import { readPosition, writePosition } from "./foundation.ts";
import { readBatches, readEntries, readEntry, writeBatches, writeEntries, writeEntry } from "./entry.ts";

/** Raised when the layout changes; a node refuses what it cannot read. */
export const messageVersion = 2;

const kind = {
  propose: 1,
  prepare: 2,
  promise: 3,
  accept: 4,
  vote: 5,
  nack: 6,
  fetch: 7,
  entries: 8,
  heartbeat: 9,
  ask: 10,
  answer: 11,
  release: 12,
  seek: 13,
  offer: 14,
  pull: 15,
  piece: 16,
} as const;

const voteBytes = 18;
const beatBytes = 83;

/** Appends the message; the writer's earlier content stays. */
export function encodeMessage(writer: Writer, message: Message): void {
  writer.u8(messageVersion);
  writer.u8(kind[message.kind]);
  switch (message.kind) {
    case "propose":
      writer.u16(message.group);
      writeBatches(writer, message.batches);
      return;
    case "prepare":
      writer.u16(message.group);
      writer.u53(message.ballot);
      writer.bool(message.trial);
      writer.u53(message.released);
      return;
    case "promise":
      writer.u16(message.group);
      writer.u53(message.ballot);
      writer.bool(message.trial);
      writer.bool(message.granted);
      writer.u53(message.promised);
      writer.u53(message.logBallot);
      writer.u53(message.last);
      writer.u53(message.decided);
      writer.u53(message.clock);
      return;
    case "accept":
      writer.u16(message.group);
      writer.u53(message.ballot);
      writer.u53(message.base);
      writer.u53(message.start);
      writer.bool(message.ring);
      writer.u53(message.decided);
      writer.u53(message.clock);
      writeEntry(writer, message.entry);
      return;
    case "vote":
      writer.u16(message.group);
      writer.u53(message.ballot);
      writer.bool(message.ring);
      writer.u32(message.votes.length);
      for (const vote of message.votes) writeVote(writer, vote);
      return;
    case "nack":
      writer.u16(message.group);
      writer.u53(message.promised);
      return;
    case "fetch":
      writer.u16(message.group);
      writer.u53(message.from);
      writer.u53(message.bytesMax);
      return;
    case "entries":
      writer.u16(message.group);
      writer.u53(message.promised);
      writer.u53(message.ballot);
      writer.u53(message.base);
      writer.u53(message.start);
      writer.u53(message.last);
      writer.u53(message.decided);
      writeEntries(writer, message.entries);
      return;
    case "heartbeat":
      writer.u32(message.incarnation);
      writer.u53(message.sequence);
      writer.f64(message.sentAt);
      writer.u32(message.echoIncarnation);
      writer.f64(message.echoSentAt);
      writer.f64(message.echoHeldMs);
      writer.f64(message.nextInMs);
      writer.bool(message.hurry);
      writer.u32(message.beats.length);
      for (const beat of message.beats) writeBeat(writer, beat);
      return;
    case "ask":
      writer.u16(message.group);
      writer.u53(message.request);
      return;
    case "answer":
      writer.u16(message.group);
      writer.u53(message.request);
      writer.u53(message.stamp);
      writer.u53(message.slots);
      return;
    case "release":
      writer.u16(message.group);
      writer.u53(message.ballot);
      return;
    case "seek":
      writer.u32(message.request);
      writer.utf8(message.replica);
      return;
    case "offer":
      writer.u32(message.request);
      writer.utf8(message.replica);
      writePosition(writer, message.position);
      writer.u53(message.bytes);
      return;
    case "pull":
      writer.u32(message.request);
      writer.utf8(message.replica);
      writePosition(writer, message.position);
      writer.u53(message.offset);
      writer.u32(message.length);
      return;
    case "piece":
      writer.u32(message.request);
      writer.u53(message.offset);
      writer.u32(message.bytes.byteLength);
      writer.bytes(message.bytes);
      return;
    default:
      return unreachable(message);
  }
}

/**
 * Reads exactly one message. `lent` (default): the bytes belong to somebody who uses them again, so
 * payloads are copied out. Throws DecodeError, and nothing else, for anything `encodeMessage` did not write.
 */
export function decodeMessage(bytes: Uint8Array, lent = true): Message {
  const reader = new Reader(bytes, lent);
  const version = reader.u8();
  if (version !== messageVersion) throw new DecodeError(`the message has version ${version} and this node speaks ${messageVersion}`);
  const message = readMessage(reader);
  reader.end();
  return message;
}

// Object literals evaluate their fields from top to bottom: the order of the lines is the layout.
function readMessage(reader: Reader): Message {
  const tag = reader.u8();
  switch (tag) {
    case kind.propose:
      return { kind: "propose", group: reader.u16(), batches: readBatches(reader) };
    case kind.prepare:
      return { kind: "prepare", group: reader.u16(), ballot: reader.u53(), trial: reader.bool(), released: reader.u53() };
    case kind.promise:
      return {
        kind: "promise",
        group: reader.u16(),
        ballot: reader.u53(),
        trial: reader.bool(),
        granted: reader.bool(),
        promised: reader.u53(),
        logBallot: reader.u53(),
        last: reader.u53(),
        decided: reader.u53(),
        clock: reader.u53(),
      };
    case kind.accept:
      return {
        kind: "accept",
        group: reader.u16(),
        ballot: reader.u53(),
        base: reader.u53(),
        start: reader.u53(),
        ring: reader.bool(),
        decided: reader.u53(),
        clock: reader.u53(),
        entry: readEntry(reader),
      };
    case kind.vote:
      return {
        kind: "vote",
        group: reader.u16(),
        ballot: reader.u53(),
        ring: reader.bool(),
        votes: readMany(reader, voteBytes, readVote),
      };
    case kind.nack:
      return { kind: "nack", group: reader.u16(), promised: reader.u53() };
    case kind.fetch:
      return { kind: "fetch", group: reader.u16(), from: reader.u53(), bytesMax: reader.u53() };
    case kind.entries:
      return {
        kind: "entries",
        group: reader.u16(),
        promised: reader.u53(),
        ballot: reader.u53(),
        base: reader.u53(),
        start: reader.u53(),
        last: reader.u53(),
        decided: reader.u53(),
        entries: readEntries(reader),
      };
    case kind.heartbeat:
      return {
        kind: "heartbeat",
        incarnation: reader.u32(),
        sequence: reader.u53(),
        sentAt: reader.f64(),
        echoIncarnation: reader.u32(),
        echoSentAt: reader.f64(),
        echoHeldMs: reader.f64(),
        nextInMs: reader.f64(),
        hurry: reader.bool(),
        beats: readMany(reader, beatBytes, readBeat),
      };
    case kind.ask:
      return { kind: "ask", group: reader.u16(), request: reader.u53() };
    case kind.answer:
      return { kind: "answer", group: reader.u16(), request: reader.u53(), stamp: reader.u53(), slots: reader.u53() };
    case kind.release:
      return { kind: "release", group: reader.u16(), ballot: reader.u53() };
    case kind.seek:
      return { kind: "seek", request: reader.u32(), replica: reader.utf8() };
    case kind.offer:
      return { kind: "offer", request: reader.u32(), replica: reader.utf8(), position: readPosition(reader), bytes: reader.u53() };
    case kind.pull:
      return {
        kind: "pull",
        request: reader.u32(),
        replica: reader.utf8(),
        position: readPosition(reader),
        offset: reader.u53(),
        length: reader.u32(),
      };
    case kind.piece:
      return { kind: "piece", request: reader.u32(), offset: reader.u53(), bytes: reader.bytes(reader.count(1)) };
    default:
      throw new DecodeError(`${tag} is no kind of message`);
  }
}

function readMany<Thing>(reader: Reader, each: number, read: (reader: Reader) => Thing): Thing[] {
  const number = reader.count(each);
  const things: Thing[] = [];
  for (let index = 0; index < number; index++) things.push(read(reader));
  return things;
}

function writeVote(writer: Writer, vote: AcceptorVote): void {
  writer.u16(vote.node);
  writer.u53(vote.upTo);
  writer.u53(vote.clock);
}

function readVote(reader: Reader): AcceptorVote {
  return { node: reader.u16(), upTo: reader.u53(), clock: reader.u53() };
}

function writeBeat(writer: Writer, beat: Beat): void {
  writer.u16(beat.group);
  writer.bool(beat.voting);
  writer.u53(beat.promised);
  writer.u53(beat.logBallot);
  writer.u53(beat.voted);
  writer.u53(beat.last);
  writer.u53(beat.decided);
  writer.u53(beat.clock);
  writer.u53(beat.coordinates);
  writer.u53(beat.slots);
  writer.u53(beat.safe);
  writer.u53(beat.trimmed);
}

function readBeat(reader: Reader): Beat {
  return {
    group: reader.u16(),
    voting: reader.bool(),
    promised: reader.u53(),
    logBallot: reader.u53(),
    voted: reader.u53(),
    last: reader.u53(),
    decided: reader.u53(),
    clock: reader.u53(),
    coordinates: reader.u53(),
    slots: reader.u53(),
    safe: reader.u53(),
    trimmed: reader.u53(),
  };
}

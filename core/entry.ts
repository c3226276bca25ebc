/** What a group's log holds, and the walk over the commands inside. */
import type { Ballot, Instance, Origin, Stamp } from "./ids.ts";

/**
 * Commands one proposer handed over together. It is resent exactly as it is, so (origin, sequence)
 * names it for all time and a second occurrence in a log has no effect.
 */
export interface Batch {
  readonly origin: Origin;
  /** Counts the origin's batches in this group, from 1. */
  readonly sequence: number;
  /** Commands inside; at least 1. */
  readonly count: number;
  /** Per command a little-endian u32 length and that many bytes. Acceptors never look inside. */
  readonly bytes: Uint8Array;
}

/**
 * - `batch`: commands of proposers.
 * - `skip`: slots given up so that another group's commands need not wait (merge `rr`).
 * - `start`: fences the log of a new ballot; holds nothing.
 */
export type EntryKind = "batch" | "skip" | "start";

export interface Entry {
  readonly instance: Instance;
  /** The ballot it was first proposed in; with the instance it names the content. */
  readonly ballot: Ballot;
  /** Of the first command; command i has `stamp + i`. */
  readonly stamp: Stamp;
  /** Stamps used: the commands of all batches; 1 for `start` and `skip`. */
  readonly count: number;
  /** Slots of the group's log before this entry: values and skips so far. */
  readonly slotBase: number;
  /** Slots this entry fills: its commands, the skipped slots, or 0 for `start`. */
  readonly slots: number;
  readonly kind: EntryKind;
  readonly batches: readonly Batch[];
}

/** Bytes of a batch on the wire and on disk beside its payload: what accounting adds per batch. */
export const batchOverheadBytes = 24;
export const entryOverheadBytes = 64;

export function entryBytes(entry: Entry): number {
  let bytes = entryOverheadBytes;
  for (const batch of entry.batches) bytes += batchOverheadBytes + batch.bytes.byteLength;
  return bytes;
}

/** One batch body of several commands: the layout of `Batch.bytes`. */
export function packCommands(payloads: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const payload of payloads) size += 4 + payload.byteLength;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const payload of payloads) {
    const length = payload.byteLength;
    bytes[at] = length;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length >>> 16;
    bytes[at + 3] = length >>> 24;
    bytes.set(payload, at + 4);
    at += 4 + payload.byteLength;
  }
  return bytes;
}

/** Calls back with each command of a batch body, as views into it. Throws RangeError if the body lies about its lengths. */
export function eachCommand(bytes: Uint8Array, visit: (payload: Uint8Array, index: number) => void): void {
  const end = bytes.byteLength;
  let at = 0;
  for (let index = 0; at < end; index++) {
    if (at + 4 > end) throw new RangeError("Cannot read a batch: it ends inside a length");
    const length = (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
    at += 4;
    if (length > end - at) throw new RangeError("Cannot read a batch: it ends inside a command");
    visit(bytes.subarray(at, at + length), index);
    at += length;
  }
}

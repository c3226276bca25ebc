/**
 * Log entries and batches in bytes, the same on the wire and on disk. The headers of all batches come
 * first and their bodies follow in one piece, so that keeping an entry costs one copy and pins
 * nothing beside it.
 *
 * entry   = instance u53 · ballot u53 · stamp u53 · count u32 · slotBase u53 · slots u53 · kind u8 · batches
 * batches = number u32 · (origin u53 · sequence u53 · count u32 · length u32)… · body…
 */
import type { Batch, Entry, EntryKind } from "../../core/entry.ts";
import { DecodeError, type Reader, type Writer } from "./bytes.ts";

const kinds: readonly EntryKind[] = ["batch", "skip", "start"];

const batchHeaderBytes = 24;
const none: Uint8Array = new Uint8Array(0);
/** An entry without batches: what a count of entries is checked against. */
export const entryBytesMin = 49;

export function writeEntry(writer: Writer, entry: Entry): void {
  writer.u53(entry.instance);
  writer.u53(entry.ballot);
  writer.u53(entry.stamp);
  writer.u32(entry.count);
  writer.u53(entry.slotBase);
  writer.u53(entry.slots);
  writer.u8(kinds.indexOf(entry.kind));
  writeBatches(writer, entry.batches);
}

export function readEntry(reader: Reader): Entry {
  const instance = reader.u53();
  const ballot = reader.u53();
  const stamp = reader.u53();
  const count = reader.u32();
  const slotBase = reader.u53();
  const slots = reader.u53();
  const kind = kinds[reader.u8()];
  if (kind === undefined) throw new DecodeError("an entry is of no known kind");
  const batches = readBatches(reader);
  if ((batches.length > 0) !== (kind === "batch")) throw new DecodeError(`an entry of kind ${kind} has ${batches.length} batches`);
  return { instance, ballot, stamp, count, slotBase, slots, kind, batches };
}

export function writeBatches(writer: Writer, batches: readonly Batch[]): void {
  writer.u32(batches.length);
  for (const batch of batches) {
    writer.u53(batch.origin);
    writer.u53(batch.sequence);
    writer.u32(batch.count);
    writer.u32(batch.bytes.byteLength);
  }
  for (const batch of batches) writer.bytes(batch.bytes);
}

/** A batch without bytes stands for one the receiver has already. */
export function readBatches(reader: Reader): Batch[] {
  const number = reader.count(batchHeaderBytes);
  if (number === 0) return [];
  const batches: { origin: number; sequence: number; count: number; bytes: Uint8Array }[] = [];
  const lengths: number[] = [];
  let total = 0;
  for (let index = 0; index < number; index++) {
    const batch = { origin: reader.u53(), sequence: reader.u53(), count: reader.u32(), bytes: none };
    if (batch.count === 0) throw new DecodeError("a batch holds no command");
    batches.push(batch);
    lengths.push(reader.u32());
    total += lengths[index]!;
  }
  const bodies = reader.bytes(total);
  let at = 0;
  for (let index = 0; index < number; index++) {
    batches[index]!.bytes = number === 1 ? bodies : bodies.subarray(at, at += lengths[index]!);
  }
  return batches;
}

export function writeEntries(writer: Writer, entries: readonly Entry[]): void {
  writer.u32(entries.length);
  for (const entry of entries) writeEntry(writer, entry);
}

export function readEntries(reader: Reader): Entry[] {
  const number = reader.count(entryBytesMin);
  const entries: Entry[] = [];
  for (let index = 0; index < number; index++) entries.push(readEntry(reader));
  return entries;
}

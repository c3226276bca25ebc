/**
 * Journal records in bytes: one kind byte and the fields in the order of `JournalRecord`. What frames,
 * checksums and chains them is the journal's business.
 */
import { unreachable } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import { DecodeError, type Reader, type Writer } from "./bytes.ts";
import { readFoundation, readList, writeFoundation, writeList } from "./foundation.ts";
import { readEntries, readEntry, writeEntries, writeEntry } from "./entry.ts";

const kind = { promise: 1, accept: 2, install: 3, learn: 4, decided: 5, ceiling: 6, base: 7 } as const;

export function encodeRecord(writer: Writer, record: JournalRecord): void {
  writer.u8(kind[record.kind]);
  switch (record.kind) {
    case "promise":
      writer.u16(record.group);
      writer.u53(record.ballot);
      return;
    case "accept":
      writer.u16(record.group);
      writer.u53(record.ballot);
      writeEntry(writer, record.entry);
      return;
    case "install":
      writer.u16(record.group);
      writer.u53(record.ballot);
      writer.u53(record.base);
      writer.u53(record.start);
      writer.u53(record.above);
      writeEntries(writer, record.entries);
      return;
    case "learn":
      writer.u16(record.group);
      writer.u53(record.promised);
      writer.u53(record.above);
      writeEntries(writer, record.entries);
      return;
    case "decided":
      writer.u16(record.group);
      writer.u53(record.upTo);
      return;
    case "ceiling":
      writer.u53(record.stamp);
      return;
    case "base":
      writer.u16(record.group);
      writer.u53(record.promised);
      writer.u53(record.ballot);
      writer.u53(record.base);
      writer.u53(record.start);
      writeFoundation(writer, record.foundation);
      writer.u53(record.trimmed);
      writeList(writer, record.landmarks, ({ instance, stamp, slotBase }) => {
        writer.u53(instance);
        writer.u53(stamp);
        writer.u53(slotBase);
      });
      writeList(writer, record.repeated, ({ instance, batches }) => {
        writer.u53(instance);
        writeList(writer, batches, (index) => writer.u32(index));
      });
      writeEntries(writer, record.entries);
      return;
    default:
      return unreachable(record);
  }
}

/** Reads one record; what follows it is the caller's. Throws DecodeError. */
export function decodeRecord(reader: Reader): JournalRecord {
  const tag = reader.u8();
  switch (tag) {
    case kind.promise:
      return { kind: "promise", group: reader.u16(), ballot: reader.u53() };
    case kind.accept:
      return { kind: "accept", group: reader.u16(), ballot: reader.u53(), entry: readEntry(reader) };
    case kind.install:
      return {
        kind: "install",
        group: reader.u16(),
        ballot: reader.u53(),
        base: reader.u53(),
        start: reader.u53(),
        above: reader.u53(),
        entries: readEntries(reader),
      };
    case kind.learn:
      return { kind: "learn", group: reader.u16(), promised: reader.u53(), above: reader.u53(), entries: readEntries(reader) };
    case kind.decided:
      return { kind: "decided", group: reader.u16(), upTo: reader.u53() };
    case kind.ceiling:
      return { kind: "ceiling", stamp: reader.u53() };
    case kind.base:
      return {
        kind: "base",
        group: reader.u16(),
        promised: reader.u53(),
        ballot: reader.u53(),
        base: reader.u53(),
        start: reader.u53(),
        foundation: readFoundation(reader),
        trimmed: reader.u53(),
        landmarks: readList(reader, 24, () => ({ instance: reader.u53(), stamp: reader.u53(), slotBase: reader.u53() })),
        repeated: readList(reader, 12, () => ({ instance: reader.u53(), batches: readList(reader, 4, () => reader.u32()) })),
        entries: readEntries(reader),
      };
    default:
      throw new DecodeError(`${tag} is no kind of journal record`);
  }
}

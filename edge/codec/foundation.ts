/** Positions and what is left of a forgotten log in bytes, for messages, journal records and checkpoints. */
import type { Resume } from "../../core/effects.ts";
import type { Foundation } from "../../core/foundation.ts";
import type { Position } from "../../core/position.ts";
import type { Reader, Writer } from "./bytes.ts";

export function writeFoundation(writer: Writer, foundation: Foundation): void {
  writer.u53(foundation.instance);
  writer.u53(foundation.ballot);
  writer.u53(foundation.stamp);
  writer.u53(foundation.slots);
  writeList(writer, foundation.started, ({ ballot, instance }) => {
    writer.u53(ballot);
    writer.u53(instance);
  });
  writeList(writer, foundation.seen, ({ origin, upTo, ahead }) => {
    writer.u53(origin);
    writer.u53(upTo);
    writeList(writer, ahead, (sequence) => writer.u53(sequence));
  });
}

/** Throws DecodeError. */
export function readFoundation(reader: Reader): Foundation {
  return {
    instance: reader.u53(),
    ballot: reader.u53(),
    stamp: reader.u53(),
    slots: reader.u53(),
    started: readList(reader, 16, () => ({ ballot: reader.u53(), instance: reader.u53() })),
    seen: readList(reader, 20, () => ({ origin: reader.u53(), upTo: reader.u53(), ahead: readList(reader, 8, () => reader.u53()) })),
  };
}

export function writeResume(writer: Writer, { group, promised, foundation }: Resume): void {
  writer.u16(group);
  writer.u53(promised);
  writeFoundation(writer, foundation);
}

/** Throws DecodeError. */
export function readResume(reader: Reader): Resume {
  return { group: reader.u16(), promised: reader.u53(), foundation: readFoundation(reader) };
}

export function writePosition(writer: Writer, { major, group, minor }: Position): void {
  writer.u53(major);
  writer.u16(group);
  writer.u8(minor);
}

/** Throws DecodeError. */
export function readPosition(reader: Reader): Position {
  return { major: reader.u53(), group: reader.u16(), minor: reader.u8() };
}

export function writeList<T>(writer: Writer, items: readonly T[], write: (item: T) => void): void {
  writer.u32(items.length);
  for (const item of items) write(item);
}

/** `each`: the bytes an item takes at least. */
export function readList<T>(reader: Reader, each: number, read: () => T): T[] {
  return Array.from({ length: reader.count(each) }, read);
}

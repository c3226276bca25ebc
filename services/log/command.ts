/**
 * Log commands as bytes, behind the header of every command:
 *
 *   append:       1 · logs · expect u8 · (expect 1: offset 7 bytes) · records
 *   trim:         2 · logs (one) · offset 7 bytes
 *   logs:         count u8 · each: home group u16 · name length u8 · name
 *   records:      count u16 · each: payload length u32 · type · payload
 *
 * An append to several logs is one command; the replicas of each home group take their part of it.
 */
import type { GroupId } from "../../core/ids.ts";
import { Writer } from "../bytes.ts";
import { headerBytes } from "../command.ts";
import { typeBytes, writeType } from "../content.ts";
import type { Content } from "../values.ts";

export const opAppend = 1;
export const opTrim = 2;

/** A log and the group that orders it. */
export interface Homed {
  readonly name: string;
  readonly home: GroupId;
}

/** What a log may be called. */
export const logName = /^[A-Za-z0-9_.-]{1,128}$/;

function begin(op: number, logs: readonly Homed[], more: number): Writer {
  const names = logs.reduce((sum, { name }) => sum + 3 + name.length, 0);
  const writer = new Writer(headerBytes + 2 + names + more);
  writer.at = headerBytes;
  writer.u8(op).u8(logs.length);
  for (const { name, home } of logs) writer.u16(home).u8(name.length).binary(name);
  return writer;
}

/** Room for the header is left in front. `expect`: the offset the first record must get, null for any. */
export function encodeAppend(logs: readonly Homed[], records: readonly Content[], expect: number | null): Uint8Array {
  const size = records.reduce((sum, { type, bytes }) => sum + typeBytes(type) + 4 + bytes.byteLength, 0);
  const writer = begin(opAppend, logs, 1 + (expect === null ? 0 : 7) + 2 + size);
  if (expect === null) writer.u8(0);
  else writer.u8(1).u53(expect);
  writer.u16(records.length);
  for (const { type, bytes } of records) {
    writeType(writer.u32(bytes.byteLength), type);
    writer.bytes(bytes);
  }
  return writer.out;
}

export function encodeTrim(log: Homed, offset: number): Uint8Array {
  return begin(opTrim, [log], 7).u53(offset).out;
}

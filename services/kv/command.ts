/**
 * KV commands as bytes, behind the header of every command:
 *
 *   op u8 · condition u8 · (condition 3: version 10 bytes) · key length u16 · key · (put: type · value)
 */
import type { Position } from "../../core/position.ts";
import { positionBytes, Writer } from "../bytes.ts";
import { headerBytes } from "../command.ts";
import { typeBytes, writeType } from "../content.ts";

export const opPut = 1;
export const opDelete = 2;

export const always = 0;
export const ifAbsent = 1;
export const ifPresent = 2;
export const ifAtVersion = 3;

/** What must hold for a write to happen: one of the three words, or the version the entry must have. */
export type Condition = "always" | "absent" | "present" | Position;

function begin(op: number, condition: Condition, key: string, more: number): Writer {
  const versioned = typeof condition === "object";
  const writer = new Writer(headerBytes + 4 + (versioned ? positionBytes : 0) + key.length + more);
  writer.at = headerBytes;
  writer.u8(op);
  if (versioned) writer.u8(ifAtVersion).position(condition);
  else writer.u8(condition === "always" ? always : condition === "absent" ? ifAbsent : ifPresent);
  return writer.u16(key.length).binary(key);
}

/** Room for the header is left in front. `key` is a binary string. */
export function encodePut(key: string, type: string, value: Uint8Array, condition: Condition): Uint8Array {
  const writer = begin(opPut, condition, key, typeBytes(type) + value.byteLength);
  writeType(writer, type);
  return writer.bytes(value).out;
}

export function encodeDelete(key: string, condition: Condition): Uint8Array {
  return begin(opDelete, condition, key, 0).out;
}

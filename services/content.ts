/**
 * Content types in a byte where they are common: on the wire, in slabs and in segments alike.
 *
 *   code u8 · (code 255 only: length u8 · ASCII)
 */
import type { Reader, Writer } from "./bytes.ts";

/** A place in this list is for all time; append only. */
const common = [
  "",
  "text/plain;charset=utf-8",
  "application/json",
  "application/cbor",
  "application/octet-stream",
  "text/plain",
] as const;
/** The type itself comes next, with its length. */
export const explicitType = 255;

const codes = new Map<string, number>(common.map((type, code) => [type, code]));

export function typeBytes(type: string): number {
  return codes.has(type) ? 1 : 2 + type.length;
}

export function writeType(writer: Writer, type: string): void {
  const code = codes.get(type);
  if (code !== undefined) writer.u8(code);
  else writer.u8(explicitType).u8(type.length).binary(type);
}

/** Moves past a type; fails the reader on a code that means nothing. */
export function skipType(reader: Reader): void {
  const code = reader.u8();
  if (code === explicitType) reader.skip(reader.u8());
  else if (code >= common.length) reader.fail();
}

export function readType(reader: Reader): string {
  const code = reader.u8();
  if (code === explicitType) return reader.binary(reader.u8());
  const type = common[code];
  if (type === undefined) reader.fail();
  return type ?? "";
}

/**
 * A message as bytes, behind the header of every command. It changes no state; being ordered is all.
 *
 *   count u8 · groups u16 each · type · payload
 */
import type { GroupId } from "../../core/ids.ts";
import { type Reader, Writer } from "../bytes.ts";
import { headerBytes } from "../command.ts";
import { readType, typeBytes, writeType } from "../content.ts";
import type { Content } from "../values.ts";

export interface Message extends Content {
  /** The groups it was sent to, which need not include the one that carried it. */
  readonly groups: readonly GroupId[];
}

/** Room for the header is left in front. */
export function encodeMessage(message: Message): Uint8Array {
  const { groups, type, bytes } = message;
  const writer = new Writer(headerBytes + 1 + groups.length * 2 + typeBytes(type) + bytes.byteLength);
  writer.at = headerBytes;
  writer.u8(groups.length);
  for (const group of groups) writer.u16(group);
  writeType(writer, type);
  return writer.bytes(bytes).out;
}

/** A copy of the message at the reader; null if it is malformed. */
export function parseMessage(reader: Reader): Message | null {
  const count = reader.u8();
  const groups: GroupId[] = [];
  for (let i = 0; i < count && reader.ok; i++) groups.push(reader.u16());
  const type = readType(reader);
  return reader.ok && groups.length > 0 ? { groups, type, bytes: reader.slice(reader.left) } : null;
}

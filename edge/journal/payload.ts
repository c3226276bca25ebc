/**
 * What the frames of a journal hold: the node's records, and the journal's own notes between them. Notes have kind
 * bytes from the far end, where no record's will ever be.
 */
import type { JournalRecord } from "../../core/effects.ts";
import type { GroupId, Instance } from "../../core/ids.ts";
import { Reader, type Writer } from "../codec/bytes.ts";
import { decodeRecord, encodeRecord } from "../codec/record.ts";

export type BaseRecord = Extract<JournalRecord, { readonly kind: "base" }>;

export type Note =
  /** Entries of the group up to there are not needed any more. */
  | { readonly kind: "trim"; readonly group: GroupId; readonly upTo: Instance }
  /** A base of the node's own making: unlike one taken over from a peer, it leaves what lies at or below it readable. */
  | { readonly kind: "rebase"; readonly base: BaseRecord };

export type Payload = JournalRecord | Note;

const trimKind = 0xf0;
const rebaseKind = 0xf1;

export function encodePayload(writer: Writer, payload: Payload): void {
  if (payload.kind === "trim") {
    writer.u8(trimKind);
    writer.u16(payload.group);
    writer.u53(payload.upTo);
  } else if (payload.kind === "rebase") {
    writer.u8(rebaseKind);
    encodeRecord(writer, payload.base);
  } else {
    encodeRecord(writer, payload);
  }
}

/** Throws DecodeError. */
export function decodePayload(bytes: Uint8Array): Payload {
  const reader = new Reader(bytes[0] === rebaseKind ? bytes.subarray(1) : bytes);
  const payload = bytes[0] === trimKind ? readTrim(reader) : decodeRecord(reader);
  reader.end();
  return bytes[0] === rebaseKind ? { kind: "rebase", base: payload as BaseRecord } : payload;
}

function readTrim(reader: Reader): Note {
  reader.u8();
  return { kind: "trim", group: reader.u16(), upTo: reader.u53() };
}

/** What a record means to the core, if it is one. */
export function recordOf(payload: Payload): JournalRecord | null {
  if (payload.kind === "trim") return null;
  return payload.kind === "rebase" ? payload.base : payload;
}

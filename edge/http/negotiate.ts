/** Which form an answer takes, and entries, records and messages in each of them. */
import type { Change, DeliveryEvent, Entry, LogRecord } from "../../services/api.ts";
import { encodeCbor } from "../codec/cbor.ts";
import type { Reply } from "./endpoint.ts";
import { toBase64, toBase64Url, utf8OrNull } from "./text.ts";

/** Envelopes are `json` or `cbor`; streams are `ndjson`, `cbor-seq` or `sse`. */
export type Format = "json" | "cbor" | "ndjson" | "cbor-seq" | "sse";

const formats: Readonly<Record<string, Format>> = {
  "application/json": "json",
  "application/*": "json",
  "*/*": "json",
  "application/cbor": "cbor",
  "application/x-ndjson": "ndjson",
  "application/cbor-seq": "cbor-seq",
  "text/event-stream": "sse",
};

const mediaTypes: Readonly<Record<Format, string>> = {
  json: "application/json",
  cbor: "application/cbor",
  ndjson: "application/x-ndjson",
  "cbor-seq": "application/cbor-seq",
  sse: "text/event-stream",
};

export function mediaTypeOf(format: Format): string {
  return mediaTypes[format];
}

/** The best-liked of `offered` in an Accept header; the first offered if it names none (a wrong form beats no answer). */
export function accepted(accept: string | null, offered: readonly Format[]): Format {
  let best = offered[0]!;
  if (accept === null || accept === "*/*") return best;
  let bestWeight = 0;
  for (const range of accept.split(",", 32)) {
    const [name = "", ...parameters] = range.split(";");
    const wildcard = formats[name.trim().toLowerCase()];
    const format = wildcard === "json" && !offered.includes("json") ? offered[0] : wildcard;
    if (format === undefined || !offered.includes(format)) continue;
    const weight = Number(parameters.find((parameter) => parameter.trim().startsWith("q="))?.trim().slice(2) ?? 1);
    if (weight > bestWeight) [best, bestWeight] = [format, weight];
  }
  return best;
}

/** An envelope. In JSON with a newline behind it, so that a terminal's prompt starts on its own line. */
export function envelope(format: Format, status: number, data: Record<string, unknown>, headers: Record<string, string> = {}): Reply {
  headers["content-type"] = format === "cbor" ? "application/cbor" : "application/json";
  const position = data["position"];
  return {
    status,
    headers,
    body: format === "cbor" ? encodeCbor(data) : JSON.stringify(data) + "\n",
    ...(typeof position === "string" ? { position } : {}),
  };
}

/** One item of a stream, in its form. `id` and `kind` show in server-sent events only. */
export function streamItem(format: Format, data: Record<string, unknown>, kind: string, id: string | null): Uint8Array {
  if (format === "cbor-seq") return encodeCbor(data);
  const json = JSON.stringify(data);
  if (format === "sse") return utf8.encode(`event: ${kind}\n${id === null ? "" : `id: ${id}\n`}data: ${json}\n\n`);
  return utf8.encode(json + "\n");
}

/** What a quiet stream says: a comment, an empty line, a null. Readers skip all three. */
export function heartbeatOf(format: Format): Uint8Array {
  return format === "sse" ? utf8.encode(": still here\n\n") : format === "cbor-seq" ? Uint8Array.of(0xf6) : utf8.encode("\n");
}

const utf8 = new TextEncoder();

const isCbor = (format: Format): boolean => format === "cbor" || format === "cbor-seq";

/** CBOR has bytes; JSON has `text` for what is UTF-8 and `base64` for the rest. */
function payload(format: Format, bytes: Uint8Array): Record<string, unknown> {
  if (isCbor(format)) return { bytes };
  const text = utf8OrNull(bytes);
  return text === null ? { base64: toBase64(bytes) } : { text };
}

export function entryData(format: Format, entry: Entry, keysOnly: boolean): Record<string, unknown> {
  const { version, type } = entry;
  const key = keyData(entry);
  return keysOnly ? { ...key, version } : { ...key, version, type, ...payload(format, entry.bytes()) };
}

/** A key that is not UTF-8 shows replacement characters; the exact bytes go beside it. */
function keyData({ key, keyBytes }: Pick<Entry, "key" | "keyBytes">): Record<string, unknown> {
  return key.includes("\ufffd") ? { key, key64: toBase64Url(keyBytes) } : { key };
}

export function changeData(format: Format, change: Change): Record<string, unknown> {
  const { kind } = change;
  if (kind === "put") return { kind, ...entryData(format, change.entry, false) };
  if (kind === "caught-up") return { kind, position: change.position };
  return { kind, ...keyData(change), position: change.position };
}

export function recordData(format: Format, record: LogRecord): Record<string, unknown> {
  const { offset, position, type } = record;
  return { offset, position, type, ...payload(format, record.bytes()) };
}

export function eventData(format: Format, event: DeliveryEvent): Record<string, unknown> {
  if (event.kind !== "message") return { ...event };
  const { kind, position, groups, type } = event;
  return { kind, position, groups, type, ...payload(format, event.bytes()) };
}

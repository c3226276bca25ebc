/** The records in a body: one as it is, or a batch in one of three forms. */
import { CarillonError } from "../../core/errors.ts";
import { checkedType, contentType, jsonObject, mediaType, parseJson, readBody, textField } from "./body.ts";
import { cborItems } from "./cbor_items.ts";
import type { HttpLimits } from "./context.ts";
import { badRequest } from "./problems.ts";
import { fromBase64 } from "./text.ts";

/** A value with its type, as services take it. */
export interface Typed {
  readonly bytes: Uint8Array;
  readonly type: string;
}

/** The media type of `{ "records": [ … ] }`; elsewhere than here plain application/json is one record. */
export const recordsType = "application/vnd.carillon.records+json";

/** One record (`single`) or a batch. Throws `too-large`, or `bad-request` that names the line, byte or index. */
export async function readRecords(
  request: Request,
  limits: HttpLimits,
): Promise<{ readonly records: readonly Typed[]; readonly single: boolean }> {
  const type = contentType(request);
  switch (mediaType(type)) {
    case "application/x-ndjson":
      return { records: ndjsonRecords(await readBody(request, limits.batchBodyBytesMax), limits), single: false };
    case "application/cbor-seq": {
      const items = cborItems(await readBody(request, limits.batchBodyBytesMax));
      return { records: atMost(items, limits).map((bytes) => ({ bytes, type: "application/cbor" })), single: false };
    }
    case recordsType: {
      const body = jsonObject(parseJson(await readBody(request, limits.batchBodyBytesMax), "the body"), ["records"], "the body");
      return { records: recordsField(body, limits), single: false };
    }
    default:
      return { records: [{ bytes: await readBody(request, limits.valueBytesMax), type }], single: true };
  }
}

/** `"records": [ … ]` of a JSON body. */
export function recordsField(body: Record<string, unknown>, limits: HttpLimits): Typed[] {
  const records = body["records"];
  if (!Array.isArray(records)) throw badRequest('Cannot use field "records": it must be a list', { field: "records" });
  return atMost(records, limits).map(recordOf);
}

/** Each line is kept as it was sent: numbers keep their digits and fields their order. */
function ndjsonRecords(bytes: Uint8Array, limits: HttpLimits): Typed[] {
  const lines: Uint8Array[] = [];
  let number = 0;
  for (let at = 0; at < bytes.length;) {
    number++;
    const feed = bytes.indexOf(10, at);
    const end = feed === -1 ? bytes.length : feed;
    const line = bytes.subarray(at, end > at && bytes[end - 1] === 13 ? end - 1 : end);
    at = end + 1;
    // Empty lines keep streams alive and say nothing.
    if (line.length === 0) continue;
    parseJson(line, `line ${number}`);
    lines.push(line);
  }
  return atMost(lines, limits).map((line) => ({ bytes: line, type: "application/json" }));
}

function atMost<T>(items: readonly T[], { batchRecordsMax }: HttpLimits): readonly T[] {
  if (items.length === 0) throw badRequest("Cannot take an empty batch: it has no records");
  if (items.length > batchRecordsMax) {
    throw new CarillonError("too-large", `Cannot take a batch of ${items.length} records: at most ${batchRecordsMax}`, {
      facts: { limit: batchRecordsMax },
    });
  }
  return items;
}

const utf8 = new TextEncoder();

function recordOf(value: unknown, index: number): Typed {
  const what = `record ${index}`;
  const record = jsonObject(value, ["text", "json", "base64", "type"], what);
  if (["text", "json", "base64"].filter((form) => form in record).length !== 1) {
    throw badRequest(`Cannot read ${what}: it needs exactly one of "text", "json" and "base64"`);
  }
  const type = textField(record, "type");
  if (type !== undefined) checkedType(type);
  const text = textField(record, "text");
  if (text !== undefined) return { bytes: utf8.encode(text), type: type ?? "text/plain;charset=utf-8" };
  const base64 = textField(record, "base64");
  if (base64 === undefined) return { bytes: utf8.encode(JSON.stringify(record["json"])), type: type ?? "application/json" };
  const bytes = fromBase64(base64);
  if (bytes === null) throw badRequest(`Cannot read ${what}: "base64" is not base64`);
  return { bytes, type: type ?? "" };
}

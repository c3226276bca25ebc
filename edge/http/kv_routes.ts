/** /v1/kv: one entry, and scans. */
import type { Context, Hono } from "hono";
import { CarillonError } from "../../core/errors.ts";
import type { Entry, IdempotentOptions, Key, Refused, ScanOptions, WriteResult } from "../../services/api.ts";
import { GoneEntry } from "../../services/kv/gone.ts";
import { admittedOf } from "./admission.ts";
import { contentType, readBody } from "./body.ts";
import { type Condition, readCondition, writeCondition } from "./conditions.ts";
import { withinDeadline } from "./deadline.ts";
import type { Front, Reply } from "./endpoint.ts";
import { forward } from "./forward.ts";
import { accepted, entryData, envelope, type Format, streamItem } from "./negotiate.ts";
import {
  bytesParameter,
  duration,
  flagParameter,
  keyOfPath,
  type Mutable,
  numberParameter,
  type Query,
  queryOf,
  readOptions,
  readParameters,
  refusePromises,
  writeOptions,
  writeParameters,
} from "./params.ts";
import { badRequest, problemReply, replayedHeaders } from "./problems.ts";
import { streamFor, streamReply } from "./streams.ts";
import { valueHeaders } from "./value_headers.ts";
import { changed } from "./watch_routes.ts";

const rangeParameters = ["prefix", "prefix64", "start", "start64", "end", "end64", "limit", "cursor", "reverse", "keys-only"];
const entryParameters = [...readParameters, "wait"];
const scanParameters = [...rangeParameters, ...entryParameters, "key64"];
/** Entries of a CBOR page: more would exceed what our own decoder takes as one value. */
const cborPageEntries = 5_000;
/** Entries fetched at a time for a stream. */
const streamPageEntries = 500;

export function addKvRoutes(app: Hono, front: Front): void {
  front.add(app, "GET", "/v1/kv/:key{.+}", (c) => {
    const request = c.req.raw;
    return getEntry(front, request, keyOfPath(request.url), queryOf(request.url, entryParameters));
  });
  front.add(app, "PUT", "/v1/kv/:key{.+}", (c) => {
    const request = c.req.raw;
    return putEntry(front, request, keyOfPath(request.url), queryOf(request.url, writeParameters));
  });
  front.add(app, "DELETE", "/v1/kv/:key{.+}", (c) => {
    const request = c.req.raw;
    return deleteEntry(front, request, keyOfPath(request.url), queryOf(request.url, writeParameters));
  });
  front.add(app, "GET", "/v1/kv", (c) => {
    const request = c.req.raw;
    const query = queryOf(request.url, scanParameters);
    const key = bytesParameter(query, "key");
    if (key === undefined) {
      if (query.has("wait")) throw badRequest('Cannot use "wait" with a scan: GET /v1/watch says what changes', { parameter: "wait" });
      return scan(front, c, query);
    }
    const other = rangeParameters.find((name) => query.has(name));
    if (other !== undefined) throw badRequest(`Cannot use "${other}" with "key64": that is one entry, not a range`, { parameter: other });
    return getEntry(front, request, key, query);
  });
  front.add(app, "PUT", "/v1/kv", (c) => putEntry(front, c.req.raw, ...keyOfQuery(c)));
  front.add(app, "DELETE", "/v1/kv", (c) => deleteEntry(front, c.req.raw, ...keyOfQuery(c)));
  // Only so that it is told apart from a path that does not exist.
  for (const method of ["GET", "PUT", "DELETE"] as const) {
    front.add(app, method, "/v1/kv/", () => {
      throw new CarillonError("bad-key", "Cannot use an empty key: keys have 1 to 2048 bytes");
    });
  }
}

function keyOfQuery(c: Context): [Key, Query] {
  const query = queryOf(c.req.raw.url, ["key64", ...writeParameters]);
  const key = bytesParameter(query, "key");
  if (key === undefined) throw badRequest("Cannot tell which entry is meant: PUT /v1/kv/KEY, or ?key64= for bytes", { parameter: "key64" });
  return [key, query];
}

const nameOfKey = (key: Key): string => typeof key === "string" ? JSON.stringify(key) : `of ${key.byteLength} bytes`;

async function getEntry(front: Front, request: Request, key: Key, query: Query): Promise<Reply | Response> {
  const { context, limits } = front;
  const options = readOptions(request, query, limits);
  const wait = query.get("wait");
  const waitMs = wait === undefined || request.method === "HEAD" ? 0 : duration(wait, "wait", 0, limits.waitMsMax);
  const urls = context.locate?.("key", key) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const { kv } = context.carillon;
  if (waitMs > 0) admittedOf(request)?.linger();
  const until = performance.now() + waitMs;
  for (;;) {
    const { entry, position } = await kv.read(key, options);
    const left = until - performance.now();
    // What the client has already is no news; without a tag it has nothing, so that only an entry is news.
    const known = entry === null ? request.headers.get("if-none-match") === null : readCondition(request.headers, entry.version) === 304;
    if (known && left > 0 && await changed(kv, key, position, left, request.signal)) continue;
    return entryReply(request, key, entry, position);
  }
}

function entryReply(request: Request, key: Key, entry: Entry | null, position: string): Reply {
  if (entry === null) {
    throw new CarillonError("not-found", `Cannot get key ${nameOfKey(key)}: there is no entry`, { facts: { position } });
  }
  const headers = entryHeaders(entry);
  if (readCondition(request.headers, entry.version) === 304) {
    return { status: 304, headers: { etag: headers["etag"]!, "cache-control": "no-cache" }, position };
  }
  return { status: 200, headers, body: entry.bytes(), position };
}

function entryHeaders(entry: Entry): Record<string, string> {
  const headers = valueHeaders(entry.type);
  headers["etag"] = `"${entry.version}"`;
  // May be kept, must be asked for again: with If-None-Match that costs no body.
  headers["cache-control"] = "no-cache";
  return headers;
}

async function putEntry(front: Front, request: Request, key: Key, query: Query): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const condition = writeCondition(request.headers);
  const options = writeOptions(request, query, limits);
  const type = contentType(request);
  const urls = context.locate?.("key", key) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const value = { bytes: await readBody(request, limits.valueBytesMax), type };
  const { kv } = context.carillon;
  const result = await putUnder(kv, condition, key, value, withinDeadline(request, options, limits));
  if (!result.ok) return conditionFailed(request, "put", key, condition, result);
  return {
    status: result.created ? 201 : 204,
    headers: { etag: `"${result.version}"`, ...replayedHeaders(result) },
    position: result.version,
  };
}

type Kv = Front["context"]["carillon"]["kv"];

function putUnder(
  kv: Kv,
  condition: Condition,
  key: Key,
  value: { readonly bytes: Uint8Array; readonly type: string },
  options: IdempotentOptions,
): Promise<WriteResult> {
  switch (condition.kind) {
    case "always":
      return kv.put(key, value, options);
    case "absent":
      return kv.insert(key, value, options);
    case "present":
      return kv.update(key, value, options);
    case "version":
      return kv.put(key, value, { ...options, ifVersion: condition.version });
  }
}

async function deleteEntry(front: Front, request: Request, key: Key, query: Query): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const condition = writeCondition(request.headers);
  if (condition.kind === "absent") throw badRequest("Cannot use If-None-Match on DELETE: nothing is deleted where nothing is");
  const options = writeOptions(request, query, limits);
  const urls = context.locate?.("key", key) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const result = await context.carillon.kv.delete(
    key,
    condition.kind === "version" ? { ...options, ifVersion: condition.version } : options,
  );
  if (!result.ok) return conditionFailed(request, "delete", key, condition, result);
  // Deleting nothing changes nothing, so the condition can be judged by what the deletion found.
  if (condition.kind === "present" && !result.existed) {
    return conditionFailed(request, "delete", key, condition, { ...result, ok: false, current: null });
  }
  return { status: 204, headers: replayedHeaders(result), position: result.position };
}

/** 412 with what is there: its ETag, and its value if the client prefers. */
function conditionFailed(
  request: Request,
  verb: string,
  key: Key,
  condition: Condition,
  refused: Refused,
): Reply {
  const { current, position } = refused;
  const expected = condition.kind === "version" ? `version ${condition.version}` : condition.kind === "absent" ? "nothing" : "an entry";
  const found = current === null ? "nothing" : `version ${current.version}`;
  const wanted = request.headers.get("prefer")?.includes("return=representation") ?? false;
  const gone = current instanceof GoneEntry;
  const error = new CarillonError("check-failed", `Cannot ${verb} key ${nameOfKey(key)}: expected ${expected}, found ${found}`, {
    facts: { current: current === null ? null : wanted ? entryData("json", current, gone) : { version: current.version }, position },
  });
  const headers: Record<string, string> = replayedHeaders(refused);
  if (current !== null) headers["etag"] = `"${current.version}"`;
  if (wanted) headers["preference-applied"] = "return=representation";
  return problemReply(error, headers);
}

async function scan(front: Front, c: Context, query: Query): Promise<Reply | Response> {
  const { context, limits } = front;
  const request = c.req.raw;
  const format = accepted(request.headers.get("accept"), ["json", "cbor", "ndjson", "cbor-seq"]);
  const options: Mutable<ScanOptions> = readOptions(request, query, limits);
  for (const name of ["prefix", "start", "end"] as const) {
    const bound = bytesParameter(query, name);
    if (bound !== undefined) options[name] = bound;
  }
  const cursor = query.get("cursor");
  if (cursor !== undefined) options.cursor = cursor;
  if (flagParameter(query, "reverse")) options.reverse = true;
  const keysOnly = flagParameter(query, "keys-only");
  if (keysOnly) options.keysOnly = true;
  const streams = format === "ndjson" || format === "cbor-seq";
  // A stream is as long as it is; its limit bounds all of it.
  const limit = numberParameter(query, "limit", 1, streams ? Number.MAX_SAFE_INTEGER : limits.pageItemsMax);
  const urls = context.locate?.("scan", options.prefix ?? "") ?? null;
  if (urls !== null) return forward(front, request, urls);
  if (streams) return streamScan(front, request, format, options, limit ?? Infinity);
  if (limit !== undefined || format === "cbor") {
    options.limit = format === "cbor" ? Math.min(limit ?? limits.pageItems, cborPageEntries) : limit!;
  }
  const page = await context.carillon.kv.scan(options);
  const entries = page.entries.map((entry) => entryData(format, entry, keysOnly));
  return envelope(format, 200, { entries, cursor: page.cursor, position: page.position });
}

/** The first page is fetched before the answer begins, so that its errors have statuses. */
async function streamScan(front: Front, request: Request, format: Format, options: Mutable<ScanOptions>, limit: number): Promise<Reply> {
  const { kv } = front.context.carillon;
  const keysOnly = options.keysOnly ?? false;
  options.limit = Math.min(limit, streamPageEntries);
  const first = await kv.scan(options);
  return streamReply({
    ...streamFor(front, request),
    format,
    position: first.position,
    open: async function* (signal) {
      let page = first;
      for (let left = limit;;) {
        for (const entry of page.entries) yield streamItem(format, entryData(format, entry, keysOnly), "entry", null);
        left -= page.entries.length;
        if (page.cursor === null || left <= 0) return;
        page = await kv.scan({ ...options, cursor: page.cursor, limit: Math.min(left, streamPageEntries), signal });
      }
    },
  });
}

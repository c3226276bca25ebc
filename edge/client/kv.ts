/** The KV store over HTTP: one request a call. */
import type {
  CallOptions,
  Change,
  DeleteResult,
  Entry,
  IdempotentOptions,
  Key,
  Kv,
  Page,
  ReadOptions,
  Refused,
  ScanOptions,
  Value,
  WatchOptions,
  WatchRange,
  WriteOptions,
  WriteResult,
} from "../../services/api.ts";
import { binaryBytes, binaryString } from "../../services/bytes.ts";
import { binaryText, parseBound, parseKey } from "../../services/keys.ts";
import { parseRange } from "../../services/kv/watch.ts";
import { refuseIdempotencyKey, whyNotDeleteNothing } from "../../services/idempotency.ts";
import { defaultServiceLimits } from "../../services/limits.ts";
import { toBase64Url } from "../http/text.ts";
import { metEntry, replayedIn, writeOf } from "./again.ts";
import { follow } from "./follow.ts";
import { asDocument, changeOf, contentOf, documentsOf, entryOf, entryOfDocument, misshapen, parseDocument, textOf } from "./items.ts";
import type { Reply, Transport } from "./transport.ts";

const { keyBytesMax } = defaultServiceLimits;

export class RemoteKv implements Kv {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async get(key: Key, options: ReadOptions = {}): Promise<Entry | null> {
    return (await this.read(key, options)).entry;
  }

  async read(key: Key, options: ReadOptions = {}): Promise<{ readonly entry: Entry | null; readonly position: string }> {
    const binary = parseKey(key, keyBytesMax);
    const { path, headers } = readRequest(pathOf(binary), options);
    const reply = await this.#transport.call({ method: "GET", path, headers, ...callOf(options), expected: [404] });
    const position = positionOf(reply);
    if (reply.status === 404) {
      // A position says that the node looked; without one, it is the path that is not there.
      if (documentIn(reply).position === undefined) misshapen("there is no such route");
      return { entry: null, position };
    }
    const content = { type: typeOf(reply), bytes: reply.bytes };
    return { entry: entryOf(binaryText(binary), binaryBytes(binary), versionOf(reply), content), position };
  }

  put(key: Key, value: Value, options: WriteOptions = {}): Promise<WriteResult> {
    return this.#put(key, value, conditionOf(options.ifVersion), options);
  }

  insert(key: Key, value: Value, options: IdempotentOptions = {}): Promise<WriteResult> {
    return this.#put(key, value, { "if-none-match": "*" }, options);
  }

  update(key: Key, value: Value, options: IdempotentOptions = {}): Promise<WriteResult> {
    return this.#put(key, value, { "if-match": "*" }, options);
  }

  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteResult> {
    if (options.ifVersion === null) return await this.#deleteNothing(key, options);
    // "Whatever is there" as a condition tells us whether there was anything.
    const headers = options.ifVersion === undefined ? { "if-match": "*" } : conditionOf(options.ifVersion);
    const path = pathOf(parseKey(key, keyBytesMax));
    const reply = await this.#transport.call({
      method: "DELETE",
      path,
      headers: { ...headers, prefer: "return=representation" },
      ...writeOf(options),
      expected: [412],
    });
    if (reply.status !== 412) return { ok: true, position: positionOf(reply), existed: true, ...replayedIn(reply) };
    const refused = failedCondition(reply);
    if (refused.current !== null || options.ifVersion !== undefined) return refused;
    return { ok: true, position: refused.position, existed: false, ...replayedIn(reply) };
  }

  async scan(options: ScanOptions = {}): Promise<Page> {
    const query = rangeQuery(options, ["prefix", "start", "end"]);
    if (options.limit !== undefined) query.set("limit", String(options.limit));
    if (options.cursor !== undefined) query.set("cursor", options.cursor);
    if (options.reverse) query.set("reverse", "1");
    if (options.keysOnly) query.set("keys-only", "1");
    const { path, headers } = readRequest(`/v1/kv?${query}`, options);
    const document = documentIn(await this.#transport.call({ method: "GET", path, headers, ...callOf(options) }));
    return {
      entries: documentsOf(document, "entries").map(entryOfDocument),
      cursor: document.cursor === null ? null : textOf(document, "cursor"),
      position: textOf(document, "position"),
    };
  }

  async *list(options: ScanOptions = {}): AsyncIterable<Entry> {
    let cursor = options.cursor ?? null;
    do {
      const page: Page = await this.scan(cursor === null ? options : { ...options, cursor });
      yield* page.entries;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  async *watch(range: WatchRange, { after, signal }: WatchOptions = {}): AsyncGenerator<Change> {
    parseRange(range, { keyBytesMax });
    const query = rangeQuery(range, ["key", "prefix", "start", "end"]);
    let told = false;
    const path = (last: string | null): string | null => {
      const from = last ?? after;
      // The entries there were have been told only in part, and another connection would begin with them anew.
      if (from === undefined && told) return null;
      if (from !== undefined) query.set("after", from);
      return `/v1/watch?${query}`;
    };
    for await (const { event, data } of follow(this.#transport, { path, signal })) {
      if (event !== "put" && event !== "delete" && event !== "caught-up") continue;
      told = true;
      yield changeOf(event, parseDocument(data));
    }
  }

  async #put(key: Key, value: Value, condition: Record<string, string>, options: IdempotentOptions): Promise<WriteResult> {
    const path = pathOf(parseKey(key, keyBytesMax));
    const { type, bytes } = contentOf(value);
    const headers = { ...condition, ...(type === "" ? {} : { "content-type": type }), prefer: "return=representation" };
    const reply = await this.#transport.call({ method: "PUT", path, headers, body: bytes, ...writeOf(options), expected: [412] });
    if (reply.status !== 412) return { ok: true, version: versionOf(reply), created: reply.status === 201, ...replayedIn(reply) };
    return failedCondition(reply);
  }

  /** Deleting what must not exist changes nothing: a read answers it. */
  async #deleteNothing(key: Key, options: WriteOptions): Promise<DeleteResult> {
    refuseIdempotencyKey(options, "delete", whyNotDeleteNothing);
    const { entry, position } = await this.read(key, callOf(options));
    return entry === null ? { ok: true, position, existed: false } : { ok: false, current: entry, position };
  }
}

function rangeQuery<Name extends "key" | "prefix" | "start" | "end">(
  range: { readonly [name in Name]?: Key },
  names: readonly Name[],
): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of names) {
    const bound = range[name];
    if (bound === undefined) continue;
    const binary = parseBound(bound, keyBytesMax);
    if (typeof bound === "string") query.set(name, bound);
    else query.set(`${name}64`, toBase64Url(binaryBytes(binary)));
  }
  return query;
}

/** What every call passes on. */
export function callOf(options: CallOptions): CallOptions {
  return {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  };
}

/** A read's consistency: in the query, and for a session in the header every answer carries. */
export function readRequest(
  path: string,
  { consistency, after }: ReadOptions,
): { readonly path: string; readonly headers: Record<string, string> } {
  const asked = consistency === undefined ? path : `${path}${path.includes("?") ? "&" : "?"}consistency=${consistency}`;
  return { path: asked.replace(/\?$/, ""), headers: after === undefined ? {} : { "carillon-position": after } };
}

export function positionOf(reply: Reply): string {
  return reply.header("carillon-position") ?? misshapen("it has no Carillon-Position");
}

export function documentIn(reply: Reply): ReturnType<typeof parseDocument> {
  return parseDocument(new TextDecoder().decode(reply.bytes));
}

/** Keys that a URL cannot hold as they are go encoded: bytes that are no UTF-8, and the two that mean "here" and "up". */
function pathOf(binary: string): string {
  const text = binaryText(binary);
  const faithful = text !== "." && text !== ".." && binaryString(new TextEncoder().encode(text)) === binary;
  return faithful ? `/v1/kv/${encodeURIComponent(text)}` : `/v1/kv?key64=${toBase64Url(binaryBytes(binary))}`;
}

function conditionOf(ifVersion: string | null | undefined): Record<string, string> {
  return ifVersion === undefined ? {} : ifVersion === null ? { "if-none-match": "*" } : { "if-match": `"${ifVersion}"` };
}

function failedCondition(reply: Reply): Refused {
  const document = documentIn(reply);
  const current = document.current === null ? null : metEntry(asDocument(document.current));
  return { ok: false, current, position: textOf(document, "position"), ...replayedIn(reply) };
}

function versionOf(reply: Reply): string {
  const tag = /^(?:W\/)?"([^"]+)"$/.exec(reply.header("etag") ?? "");
  return tag?.[1] ?? misshapen("it has no ETag");
}

function typeOf(reply: Reply): string {
  const type = reply.header("content-type") ?? "";
  return type === "application/octet-stream" ? "" : type;
}

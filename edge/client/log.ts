/** Logs over HTTP: a page a request, and a tail that follows. */
import { CarillonError } from "../../core/errors.ts";
import type {
  Appended,
  AppendOptions,
  AppendResult,
  CallOptions,
  From,
  IdempotentOptions,
  Log,
  LogInfo,
  LogPage,
  LogReadOptions,
  LogRecord,
  ReadOptions,
  Value,
} from "../../services/api.ts";
import { refuseIdempotencyKey, whyNotCreate } from "../../services/idempotency.ts";
import type { Content } from "../../services/values.ts";
import { replayedIn, writeOf } from "./again.ts";
import { follow } from "./follow.ts";
import { contentOf, type Document, documentOf, documentsOf, numberOf, parseDocument, recordOf, textOf } from "./items.ts";
import { callOf, documentIn, positionOf, readRequest } from "./kv.ts";
import type { Reply, Transport } from "./transport.ts";

/** A batch, as one document. */
const recordsType = "application/vnd.carillon.records+json";
/** Bodies of these types would be taken for a batch, or for no type at all. */
const notAlone = /^application\/(x-ndjson|cbor-seq|vnd\.carillon\.records\+json|x-www-form-urlencoded)/i;
/** The node waits at most so long in one request. */
const waitMsMax = 60_000;

export class RemoteLog implements Log {
  readonly name: string;
  readonly #transport: Transport;
  readonly #path: string;

  constructor(transport: Transport, name: string) {
    this.name = name;
    this.#transport = transport;
    this.#path = `/v1/logs/${encodeURIComponent(name)}`;
  }

  async create(settings: { readonly group?: string } & CallOptions = {}): Promise<LogInfo & { readonly created: boolean }> {
    refuseIdempotencyKey(settings, "create a log", whyNotCreate);
    const body = JSON.stringify(settings.group === undefined ? {} : { group: settings.group });
    const reply = await this.#transport.call({ method: "PUT", path: this.#path, headers: jsonHeaders, body, ...callOf(settings) });
    return { ...infoOf(documentIn(reply), reply), created: reply.status === 201 };
  }

  async info(options: ReadOptions = {}): Promise<LogInfo> {
    const reply = await this.#transport.call({ method: "GET", ...readRequest(this.#path, options), ...callOf(options) });
    return infoOf(documentIn(reply), reply);
  }

  async append(value: Value, options: AppendOptions = {}): Promise<AppendResult> {
    const content = contentOf(value);
    if (notAlone.test(content.type)) return await this.#append(batchOf([content]), options);
    return await this.#append({ body: content.bytes, headers: content.type === "" ? {} : { "content-type": content.type } }, options);
  }

  async appendAll(values: readonly Value[], options: AppendOptions = {}): Promise<AppendResult> {
    return await this.#append(batchOf(values.map(contentOf)), options);
  }

  async read(options: LogReadOptions = {}): Promise<LogPage> {
    const query = new URLSearchParams();
    if (options.from !== undefined) query.set("from", String(options.from));
    if (options.limit !== undefined) query.set("limit", String(options.limit));
    if (options.bytes !== undefined) query.set("bytes", String(options.bytes));
    if (options.clamp) query.set("clamp", "1");
    const until = performance.now() + (options.waitMs ?? 0);
    for (;;) {
      const left = Math.max(0, Math.round(until - performance.now()));
      const waitMs = Math.min(left, waitMsMax);
      if (options.waitMs !== undefined) query.set("wait", `${waitMs}ms`);
      const { path, headers } = readRequest(`${this.#path}/records?${query}`, options);
      const document = documentIn(await this.#transport.call({ method: "GET", path, headers, waitMs, ...callOf(options) }));
      const records = documentsOf(document, "records").map(recordOf);
      if (records.length === 0 && left > waitMsMax) continue;
      return { records, next: numberOf(document, "next"), tail: numberOf(document, "tail"), position: textOf(document, "position") };
    }
  }

  async *tail(options: { readonly from?: From; readonly signal?: AbortSignal } = {}): AsyncGenerator<LogRecord> {
    const { signal } = options;
    // A number from the start: a connection that breaks before its first record must not move the beginning.
    const first = typeof options.from === "number" ? options.from : await this.#offsetOf(options.from ?? "tail-0", signal);
    const path = (last: string | null): string => `${this.#path}/records?from=${last === null ? first : Number(last) + 1}`;
    for await (const event of follow(this.#transport, { path, signal })) yield recordOf(parseDocument(event.data));
  }

  async trim(offset: number, options: IdempotentOptions = {}): Promise<LogInfo & { readonly replayed?: true }> {
    const reply = await this.#transport.call({ method: "POST", path: `${this.#path}/trim?before=${offset}`, ...writeOf(options) });
    return { ...infoOf(documentIn(reply), reply), ...replayedIn(reply) };
  }

  async #offsetOf(from: `tail-${number}`, signal: AbortSignal | undefined): Promise<number> {
    const back = /^tail-(\d{1,15})$/.exec(from);
    if (back === null) throw new CarillonError("bad-request", `Cannot use from "${from}": it is an offset or tail-N`);
    const { first, next } = await this.info(signal === undefined ? {} : { signal });
    return Math.max(first, next - Number(back[1]));
  }

  async #append(
    { body, headers }: { readonly body: Uint8Array | string; readonly headers: Record<string, string> },
    options: AppendOptions,
  ): Promise<AppendResult> {
    const condition: Record<string, string> = options.expect === undefined ? {} : { "carillon-expect-offset": String(options.expect) };
    const reply = await this.#transport.call({
      method: "POST",
      path: `${this.#path}/records`,
      headers: { ...headers, ...condition },
      body,
      ...writeOf(options),
      expected: [412],
    });
    const document = documentIn(reply);
    if (reply.status === 412) return { ok: false, next: numberOf(document, "next"), position: positionOf(reply), ...replayedIn(reply) };
    return { ok: true, ...appendedOf(document, positionOf(reply)), ...replayedIn(reply) };
  }
}

/** One batch to several logs. */
export async function appendToSeveral(
  transport: Transport,
  logs: readonly string[],
  values: readonly Value[],
  options: IdempotentOptions,
): Promise<readonly Appended[]> {
  const body = JSON.stringify({ logs, records: values.map((value) => documentOf(contentOf(value))) });
  const reply = await transport.call({ method: "POST", path: "/v1/append", headers: jsonHeaders, body, ...writeOf(options) });
  const position = positionOf(reply);
  return documentsOf(documentIn(reply), "results").map((result) => ({ ...appendedOf(result, position), ...replayedIn(reply) }));
}

export async function listLogs(transport: Transport, options: ReadOptions): Promise<readonly LogInfo[]> {
  const reply = await transport.call({ method: "GET", ...readRequest("/v1/logs", options), ...callOf(options) });
  return documentsOf(documentIn(reply), "logs").map((log) => infoOf(log, reply));
}

const jsonHeaders = { "content-type": "application/json" };

function batchOf(contents: readonly Content[]): { readonly body: string; readonly headers: Record<string, string> } {
  return { body: JSON.stringify({ records: contents.map(documentOf) }), headers: { "content-type": recordsType } };
}

function appendedOf(document: Document, position: string): Appended {
  return { log: textOf(document, "log"), first: numberOf(document, "first"), next: numberOf(document, "next"), position };
}

function infoOf(document: Document, reply: Reply): LogInfo {
  return {
    name: textOf(document, "name"),
    group: textOf(document, "group"),
    first: numberOf(document, "first"),
    next: numberOf(document, "next"),
    bytes: numberOf(document, "bytes"),
    position: typeof document.position === "string" ? document.position : positionOf(reply),
  };
}

/** GET /v1/logs/{log}/records: a page, a stream to the tail, or a stream that follows it. */
import type { LogPage, LogReadOptions, LogRecord } from "../../services/api.ts";
import { admittedOf } from "./admission.ts";
import type { Front, Reply } from "./endpoint.ts";
import { forward } from "./forward.ts";
import { accepted, envelope, type Format, recordData, streamItem } from "./negotiate.ts";
import { duration, flagParameter, fromParameter, type Mutable, numberParameter, queryOf, readOptions, readParameters } from "./params.ts";
import { badRequest } from "./problems.ts";
import { streamFor, streamReply } from "./streams.ts";

const known = ["from", "limit", "bytes", "clamp", "wait", "follow", ...readParameters];
/** As the KV pages: more would exceed what our own decoder takes as one value. */
const cborPageRecords = 5_000;
const streamPageRecords = 500;

export async function readLog(front: Front, request: Request, name: string): Promise<Reply | Response> {
  const { context, limits } = front;
  const query = queryOf(request.url, known);
  const format = accepted(request.headers.get("accept"), ["json", "cbor", "ndjson", "cbor-seq", "sse"]);
  const endless = format === "sse" || flagParameter(query, "follow");
  const streams = endless || format === "ndjson" || format === "cbor-seq";
  if (endless && !isStream(format)) {
    throw badRequest('Cannot use "follow" with a page: ask for application/x-ndjson, application/cbor-seq or text/event-stream', {
      parameter: "follow",
    });
  }
  const options: Mutable<LogReadOptions> = readOptions(request, query, limits);
  // A browser that reconnects says what it saw last; that is newer than what its URL says.
  const seen = format === "sse" ? request.headers.get("last-event-id") : null;
  const from = seen === null ? fromParameter(query) : lastEvent(seen) + 1;
  if (from !== undefined) options.from = from;
  const limit = numberParameter(query, "limit", 1, streams ? Number.MAX_SAFE_INTEGER : limits.pageItemsMax);
  const bytes = numberParameter(query, "bytes", 1, limits.pageBytesMax);
  if (bytes !== undefined) options.bytes = bytes;
  if (flagParameter(query, "clamp")) options.clamp = true;
  const wait = query.get("wait");
  if (wait !== undefined && streams) throw badRequest('Cannot use "wait" with a stream: it waits by itself', { parameter: "wait" });
  if (wait !== undefined) {
    options.waitMs = duration(wait, "wait", 0, limits.waitMsMax);
    options.signal = request.signal;
    // Waiting is what was asked for; the deadline is for the work around it.
    options.timeoutMs = options.waitMs + (options.timeoutMs ?? limits.timeoutMs);
  }
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  if (wait !== undefined) admittedOf(request)?.linger();
  if (streams) return streamLog(front, request, name, { format, endless, options, limit: limit ?? Infinity });
  if (limit !== undefined || format === "cbor") {
    options.limit = format === "cbor" ? Math.min(limit ?? limits.pageItems, cborPageRecords) : limit!;
  }
  const page = await context.carillon.log(name).read(options);
  const records = page.records.map((record) => recordData(format, record));
  return envelope(format, 200, { records, next: page.next, tail: page.tail, position: page.position }, {
    "carillon-tail": String(page.tail),
  });
}

const isStream = (format: Format): boolean => format === "ndjson" || format === "cbor-seq" || format === "sse";

/** The `id:` of a record is its offset. */
function lastEvent(text: string): number {
  const offset = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(offset)) {
    throw badRequest(`Cannot use Last-Event-ID ${JSON.stringify(text.slice(0, 64))}: it is the offset of a record`);
  }
  return offset;
}

interface Stream {
  readonly format: Format;
  readonly endless: boolean;
  readonly options: Mutable<LogReadOptions>;
  readonly limit: number;
}

/** The first page is read before the answer begins, so that a bad offset has its status. */
async function streamLog(front: Front, request: Request, name: string, { format, endless, options, limit }: Stream): Promise<Reply> {
  const log = front.context.carillon.log(name);
  if (options.from === undefined && endless) options.from = (await log.info(options)).next;
  options.limit = Math.min(limit, streamPageRecords);
  const first = await log.read(options);
  let onward = first.records[0]?.offset ?? first.next;
  return streamReply({
    ...streamFor(front, request),
    format,
    resume: () => ({ from: onward }),
    headers: { "carillon-tail": String(first.tail) },
    position: first.position,
    open: async function* (signal) {
      const rest = endless ? log.tail({ from: first.next, signal }) : upTo(first.tail);
      let left = limit;
      for await (const record of chain(first, rest)) {
        onward = record.offset + 1;
        yield streamItem(format, recordData(format, record), "record", String(record.offset));
        if (--left <= 0) return;
      }
    },
  });

  /** Pages from behind the first to what was the tail when it was read. */
  async function* upTo(tail: number): AsyncGenerator<LogRecord> {
    for (let next = first.next; next < tail;) {
      const page = await log.read({ ...options, from: next, limit: Math.min(tail - next, streamPageRecords) });
      if (page.records.length === 0) return;
      yield* page.records;
      next = page.next;
    }
  }
}

async function* chain(first: LogPage, rest: AsyncIterable<LogRecord>): AsyncGenerator<LogRecord> {
  yield* first.records;
  yield* rest;
}

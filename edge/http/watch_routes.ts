/** /v1/watch: what happens to keys, as a stream; and the long poll on one key, which is the same watch for one change. */
import type { Hono } from "hono";
import { CarillonError } from "../../core/errors.ts";
import type { Change, Kv, WatchRange } from "../../services/api.ts";
import type { Front, Reply } from "./endpoint.ts";
import { forward } from "./forward.ts";
import { accepted, changeData, streamItem } from "./negotiate.ts";
import { bytesParameter, checkedPosition, type Mutable, numberParameter, type Query, queryOf } from "./params.ts";
import { streamFor, streamReply } from "./streams.ts";

const known = ["key", "key64", "prefix", "prefix64", "start", "start64", "end", "end64", "after", "limit"];

export function addWatchRoutes(app: Hono, front: Front): void {
  front.add(app, "GET", "/v1/watch", (c) => watch(front, c.req.raw));
}

/** Endless, unless `limit` says after how many changes it ends. */
function watch(front: Front, request: Request): Promise<Reply | Response> {
  const { context } = front;
  const query = queryOf(request.url, known);
  const range = rangeOf(query);
  const format = accepted(request.headers.get("accept"), ["ndjson", "sse", "cbor-seq"]);
  // A browser that reconnects says what it saw last; that is newer than what its URL says.
  const seen = format === "sse" ? request.headers.get("last-event-id") : null;
  const after = seen ?? query.get("after");
  if (after !== undefined) checkedPosition(after, seen === null ? "after" : "Last-Event-ID");
  const limit = numberParameter(query, "limit", 1, Number.MAX_SAFE_INTEGER) ?? Infinity;
  const urls = (range.key === undefined ? context.locate?.("scan", range.prefix ?? "") : context.locate?.("key", range.key)) ?? null;
  if (urls !== null) return forward(front, request, urls);
  // Whoever went on behind an entry there was would miss the others: until it has caught up there is no place to go on from.
  let placed = after !== undefined;
  let last = after;
  return streamReply({
    ...streamFor(front, request),
    format,
    resume: () => last === undefined ? undefined : { after: last },
    open: async function* (signal) {
      let left = limit;
      for await (const change of context.carillon.kv.watch(range, after === undefined ? { signal } : { after, signal })) {
        if (change.kind === "caught-up") placed = true;
        if (placed) last = positionOf(change);
        yield streamItem(format, changeData(format, change), change.kind, placed ? positionOf(change) : null);
        if (change.kind !== "caught-up" && --left <= 0) return;
      }
    },
  });
}

function rangeOf(query: Query): WatchRange {
  const range: Mutable<WatchRange> = {};
  for (const name of ["key", "prefix", "start", "end"] as const) {
    const value = bytesParameter(query, name);
    if (value !== undefined) range[name] = value;
  }
  return range;
}

function positionOf(change: Change): string {
  return change.kind === "put" ? change.entry.version : change.position;
}

/** Resolves once the key has changed behind `after`: true; or once `ms` have passed or the client has left: false. */
export async function changed(
  kv: Kv,
  key: NonNullable<WatchRange["key"]>,
  after: string,
  ms: number,
  leaving: AbortSignal,
): Promise<boolean> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = setTimeout(end, ms);
  leaving.addEventListener("abort", end, { once: true });
  if (leaving.aborted) end();
  try {
    for await (const { kind } of kv.watch({ key }, { after, signal: ending.signal })) if (kind !== "caught-up") return true;
  } catch (error) {
    if (ending.signal.aborted) return false;
    // So much has happened since that it is not known whether this key was among it: whoever asks again finds out.
    if (!(error instanceof CarillonError) || error.code !== "compacted") throw error;
  } finally {
    clearTimeout(timer);
    leaving.removeEventListener("abort", end);
  }
  return true;
}

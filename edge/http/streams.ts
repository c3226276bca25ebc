/**
 * A response that goes on: items are pulled one by one as the client takes them, a quiet stream says so now and then, and
 * whoever leaves first (client, node, limit) ends everything behind it. A client that stands still is left behind.
 */
import { CarillonError } from "../../core/errors.ts";
import { type Admitted, admittedOf } from "./admission.ts";
import { type Format, heartbeatOf, mediaTypeOf, streamItem } from "./negotiate.ts";
import { asCarillonError, problemDocument } from "./problems.ts";
import type { Front, Reply } from "./endpoint.ts";

/** One encoded piece at a time. */
export type Pieces = AsyncIterator<Uint8Array>;

/** Queued for a client that does not read; beyond it nothing more is asked for. */
const queueBytes = 64 << 10;
/** How long an endless stream may take to fail in an ordinary way: with a status. */
const patienceMs = 5;

export interface StreamOptions {
  readonly format: Format;
  readonly heartbeatMs: number;
  /** A client that has not taken anything for so long, while there is something to take, is cut off. */
  readonly standstillMs: number;
  /** Of the request: a client that leaves aborts it. */
  readonly signal: AbortSignal;
  /** Of the request, which only waits from here on. */
  readonly admitted?: Admitted | undefined;
  /** Makes the pieces. Its own signal ends when the stream does, for whatever reason. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** Query parameters with which a new request goes on behind what has been handed out; undefined: it has to begin again. */
  readonly resume?: () => Readonly<Record<string, string | number>> | undefined;
  readonly onCut?: () => void;
  /** Calls back when whoever asked may not read on. Returns a cancel. */
  readonly onRevoked?: (revoked: () => void) => () => void;
  readonly headers?: Record<string, string>;
  readonly position?: string;
  /** HEAD: the headers of the stream without starting it. */
  readonly headOnly: boolean;
}

/** What every stream takes from the request it answers. */
export function streamFor(
  front: Front,
  request: Request,
): Pick<StreamOptions, "heartbeatMs" | "standstillMs" | "signal" | "admitted" | "headOnly" | "onCut" | "onRevoked"> {
  const { heartbeatMs, standstillMs } = front.limits;
  const { tokens } = front.context;
  return {
    heartbeatMs,
    standstillMs,
    signal: request.signal,
    admitted: admittedOf(request),
    headOnly: request.method === "HEAD",
    onCut: () => front.context.onCut?.(new URL(request.url).pathname),
    ...(tokens === undefined ? {} : { onRevoked: (revoked) => tokens.watch(request.headers.get("authorization"), revoked) }),
  };
}

/** Throws what the stream throws before its first item, so that bad requests get a status; later failures are its last item. */
export async function streamReply(options: StreamOptions): Promise<Reply> {
  const { format, headers = {} } = options;
  headers["content-type"] = mediaTypeOf(format);
  // Proxies that gather a response before they pass it on would hold a stream for ever.
  headers["x-accel-buffering"] = "no";
  const place = options.position === undefined ? {} : { position: options.position };
  if (options.headOnly) return { status: 200, headers, ...place };
  options.admitted?.linger();
  const ending = new AbortController();
  const pieces = options.open(ending.signal)[Symbol.asyncIterator]();
  const first = pieces.next();
  // Not started yet: a rejection must not count as unhandled meanwhile.
  first.catch(() => {});
  let patience: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => patience = setTimeout(resolve, patienceMs, "late"));
  let opener = false;
  try {
    opener = await Promise.race([first, late]) === "late";
  } catch (error) {
    ending.abort();
    throw error;
  } finally {
    clearTimeout(patience);
  }
  return { status: 200, headers, ...place, body: (ended) => bodyOf(options, pieces, first, ending, opener, ended) };
}

function bodyOf(
  { format, heartbeatMs, standstillMs, signal, resume, onCut, onRevoked }: StreamOptions,
  pieces: Pieces,
  first: Promise<IteratorResult<Uint8Array>>,
  ending: AbortController,
  opener: boolean,
  ended: () => void,
): ReadableStream<Uint8Array> {
  const heartbeat = heartbeatOf(format);
  let beat: ReturnType<typeof setInterval> | undefined;
  let watch: ReturnType<typeof setInterval> | undefined;
  /** Since when the queue has been full, which is as long as the client has taken nothing. */
  let fullSince = Infinity;
  let forget = (): void => {};
  let quiet = true;
  let next: Promise<IteratorResult<Uint8Array>> | null = first;
  const end = (): void => {
    clearInterval(beat);
    clearInterval(watch);
    forget();
    signal.removeEventListener("abort", end);
    ended();
    if (ending.signal.aborted) return;
    ending.abort();
    // A generator that waits ends by its signal; return() is for one that would yield once more.
    pieces.return?.().catch(() => {});
  };
  const add = (controller: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array): void => {
    controller.enqueue(bytes);
    if ((controller.desiredSize ?? 0) <= 0) fullSince = performance.now();
  };
  /** The reason stands behind what the client has not read, for when it reads again. */
  const cut = (controller: ReadableStreamDefaultController<Uint8Array>, reason: CarillonError): void => {
    end();
    controller.enqueue(streamItem(format, problemDocument(reason), "problem", null));
    controller.close();
  };
  return new ReadableStream<Uint8Array>({
    start(controller): void {
      // Runtimes send the headers with the first bytes: say something, or the client waits for both.
      if (opener) controller.enqueue(heartbeat);
      beat = setInterval(() => {
        if (quiet && (controller.desiredSize ?? 0) > 0) add(controller, heartbeat);
        quiet = true;
      }, heartbeatMs);
      watch = setInterval(() => {
        if (performance.now() - fullSince < standstillMs) return;
        onCut?.();
        cut(controller, standsStill(standstillMs, resume?.()));
      }, standstillMs / 4);
      signal.addEventListener("abort", end);
      if (signal.aborted) return end();
      forget = onRevoked?.(() => cut(controller, revoked())) ?? forget;
    },
    async pull(controller): Promise<void> {
      fullSince = Infinity;
      try {
        const { done, value } = await (next ?? pieces.next());
        next = null;
        quiet = false;
        if (!done) return add(controller, value);
        end();
        controller.close();
      } catch (thrown) {
        // Whoever left is not told why.
        if (ending.signal.aborted) return closeQuietly(controller);
        end();
        // The status is long gone: the reason is the last item.
        controller.enqueue(streamItem(format, problemDocument(asCarillonError(thrown, false)), "problem", null));
        controller.close();
      }
    },
    cancel: end,
  }, new ByteLengthQueuingStrategy({ highWaterMark: queueBytes }));
}

function revoked(): CarillonError {
  return new CarillonError("unauthenticated", "Cannot go on with this stream: the token it was asked for with is no longer this node's");
}

function standsStill(standstillMs: number, resume: Readonly<Record<string, string | number>> | undefined): CarillonError {
  const onward = resume === undefined ? "begin again" : "go on from `resume`";
  return new CarillonError("slow-reader", `Cannot go on with this stream: nobody has read it for ${standstillMs / 1_000} s; ${onward}`, {
    retryable: true,
    ...(resume === undefined ? {} : { facts: { resume } }),
  });
}

/** A stream the client has cancelled is closed already and says so by throwing. */
function closeQuietly(controller: ReadableStreamDefaultController<Uint8Array>): void {
  try {
    controller.close();
  } catch {
    // Closed either way.
  }
}

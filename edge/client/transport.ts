/**
 * Requests to any of several nodes: the first that answers, the next one when asking again can do no harm. Reads move on
 * after any failure of the network; writes only where it is certain that nothing happened, or where an idempotency key makes
 * the nodes certain.
 */
import { CarillonError } from "../../core/errors.ts";
import { sentOnce } from "../once.ts";
import { pause } from "./pause.ts";
import { failureOf, neverSent, reasonOf } from "./failure.ts";
import type { Answer, Send } from "./send.ts";

export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** From `/v1` on, query included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** The node has been asked to wait: so much longer than the time-out. */
  readonly waitMs?: number | undefined;
  /** Of a write: it may be asked for again even when nobody knows whether it happened. */
  readonly idempotencyKey?: string | undefined;
  /** Statuses that are answers, beside the successes. */
  readonly expected?: readonly number[];
}

/** An answer that has been read. */
export interface Reply {
  readonly status: number;
  readonly bytes: Uint8Array;
  header(name: string): string | null;
}

const defaultTimeoutMs = 10_000;
/** Between rounds of asking again, doubled up to the longest. */
const pauseMs = 20;
const pauseMsMax = 500;
/** How much longer than the node we wait, so that it can say itself what it waited for. */
const graceMs = 250;

export interface TransportOptions {
  readonly urls: readonly string[];
  readonly send: Send;
  readonly token: string | null;
  /** A stream from which nothing comes for so long, not even a heartbeat, is dead. */
  readonly quietMs: number;
}

export class Transport {
  readonly #urls: readonly string[];
  readonly #send: Send;
  readonly #token: string | null;
  readonly #quietMs: number;
  readonly #closing = new AbortController();
  /** Index of the node that answered last. */
  #current = 0;

  constructor({ urls, send, token, quietMs }: TransportOptions) {
    this.#urls = urls;
    this.#send = send;
    this.#token = token;
    this.#quietMs = quietMs;
  }

  /** The node to ask first. */
  get url(): string {
    return this.#urls[this.#current]!;
  }

  /** Throws CarillonError for anything but a success or an expected status. */
  async call(call: Call): Promise<Reply> {
    const timeoutMs = (call.timeoutMs ?? defaultTimeoutMs) + (call.waitMs ?? 0);
    const deadline = new Deadline(call.signal, this.#closing.signal, timeoutMs);
    try {
      return await this.#exchange(call, deadline, async (answer) => {
        const bytes = await answer.bytes();
        if (answer.status >= 300 && !call.expected?.includes(answer.status)) throw failureOf(answer, bytes, call.method !== "GET");
        if (answer.header("carillon-position") === null) throw stranger(this.url, call.method !== "GET");
        return { status: answer.status, bytes, header: (name) => answer.header(name) };
      });
    } finally {
      deadline.clear();
    }
  }

  /** An answer whose body comes as it is made. The deadline holds until the headers are there; `signal` for ever. */
  async open(call: Call): Promise<Answer> {
    const deadline = new Deadline(call.signal, this.#closing.signal, call.timeoutMs ?? defaultTimeoutMs);
    try {
      const answer = await this.#exchange(call, deadline, async (answer) => {
        if (answer.status >= 300) throw failureOf(answer, await answer.bytes(), call.method !== "GET");
        return answer;
      });
      deadline.disarm();
      return { ...answer, chunks: () => this.#chunks(answer, deadline) };
    } catch (error) {
      deadline.clear();
      throw error;
    }
  }

  /** A whole request of somebody else's, by the platform's `fetch`; to the next node only if it never left. */
  async forward(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const write = request.method !== "GET" && request.method !== "HEAD";
    const body = write ? new Uint8Array(await request.arrayBuffer()) : null;
    const headers = new Headers(request.headers);
    if (this.#token !== null && !headers.has("authorization")) headers.set("authorization", `Bearer ${this.#token}`);
    for (let tried = 1;; tried++) {
      const { url } = this;
      try {
        const { method, signal } = request;
        return await fetch(`${url}${pathname}${search}`, { method, headers, signal, ...(write ? sentOnce(body) : {}) });
      } catch (error) {
        const last = tried === this.#urls.length || !neverSent(error);
        if (last) throw unreachable(url, error, write && !neverSent(error));
        this.#current = (this.#current + 1) % this.#urls.length;
      }
    }
  }

  /** Ends every exchange. */
  close(): void {
    this.#closing.abort();
  }

  async *#chunks(answer: Answer, deadline: Deadline): AsyncIterable<Uint8Array> {
    const { url } = this;
    try {
      deadline.arm(this.#quietMs);
      for await (const chunk of answer.chunks()) {
        // While the reader takes its time nobody is silent.
        deadline.disarm();
        yield chunk;
        deadline.arm(this.#quietMs);
      }
    } catch (cause) {
      throw this.#ended(deadline, false) ??
        new CarillonError("unreachable", `Cannot go on with the stream from ${url}: ${reasonOf(cause)}`, { retryable: true, cause });
    } finally {
      deadline.clear();
    }
    // Some runtimes end the body of an aborted exchange as if it were complete.
    const ended = this.#ended(deadline, false);
    if (ended !== null) throw ended;
  }

  async #exchange<T>(call: Call, deadline: Deadline, read: (answer: Answer) => Promise<T>): Promise<T> {
    const write = call.method !== "GET";
    const headers: Record<string, string> = { "carillon-timeout": `${call.timeoutMs ?? defaultTimeoutMs}ms`, ...call.headers };
    if (this.#token !== null) headers.authorization = `Bearer ${this.#token}`;
    const keyed = call.idempotencyKey !== undefined;
    if (keyed) headers["idempotency-key"] = `"${call.idempotencyKey!.replace(/["\\]/g, "\\$&")}"`;
    let last: CarillonError | null = null;
    // Whether an earlier try may have been carried out: then no later failure says that nothing happened.
    let doubt = false;
    // Round after round only for the sake of certainty; the deadline ends it.
    for (let tried = 0; tried < this.#urls.length || doubt; tried++) {
      if (tried >= this.#urls.length) await pause(Math.min(pauseMs * 2 ** (tried - this.#urls.length), pauseMsMax), deadline.signal);
      const before = this.#ended(deadline, doubt);
      if (before !== null) throw before;
      const index = (this.#current + (tried === 0 ? 0 : 1)) % this.#urls.length;
      this.#current = index;
      const url = this.#urls[index]!;
      try {
        return await read(
          await this.#send(`${url}${call.path}`, {
            method: call.method,
            headers,
            signal: deadline.signal,
            ...(call.body === undefined ? {} : { body: call.body }),
          }),
        );
      } catch (error) {
        const ended = this.#ended(deadline, write);
        if (ended !== null) throw ended;
        last = error instanceof CarillonError ? error : unreachable(url, error, write && !neverSent(error));
        const harmless = last.outcome === "none" && (!(error instanceof CarillonError) || last.retryable);
        const certain = keyed && last.outcome === "unknown" && (last.retryable || last.code === "closed");
        if (!harmless && !certain) throw doubt ? doubted(last) : last;
        doubt ||= certain;
      }
    }
    throw last!;
  }

  /** Why the exchange was ended by us, if it was. */
  #ended(deadline: Deadline, write: boolean): CarillonError | null {
    const outcome = write ? "unknown" : "none";
    const { url } = this;
    switch (deadline.ended) {
      case "timeout":
        // Whoever says nothing is not asked first again.
        this.#current = (this.#current + 1) % this.#urls.length;
        return new CarillonError("timeout", `Cannot wait any longer for ${url}: no word in ${deadline.ms} ms`, {
          outcome,
          retryable: true,
        });
      case "cancelled":
        return new CarillonError("cancelled", "Cannot go on: the caller has cancelled", { outcome, cause: deadline.reason });
      case "closed":
        return new CarillonError("closed", "Cannot go on: this client has been closed", { outcome });
      default:
        return null;
    }
  }
}

function unreachable(url: string, cause: unknown, unknown: boolean): CarillonError {
  return new CarillonError("unreachable", `Cannot reach ${url}: ${reasonOf(cause)}`, {
    outcome: unknown ? "unknown" : "none",
    retryable: true,
    cause,
  });
}

/** This try was refused; one before it may have been carried out. */
function doubted(last: CarillonError): CarillonError {
  const { code, message, retryable, facts } = last;
  return new CarillonError(code, message, { outcome: "unknown", retryable, facts, cause: last });
}

/** Every answer of ours says where in the order it holds; whatever does not is somebody else's. */
function stranger(url: string, write: boolean): CarillonError {
  return new CarillonError("internal", `Cannot use the answer of ${url}: it is no Carillon node's`, {
    outcome: write ? "unknown" : "none",
  });
}

/** The caller's signal, the client's end and a time limit in one signal, with who it was. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #sources: readonly (readonly [AbortSignal, () => void])[];
  /** How long the wait was that is under way or has ended. */
  ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  ended: "timeout" | "cancelled" | "closed" | null = null;

  constructor(caller: AbortSignal | undefined, client: AbortSignal, ms: number) {
    this.ms = ms;
    const sources: (readonly [AbortSignal, () => void])[] = [[client, () => this.#end("closed")]];
    if (caller !== undefined) sources.push([caller, () => this.#end("cancelled", caller.reason)]);
    for (const [signal, end] of sources) {
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
    }
    this.#sources = sources;
    this.arm(ms, graceMs);
  }

  /** From now on. */
  arm(ms: number, moreMs: number = 0): void {
    this.ms = ms;
    if (this.ended === null) this.#timer = setTimeout(() => this.#end("timeout"), ms + moreMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get reason(): unknown {
    return this.#controller.signal.reason;
  }

  /** No time limit any more. */
  disarm(): void {
    clearTimeout(this.#timer);
  }

  clear(): void {
    this.disarm();
    for (const [signal, end] of this.#sources) signal.removeEventListener("abort", end);
  }

  #end(why: "timeout" | "cancelled" | "closed", reason?: unknown): void {
    if (this.ended !== null) return;
    this.ended = why;
    this.#controller.abort(reason);
  }
}

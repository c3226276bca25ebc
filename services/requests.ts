/**
 * Request number ⇄ waiting caller. Every call that cannot be answered at once waits here and ends in
 * exactly one way: answered, refused, timed out, cancelled, or closed.
 */
import { CarillonError } from "../core/errors.ts";
import type { Rule } from "../core/rules.ts";
import type { CallOptions } from "./api.ts";

export interface Call {
  /** Finishes "Cannot …" in an error; only asked for then. */
  readonly what: () => string;
  /** A write that ends without an answer may still have happened. */
  readonly write: boolean;
  readonly options: CallOptions | undefined;
  /** Answers to gather, by part; default one. */
  readonly parts?: number;
}

interface Waiting {
  readonly request: number;
  readonly call: Call;
  readonly lane: Lane;
  /** Step of the lane at which it has waited long enough. */
  readonly due: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CarillonError) => void;
  /** What has come in, if several parts are to come. */
  readonly gathered: Map<number, unknown> | null;
  readonly unlisten: (() => void) | null;
}

/**
 * Calls with the same time-out, oldest first. Nearly all calls share one, so one slow timer serves
 * them all; a time-out comes at most a sixteenth late and never early, or an eighth where there are so many different ones that
 * similar ones have to share.
 */
interface Lane {
  readonly timeoutMs: number;
  readonly waiting: Set<Waiting>;
  steps: number;
  cancel: () => void;
}

const laneSteps = 16;
/** Beyond so many, time-outs are rounded up. What is left of a deadline after a part of the way is another number each time. */
const lanesExact = 32;

export interface RequestLimits {
  readonly timeoutMs: number;
  readonly timeoutMsMax: number;
}

export class Requests {
  readonly #after: (ms: number, callback: () => void) => () => void;
  readonly #limits: RequestLimits;
  readonly #trouble: () => string;
  readonly #without: ReadonlySet<Rule>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #lanes = new Map<number, Lane>();
  #last = 0;
  #closed = false;

  /** `trouble`: what a caller who has waited in vain should know of this node; "" for nothing. */
  constructor(
    after: (ms: number, callback: () => void) => () => void,
    limits: RequestLimits,
    trouble: () => string = () => "",
    without: ReadonlySet<Rule> = new Set(),
  ) {
    this.#without = without;
    this.#after = after;
    this.#limits = limits;
    this.#trouble = trouble;
  }

  get count(): number {
    return this.#waiting.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Starts the work and waits for `settle` or `fail` with its number, which may also come during `start`. Resolves to the answer, or
   * with several parts to a map of them. Rejects with `timeout`, `cancelled`, `closed`, or what `fail` was given.
   */
  ask<T>(call: Call, start: (request: number) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { options } = call;
      if (this.#closed) throw new CarillonError("closed", `Cannot ${call.what()}: this node is closed`);
      const signal = options?.signal;
      if (signal?.aborted) throw new CarillonError("cancelled", `Cannot ${call.what()}: it was cancelled before it began`);
      const request = ++this.#last;
      const lane = this.#lane(checkTimeout(options?.timeoutMs ?? this.#limits.timeoutMs, this.#limits.timeoutMsMax));
      let unlisten: (() => void) | null = null;
      if (signal !== undefined) {
        const abort = () => this.fail(request, ended(call, "cancelled", "it was cancelled"));
        signal.addEventListener("abort", abort, { once: true });
        unlisten = () => signal.removeEventListener("abort", abort);
      }
      const waiting: Waiting = {
        request,
        call,
        lane,
        due: lane.steps + laneSteps + 1,
        resolve: resolve as (value: unknown) => void,
        reject,
        gathered: (call.parts ?? 1) > 1 ? new Map() : null,
        unlisten,
      };
      this.#waiting.set(request, waiting);
      lane.waiting.add(waiting);
      try {
        start(request);
      } catch (error) {
        this.#end(waiting);
        throw error;
      }
    });
  }

  /** An answer, or one part of it. Of what nobody waits for any more, nothing happens. */
  settle(request: number, value: unknown, part = 0): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return;
    if (waiting.gathered !== null) {
      waiting.gathered.set(part, value);
      if (waiting.gathered.size < waiting.call.parts!) return;
    }
    this.#end(waiting);
    waiting.resolve(waiting.gathered ?? value);
  }

  fail(request: number, error: CarillonError): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return;
    this.#end(waiting);
    waiting.reject(error);
  }

  /** Rejects whoever waits and whoever comes. */
  close(): void {
    this.#closed = true;
    for (const waiting of [...this.#waiting.values()]) {
      this.fail(waiting.request, ended(waiting.call, "closed", "this node is closing"));
    }
    for (const lane of this.#lanes.values()) lane.cancel();
    this.#lanes.clear();
  }

  #end(waiting: Waiting): void {
    this.#waiting.delete(waiting.request);
    waiting.lane.waiting.delete(waiting);
    waiting.unlisten?.();
  }

  #lane(wantedMs: number): Lane {
    const timeoutMs = this.#lanes.size < lanesExact || this.#lanes.has(wantedMs) ? wantedMs : rounded(wantedMs);
    let lane = this.#lanes.get(timeoutMs);
    if (lane === undefined) {
      lane = { timeoutMs, waiting: new Set(), steps: 0, cancel: () => {} };
      this.#lanes.set(timeoutMs, lane);
      this.#arm(lane);
    }
    return lane;
  }

  #arm(lane: Lane): void {
    lane.cancel = this.#after(lane.timeoutMs / laneSteps, () => this.#step(lane));
  }

  #step(lane: Lane): void {
    if (this.#closed) return;
    lane.steps++;
    for (const waiting of lane.waiting) {
      if (waiting.due > lane.steps) break;
      const trouble = this.#trouble();
      const state = `no answer within ${waiting.call.options?.timeoutMs ?? lane.timeoutMs} ms${trouble === "" ? "" : `, and ${trouble}`}`;
      const call = this.#without.has("unknown-outcome") ? { ...waiting.call, write: false } : waiting.call;
      this.fail(waiting.request, ended(call, "timeout", state));
    }
    if (lane.waiting.size === 0) this.#lanes.delete(lane.timeoutMs);
    else this.#arm(lane);
  }
}

/** Up to the next of sixteen steps between two powers of two. */
function rounded(timeoutMs: number): number {
  const step = 2 ** (Math.floor(Math.log2(timeoutMs)) - 4);
  return Math.ceil(timeoutMs / step) * step;
}

function ended(call: Call, code: "timeout" | "cancelled" | "closed", state: string): CarillonError {
  const tail = call.write ? "; it may still happen" : "";
  return new CarillonError(code, `Cannot ${call.what()}: ${state}${tail}`, {
    outcome: call.write ? "unknown" : "none",
    retryable: code === "timeout",
  });
}

function checkTimeout(timeoutMs: number, max: number): number {
  if (typeof timeoutMs === "number" && timeoutMs > 0 && timeoutMs <= max) return timeoutMs;
  throw new CarillonError("bad-request", `Cannot wait ${timeoutMs} ms: timeoutMs is a number above 0 and at most ${max}`, {
    facts: { limit: max },
  });
}

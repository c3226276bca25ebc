/**
 * An endless stream somebody iterates. It pulls: nothing is fetched before it is asked for. Unlike a
 * generator's, its `return` also ends a `next` that is still waiting.
 */
import { CarillonError } from "../core/errors.ts";

export interface FeedSource<T> {
  /** The next item if there is one now. May throw, which ends the stream with that error. */
  take(): T | null;
  /** Called once when the stream has ended, for whatever reason. */
  stop(): void;
}

/** What closing the services needs of a stream. */
export interface Endable {
  fail(error: unknown): void;
}

interface Pending<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

export class Feed<T> implements AsyncIterableIterator<T, undefined>, Endable {
  readonly #source: FeedSource<T>;
  readonly #feeds: Set<Endable>;
  readonly #signal: AbortSignal | undefined;
  readonly #pending: Pending<T>[] = [];
  #ended = false;
  /** Reported by one `next`, if it ended badly with nobody waiting. */
  #error: { readonly error: unknown } | null = null;

  /** Adds itself to `feeds` for as long as it lasts. */
  constructor(source: FeedSource<T>, feeds: Set<Endable>, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#feeds = feeds;
    this.#signal = signal;
    feeds.add(this);
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (signal?.aborted) this.#abort();
  }

  /** Somebody waits for an item. */
  get hungry(): boolean {
    return this.#pending.length > 0;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        const failure = this.#error;
        this.#error = null;
        return failure === null ? resolve({ value: undefined, done: true }) : reject(failure.error);
      }
      this.#pending.push({ resolve, reject });
      this.wake();
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#error = null;
    this.#end();
    for (const { resolve } of this.#pending.splice(0)) resolve({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** There may be something to take. */
  wake(): void {
    try {
      while (!this.#ended && this.#pending.length > 0) {
        const value = this.#source.take();
        if (value === null) return;
        this.#pending.shift()!.resolve({ value, done: false });
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the stream with an error; whoever waits, or asks next, gets it. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#end();
    const waiting = this.#pending.splice(0);
    if (waiting.length === 0) this.#error = { error };
    waiting.forEach(({ resolve, reject }, index) => index === 0 ? reject(error) : resolve({ value: undefined, done: true }));
  }

  readonly #abort = (): void => {
    this.fail(new CarillonError("cancelled", "Cannot go on with this stream: it was cancelled"));
  };

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#feeds.delete(this);
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#source.stop();
  }
}

/** How long to wait before the next attempt: longer each time, and never as long as everybody else. */
import type { Millis } from "../../core/ids.ts";

const firstMs = 20;
const defaultLastMs = 1_000;
/** A connection that lasted this long was a good one: the next break starts with the first backoff again. */
const goodMs = 1_000;

export class Backoff {
  readonly #entropy: () => number;
  readonly #lastMs: Millis;
  #nextMs = firstMs;

  constructor(entropy: () => number, lastMs: Millis = defaultLastMs) {
    this.#entropy = entropy;
    this.#lastMs = lastMs;
  }

  /** After an attempt that led to a connection for so long, or 0. */
  waitMs(lastedMs: Millis): Millis {
    if (lastedMs >= goodMs) this.#nextMs = firstMs;
    const waitMs = this.#nextMs * (0.5 + this.#entropy() / 2 ** 33);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#lastMs);
    return waitMs;
  }
}

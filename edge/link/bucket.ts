/** Token buckets: so much at once, and so much a second; one for all, or one for each of many. */
import type { Millis } from "../../core/ids.ts";

export interface Rate {
  readonly perSecond: number;
  readonly atOnce: number;
}

export class Bucket {
  readonly #rate: Rate;
  #level: number;
  #at: Millis = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#level = rate.atOnce;
  }

  take(now: Millis): boolean {
    if (this.level(now) < 1) return false;
    this.#level -= 1;
    return true;
  }

  level(now: Millis): number {
    this.#level = Math.min(this.#rate.atOnce, this.#level + Math.max(0, now - this.#at) * this.#rate.perSecond / 1_000);
    this.#at = now;
    return this.#level;
  }
}

/** A bucket for each key, for the `most` keys that were used last. */
export class Buckets<Key> {
  readonly #rate: Rate;
  readonly #most: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<Key, Bucket>();

  constructor(rate: Rate, most: number) {
    this.#rate = rate;
    this.#most = most;
  }

  get size(): number {
    return this.#buckets.size;
  }

  take(key: Key, now: Millis): boolean {
    const bucket = this.#buckets.get(key) ?? new Bucket(this.#rate);
    this.#buckets.delete(key);
    if (this.#buckets.size >= this.#most) this.#buckets.delete(this.#buckets.keys().next().value!);
    this.#buckets.set(key, bucket);
    return bucket.take(now);
  }
}

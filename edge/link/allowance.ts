/** So many acts a second, and a few more at once after a pause. */
import type { Millis } from "../../core/ids.ts";

export class Allowance {
  readonly #perSecond: number;
  readonly #most: number;
  #left: number;
  #at: Millis = -Infinity;

  constructor(options: { readonly perSecond: number; readonly most: number }) {
    this.#perSecond = options.perSecond;
    this.#most = options.most;
    this.#left = options.most;
  }

  /** False: not now. */
  take(now: Millis): boolean {
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) / 1_000 * this.#perSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

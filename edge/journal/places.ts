/** Places of consecutive instances of one group: appended at the top, given up at the bottom, in memory for what is between. */
import type { Instance } from "../../core/ids.ts";
import type { Place } from "./log_index.ts";

const capacityMin = 64;

export class Places {
  /** Instance of the first place. */
  first: Instance = 1;
  length = 0;
  /** Given up to here. Invariant: trimmedTo < first, or length = 0. */
  trimmedTo: Instance = 0;
  /** The places are `#at[#head … #head + length)`. */
  #at = new Float64Array(capacityMin);
  #head = 0;

  get(instance: Instance): Place {
    return this.#at[this.#head + instance - this.first]!;
  }

  /** A hole is not kept: the log then begins behind it. */
  set(instance: Instance, at: Place): void {
    if (instance < this.first || instance > this.first + this.length) this.#begin(instance);
    const index = instance - this.first;
    if (this.#head + index === this.#at.length) this.#move(this.length * 2);
    this.#at[this.#head + index] = at;
    this.length = Math.max(this.length, index + 1);
  }

  dropAbove(above: Instance): void {
    if (above < this.first) return this.#begin(Math.max(above, this.trimmedTo) + 1);
    this.length = Math.min(this.length, Math.max(above + 1 - this.first, 0));
  }

  /** What does not reach up to there has a hole above it. */
  reach(upTo: Instance): void {
    if (this.first + this.length <= upTo) this.#begin(upTo + 1);
  }

  trim(upTo: Instance): void {
    if (upTo <= this.trimmedTo) return;
    this.trimmedTo = upTo;
    const given = Math.min(Math.max(upTo + 1 - this.first, 0), this.length);
    this.#head += given;
    this.first += given;
    this.length -= given;
    if (this.length === 0) this.#begin(Math.max(this.first, upTo + 1));
    if (this.length < this.#at.length / 8) this.#move(this.length * 2);
  }

  clear(): void {
    this.#begin(this.first + this.length);
  }

  find(at: Place): Instance | null {
    const index = this.#at.subarray(this.#head, this.#head + this.length).indexOf(at);
    return index < 0 ? null : this.first + index;
  }

  #begin(first: Instance): void {
    this.first = first;
    this.length = 0;
    this.#head = 0;
  }

  /** To the front of an array with at least so much room. */
  #move(capacity: number): void {
    const moved = new Float64Array(Math.max(capacity, capacityMin));
    moved.set(this.#at.subarray(this.#head, this.#head + this.length));
    this.#at = moved;
    this.#head = 0;
  }
}

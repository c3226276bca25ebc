/**
 * How far packets overtake each other on this path, learnt from those that were given up and came after all (RFC 9002 section
 * 6.1.1, RFC 8985 section 6.2). A path that reorders would else look like one that loses.
 */
import type { Millis } from "../../../core/ids.ts";
import type { AckFrame } from "./frames.ts";

const packetsMin = 3;
const packetsMax = 256;
const tripsMin = 9 / 8;
const tripsMax = 2;
/** Losses that may still turn out to be none. */
const remembered = 256;

export class Overtaken {
  /** A packet is lost when one sent so many later has been acknowledged … */
  packets: number = packetsMin;
  /** … or so many round trips after it was sent. */
  trips: number = tripsMin;
  readonly #lost = new Map<number, { readonly sentAt: Millis; readonly event: number }>();
  #newest = -1;
  /** Counts what the window shrank for. */
  #event = 0;
  /** Losses of the newest event that have not turned out to be none. */
  #real = 0;

  /** `first`: the window shrinks for it. */
  lost(number: number, sentAt: Millis, first: boolean): void {
    if (first) {
      this.#event += 1;
      this.#real = 0;
    }
    this.#real += 1;
    this.#newest = Math.max(this.#newest, number);
    this.#lost.set(number, { sentAt, event: this.#event });
    if (this.#lost.size > remembered) this.#lost.delete(this.#lost.keys().next().value!);
  }

  /** True if all for which the window last shrank has come. `tripMs` is what losses are judged by. */
  acknowledged(frame: AckFrame, largestBefore: number, tripMs: Millis, now: Millis): boolean {
    // Ranges descend. Most acknowledgements are of what was sent long after any loss.
    if (this.#lost.size === 0 || this.#newest < frame.ranges[frame.ranges.length - 2]!) return false;
    let undone = false;
    for (const [number, { sentAt, event }] of this.#lost) {
      if (!covers(frame.ranges, number)) continue;
      this.#lost.delete(number);
      this.packets = Math.min(packetsMax, Math.max(this.packets, largestBefore - number + 1));
      this.trips = Math.min(tripsMax, Math.max(this.trips, (now - sentAt) / Math.max(tripMs, 1)));
      if (event !== this.#event) continue;
      this.#real -= 1;
      undone ||= this.#real === 0;
    }
    return undone;
  }
}

function covers(ranges: readonly number[], number: number): boolean {
  for (let at = 0; at < ranges.length; at += 2) {
    if (number > ranges[at + 1]!) return false;
    if (number >= ranges[at]!) return true;
  }
  return false;
}

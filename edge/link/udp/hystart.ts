/**
 * HyStart++ (RFC 9406): slow start ends when round trips grow longer, which tells of a queue before it overflows. A rise may be
 * chance, so that first the window grows at a quarter of the speed for five rounds.
 */
import type { Millis } from "../../../core/ids.ts";

const thresholdMsMin = 4;
const thresholdMsMax = 16;
const thresholdDivisor = 8;
const samplesPerRound = 8;
const cautiousDivisor = 4;
const cautiousRounds = 5;

export class HyStart {
  /** Slow start is over. */
  done = false;
  /** The round ends when this packet is acknowledged: the first that was sent in it. */
  #roundEnd = 0;
  #newest = -1;
  #lastMinMs: Millis = Infinity;
  #minMs: Millis = Infinity;
  #samples = 0;
  /** Shortest round trip of the round that made us cautious; null while we are not. */
  #baselineMs: Millis | null = null;
  #cautious = 0;

  sent(number: number): void {
    this.#newest = number;
  }

  /** By how much the window grows. */
  growth(bytes: number, largest: number, rttMs: Millis): number {
    this.#minMs = Math.min(this.#minMs, rttMs);
    this.#samples += 1;
    const cautious = this.#baselineMs !== null;
    if (this.#samples >= samplesPerRound) this.#judge();
    if (largest >= this.#roundEnd) this.#nextRound();
    return cautious ? bytes / cautiousDivisor : bytes;
  }

  #judge(): void {
    if (this.#baselineMs !== null) {
      // It was chance: on at full speed.
      if (this.#minMs < this.#baselineMs) this.#baselineMs = null;
      return;
    }
    if (this.#lastMinMs === Infinity) return;
    const threshold = Math.max(thresholdMsMin, Math.min(this.#lastMinMs / thresholdDivisor, thresholdMsMax));
    if (this.#minMs >= this.#lastMinMs + threshold) {
      this.#baselineMs = this.#minMs;
      this.#cautious = 0;
    }
  }

  #nextRound(): void {
    this.#roundEnd = this.#newest + 1;
    this.#lastMinMs = this.#minMs;
    this.#minMs = Infinity;
    this.#samples = 0;
    if (this.#baselineMs === null) return;
    this.#cautious += 1;
    if (this.#cautious > cautiousRounds) this.done = true;
  }
}

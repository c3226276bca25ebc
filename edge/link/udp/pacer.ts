/**
 * Spreads a window over its round trip instead of sending it at once (RFC 9002 section 7.7), in bursts of 1 to 2 ms, since no
 * runtime has a finer timer.
 */
import type { Millis } from "../../../core/ids.ts";
import type { Congestion } from "./congestion.ts";

const gain = 1.25;
const slowStartGain = 2;
const burstMs = 2;
const pauseMs = 1;
const burstPacketsMin = 10;

export class Pacer {
  /** Bytes that may leave now; below zero after a packet that was more. */
  #credit = Infinity;
  #creditAt: Millis = 0;

  /** When the next packet may leave: now, or a time after which a burst is due. */
  nextAt(congestion: Congestion, smoothedMs: Millis, packetBytes: number, now: Millis): Millis {
    const bytesPerMs = ((congestion.slowStart ? slowStartGain : gain) * congestion.windowBytes) / Math.max(smoothedMs, 0.01);
    const most = Math.max(bytesPerMs * burstMs, burstPacketsMin * packetBytes);
    this.#credit = Math.min(most, this.#credit + Math.max(0, now - this.#creditAt) * bytesPerMs);
    this.#creditAt = now;
    if (this.#credit > 0) return now;
    return now + Math.max(pauseMs, (1 - this.#credit) / bytesPerMs);
  }

  sent(bytes: number): void {
    this.#credit -= bytes;
  }
}

/** How long a packet and its acknowledgement take: RFC 9002 section 5. */
import type { Millis } from "../../../core/ids.ts";
import { ackDelayMsMax } from "./acks.ts";

const initialMs = 333;
/** No timer is finer. */
export const granularityMs = 1;

export class Rtt {
  latestMs: Millis = 0;
  minMs: Millis = Infinity;
  smoothedMs: Millis = initialMs;
  variationMs: Millis = initialMs / 2;
  /** When the first packet was measured; Infinity before. */
  measuredSince: Millis = Infinity;

  /** Before there is a sample: it takes no longer than this. */
  expect(tripMs: Millis): void {
    this.smoothedMs = Math.min(tripMs, initialMs);
    this.variationMs = this.smoothedMs / 2;
  }

  measure(sampleMs: Millis, ackDelayMs: Millis, now: Millis): void {
    this.latestMs = sampleMs;
    if (this.measuredSince === Infinity) {
      this.measuredSince = now;
      this.minMs = sampleMs;
      this.smoothedMs = sampleMs;
      this.variationMs = sampleMs / 2;
      return;
    }
    this.minMs = Math.min(this.minMs, sampleMs);
    const delayMs = Math.min(ackDelayMs, ackDelayMsMax);
    const adjusted = sampleMs >= this.minMs + delayMs ? sampleMs - delayMs : sampleMs;
    this.variationMs += (Math.abs(this.smoothedMs - adjusted) - this.variationMs) / 4;
    this.smoothedMs += (adjusted - this.smoothedMs) / 8;
  }

  /** The round trip that losses are judged by. */
  get tripMs(): Millis {
    return Math.max(this.latestMs, this.smoothedMs);
  }

  /** Probe time-out: no acknowledgement of the newest packet can take that long (RFC 9002 section 6.2.1). */
  get probeMs(): Millis {
    return this.smoothedMs + Math.max(4 * this.variationMs, granularityMs) + ackDelayMsMax;
  }
}

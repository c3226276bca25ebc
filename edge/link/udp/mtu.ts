/**
 * How long a packet the path takes: DPLPMTUD (RFC 8899). Everything works at 1200 bytes; packets of nothing but padding find out
 * whether more gets through. When only long packets vanish the path has changed, and we begin again at 1200.
 */
import type { Millis } from "../../../core/ids.ts";

export const basePacketBytes = 1_200;
/** Any size is lost now and then: this many times in a row is the path's doing. */
const triesMax = 3;
/** The search ends when it knows this exactly. */
const exactBytes = 32;
/** Paths change: look for more after so long. */
const raiseMs = 600_000;
const blackHoleLosses = 6;
const afterBlackHoleMs = 10_000;

export class Mtu {
  /** What packets may have, as far as is known. */
  bytes: number = basePacketBytes;
  /** When to probe next; Infinity while a probe is on its way. */
  probeAt: Millis;
  /** The shortest that was found not to get through, since the last change of the path; null if none was. */
  stuckBytes: number | null = null;
  readonly #max: number;
  /** What is known not to get through. */
  #tooLong: number;
  #probe = 0;
  #tries = 0;
  #longLosses = 0;
  #longAcked = -1;

  constructor(max: number, now: Millis) {
    this.#max = Math.max(basePacketBytes, max);
    this.#tooLong = this.#max + 1;
    this.probeAt = this.#max > basePacketBytes ? now : Infinity;
  }

  /** Size of the probe to send now. */
  get probeBytes(): number {
    if (this.#probe > 0) return this.#probe;
    // Most often all of it gets through.
    return this.#tooLong > this.#max ? this.#max : Math.ceil((this.bytes + this.#tooLong) / 2);
  }

  probed(bytes: number): void {
    this.#probe = bytes;
    this.probeAt = Infinity;
  }

  probeAcked(bytes: number, now: Millis): void {
    if (bytes !== this.#probe) return;
    this.bytes = Math.max(this.bytes, bytes);
    this.#next(now);
  }

  probeLost(bytes: number, now: Millis): void {
    if (bytes !== this.#probe) return;
    this.#tries += 1;
    this.probeAt = now;
    if (this.#tries < triesMax) return;
    this.#tooLong = bytes;
    this.stuckBytes = bytes;
    this.#next(now);
  }

  #next(now: Millis): void {
    this.#probe = 0;
    this.#tries = 0;
    if (this.bytes + exactBytes < this.#tooLong) {
      this.probeAt = now;
      return;
    }
    this.#tooLong = this.#max + 1;
    this.probeAt = this.bytes === this.#max ? Infinity : now + raiseMs;
  }

  acked(bytes: number, number: number): void {
    if (bytes <= basePacketBytes || number < this.#longAcked) return;
    this.#longAcked = number;
    this.#longLosses = 0;
  }

  /** True if the path has become a black hole for long packets (RFC 8899 section 4.3). */
  lost(bytes: number, number: number, now: Millis): boolean {
    if (bytes <= basePacketBytes || this.bytes === basePacketBytes) return false;
    // One as long that was sent later got through: a queue was full, as it is for many in a row.
    if (number < this.#longAcked) return false;
    this.#longLosses += 1;
    return this.#longLosses >= blackHoleLosses && this.reset(now + afterBlackHoleMs);
  }

  /** Probes for lost packets go unanswered: perhaps for their length. */
  unanswered(probes: number, now: Millis): boolean {
    return probes >= triesMax && this.bytes > basePacketBytes && this.reset(now + afterBlackHoleMs);
  }

  reset(probeAt: Millis): true {
    this.bytes = basePacketBytes;
    this.stuckBytes = null;
    this.#tooLong = this.#max + 1;
    this.#probe = 0;
    this.#tries = 0;
    this.#longLosses = 0;
    this.probeAt = this.#max > basePacketBytes ? probeAt : Infinity;
    return true;
  }
}

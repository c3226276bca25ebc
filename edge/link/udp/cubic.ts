/**
 * CUBIC (RFC 9438): after a loss the window goes back to 70 % and returns to where the loss was on a cubic curve of the time since,
 * whatever the round trip, and never slower than Reno would. Slow start ends by HyStart++ before anything is lost.
 */
import type { Millis } from "../../../core/ids.ts";
import { type Acked, type Congestion, initialWindowBytes } from "./congestion.ts";
import { HyStart } from "./hystart.ts";

const c = 0.4;
const beta = 0.7;
/** As fast as Reno with its window halved, though ours shrinks less (section 4.3). */
const renoAlpha = (3 * (1 - beta)) / (1 + beta);

export class Cubic implements Congestion {
  windowBytes: number;
  recoveringSince: Millis = -Infinity;
  #packetBytes: number;
  #threshold = Infinity;
  #hystart: HyStart = new HyStart();
  /** Window at the last loss, and when the curve comes back to it. */
  #wMax = 0;
  #kSeconds = 0;
  /** When the curve began; null until the first acknowledgement after a loss. */
  #epochAt: Millis | null = null;
  /** What Reno would have. */
  #wReno = 0;
  #priorWindow = 0;
  #lastAckAt: Millis = 0;
  /** What the last loss changed. */
  #before: { readonly window: number; readonly threshold: number; readonly wMax: number; readonly priorWindow: number } | null = null;

  constructor(packetBytes: number) {
    this.#packetBytes = packetBytes;
    this.windowBytes = initialWindowBytes(packetBytes);
  }

  get slowStart(): boolean {
    return this.windowBytes < this.#threshold;
  }

  sent(number: number): void {
    this.#hystart.sent(number);
  }

  acked(ack: Acked, now: Millis): void {
    const idleMs = now - this.#lastAckAt;
    this.#lastAckAt = now;
    if (ack.limited) {
      // Time without use of the window does not carry us along the curve (section 5.8).
      if (this.#epochAt !== null) this.#epochAt += idleMs;
      return;
    }
    if (this.slowStart) {
      this.windowBytes += this.#hystart.growth(ack.bytes, ack.largest, ack.latestMs);
      if (this.#hystart.done) this.#threshold = this.windowBytes;
      return;
    }
    this.#avoid(ack, now);
  }

  #avoid(ack: Acked, now: Millis): void {
    const segment = this.#packetBytes;
    const window = this.windowBytes;
    if (this.#epochAt === null) {
      this.#epochAt = now;
      this.#wReno = window;
      if (this.#wMax <= window) {
        this.#wMax = window;
        this.#kSeconds = 0;
      } else {
        this.#kSeconds = Math.cbrt((this.#wMax - window) / segment / c);
      }
    }
    const seconds = (now - this.#epochAt) / 1_000;
    const alpha = this.#wReno >= this.#priorWindow ? 1 : renoAlpha;
    this.#wReno += (alpha * segment * ack.bytes) / window;
    if (this.#curve(seconds) < this.#wReno) {
      this.windowBytes = Math.max(window, this.#wReno);
      return;
    }
    const target = Math.min(Math.max(this.#curve(seconds + ack.smoothedMs / 1_000), window), 1.5 * window);
    this.windowBytes += ((target - window) / window) * ack.bytes;
  }

  #curve(seconds: number): number {
    return c * (seconds - this.#kSeconds) ** 3 * this.#packetBytes + this.#wMax;
  }

  lost(sentAt: Millis, now: Millis): void {
    if (sentAt <= this.recoveringSince) return;
    this.recoveringSince = now;
    this.#before = { window: this.windowBytes, threshold: this.#threshold, wMax: this.#wMax, priorWindow: this.#priorWindow };
    this.#priorWindow = this.windowBytes;
    // Losing before the last height was reached: somebody else needs room (fast convergence, section 4.7).
    this.#wMax = this.windowBytes < this.#wMax ? (this.windowBytes * (1 + beta)) / 2 : this.windowBytes;
    this.windowBytes = Math.max(this.windowBytes * beta, this.#leastBytes);
    this.#threshold = this.windowBytes;
    this.#epochAt = null;
  }

  /** Section 4.9: back to where it was, and on from there on a new curve. */
  undo(): void {
    const before = this.#before;
    if (before === null) return;
    this.windowBytes = Math.max(this.windowBytes, before.window);
    this.#threshold = before.threshold;
    this.#wMax = before.wMax;
    this.#priorWindow = before.priorWindow;
    this.#epochAt = null;
    this.#before = null;
  }

  collapse(): void {
    this.#before = null;
    this.windowBytes = this.#leastBytes;
    this.#epochAt = null;
    this.recoveringSince = -Infinity;
    this.#hystart = new HyStart();
  }

  resize(packetBytes: number): void {
    this.#packetBytes = packetBytes;
    this.windowBytes = Math.max(this.windowBytes, this.#leastBytes);
  }

  get #leastBytes(): number {
    return 2 * this.#packetBytes;
  }
}

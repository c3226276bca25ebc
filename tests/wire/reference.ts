/**
 * What a reference flow gets out of a path: CUBIC (RFC 9438) with slow start, without pacing, that always has something to
 * send. Its acknowledgements are ideal: each datagram is acknowledged by itself, and no acknowledgement is ever lost or late.
 * Losses are detected as in RFC 9002: three later ones acknowledged, or 9/8 of a round trip; an idle flow begins anew.
 */
import type { Millis } from "../../core/ids.ts";
import { Prng } from "../sim/prng.ts";
import { EventQueue } from "../sim/queue.ts";
import { clear, type Conditions, Path } from "./path.ts";

const segmentBytes = 1_200;
const windowFirst = 10;
const windowMin = 2;
const c = 0.4;
const beta = 0.7;
const reorderSegments = 3;

interface Segment {
  readonly number: number;
  readonly sentAt: Millis;
}

export interface ReferenceResult {
  /** Delivered, per second. */
  readonly bytesPerSecond: number;
  readonly lossEvents: number;
}

/** `there` is what the data meets; the acknowledgements take as long to come back, and nothing else happens to them. */
export function referenceCubic(seed: number, there: Partial<Conditions>, forMs: Millis): ReferenceResult {
  const queue = new EventQueue();
  const flow = new Cubic(queue, new Path(queue, new Prng(seed).split("reference"), { ...clear, ...there }));
  flow.fill();
  while (queue.step(forMs));
  return { bytesPerSecond: flow.delivered * segmentBytes / forMs * 1_000, lossEvents: flow.lossEvents };
}

class Cubic {
  delivered = 0;
  lossEvents = 0;
  readonly #queue: EventQueue;
  readonly #path: Path;
  readonly #payload = new Uint8Array(segmentBytes);
  /** In flight, by number, in the order of sending. */
  readonly #flight = new Map<number, Segment>();
  #next = 0;
  #window = windowFirst;
  #threshold = Infinity;
  /** Losses of what was sent before this belong to the event that is being recovered from. */
  #recoveryFrom: Millis = -1;
  #epochAt: Millis | null = null;
  #windowMax = 0;
  #windowReno = 0;
  #kMs = 0;
  #rttMs: Millis;

  constructor(queue: EventQueue, path: Path) {
    this.#queue = queue;
    this.#path = path;
    this.#rttMs = 2 * path.conditions.delayMs;
  }

  fill(): void {
    while (this.#flight.size < Math.floor(this.#window)) {
      const segment = { number: this.#next++, sentAt: this.#queue.now };
      this.#flight.set(segment.number, segment);
      this.#path.send(this.#payload, () => {
        this.#queue.after(this.#path.conditions.delayMs, () => this.#acknowledged(segment));
      });
      this.#queue.after(2 * this.#rttMs + 100, () => this.#overdue(segment));
    }
  }

  #acknowledged(segment: Segment): void {
    if (!this.#flight.delete(segment.number)) return;
    this.delivered++;
    const { now } = this.#queue;
    this.#rttMs += (now - segment.sentAt - this.#rttMs) / 8;
    this.#grow(segment, now);
    for (const earlier of [...this.#flight.values()]) {
      if (earlier.number > segment.number - reorderSegments && earlier.sentAt > segment.sentAt - this.#rttMs / 8) break;
      this.#lost(earlier, now);
    }
    this.fill();
  }

  /** Nothing behind it has been acknowledged either. */
  #overdue(segment: Segment): void {
    if (!this.#flight.has(segment.number)) return;
    this.#lost(segment, this.#queue.now);
    this.fill();
  }

  #lost(segment: Segment, now: Millis): void {
    this.#flight.delete(segment.number);
    if (segment.sentAt <= this.#recoveryFrom) return;
    this.lossEvents++;
    this.#recoveryFrom = now;
    this.#epochAt = null;
    // Fast convergence: leave room to whoever has come.
    this.#windowMax = this.#window < this.#windowMax ? this.#window * (1 + beta) / 2 : this.#window;
    this.#window = Math.max(windowMin, this.#window * beta);
    this.#threshold = this.#window;
  }

  #grow(segment: Segment, now: Millis): void {
    if (segment.sentAt <= this.#recoveryFrom) return;
    if (this.#window < this.#threshold) {
      this.#window++;
      return;
    }
    if (this.#epochAt === null) {
      this.#epochAt = now;
      this.#windowReno = this.#window;
      this.#windowMax = Math.max(this.#windowMax, this.#window);
      this.#kMs = Math.cbrt((this.#windowMax - this.#window) / c) * 1_000;
    }
    const elapsed = (now + this.#rttMs - this.#epochAt - this.#kMs) / 1_000;
    const target = Math.min(Math.max(this.#window, c * elapsed ** 3 + this.#windowMax), this.#window * 1.5);
    const alpha = this.#windowReno < this.#windowMax ? 3 * (1 - beta) / (1 + beta) : 1;
    this.#windowReno += alpha / this.#window;
    this.#window = Math.max(this.#window + (target - this.#window) / this.#window, this.#windowReno);
  }
}

/**
 * One outgoing stream that is kept up: frames queue while it connects or is full, leave together at the
 * end of a turn of the event loop, and are dropped while there is no way. Nothing is resumed after a
 * break: the protocol sends again what matters.
 */
import type { Millis } from "../../core/ids.ts";
import type { OutgoingStream, Runtime } from "../runtime.ts";
import { Queue } from "./queue.ts";

const backoffFirstMs = 20;
const backoffLastMs = 1_000;
/** A connection that lasted this long was a good one: the next break starts with the first backoff again. */
const goodMs = 1_000;
const connectMs = 5_000;

/** What the lane needs to connect: where, and what to say. */
export interface Dial {
  readonly url: string;
  /** Headers for the first attempt (`null`) and for the answer to a challenge. */
  headers(nonce: string | null): Readonly<Record<string, string>>;
  readonly nonceHeader: string;
}

export interface LaneEvents {
  onOpen(): void;
  /** `wasOpen`: messages had been flowing. */
  onBroken(reason: string, wasOpen: boolean): void;
}

export interface LaneCounts {
  sent: number;
  sentBytes: number;
  dropped: number;
  reconnects: number;
}

export class Lane {
  readonly #runtime: Runtime;
  readonly #dial: Dial;
  readonly #events: LaneEvents;
  readonly #counts: LaneCounts;
  readonly #queue: Queue;
  /** Simulated distance: frames wait here first, in order. */
  readonly #delayMs: Millis;
  readonly #far: { readonly due: Millis; readonly frame: Uint8Array }[] = [];
  #farBytes = 0;

  #state: "waiting" | "connecting" | "open" | "closed" = "waiting";
  #stream: OutgoingStream | null = null;
  #full = false;
  #flushing = false;
  #openSince: Millis | null = null;
  #backoffMs = backoffFirstMs;
  /** Events of an older attempt are ignored. */
  #attempt = 0;
  #cancelAlarm: () => void = nothing;
  #cancelArrival: () => void = nothing;

  constructor(
    runtime: Runtime,
    dial: Dial,
    options: { readonly queueBytesMax: number; readonly delayMs: Millis; readonly counts: LaneCounts },
    events: LaneEvents,
  ) {
    this.#runtime = runtime;
    this.#dial = dial;
    this.#events = events;
    this.#counts = options.counts;
    this.#queue = new Queue(options.queueBytesMax);
    this.#delayMs = options.delayMs;
    this.#connect(null);
  }

  get openSince(): Millis | null {
    return this.#openSince;
  }

  get queuedBytes(): number {
    return this.#queue.bytes + this.#farBytes;
  }

  push(frame: Uint8Array): void {
    if (this.#state === "waiting" || this.#state === "closed") {
      this.#counts.dropped++;
    } else if (this.#delayMs > 0) {
      this.#pushFar(frame);
    } else {
      this.#enqueue(frame);
    }
  }

  /** The peer is known to be there: do not sit out the backoff. */
  hurry(): void {
    if (this.#state === "waiting") this.#connect(null);
  }

  /** Gives this connection up and makes a new one. */
  renew(reason: string): void {
    if (this.#state === "connecting" || this.#state === "open") this.#broken(reason);
  }

  close(): void {
    this.#end();
    this.#state = "closed";
  }

  #enqueue(frame: Uint8Array): void {
    if (!this.#queue.push(frame)) {
      this.#counts.dropped++;
    } else if (!this.#flushing && !this.#full && this.#state === "open") {
      this.#flushing = true;
      // After the turn that is running: what it still sends leaves in the same write.
      queueMicrotask(() => this.#flush());
    }
  }

  #flush(): void {
    this.#flushing = false;
    while (this.#state === "open" && !this.#full) {
      const next = this.#queue.take();
      if (next === null) return;
      this.#counts.sent += next.frames;
      this.#counts.sentBytes += next.bytes.byteLength;
      this.#full = !this.#stream!.write(next.bytes);
    }
  }

  #connect(nonce: string | null): void {
    this.#cancelAlarm();
    this.#state = "connecting";
    const attempt = ++this.#attempt;
    const current = (): boolean => attempt === this.#attempt;
    let challenge: string | null = null;
    this.#stream = this.#runtime.openStream(this.#dial.url, this.#dial.headers(nonce), {
      onAnswer: (status, header) => {
        if (status === 401 && nonce === null) challenge = header(this.#dial.nonceHeader);
      },
      onOpen: () => {
        if (current()) this.#opened();
      },
      onDrain: () => {
        if (!current()) return;
        this.#full = false;
        this.#flush();
      },
      onClose: (reason) => {
        if (!current()) return;
        if (challenge !== null && this.#state === "connecting") this.#connect(challenge);
        else this.#broken(reason);
      },
    });
    this.#cancelAlarm = this.#runtime.clock.wakeAt(this.#now() + connectMs, () => this.#broken(`no answer within ${connectMs} ms`));
  }

  #opened(): void {
    this.#cancelAlarm();
    this.#state = "open";
    this.#full = false;
    this.#openSince = this.#now();
    this.#events.onOpen();
    this.#flush();
  }

  #broken(reason: string): void {
    const wasOpen = this.#state === "open";
    const lastedMs = this.#openSince === null ? 0 : this.#now() - this.#openSince;
    this.#end();
    this.#state = "waiting";
    if (wasOpen) this.#counts.reconnects++;
    if (lastedMs >= goodMs) this.#backoffMs = backoffFirstMs;
    const waitMs = this.#backoffMs * (0.5 + this.#runtime.entropy() / 2 ** 33);
    this.#backoffMs = Math.min(this.#backoffMs * 2, backoffLastMs);
    this.#cancelAlarm = this.#runtime.clock.wakeAt(this.#now() + waitMs, () => this.#connect(null));
    this.#events.onBroken(reason, wasOpen);
  }

  /** Ends the attempt or connection there is, and drops what waited for it. */
  #end(): void {
    this.#attempt++;
    this.#cancelAlarm();
    this.#cancelArrival();
    this.#stream?.close();
    this.#stream = null;
    this.#openSince = null;
    this.#counts.dropped += this.#queue.clear() + this.#far.length;
    this.#far.length = 0;
    this.#farBytes = 0;
  }

  #pushFar(frame: Uint8Array): void {
    if (this.#farBytes + frame.byteLength > this.#queue.bytesMax) {
      this.#counts.dropped++;
      return;
    }
    this.#farBytes += frame.byteLength;
    this.#far.push({ due: this.#now() + this.#delayMs, frame });
    if (this.#far.length === 1) this.#awaitArrival();
  }

  #awaitArrival(): void {
    this.#cancelArrival = this.#runtime.clock.wakeAt(this.#far[0]!.due, () => {
      const now = this.#now();
      let arrived = 0;
      while (arrived < this.#far.length && this.#far[arrived]!.due <= now) {
        const { frame } = this.#far[arrived++]!;
        this.#farBytes -= frame.byteLength;
        this.#enqueue(frame);
      }
      this.#far.splice(0, arrived);
      if (this.#far.length > 0) this.#awaitArrival();
    });
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

function nothing(): void {}

/**
 * One outgoing stream that is kept up: frames queue while it connects or is full, leave together at the
 * end of a turn of the event loop, and are dropped while there is no way. Nothing is resumed after a
 * break: the protocol sends again what matters.
 */
import type { Millis } from "../../core/ids.ts";
import type { OutgoingStream, Runtime } from "../runtime.ts";
import { Backoff } from "./backoff.ts";
import { type Caller, headerNames } from "./call.ts";
import { Distance } from "./distance.ts";
import { Queue } from "./queue.ts";
import { recordBytesMax, type Sealer } from "./records.ts";

const connectMs = 5_000;
const empty: Uint8Array = new Uint8Array(0);

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
  readonly #caller: Caller;
  readonly #events: LaneEvents;
  readonly #counts: LaneCounts;
  readonly #queue: Queue;
  /** Simulated distance: frames wait here first, in order. */
  readonly #distance: Distance<Uint8Array> | null;
  #farBytes = 0;
  readonly #backoff: Backoff;

  #state: "waiting" | "connecting" | "open" | "closed" = "waiting";
  #stream: OutgoingStream | null = null;
  #sealer: Sealer | null = null;
  /** What has been taken from the queue and not been sealed yet. */
  #taken: Uint8Array = empty;
  #full = false;
  #flushing = false;
  #openSince: Millis | null = null;
  /** Events of an older attempt are ignored. */
  #attempt = 0;
  #cancelAlarm: () => void = nothing;

  constructor(
    runtime: Runtime,
    caller: Caller,
    options: { readonly queueBytesMax: number; readonly delayMs: Millis; readonly counts: LaneCounts },
    events: LaneEvents,
  ) {
    this.#runtime = runtime;
    this.#caller = caller;
    this.#events = events;
    this.#counts = options.counts;
    this.#queue = new Queue(options.queueBytesMax);
    this.#distance = options.delayMs === 0 ? null : new Distance(runtime.clock, options.delayMs, (frames) => this.#arrived(frames));
    this.#backoff = new Backoff(() => runtime.entropy());
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
    } else if (this.#distance === null) {
      this.#enqueue(frame);
    } else if (this.#farBytes + frame.byteLength > this.#queue.bytesMax) {
      this.#counts.dropped++;
    } else {
      this.#farBytes += frame.byteLength;
      this.#distance.push(frame);
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

  /** Keys have changed: gives up a connection that rests on one that is not to be used any more. */
  review(): void {
    if (!this.#caller.stands) this.renew("a key of this connection is not listed any more");
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
      if (this.#taken.byteLength === 0) {
        const next = this.#queue.take();
        if (next === null) return;
        this.#counts.sent += next.frames;
        this.#counts.sentBytes += next.bytes.byteLength;
        this.#taken = next.bytes;
      }
      const part = this.#taken.subarray(0, recordBytesMax);
      this.#taken = this.#taken.subarray(part.byteLength);
      this.#write(part);
    }
  }

  #write(plain: Uint8Array): void {
    this.#full = !this.#stream!.write(this.#sealer!.seal(plain));
  }

  #connect(nonce: string | null): void {
    this.#cancelAlarm();
    this.#state = "connecting";
    const attempt = ++this.#attempt;
    const current = (): boolean => attempt === this.#attempt;
    const headers = this.#caller.headers(nonce);
    if (headers === null) return this.#broken("no key of it is known here");
    let challenge: string | null = null;
    this.#stream = this.#runtime.openStream(this.#caller.url, headers, {
      onAnswer: (status, header) => {
        if (!current()) return;
        if (status === 401 && nonce === null) challenge = header(headerNames.nonce);
        if (status === 200) this.#sealer = this.#caller.accept(header);
        if (status === 403) this.#caller.refused();
      },
      onOpen: () => {
        if (!current()) return;
        if (this.#sealer === null) this.#broken("whoever answers there is not the node we mean");
        else this.#opened();
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
    // The peer waits for a first record, whether there is something to say or not.
    this.#write(empty);
    this.#flush();
  }

  #broken(reason: string): void {
    const wasOpen = this.#state === "open";
    const lastedMs = this.#openSince === null ? 0 : this.#now() - this.#openSince;
    this.#end();
    this.#state = "waiting";
    if (wasOpen) this.#counts.reconnects++;
    this.#cancelAlarm = this.#runtime.clock.wakeAt(this.#now() + this.#backoff.waitMs(lastedMs), () => this.#connect(null));
    this.#events.onBroken(reason, wasOpen);
  }

  /** Ends the attempt or connection there is, and drops what waited for it. */
  #end(): void {
    this.#attempt++;
    this.#cancelAlarm();
    this.#stream?.close();
    this.#stream = null;
    this.#sealer = null;
    this.#taken = empty;
    this.#openSince = null;
    this.#counts.dropped += this.#queue.clear() + (this.#distance?.clear() ?? 0);
    this.#farBytes = 0;
  }

  #arrived(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      this.#farBytes -= frame.byteLength;
      this.#enqueue(frame);
    }
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

function nothing(): void {}

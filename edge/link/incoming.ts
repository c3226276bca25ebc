/**
 * One stream from a peer. The handshake's first message may have been kept back and sent by somebody else; the first record may not.
 * Until it has come, the stream takes nobody's place.
 */
import type { Millis } from "../../core/ids.ts";
import { DecodeError } from "../codec/bytes.ts";
import type { Cryptography, Runtime } from "../runtime.ts";
import { FrameReader } from "./frames.ts";
import { Opener } from "./records.ts";

/** A sender has its first record behind its request. */
export const confirmMs: Millis = 5_000;

export interface IncomingEvents {
  /** The first record has come: the peer is there. At most once. */
  onConfirmed(): void;
  /** The frame lies in a buffer nobody writes to again. May throw DecodeError: the stream is ended. */
  onFrame(frame: Uint8Array): void;
  /** What came makes no sense. */
  onNonsense(reason: string): void;
  /** Exactly once. */
  onEnd(): void;
}

export class Incoming {
  /** What is answered: nothing of interest, but its end is news. */
  readonly answer: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #opener: Opener;
  readonly #events: IncomingEvents;
  #isConfirmed = false;
  #ended = false;
  #endAnswer: () => void = nothing;
  #cancelAlarm: () => void;

  constructor(runtime: Runtime, options: { readonly body: ReadableStream<Uint8Array>; readonly key: Uint8Array }, events: IncomingEvents) {
    this.#events = events;
    this.#reader = options.body.getReader();
    this.#opener = this.#newOpener(runtime.cryptography, options.key);
    this.#cancelAlarm = runtime.clock.wakeAt(runtime.clock.now().mono + confirmMs, () => this.stop());
    this.answer = this.#newAnswer();
    this.#read().catch((error: unknown) => {
      // A connection that breaks is nothing to tell; nonsense from a peer is.
      if (error instanceof DecodeError) events.onNonsense(error.message);
    }).finally(() => this.stop());
  }

  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelAlarm();
    this.#reader.cancel().catch(nothing);
    this.#endAnswer();
    this.#events.onEnd();
  }

  #newOpener(cryptography: Cryptography, key: Uint8Array): Opener {
    const frames = new FrameReader((frame) => this.#events.onFrame(frame));
    return new Opener(cryptography, key, (plain) => {
      if (!this.#isConfirmed) {
        this.#isConfirmed = true;
        this.#cancelAlarm();
        this.#events.onConfirmed();
      }
      frames.push(plain);
    });
  }

  #newAnswer(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        // Bun sends the status with the first bytes and not before.
        controller.enqueue(new Uint8Array(1));
        this.#endAnswer = () => controller.close();
      },
      cancel: () => {
        this.#endAnswer = nothing;
        this.stop();
      },
    });
  }

  async #read(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done || this.#ended) return;
      this.#opener.push(value);
    }
  }
}

function nothing(): void {}

/**
 * Datagrams that wait to leave (RFC 9221): they may be lost, are never sent again, and are worth nothing late. A newer one takes the
 * place of an older one for the same key.
 */
import type { Millis } from "../../../core/ids.ts";

const queuedMax = 256;
const queuedBytesMax = 262_144;

export interface DatagramOptions {
  /** What it is about: only the newest for a key is sent. */
  readonly key?: string | number;
  /** Not sent from then on. */
  readonly expiresAt?: Millis;
}

interface Queued {
  readonly bytes: Uint8Array;
  readonly key: string | number | undefined;
  readonly expiresAt: Millis;
}

export class Datagrams {
  dropped = 0;
  #queue: Queued[] = [];
  #bytes = 0;

  get waiting(): boolean {
    return this.#queue.length > 0;
  }

  /** False if the queue is full. */
  push(bytes: Uint8Array, { key, expiresAt = Infinity }: DatagramOptions): boolean {
    if (key !== undefined) {
      const at = this.#queue.findIndex((queued) => queued.key === key);
      if (at >= 0) {
        this.#bytes += bytes.byteLength - this.#queue[at]!.bytes.byteLength;
        this.#queue[at] = { bytes, key, expiresAt };
        return true;
      }
    }
    if (this.#queue.length >= queuedMax || this.#bytes + bytes.byteLength > queuedBytesMax) return false;
    this.#queue.push({ bytes, key, expiresAt });
    this.#bytes += bytes.byteLength;
    return true;
  }

  /** The first that is still worth something, without taking it out. */
  peek(now: Millis): Uint8Array | null {
    while (this.#queue.length > 0) {
      const { bytes, expiresAt } = this.#queue[0]!;
      if (expiresAt > now) return bytes;
      this.shift();
      this.dropped += 1;
    }
    return null;
  }

  shift(): void {
    this.#bytes -= this.#queue.shift()!.bytes.byteLength;
  }
}

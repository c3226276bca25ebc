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

interface Queued extends DatagramOptions {
  readonly bytes: Uint8Array;
}

export class Datagrams {
  dropped = 0;
  #queue: Queued[] = [];
  #bytes = 0;

  get waiting(): boolean {
    return this.#queue.length > 0;
  }

  /** False if the queue is full. */
  push(bytes: Uint8Array, options: DatagramOptions): boolean {
    if (options.key !== undefined) {
      const at = this.#queue.findIndex(({ key }) => key === options.key);
      if (at >= 0) {
        this.#bytes += bytes.byteLength - this.#queue[at]!.bytes.byteLength;
        this.#queue[at] = { bytes, ...options };
        return true;
      }
    }
    if (this.#queue.length >= queuedMax || this.#bytes + bytes.byteLength > queuedBytesMax) return false;
    this.#queue.push({ bytes, ...options });
    this.#bytes += bytes.byteLength;
    return true;
  }

  /** The first that is still worth something, without taking it out. */
  peek(now: Millis): Uint8Array | null {
    while (this.#queue.length > 0) {
      const { bytes, expiresAt } = this.#queue[0]!;
      if (expiresAt === undefined || expiresAt > now) return bytes;
      this.shift();
      this.dropped += 1;
    }
    return null;
  }

  shift(): void {
    this.#bytes -= this.#queue.shift()!.bytes.byteLength;
  }
}

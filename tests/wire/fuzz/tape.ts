/**
 * A fuzzer's input read as a story: bytes say what happens next, and with what. Every input says something, so that mutations
 * stay stories; and a story begins from nothing, so that the bytes alone tell it again.
 */
export class Tape {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.byteLength;
  }

  /** Zeros follow the end. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** 0 ≤ result < end ≤ 256. */
  below(end: number): number {
    return this.byte() % end;
  }

  pick<Thing>(things: readonly Thing[]): Thing {
    return things[this.below(things.length)]!;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.byte());
  }

  /** As it comes; of whatever is left. */
  rest(length: number): Uint8Array {
    const from = Math.min(this.#at, this.#bytes.byteLength);
    this.#at = Math.min(from + length, this.#bytes.byteLength);
    return this.#bytes.slice(from, this.#at);
  }

  /** Small ones as likely as those of 53 bits, and the edges between. */
  number(): number {
    const kind = this.byte();
    if (kind < 96) return kind;
    const bits = (kind - 96) % 54;
    const edge = 2 ** bits;
    return Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, kind < 150 ? edge - this.below(3) : edge + this.byte() * 256 + this.byte()));
  }

  /** A damaged copy: bytes changed, cut off, put on, or replaced by what stands there in another. */
  damaged(good: Uint8Array, other: Uint8Array): Uint8Array {
    const bytes = good.slice();
    const at = bytes.byteLength === 0 ? 0 : (this.byte() * 256 + this.byte()) % bytes.byteLength;
    switch (this.below(6)) {
      case 0:
        if (bytes.byteLength > 0) bytes[at]! ^= 1 << this.below(8);
        return bytes;
      case 1:
        bytes.set(this.rest(Math.min(bytes.byteLength - at, this.below(24))), at);
        return bytes;
      case 2:
        return bytes.slice(0, at);
      case 3:
        return joined(bytes, this.rest(this.below(40)));
      case 4:
        return joined(bytes.subarray(0, at), other.subarray(Math.min(at, other.byteLength)));
      default:
        return joined(other.subarray(0, Math.min(9 + this.below(32), other.byteLength)), bytes.subarray(at));
    }
  }
}

export function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.byteLength + tail.byteLength);
  bytes.set(head);
  bytes.set(tail, head.byteLength);
  return bytes;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/**
 * Writing and reading bytes: little-endian, bounded, no bigint. A Writer grows and is reused; a
 * Reader checks every length against what is left before it touches or allocates anything, and
 * throws nothing but DecodeError.
 */
import { AssertionError } from "../../core/assert.ts";
import { CarillonError } from "../../core/errors.ts";

/** The bytes are not what they claim to be. Nothing of them has been used. */
export class DecodeError extends CarillonError {
  constructor(message: string) {
    super("corrupt", `Cannot decode: ${message}`);
  }
}

/** Our own mistake, noticed before it is on a wire or a disk. Apart from the checks, which are hot, so that they build no text. */
function refuse(value: number, why: string): never {
  throw new AssertionError(`Cannot write ${value}: it is ${why}`);
}

const high = 2 ** 32;
/** The high word of a safe integer has 21 bits. */
const highLimit = 2 ** 21;

const encoder: TextEncoder = new TextEncoder();
// A byte order mark is text like any other: dropping it would make two byte strings one.
const decoder: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Writer {
  /** The bytes written so far are `buffer[0 … length)`; a growing writer replaces its buffer, so views are for the moment. */
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(capacity = 1_024) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#bytes.byteLength;
  }

  /** What has been written from `from` on, as a view that is good until the next write or `clear`. */
  view(from = 0): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(from, this.#length);
  }

  /** A copy the caller keeps. */
  copy(from = 0): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(from, this.#length);
  }

  /** Forgets what was written, down to `length`; the room stays. */
  clear(length = 0): void {
    if (length > this.#length) refuse(length, `beyond the ${this.#length} bytes written`);
    this.#length = length;
  }

  u8(value: number): void {
    if ((value & 0xff) !== value) refuse(value, "no u8");
    const at = this.#room(1);
    this.#bytes[at] = value;
  }

  bool(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  u16(value: number): void {
    if ((value & 0xffff) !== value) refuse(value, "no u16");
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    if (value >>> 0 !== value) refuse(value, "no u32");
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  /** A whole number from 0 to 2^53 − 1, in 8 bytes. */
  u53(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) refuse(value, "no safe whole number");
    const at = this.#room(8);
    const low = value >>> 0;
    this.#view.setUint32(at, low, true);
    this.#view.setUint32(at + 4, (value - low) / high, true);
  }

  /** Any finite number, in 8 bytes. */
  f64(value: number): void {
    if (!Number.isFinite(value)) refuse(value, "not finite");
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
  }

  /** The bytes alone; their length must follow from something written before. */
  bytes(value: Uint8Array): void {
    const at = this.#room(value.byteLength);
    this.#bytes.set(value, at);
  }

  /** A u32 count of bytes and UTF-8 text. */
  utf8(text: string): void {
    // Three bytes per UTF-16 unit is the most text can need.
    const at = this.#room(4 + text.length * 3);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at + 4));
    this.#view.setUint32(at, written, true);
    this.#length = at + 4 + written;
  }

  /** Leaves room for `bytes` bytes to be filled by `patchU32` and the like; says where. */
  skip(bytes: number): number {
    const at = this.#room(bytes);
    this.#bytes.fill(0, at, at + bytes);
    return at;
  }

  patchU32(at: number, value: number): void {
    if (at + 4 > this.#length || value >>> 0 !== value) refuse(value, `no u32 inside what is written at ${at}`);
    this.#view.setUint32(at, value, true);
  }

  /** Moves the end by `bytes`; says where the room begins. May replace `#view`: call it first. */
  #room(bytes: number): number {
    const at = this.#length;
    const end = at + bytes;
    if (end > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.byteLength * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = end;
    return at;
  }
}

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #lent: boolean;
  #at = 0;

  /**
   * `lent`: the buffer is used again by its owner, so everything read is copied. Otherwise it is the
   * reader's to keep, and a payload that makes up most of it stays a view.
   */
  constructor(bytes: Uint8Array, lent = true) {
    // A Buffer's `slice` does not copy; a plain Uint8Array's does.
    this.#bytes = bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#lent = lent;
  }

  get at(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw new DecodeError(`${value} is neither true nor false`);
    return value === 1;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u53(): number {
    const at = this.#take(8);
    const top = this.#view.getUint32(at + 4, true);
    if (top >= highLimit) throw new DecodeError("a number is above 2^53 − 1");
    return top * high + this.#view.getUint32(at, true);
  }

  f64(): number {
    const value = this.#view.getFloat64(this.#take(8), true);
    if (!Number.isFinite(value)) throw new DecodeError("a number is not finite");
    return value;
  }

  /** Bytes to keep: a copy, unless they fill at least three quarters of a buffer that is not lent. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    // A small view would pin the whole buffer for as long as somebody holds it.
    return !this.#lent && length * 4 >= this.#bytes.buffer.byteLength * 3
      ? this.#bytes.subarray(at, at + length)
      : this.#bytes.slice(at, at + length);
  }

  /** Bytes to look at and forget: a view. */
  peek(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  utf8(): string {
    const bytes = this.peek(this.u32());
    try {
      return decoder.decode(bytes);
    } catch {
      throw new DecodeError("text is not UTF-8");
    }
  }

  /** A u32 count of things that take at least `each` bytes, checked before anybody allocates for them. */
  count(each: number): number {
    const count = this.u32();
    if (count * each > this.remaining) throw new DecodeError(`${count} × ${each} bytes are claimed and ${this.remaining} left`);
    return count;
  }

  /** There must be nothing left: one meaning, one encoding. */
  end(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.remaining} bytes are left over`);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.byteLength - at) throw new DecodeError(`${bytes} bytes are needed and ${this.remaining} left`);
    this.#at = at + bytes;
    return at;
  }
}

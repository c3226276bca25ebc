/**
 * Reading and writing the small binary layouts of commands: little-endian, no alignment, no numbers
 * above 2^53. A reader never throws: past the end it reads zeros and remembers that it failed, so a
 * parser asks once, at its end.
 */
import type { Position } from "../core/position.ts";

const noBytes = new Uint8Array(0);
/** Up to here a loop copies faster than a view is made. */
const loopBytesMax = 256;
/** The largest whole number 7 bytes may hold and still be exact. */
const high24Max = 0x1fffff;

export class Reader {
  #bytes: Uint8Array = noBytes;
  #at = 0;
  #end = 0;
  #failed = false;

  /** One reader serves many commands; nothing is allocated per command. */
  reset(bytes: Uint8Array, at = 0, end: number = bytes.byteLength): this {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
    this.#failed = at > end;
    return this;
  }

  /** Everything read so far was there. */
  get ok(): boolean {
    return !this.#failed;
  }

  /** Everything read was there and nothing is left over. */
  get done(): boolean {
    return !this.#failed && this.#at === this.#end;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  fail(): void {
    this.#failed = true;
  }

  /** Back to a place read before. */
  rewind(at: number): void {
    this.#at = at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (this.#failed || count > this.#end - at) {
      this.#failed = true;
      return -1;
    }
    this.#at = at + count;
    return at;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#bytes[at]!;
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#bytes[at]! | this.#bytes[at + 1]! << 8;
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : readU32(this.#bytes, at);
  }

  /** A safe integer in 7 bytes; larger ones fail. */
  u53(): number {
    const at = this.#take(7);
    if (at < 0) return 0;
    const value = readU53(this.#bytes, at);
    if (value > Number.MAX_SAFE_INTEGER) this.#failed = true;
    return this.#failed ? 0 : value;
  }

  position(): Position {
    return { major: this.u53(), group: this.u16(), minor: this.u8() };
  }

  skip(count: number): void {
    this.#take(count);
  }

  /** So many bytes into `target`. Without a view where that is cheaper: garbage counts, one per command. */
  copy(count: number, target: Uint8Array, targetAt: number): void {
    const at = this.#take(count);
    if (at < 0) return;
    if (count > loopBytesMax) target.set(this.#bytes.subarray(at, at + count), targetAt);
    else for (let i = 0; i < count; i++) target[targetAt + i] = this.#bytes[at + i]!;
  }

  /** A copy of so many bytes. */
  slice(count: number): Uint8Array {
    const at = this.#take(count);
    return at < 0 ? noBytes : this.#bytes.slice(at, at + count);
  }

  /** So many bytes as a binary string: one character per byte. */
  binary(count: number): string {
    const at = this.#take(count);
    return at < 0 ? "" : binaryString(this.#bytes, at, at + count);
  }
}

/** Fills an array of exactly the size its caller has counted. */
export class Writer {
  out: Uint8Array;
  at = 0;

  constructor(size: number) {
    this.out = new Uint8Array(size);
  }

  /** Goes on in another array: one writer serves many. */
  reset(out: Uint8Array, at: number): this {
    this.out = out;
    this.at = at;
    return this;
  }

  u8(value: number): this {
    this.out[this.at++] = value;
    return this;
  }

  u16(value: number): this {
    this.out[this.at++] = value;
    this.out[this.at++] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    writeU32(this.out, this.at, value);
    this.at += 4;
    return this;
  }

  u53(value: number): this {
    writeU53(this.out, this.at, value);
    this.at += 7;
    return this;
  }

  position(position: Position): this {
    return this.u53(position.major).u16(position.group).u8(position.minor);
  }

  bytes(bytes: Uint8Array): this {
    this.out.set(bytes, this.at);
    this.at += bytes.byteLength;
    return this;
  }

  binary(text: string): this {
    for (let i = 0; i < text.length; i++) this.out[this.at++] = text.charCodeAt(i);
    return this;
  }
}

export const positionBytes = 10;

export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export function readU53(bytes: Uint8Array, at: number): number {
  const high = bytes[at + 4]! | bytes[at + 5]! << 8 | bytes[at + 6]! << 16;
  return high > high24Max ? Infinity : high * 2 ** 32 + readU32(bytes, at);
}

export function writeU53(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  writeU32(bytes, at, value >>> 0);
  bytes[at + 4] = high;
  bytes[at + 5] = high >>> 8;
  bytes[at + 6] = high >>> 16;
}

/** Whether the position written at `at` lies behind this one. Nothing is allocated: it is asked of every entry of a store. */
export function liesBehind(bytes: Uint8Array, at: number, { major, group, minor }: Position): boolean {
  return (readU53(bytes, at) - major || (bytes[at + 7]! | bytes[at + 8]! << 8) - group || bytes[at + 9]! - minor) > 0;
}

/** Arguments of one `fromCharCode`: far below what any engine takes. */
const chunk = 4_096;
/** Up to here a plain array is faster than a view, which would have to be allocated. */
const short = 128;
const codes: number[] = [];

/** One character per byte, so that `<` on strings is the order of the bytes. */
export function binaryString(bytes: Uint8Array, from = 0, to: number = bytes.byteLength): string {
  if (to - from <= short) {
    codes.length = to - from;
    for (let at = from; at < to; at++) codes[at - from] = bytes[at]!;
    return String.fromCharCode.apply(null, codes);
  }
  let text = "";
  for (let at = from; at < to; at += chunk) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(to, at + chunk)) as unknown as number[]);
  }
  return text;
}

export function binaryBytes(text: string): Uint8Array {
  return new Writer(text.length).binary(text).out;
}

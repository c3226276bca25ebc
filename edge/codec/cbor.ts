/**
 * CBOR for users' values. cbor-x does the work; a scanner walks the bytes first and lets through only
 * what is bounded, unambiguous and harmless: some inputs cost cbor-x seconds, and some of its tags
 * call constructors.
 */
// Without the addon and without `new Function`: the addon ends Deno and breaks strings in Bun.
import { Encoder, type Options } from "cbor-x/index-no-eval";
import { CarillonError } from "../../core/errors.ts";
import { DecodeError } from "./bytes.ts";

// `int64AsNumber` is missing from the types. Without the others: tag 64 on every byte string, private
// record tags, maps in longer form than needed, and values that pin the buffer they came from.
const settings: Options & { readonly int64AsNumber: boolean } = {
  tagUint8Array: false,
  useRecords: false,
  variableMapSize: true,
  int64AsNumber: true,
  copyBuffers: true,
};
const codec: Encoder = new Encoder(settings);

export const cborDepthMax = 16;
export const cborItemsMax = 100_000;

/** Throws CarillonError `bad-request` for a value `decodeCbor` would refuse: functions, cycles, more than 16 levels, integers beyond 2^53. */
export function encodeCbor(value: unknown): Uint8Array<ArrayBuffer> {
  try {
    const bytes = new Uint8Array(codec.encode(value));
    scan(bytes);
    return bytes;
  } catch (cause) {
    const why = cause instanceof DecodeError ? cause.message.replace("Cannot decode: ", "") : reason(cause);
    throw new CarillonError("bad-request", `Cannot encode the value as CBOR: ${why}`, { cause });
  }
}

/**
 * One value that fills all of `bytes`. Maps become objects (tag 259: Map, 258: Set, 1: Date, 64–87: typed
 * arrays), byte strings Uint8Array. Throws DecodeError; lengths must be definite and no longer than needed, keys unique.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  scan(plain);
  try {
    return codec.decode(plain);
  } catch (cause) {
    throw new DecodeError(`the CBOR is refused: ${reason(cause)}`);
  }
}

function reason(cause: unknown): string {
  // A cycle overflows the stack of the encoder.
  if (cause instanceof RangeError) return "it is nested too deeply or out of range";
  return cause instanceof Error ? cause.message : String(cause);
}

function scan(bytes: Uint8Array): void {
  const scanner = new Scanner(bytes);
  scanner.item(0);
  if (scanner.at !== bytes.byteLength) throw new DecodeError(`${bytes.byteLength - scanner.at} bytes follow the CBOR value`);
}

const text: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** One character per byte: names a key, its head included ("i" begins nine letters of text). */
const oneToOne: TextDecoder = new TextDecoder("windows-1252");

/** Major types. */
const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;
const tags = { date: 1, typedFirst: 64, typedLast: 87, set: 258, map: 259 } as const;

class Scanner {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;
  #items = 0;
  /** The number, length or tag read last. */
  #number = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Walks one item; returns its major type. */
  item(depth: number, anyKeys = false): number {
    if (depth > cborDepthMax) throw new DecodeError(`the CBOR is nested deeper than ${cborDepthMax}`);
    if (++this.#items > cborItemsMax) throw new DecodeError(`the CBOR has more than ${cborItemsMax} items`);
    const first = this.#take(1);
    const type = this.#bytes[first]! >> 5;
    const info = this.#bytes[first]! & 31;
    if (type === major.simple) this.#simple(info);
    else this.#sized(type, this.#number = this.#argument(type, info), depth, anyKeys);
    return type;
  }

  #sized(type: number, size: number, depth: number, anyKeys: boolean): void {
    switch (type) {
      case major.bytes:
        this.#take(size);
        return;
      case major.text:
        this.#text(size);
        return;
      case major.array:
        this.#claim(size);
        for (let index = 0; index < size; index++) this.item(depth + 1);
        return;
      case major.map:
        this.#claim(size * 2);
        this.#pairs(size, depth, anyKeys);
        return;
      case major.tag:
        return this.#tagged(size, depth);
    }
  }

  /** The number in or behind the first byte. */
  #argument(type: number, info: number): number {
    if (info < 24) return info;
    if (info > 27) throw new DecodeError("the CBOR has an item of indefinite length");
    const bytes = 1 << info - 24;
    const at = this.#take(bytes);
    const top = bytes === 8 ? this.#view.getUint32(at) : 0;
    const value = bytes === 1
      ? this.#view.getUint8(at)
      : bytes === 2
      ? this.#view.getUint16(at)
      : this.#view.getUint32(bytes === 8 ? at + 4 : at) + top * 2 ** 32;
    const least = bytes === 1 ? 24 : bytes === 2 ? 2 ** 8 : bytes === 4 ? 2 ** 16 : 2 ** 32;
    // Only of lengths and tags: cbor-x itself writes a bigint in eight bytes and a date in four.
    if (value < least && type > major.negative) throw new DecodeError("the CBOR has a length that is longer than needed");
    if (value >= Number.MAX_SAFE_INTEGER) throw new DecodeError("the CBOR has an integer beyond 2^53");
    return value;
  }

  #simple(info: number): void {
    // false, true, null, undefined; floats of 2, 4, 8 bytes.
    if (info >= 20 && info <= 23) return;
    if (info < 25 || info > 27) throw new DecodeError("the CBOR has an unknown simple value");
    this.#take(1 << info - 24);
  }

  #tagged(tag: number, depth: number): void {
    const content = this.item(depth + 1, tag === tags.map);
    const fits = tag === tags.date
      ? content === major.unsigned || content === major.negative || content === major.simple
      : tag === tags.set
      ? content === major.array
      : tag === tags.map
      ? content === major.map
      : tag >= tags.typedFirst && tag <= tags.typedLast && content === major.bytes;
    if (!fits) throw new DecodeError(`the CBOR has tag ${tag}, which is refused here`);
  }

  #pairs(size: number, depth: number, anyKeys: boolean): void {
    const seen = new Set<string>();
    for (let index = 0; index < size; index++) {
      const from = this.at;
      const type = this.item(depth + 1);
      // In an object, the keys 1 and "1" would be the same.
      const isText = type === major.text;
      // cbor-x would write a larger integer as a float.
      const isSmall = type <= major.negative && this.#number < 2 ** 31;
      if (!isText && !(anyKeys && isSmall)) throw new DecodeError("the CBOR has a map key that is not text");
      const key = isText ? oneToOne.decode(this.#bytes.subarray(from, this.at)) : `${type} ${this.#number}`;
      if (seen.has(key)) throw new DecodeError("the CBOR has the same map key twice");
      if (key === "i__proto__") throw new DecodeError('the CBOR has the map key "__proto__"');
      seen.add(key);
      this.item(depth + 1);
    }
  }

  #text(size: number): void {
    const at = this.#take(size);
    try {
      text.decode(this.#bytes.subarray(at, at + size));
    } catch {
      throw new DecodeError("the CBOR has text that is not UTF-8");
    }
  }

  /** Every item takes at least one byte: a claim beyond what is left is a lie, found before anything is allocated. */
  #claim(items: number): void {
    if (items > this.#bytes.byteLength - this.at) throw new DecodeError(`the CBOR claims ${items} items and has not so many bytes`);
  }

  #take(bytes: number): number {
    const at = this.at;
    if (bytes > this.#bytes.byteLength - at) throw new DecodeError(`the CBOR ends inside an item of ${bytes} bytes`);
    this.at = at + bytes;
    return at;
  }
}

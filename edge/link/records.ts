/**
 * What a stream carries on the way: records, each a u32 length and some frames (or a part of one) under a key that only the two
 * ends have. The key is replaced long before it has sealed too much, at the same record at both ends.
 */
import { DecodeError } from "../codec/bytes.ts";
import type { Cryptography } from "../runtime.ts";
import { FrameReader } from "./frames.ts";
import { Cipher, tagBytes } from "./noise/cipher.ts";

/** What a record holds at most: a full entry and what stands around it. A receiver keeps no more than this of what it has not verified. */
export const recordBytesMax: number = (64 << 10) + 1_024;
/** Little more than a GiB under one key, at most. */
export const recordsPerKey: number = 1 << 14;
const headerBytes = 4;
const nothing: Uint8Array = new Uint8Array(0);

export class Sealer {
  readonly #cipher: Cipher;

  constructor(cryptography: Cryptography, key: Uint8Array) {
    this.#cipher = new Cipher(cryptography, key);
  }

  /** A record of `recordBytesMax` bytes or fewer. Nobody writes to it again. */
  seal(plain: Uint8Array): Uint8Array {
    const record = this.#cipher.seal(nothing, plain, headerBytes);
    const length = record.byteLength - headerBytes;
    for (let index = 0; index < headerBytes; index++) record[index] = length >>> 8 * index;
    if (this.#cipher.counter % recordsPerKey === 0) this.#cipher.rekey();
    return record;
  }
}

export class Opener {
  readonly #cipher: Cipher;
  readonly #reader: FrameReader;

  /** `onPlain` gets what was sealed, record by record, in buffers of their own. */
  constructor(cryptography: Cryptography, key: Uint8Array, onPlain: (plain: Uint8Array) => void) {
    this.#cipher = new Cipher(cryptography, key);
    this.#reader = new FrameReader((record) => {
      const plain = this.#cipher.open(nothing, record);
      if (plain === null) throw new DecodeError("a record was not sealed by the peer, or not as the next one");
      if (this.#cipher.counter % recordsPerKey === 0) this.#cipher.rekey();
      onPlain(plain);
    }, recordBytesMax + tagBytes);
  }

  /** The chunk must not be written to afterwards. Throws DecodeError for anything but the next records, and whatever `onPlain` throws. */
  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }
}

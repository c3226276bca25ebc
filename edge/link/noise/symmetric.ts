/** What both sides of a Noise handshake agree on so far: a hash of everything said, and a key made of every secret shared. */
import { assert } from "../../../core/assert.ts";
import type { Cryptography } from "../../runtime.ts";
import { Cipher } from "./cipher.ts";

const hashBytes = 32;

export class Symmetric {
  readonly #cryptography: Cryptography;
  #hash: Uint8Array;
  #chainingKey: Uint8Array;
  /** Null until the first secret is shared; nothing is sealed before. */
  #cipher: Cipher | null = null;

  constructor(cryptography: Cryptography, protocol: string) {
    const name = new TextEncoder().encode(protocol);
    this.#cryptography = cryptography;
    if (name.byteLength > hashBytes) this.#hash = cryptography.sha256(name);
    else {
      this.#hash = new Uint8Array(hashBytes);
      this.#hash.set(name);
    }
    this.#chainingKey = this.#hash;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#cryptography.sha256(joined(this.#hash, data));
  }

  mixKey(secret: Uint8Array): void {
    const [chainingKey, key] = this.#derive(secret);
    this.#chainingKey = chainingKey;
    this.#cipher = new Cipher(this.#cryptography, key);
  }

  sealAndHash(plain: Uint8Array): Uint8Array {
    const said = this.#keyed().seal(this.#hash, plain);
    this.mixHash(said);
    return said;
  }

  /** Null for what the other side has not said, or not now. */
  openAndHash(said: Uint8Array): Uint8Array | null {
    const plain = this.#keyed().open(this.#hash, said);
    if (plain !== null) this.mixHash(said);
    return plain;
  }

  /** The keys of the conversation that follows: the initiator's direction, the responder's. */
  split(): readonly [Uint8Array, Uint8Array] {
    return this.#derive(new Uint8Array(0));
  }

  #keyed(): Cipher {
    assert(this.#cipher !== null, "Cannot seal or open: no secret is shared yet");
    return this.#cipher;
  }

  /** HKDF with two outputs. */
  #derive(secret: Uint8Array): readonly [Uint8Array, Uint8Array] {
    const { hmacSha256 } = this.#cryptography;
    const extracted = hmacSha256(this.#chainingKey, secret);
    const first = hmacSha256(extracted, Uint8Array.of(1));
    return [first, hmacSha256(extracted, joined(first, Uint8Array.of(2)))];
  }
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

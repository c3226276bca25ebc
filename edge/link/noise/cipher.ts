/** One direction of a Noise conversation under one key: AES-256-GCM, and a counter that is the nonce. */
import { assert } from "../../../core/assert.ts";
import type { Aead, Cryptography } from "../../runtime.ts";

export const tagBytes = 16;
const keyBytes = 32;
const nothing: Uint8Array = new Uint8Array(0);

export class Cipher {
  readonly #cryptography: Cryptography;
  #aead: Aead;
  /** 32 zero bits and the counter, big-endian. Written anew for each use. */
  readonly #nonce: Uint8Array = new Uint8Array(12);
  readonly #nonceView: DataView = new DataView(this.#nonce.buffer);
  #counter = 0;

  constructor(cryptography: Cryptography, key: Uint8Array) {
    assert(key.byteLength === keyBytes, `Cannot encrypt with a key of ${key.byteLength} bytes: it has ${keyBytes}`);
    this.#cryptography = cryptography;
    this.#aead = cryptography.aead(key);
  }

  /** How often it was used; both ends count alike. */
  get counter(): number {
    return this.#counter;
  }

  /** The first `room` bytes of what is returned are free, for a header of the caller's. */
  seal(header: Uint8Array, plain: Uint8Array, room = 0): Uint8Array {
    const sealed = this.#aead.seal(this.#nextNonce(), header, plain, room);
    this.#counter++;
    return sealed;
  }

  /** Null for what is not the next thing sealed at the other end; the counter stays then. */
  open(header: Uint8Array, sealed: Uint8Array): Uint8Array | null {
    const plain = this.#aead.open(this.#nextNonce(), header, sealed);
    if (plain !== null) this.#counter++;
    return plain;
  }

  /** Goes over to the key that follows from this one, and from which this one does not follow. The counter goes on. */
  rekey(): void {
    const next = this.#aead.seal(this.#nonce.fill(0xff), nothing, new Uint8Array(keyBytes));
    this.#aead = this.#cryptography.aead(next.slice(0, keyBytes));
  }

  #nextNonce(): Uint8Array {
    // Never reached: at a million records a second it would take three centuries.
    assert(this.#counter < Number.MAX_SAFE_INTEGER, "Cannot encrypt: the key is used up");
    this.#nonceView.setUint32(0, 0);
    this.#nonceView.setUint32(4, Math.floor(this.#counter / 2 ** 32));
    this.#nonceView.setUint32(8, this.#counter >>> 0);
    return this.#nonce;
  }
}

/** The keys of one direction of a connection: one secret from the handshake, and from it a row of keys, each made from the one before. */
import type { Aead, Cryptography } from "../../runtime.ts";

export const secretBytes = 32;
export const connectionIdBytes = 8;
const nonceBytes = 12;
/** Nonces end with the packet number, 64 bits. */
const numberAt = 4;
const high = 2 ** 32;

/** The key of one phase. The key before cannot be found from it. */
export class PhaseKey {
  readonly #cryptography: Cryptography;
  readonly #secret: Uint8Array;
  readonly #aead: Aead;
  /** Rewritten for each packet; the last 8 bytes are those of the IV xor the packet number. */
  readonly #nonce: DataView;
  readonly #nonceBytes: Uint8Array;
  readonly #ivHigh: number;
  readonly #ivLow: number;

  constructor(cryptography: Cryptography, secret: Uint8Array) {
    this.#cryptography = cryptography;
    this.#secret = secret;
    this.#aead = cryptography.aead(expand(cryptography, secret, "key"));
    this.#nonceBytes = expand(cryptography, secret, "iv").slice(0, nonceBytes);
    this.#nonce = new DataView(this.#nonceBytes.buffer);
    this.#ivHigh = this.#nonce.getUint32(numberAt);
    this.#ivLow = this.#nonce.getUint32(numberAt + 4);
  }

  /** The packet; the header is still to be written into it. */
  seal(packetNumber: number, header: Uint8Array, payload: Uint8Array): Uint8Array {
    return this.#aead.seal(this.#nonceOf(packetNumber), header, payload, header.byteLength);
  }

  /** The payload of a packet whose header is `header` once it is shown. */
  open(packetNumber: number, header: Uint8Array, packet: Uint8Array): Uint8Array | null {
    return this.#aead.open(this.#nonceOf(packetNumber), header, packet, header.byteLength);
  }

  next(): PhaseKey {
    return new PhaseKey(this.#cryptography, expand(this.#cryptography, this.#secret, "next"));
  }

  #nonceOf(packetNumber: number): Uint8Array {
    this.#nonce.setUint32(numberAt, this.#ivHigh ^ Math.floor(packetNumber / high));
    this.#nonce.setUint32(numberAt + 4, this.#ivLow ^ (packetNumber >>> 0));
    return this.#nonceBytes;
  }
}

/** Gives the 16 bytes that hide a header, from 16 bytes of the sealed payload, at `at`. The same for all phases of a direction. */
export function headerMask(cryptography: Cryptography, secret: Uint8Array): (packet: Uint8Array, at: number) => Uint8Array {
  return cryptography.block(expand(cryptography, secret, "header"));
}

const text: TextEncoder = new TextEncoder();

/** HKDF-Expand (RFC 5869) of one block, 32 bytes. */
export function expand(cryptography: Cryptography, secret: Uint8Array, label: string): Uint8Array {
  return cryptography.hmacSha256(secret, text.encode(`carillon udp 1 ${label}\x01`));
}

/**
 * Cryptography that costs next to nothing, for the seeds that are not about it: nothing is hidden by it, but what was changed, cut off,
 * sealed under another key or out of turn does not open, and two agree on what a third does not know. Its lengths are the real ones, so
 * that a run is the same event by event.
 */
import { crc32 } from "node:zlib";
import type { Aead, Cryptography } from "../../edge/runtime.ts";
import { cryptography } from "../../edge/runtime/cryptography.ts";

const tagBytes = 16;
const blockBytes = 16;
const keyBytes = 32;
const hashBytes = 32;
/** Diffie and Hellman's exchange in the numbers below a prime, whose products are exact. */
const prime = 67_108_859;
const generator = 2;

export const cheapCryptography: Cryptography = { ...cryptography, publicKey, agree, hmacSha256, aead, block };

function publicKey(privateKey: Uint8Array): Uint8Array {
  return spread(power(generator, exponentOf(privateKey)), keyBytes);
}

function agree(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const theirs = new DataView(publicKey.buffer, publicKey.byteOffset).getUint32(0, true);
  return spread(power(theirs % prime, exponentOf(privateKey)), keyBytes);
}

function exponentOf(privateKey: Uint8Array): number {
  return crc32(privateKey) % (prime - 1);
}

function power(base: number, exponent: number): number {
  let product = 1;
  for (let square = base, left = exponent; left > 0; left = Math.floor(left / 2), square = square * square % prime) {
    if (left % 2 === 1) product = product * square % prime;
  }
  return product;
}

function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return spread(crc32(data, crc32(key)), hashBytes);
}

/** The number as it is, and then with some of its bits turned. */
function spread(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = (number >>> 8 * (index % 4)) ^ Math.imul(index >> 2, 0x35);
  return bytes;
}

function aead(key: Uint8Array): Aead {
  const seed = crc32(key);
  return {
    seal(nonce, header, plain, room = 0) {
      const sealed = new Uint8Array(room + plain.byteLength + tagBytes);
      sealed.set(plain, room);
      writeTag(sealed, room + plain.byteLength, tagOf(seed, nonce, header, plain));
      return sealed;
    },
    open(nonce, header, sealed, room = 0) {
      const length = sealed.byteLength - tagBytes;
      if (length < room) return null;
      const plain = sealed.slice(room, length);
      const tag = tagOf(seed, nonce, header, plain);
      const expected = new Uint8Array(tagBytes);
      writeTag(expected, 0, tag);
      return expected.every((byte, index) => byte === sealed[length + index]) ? plain : null;
    },
  };
}

function tagOf(seed: number, nonce: Uint8Array, header: Uint8Array, plain: Uint8Array): number {
  return crc32(plain, crc32(header, crc32(nonce, seed)));
}

/** All of the tag depends on all of what it is made of. */
function writeTag(bytes: Uint8Array, at: number, tag: number): void {
  for (let index = 0; index < tagBytes; index++) bytes[at + index] = (tag >>> 8 * (index % 4)) ^ Math.imul(index, 0x35);
}

/** One block for another, so that headers look as unlike each other as they do on a real wire. */
function block(key: Uint8Array): (bytes: Uint8Array, at: number) => Uint8Array {
  const seed = crc32(key);
  return (bytes, at) => {
    const out = new Uint8Array(blockBytes);
    writeTag(out, 0, crc32(bytes.subarray(at, at + blockBytes), seed));
    return out;
  };
}

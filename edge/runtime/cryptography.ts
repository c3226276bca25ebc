/** What links need of cryptography, on the `node:crypto` that Bun, Deno and Node all have. Synchronous: a promise per packet costs more than the packet. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from "node:crypto";
import type { Aead, Cryptography } from "../runtime.ts";
import { hmacSha256, sameBytes } from "./hmac.ts";

const tagBytes = 16;
const blockBytes = 16;
/** Shorter tags would be taken otherwise. */
const tagged = { authTagLength: tagBytes } as const;
/** What stands before the 32 bytes of an X25519 key in PKCS #8 and in SubjectPublicKeyInfo (RFC 8410). */
const privatePrefix: Uint8Array = fromHex("302e020100300506032b656e04220420");
const publicPrefix: Uint8Array = fromHex("302a300506032b656e032100");
const keyBytes = 32;
/** What is sealed lies side by side in buffers of this size: one of its own for each would cost more than to seal what is small. */
const slabBytes = 64 << 10;

export const cryptography: Cryptography = {
  publicKey: (privateKey) => {
    const spki = createPublicKey(privateObject(privateKey)).export({ format: "der", type: "spki" });
    return new Uint8Array(spki.subarray(spki.byteLength - keyBytes));
  },
  agree(privateKey, publicKey) {
    try {
      const secret = new Uint8Array(diffieHellman({ privateKey: privateObject(privateKey), publicKey: publicObject(publicKey) }));
      return sameBytes(secret, new Uint8Array(keyBytes)) ? null : secret;
    } catch {
      // Some runtimes refuse a point of low order instead of agreeing on zeroes.
      return null;
    }
  },
  sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
  hmacSha256,
  sameBytes,
  aead,
  block(key) {
    // Blocks do not depend on each other: one cipher, never finished, serves for all of them.
    const cipher = createCipheriv(key.byteLength === 16 ? "aes-128-ecb" : "aes-256-ecb", key, null);
    cipher.setAutoPadding(false);
    // Copied by hand: views cost more than sixteen bytes.
    const plain = new Uint8Array(blockBytes);
    return (bytes, at) => {
      for (let index = 0; index < blockBytes; index++) plain[index] = bytes[at + index]!;
      return cipher.update(plain);
    };
  },
};

function aead(key: Uint8Array): Aead {
  const algorithm = key.byteLength === 16 ? "aes-128-gcm" : "aes-256-gcm";
  return {
    seal(nonce, header, plain, room = 0) {
      const cipher = createCipheriv(algorithm, key, nonce, tagged);
      if (header.byteLength > 0) cipher.setAAD(header);
      const sealed = roomFor(room + plain.byteLength + tagBytes);
      // In two steps: fresh buffers begin on a page each, and to copy between places a few bytes apart within their pages takes a
      // processor twenty times as long. To move the bytes on from there does not.
      const at = sealed.byteOffset === 0 ? 0 : room;
      sealed.set(cipher.update(plain), at);
      if (at < room) sealed.copyWithin(room, 0, plain.byteLength);
      cipher.final();
      sealed.set(cipher.getAuthTag(), room + plain.byteLength);
      return sealed;
    },
    open(nonce, header, sealed, room = 0) {
      const end = sealed.byteLength - tagBytes;
      if (end < room) return null;
      const decipher = createDecipheriv(algorithm, key, nonce, tagged);
      decipher.setAuthTag(sealed.subarray(end));
      if (header.byteLength > 0) decipher.setAAD(header);
      const plain = decipher.update(sealed.subarray(room, end));
      try {
        decipher.final();
      } catch {
        return null;
      }
      return new Uint8Array(plain.buffer, plain.byteOffset, plain.byteLength);
    },
  };
}

let slab: Uint8Array = new Uint8Array(0);
let slabUsed = 0;

/** Never given out twice. */
function roomFor(bytes: number): Uint8Array {
  if (bytes > slabBytes / 4) return new Uint8Array(bytes);
  if (slabUsed + bytes > slab.byteLength) {
    slab = new Uint8Array(slabBytes);
    slabUsed = 0;
  }
  return slab.subarray(slabUsed, slabUsed += bytes);
}

function privateObject(key: Uint8Array): KeyObject {
  return createPrivateKey({ key: joined(privatePrefix, key), format: "der", type: "pkcs8" });
}

function publicObject(key: Uint8Array): KeyObject {
  return createPublicKey({ key: joined(publicPrefix, key), format: "der", type: "spki" });
}

function joined(prefix: Uint8Array, key: Uint8Array): Buffer {
  if (key.byteLength !== keyBytes) throw new RangeError(`Cannot use a key of ${key.byteLength} bytes: X25519 keys have ${keyBytes}`);
  return Buffer.concat([prefix, key]);
}

function fromHex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16));
}

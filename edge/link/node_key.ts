/**
 * The file with a node's private keys, as text: one key a line, `carillon-private-key-1` and 32 bytes in base64url; empty lines
 * and those that begin with `#` are for people. No sentence of this file shows a private key.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Cryptography } from "../runtime.ts";
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import { type KeyPair, keyText } from "./identity.ts";

const marker = "carillon-private-key-1";
const keyBytes = 32;
/** While one key takes the place of another there are two. */
export const heldKeysMax = 4;

/** `place` is for sentences: the file's name. Throws CarillonError `config`. */
export function parseKeyFile(text: string, place: string, cryptography: Cryptography): readonly KeyPair[] {
  const keys: KeyPair[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    const said = line.trim();
    if (said === "" || said.startsWith("#")) return;
    const key = keyPair(privateKeyOf(said, `${place}, line ${index + 1}`), cryptography);
    if (keys.some((other) => keyText(other.publicKey) === keyText(key.publicKey))) {
      refuse(`${place}, line ${index + 1}`, "the key is there already");
    }
    keys.push(key);
  });
  if (keys.length === 0) refuse(place, "there is none");
  if (keys.length > heldKeysMax) refuse(place, `there are ${keys.length}, and ${heldKeysMax} are enough to change them`);
  return keys;
}

/** What `parseKeyFile` reads, with the public keys beside as comments. */
export function keyFileText(keys: readonly KeyPair[]): string {
  const lines = keys.flatMap(({ publicKey, privateKey }) => [`# public: ${keyText(publicKey)}`, `${marker} ${toBase64Url(privateKey)}`]);
  return ["# Private keys of a Carillon node. Whoever has one of them is that node.", ...lines, ""].join("\n");
}

/** A new key; `entropy` gives 32 random bits at a time. */
export function newKeyPair(cryptography: Cryptography, entropy: () => number): KeyPair {
  return keyPair(randomBytes(keyBytes, entropy), cryptography);
}

/** `count` is a multiple of four. */
export function randomBytes(count: number, entropy: () => number): Uint8Array {
  return new Uint8Array(Uint32Array.from({ length: count / 4 }, entropy).buffer);
}

function keyPair(privateKey: Uint8Array, cryptography: Cryptography): KeyPair {
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
}

function privateKeyOf(said: string, place: string): Uint8Array {
  const [word, encoded, ...rest] = said.split(/\s+/);
  if (word?.startsWith("ck1_")) refuse(place, "that is a public key; it belongs in the configuration");
  if (word !== marker) refuse(place, `a line is "${marker}" and the key`);
  const bytes = encoded === undefined || rest.length > 0 ? null : fromBase64Url(encoded);
  return bytes?.byteLength === keyBytes ? bytes : refuse(place, `a key is ${keyBytes} bytes in base64url, 43 characters`);
}

function refuse(place: string, state: string): never {
  throw new CarillonError("config", `Cannot read private keys from ${place}: ${state}`);
}

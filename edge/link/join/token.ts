/**
 * A join token: a key that stands for a node until the node's own is known. The node is given the private key, as text in a file;
 * the cluster's file lists the public one, and until when it is good for a first contact. No sentence of this file shows a token.
 */
import { CarillonError } from "../../../core/errors.ts";
import type { Micros } from "../../../core/ids.ts";
import type { Cryptography } from "../../runtime.ts";
import { unixMillis } from "../../runtime.ts";
import { fromBase64Url, toBase64Url } from "../base64url.ts";
import type { KeyPair } from "../identity.ts";
import type { KeySource } from "../key_file.ts";
import { newKeyPair } from "../node_key.ts";

const marker = "carillon-join-1";
const listingPrefix = "cj1_";
const keyBytes = 32;
const minuteMs = 60_000;

/** What the cluster's file lists of a token. */
export interface JoinListing {
  /** As it is listed: `cj1_` and 48 characters. Another text is another token. */
  readonly text: string;
  readonly publicKey: Uint8Array;
  /** Milliseconds since 1970; a whole minute. */
  readonly expiresAt: number;
}

/** Null for what is no listing. */
export function parseJoin(text: string): JoinListing | null {
  const bytes = text.startsWith(listingPrefix) ? fromBase64Url(text.slice(listingPrefix.length)) : null;
  if (bytes?.byteLength !== keyBytes + 4) return null;
  const minutes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(keyBytes);
  return { text, publicKey: bytes.slice(0, keyBytes), expiresAt: minutes * minuteMs };
}

/** Nobody is met for the first time under it any more. */
export function isExpired({ expiresAt }: JoinListing, wall: Micros): boolean {
  return unixMillis(wall) >= expiresAt;
}

/** A new one, good until `expiresAt` (milliseconds since 1970), rounded up to a minute. */
export function newToken(source: KeySource, expiresAt: number): { readonly token: string; readonly listing: JoinListing } {
  const { privateKey, publicKey } = newKeyPair(source.cryptography, () => source.entropy());
  const bytes = new Uint8Array(keyBytes + 4);
  bytes.set(publicKey);
  new DataView(bytes.buffer).setUint32(keyBytes, Math.ceil(expiresAt / minuteMs));
  return { token: `${marker} ${toBase64Url(privateKey)}`, listing: parseJoin(listingPrefix + toBase64Url(bytes))! };
}

/** The token in a text that may have comments and empty lines besides. `place` is for sentences. Throws CarillonError `config`. */
export function parseToken(text: string, place: string, cryptography: Cryptography): KeyPair {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  const [line, ...more] = lines;
  if (line === undefined) refuse(place, "there is none");
  if (more.length > 0) refuse(place, `there are ${lines.length} lines, and a token is one`);
  const [word, encoded, ...rest] = line.split(/\s+/);
  if (line.includes(listingPrefix)) refuse(place, "that is what the cluster's file lists; the token is the other line");
  if (word !== marker) refuse(place, `a token is "${marker}" and a key`);
  const privateKey = encoded === undefined || rest.length > 0 ? null : fromBase64Url(encoded);
  if (privateKey?.byteLength !== keyBytes) refuse(place, `behind "${marker}" are ${keyBytes} bytes in base64url, 43 characters`);
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
}

function refuse(place: string, state: string): never {
  throw new CarillonError("config", `Cannot read a join token from ${place}: ${state}`);
}

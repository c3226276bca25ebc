/**
 * Keys as the services hold them: binary strings, one character per UTF-8 byte, so that comparing
 * strings compares bytes and a key costs one string.
 */
import { CarillonError } from "../core/errors.ts";
import type { Key } from "./api.ts";
import { binaryBytes, binaryString } from "./bytes.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
// deno-lint-ignore no-control-regex
const ascii = /^[\x00-\x7f]*$/;

/** Bytes of a text as a binary string. */
export function textBinary(text: string): string {
  return ascii.test(text) ? text : binaryString(encoder.encode(text));
}

/** For people: bytes that are no UTF-8 show as replacement characters. */
export function binaryText(binary: string): string {
  return ascii.test(binary) ? binary : decoder.decode(binaryBytes(binary));
}

/** A key of one entry. Throws `bad-key`, or `too-large` with the limit. */
export function parseKey(key: Key, bytesMax: number): string {
  const binary = parseBound(key, bytesMax);
  if (binary === "") throw new CarillonError("bad-key", "Cannot use this key: it is empty");
  return binary;
}

/** One end of a range, or a prefix: may be empty. */
export function parseBound(key: Key, bytesMax: number): string {
  if (typeof key === "string") {
    // Unpaired surrogates have no UTF-8; encoding them would make different keys equal.
    if (!key.isWellFormed()) throw new CarillonError("bad-key", "Cannot use this key: it is not well-formed Unicode");
  } else if (!(key instanceof Uint8Array)) {
    throw new CarillonError("bad-key", "Cannot use this key: it is neither text nor bytes");
  }
  const binary = typeof key === "string" ? textBinary(key) : binaryString(key);
  if (binary.length > bytesMax) {
    throw new CarillonError("too-large", `Cannot use a key of ${binary.length} bytes: at most ${bytesMax} are allowed`, {
      facts: { limit: bytesMax },
    });
  }
  return binary;
}

/** The first key behind every key with this prefix; null if there is none. */
export function prefixEnd(prefix: string): string | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) length--;
  return length === 0 ? null : prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

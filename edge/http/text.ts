/** Bytes as text where they are text, and as base64 where they are not. */

// A byte order mark is text like any other: dropping it would make two byte strings one.
const strict: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** null if the bytes are not UTF-8. */
export function utf8OrNull(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // In pieces, because the arguments of one call must fit on the stack.
  for (let at = 0; at < bytes.length; at += 8_192) binary += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  return btoa(binary);
}

export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Either alphabet, padded or not; null for anything else. */
export function fromBase64(text: string): Uint8Array | null {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/").replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(plain) || plain.length % 4 === 1) return null;
  const binary = atob(plain);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

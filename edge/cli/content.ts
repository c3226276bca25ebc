/** Bytes for people and for programs. */
import { toBase64, utf8OrNull } from "../http/text.ts";

/** `text` for what is UTF-8, `base64` for the rest: as in the HTTP API. */
export function payload(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
  const text = utf8OrNull(bytes);
  return text === null ? { base64: toBase64(bytes) } : { text };
}

/** One line of a table: text as it is, anything else by its size. */
export function preview(bytes: Uint8Array): string {
  const text = utf8OrNull(bytes);
  // deno-lint-ignore no-control-regex
  return text === null || /[\x00-\x08\x0e-\x1f]/.test(text) ? `(${size(bytes.byteLength)})` : text;
}

export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

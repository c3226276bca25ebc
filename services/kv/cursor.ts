/** Where a scan goes on: the direction and the last key returned, opaque to users and valid at any node. */
import { CarillonError } from "../../core/errors.ts";

const forward = "\x01";
const backward = "\x02";

export function formatCursor(reverse: boolean, last: string): string {
  return btoa((reverse ? backward : forward) + last).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The last key returned. Throws `bad-cursor` for what `formatCursor` did not print, or printed for the other direction. */
export function parseCursor(cursor: string, reverse: boolean, keyBytesMax: number): string {
  // Base64 makes four characters of three bytes; longer ones are not worth decoding.
  if (typeof cursor === "string" && /^[A-Za-z0-9_-]+$/.test(cursor) && cursor.length <= Math.ceil((keyBytesMax + 1) / 3) * 4) {
    let text = "";
    try {
      text = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
    } catch {
      // Not base64: refused below.
    }
    if (text.length > 1 && text[0] === (reverse ? backward : forward) && formatCursor(reverse, text.slice(1)) === cursor) {
      return text.slice(1);
    }
  }
  throw new CarillonError("bad-cursor", "Cannot go on from this cursor: it does not come from a page of this scan");
}

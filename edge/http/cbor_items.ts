/**
 * Where the items of a CBOR sequence (RFC 8742) begin and end. Records keep the bytes they came with, so the items are
 * measured, not decoded; and a body from outside is measured without recursion deeper than a bound.
 */
import { badRequest } from "./problems.ts";

const depthMax = 64;

/** The items, as views. Throws `bad-request` for anything that is not a sequence of complete items. */
export function cborItems(bytes: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = itemEnd(bytes, at, 0);
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items;
}

function refuse(at: number, why: string): never {
  throw badRequest(`Cannot read the CBOR sequence: ${why} at byte ${at}`);
}

function itemEnd(bytes: Uint8Array, at: number, depth: number): number {
  if (depth > depthMax) refuse(at, `more than ${depthMax} levels`);
  const initial = bytes[at];
  if (initial === undefined) refuse(at, "it ends inside an item");
  const major = initial >> 5;
  const info = initial & 31;
  if (info >= 28 && info <= 30) refuse(at, "a reserved length");
  if (info === 31) return indefiniteEnd(bytes, at, major, depth);
  const width = info < 24 ? 0 : 2 ** (info - 24);
  let next = at + 1 + width;
  if (next > bytes.length) refuse(at, "it ends inside a length");
  let argument = info;
  if (width > 0) {
    argument = 0;
    for (let index = at + 1; index < next; index++) argument = argument * 256 + bytes[index]!;
  }
  switch (major) {
    case 2:
    case 3:
      if (argument > bytes.length - next) refuse(at, "it ends inside a string");
      return next + argument;
    case 4:
    case 5: {
      // Every item takes at least one byte: a lying count ends at the end of the bytes, not after 2^64 rounds.
      const items = major === 4 ? argument : argument * 2;
      if (items > bytes.length - next) refuse(at, "it ends inside a list");
      for (let index = 0; index < items; index++) next = itemEnd(bytes, next, depth + 1);
      return next;
    }
    case 6:
      return itemEnd(bytes, next, depth + 1);
    default:
      return next;
  }
}

/** Strings, lists and maps that end with a break. */
function indefiniteEnd(bytes: Uint8Array, at: number, major: number, depth: number): number {
  if (major < 2 || major > 5) refuse(at, "a break outside a list");
  let next = at + 1;
  let items = 0;
  while (bytes[next] !== 0xff) {
    const chunk = bytes[next];
    if (chunk === undefined) refuse(at, "it ends inside a list");
    if (major <= 3 && (chunk >> 5 !== major || (chunk & 31) === 31)) refuse(next, "a string made of something else");
    next = itemEnd(bytes, next, depth + 1);
    items++;
  }
  if (major === 5 && items % 2 === 1) refuse(at, "a key without a value");
  return next + 1;
}

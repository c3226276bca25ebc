/** Where in a log to read: what users may say, and what it means for what is kept. */
import { CarillonError } from "../../core/errors.ts";
import type { From } from "../api.ts";
import type { Extent } from "./machine.ts";

/** An offset, or how many records before the tail. */
export type Wanted = { readonly offset: number } | { readonly last: number };

/** Throws `bad-request`. */
export function parseFrom(from: From): Wanted {
  if (typeof from === "number") return { offset: parseOffset(from, "from") };
  const match = typeof from === "string" ? /^tail-([0-9]{1,15})$/.exec(from) : null;
  if (match === null) {
    throw new CarillonError("bad-request", `Cannot read from ${JSON.stringify(from)}: it is neither an offset nor tail-N`);
  }
  return { last: Number(match[1]) };
}

export function parseOffset(offset: number, name: string): number {
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new CarillonError("bad-request", `Cannot use ${name} ${offset}: an offset is a whole number from 0`);
}

/** The offset to read from. Throws `past-tail` or `trimmed` unless it is to be clamped. */
export function place(name: string, { first, next }: Extent, wanted: Wanted, clamp: boolean): number {
  if ("last" in wanted) return Math.max(first, next - wanted.last);
  const { offset } = wanted;
  if (clamp) return Math.min(Math.max(offset, first), next);
  if (offset > next) throw pastTail(name, `read log "${name}" from`, offset, next);
  if (offset < first) throw trimmed(name, offset, first);
  return offset;
}

/** `more`: facts beside these. */
export function pastTail(
  log: string,
  what: string,
  offset: number,
  tail: number,
  more: Readonly<Record<string, unknown>> = {},
): CarillonError {
  return new CarillonError("past-tail", `Cannot ${what} ${offset}: its tail is ${tail}`, { facts: { log, tail, ...more } });
}

export function trimmed(log: string, offset: number, oldest: number): CarillonError {
  return new CarillonError("trimmed", `Cannot read log "${log}" from ${offset}: the oldest kept offset is ${oldest}`, {
    facts: { log, oldest },
  });
}

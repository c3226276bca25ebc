/**
 * The key of a command in the order: the same at every node, compared lexicographically. As text it
 * is 20 hex digits (7 bytes major, 2 bytes group, 1 byte minor) that sort the way the order does; it
 * is the KV version, the ETag and the `after` of a stream.
 */
import type { GroupId } from "./ids.ts";

export interface Position {
  /** Under `ts` the command's stamp; under `rr` the turn, ⌊slot / M⌋. */
  readonly major: number;
  readonly group: GroupId;
  /** Under `ts` 0; under `rr` the slot within the turn. */
  readonly minor: number;
}

/** Before every command. */
export const start: Position = { major: 0, group: 0, minor: 0 };

export function comparePositions(a: Position, b: Position): number {
  return a.major - b.major || a.group - b.group || a.minor - b.minor;
}

export function formatPosition(position: Position): string {
  const high = Math.floor(position.major / 2 ** 32);
  const low = position.major >>> 0;
  return high.toString(16).padStart(6, "0") + low.toString(16).padStart(8, "0") +
    position.group.toString(16).padStart(4, "0") + position.minor.toString(16).padStart(2, "0");
}

/** The inverse of `formatPosition`; `null` for anything it did not print. */
export function parsePosition(text: string): Position | null {
  if (!/^[0-9a-f]{20}$/.test(text)) return null;
  const major = parseInt(text.slice(0, 6), 16) * 2 ** 32 + parseInt(text.slice(6, 14), 16);
  if (!Number.isSafeInteger(major)) return null;
  return { major, group: parseInt(text.slice(14, 18), 16), minor: parseInt(text.slice(18), 16) };
}

/** How a domain orders: by clock stamps, or by slots with `turn` commands of a group per turn (the paper's M). */
export type Order = { readonly merge: "ts" } | { readonly merge: "rr"; readonly turn: number };

/** The position of a slot in a group's log (merge `rr`). */
export function slotPosition(turn: number, group: GroupId, slot: number): Position {
  return { major: Math.floor(slot / turn), group, minor: slot % turn };
}

/** The position of command `index` of an entry. */
export function commandPosition(
  order: Order,
  group: GroupId,
  entry: { readonly stamp: number; readonly slotBase: number },
  index: number,
): Position {
  return order.merge === "ts" ? { major: entry.stamp + index, group, minor: 0 } : slotPosition(order.turn, group, entry.slotBase + index);
}

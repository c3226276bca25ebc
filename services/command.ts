/**
 * What every command looks like on the wire, and the walk over the commands of a delivery.
 *
 *   service u8 · request 6 bytes · body
 *
 * The request number means something only to the process that made it.
 */
import type { Delivery } from "../core/effects.ts";
import type { Origin } from "../core/ids.ts";
import { commandPosition, type Order, type Position } from "../core/position.ts";
import { readU32, writeU32 } from "./bytes.ts";

export const kvService = 0;
export const logService = 1;
export const multicastService = 2;
export const catalogService = 3;
export const serviceCount = 4;

export const headerBytes = 7;

/** Writes the header into the first bytes of a command whose body is already behind it. */
export function stamp(command: Uint8Array, service: number, request: number): Uint8Array {
  command[0] = service;
  writeU32(command, 1, request >>> 0);
  const high = Math.floor(request / 2 ** 32);
  command[5] = high;
  command[6] = high >>> 8;
  return command;
}

/** The request number of a command that starts at `at` and is at least a header long. */
export function requestOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + 5]! | bytes[at + 6]! << 8) * 2 ** 32 + readU32(bytes, at + 1);
}

/** One command: `bytes` from `at` to before `end`, valid during the call. */
export type Visit = (position: Position, bytes: Uint8Array, at: number, end: number, origin: Origin) => void;

/**
 * Calls back with each command of a delivery. What a proposer's batch says wrongly about its own
 * lengths is cut off there, the same at every node.
 */
export function eachDelivered(delivery: Delivery, order: Order, visit: Visit): void {
  const { group, entry, from, to, repeated } = delivery;
  let first = 0;
  for (let i = 0; i < entry.batches.length && first < to; i++) {
    const batch = entry.batches[i]!;
    const end = Math.min(first + batch.count, to);
    if (end > from && !(repeated !== null && repeated.has(i))) {
      const { bytes } = batch;
      let at = 0;
      for (let index = first; index < end && at + 4 <= bytes.byteLength; index++) {
        const length = readU32(bytes, at);
        at += 4;
        if (length > bytes.byteLength - at) break;
        if (index >= from) visit(commandPosition(order, group, entry, index), bytes, at, at + length, batch.origin);
        at += length;
      }
    }
    first += batch.count;
  }
}

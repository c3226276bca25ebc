/**
 * What every command looks like on the wire, and the walk over the commands of a delivery.
 *
 *   service u8 · request 6 bytes · body
 *   service u8 + 128 · request 6 bytes · fingerprint 16 · key length u8 · key · body
 *
 * The request number means something only to the process that made it. The second form carries the idempotency key its client
 * chose, and a fingerprint of what it asked for, so that no replica has to work it out again.
 */
import type { Delivery } from "../core/effects.ts";
import type { Origin } from "../core/ids.ts";
import { commandPosition, type Order, type Position } from "../core/position.ts";
import { type Reader, readU32, Writer, writeU32 } from "./bytes.ts";
import { Hash } from "./hash.ts";

export const kvService = 0;
export const logService = 1;
export const multicastService = 2;
export const catalogService = 3;
export const serviceCount = 4;

export const headerBytes = 7;
/** Set in the service number of a command with a key. */
export const keyedBit = 128;
export const fingerprintBytes = 16;

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

/** The same command with a key (1 to 255 bytes of ASCII), ready for `stamp` with `service + keyedBit`. */
export function withKey(command: Uint8Array, service: number, key: string): Uint8Array {
  const body = command.subarray(headerBytes);
  const writer = new Writer(headerBytes + fingerprintBytes + 1 + key.length + body.byteLength);
  writer.at = headerBytes;
  return writer.binary(new Hash().number(service).bytes(body).digest()).u8(key.length).binary(key).bytes(body).out;
}

/** Behind the header of a command with a key; leaves the reader at its body. Null if it cannot be read. */
export function readKey(reader: Reader): { readonly key: string; readonly fingerprint: string } | null {
  const fingerprint = reader.binary(fingerprintBytes);
  const key = reader.binary(reader.u8());
  return reader.ok && key !== "" ? { key, fingerprint } : null;
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

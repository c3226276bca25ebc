/** One page of a range that may cross partitions, in key order. It is consistent within each partition, not across them. */
import { CarillonError } from "../../core/errors.ts";
import { comparePositions, type Position, start } from "../../core/position.ts";
import type { ScanOptions } from "../api.ts";
import { type Context, parseCount, ready } from "../context.ts";
import { parseBound, prefixEnd } from "../keys.ts";
import type { ServiceLimits } from "../limits.ts";
import type { Partitions } from "../partitions.ts";
import { formatCursor, parseCursor } from "./cursor.ts";
import type { Stored } from "./machine.ts";

export interface Scan {
  /** Inclusive; binary string. */
  readonly from: string;
  /** Exclusive; null for no end. */
  readonly to: string | null;
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

/** The range that prefix, start, end and cursor leave together. Throws `bad-key`, `bad-cursor`, `bad-request` or `too-large`. */
export function parseScan(options: ScanOptions | undefined, limits: ServiceLimits): Scan {
  const bound = (key: string | Uint8Array) => parseBound(key, limits.keyBytesMax);
  const reverse = flag(options?.reverse, "reverse");
  let from = options?.start === undefined ? "" : bound(options.start);
  let to = options?.end === undefined ? null : bound(options.end);
  if (options?.prefix !== undefined) {
    const prefix = bound(options.prefix);
    from = later(from, prefix);
    to = earlier(to, prefixEnd(prefix));
  }
  if (options?.cursor !== undefined) {
    const last = parseCursor(options.cursor, reverse, limits.keyBytesMax);
    // No key lies between a key and the same with a zero byte behind it.
    if (reverse) to = earlier(to, last);
    else from = later(from, last + "\0");
  }
  const limit = parseCount(options?.limit, limits.pageItems, limits.pageItemsMax, "limit");
  return { from, to, limit, reverse, keysOnly: flag(options?.keysOnly, "keysOnly") };
}

export async function scanPage(
  context: Context,
  partitions: Partitions,
  scan: Scan,
  options: ScanOptions | undefined,
): Promise<{ entries: Stored[]; cursor: string | null; position: Position }> {
  const parts = partitions.within(scan.from, scan.to, scan.reverse);
  const entries: Stored[] = [];
  const asked = new Set<number>();
  let bytes = 0;
  let position = start;
  for (const { from, to, group } of parts) {
    const limit = scan.limit - entries.length;
    const bytesLeft = context.limits.pageBytesMax - bytes;
    // Only now is there more for certain; what is in the partition ahead is for the next page to ask.
    if (limit === 0 || bytesLeft <= 0) return { entries, cursor: formatCursor(scan.reverse, entries.at(-1)!.key), position };
    const { replica, machine } = context.replicas.kv(group);
    if (!asked.has(group) && (asked.size === 0 || !context.without.has("scan-confirmed"))) {
      await ready(context, replica, options, () => "scan");
    }
    asked.add(group);
    const page = machine.scan({ from, to, reverse: scan.reverse, keysOnly: scan.keysOnly, limit, bytes: bytesLeft });
    for (const entry of page.entries) {
      entries.push(entry);
      bytes += entry.key.length + entry.bytes.byteLength;
    }
    if (comparePositions(replica.applied, position) > 0) position = replica.applied;
    if (page.more) return { entries, cursor: formatCursor(scan.reverse, entries.at(-1)!.key), position };
  }
  return { entries, cursor: null, position };
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}

function earlier(a: string | null, b: string | null): string | null {
  return a === null || b !== null && b < a ? b : a;
}

function flag(value: boolean | undefined, name: string): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw new CarillonError("bad-request", `Cannot use ${name} ${JSON.stringify(value)}: it is true or false`);
}

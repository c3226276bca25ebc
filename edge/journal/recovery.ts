/**
 * Reads a journal from the segment where recovery begins to its last record. Behind the last readable record there is
 * either a torn tail (what was being written when the process ended; nobody was told of it) or damage (it was
 * durable, and now it is unreadable). They are told apart by what follows: every frame says how much was
 * durable when it was written.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Rule } from "../../core/rules.ts";
import type { Disk } from "../runtime.ts";
import { damageAt, missing, refusal } from "./damage.ts";
import { alignSector, type Crc32, sectorBytes } from "./frame.ts";
import { type Place, place } from "./log_index.ts";
import { decodePayload, type Payload } from "./payload.ts";
import { segmentName } from "./segments.ts";
import { syncAll, writeAll } from "./superblock.ts";
import type { Life } from "./superblock_codec.ts";
import { type Chain, nextFrame, walk, Window, windowBytes } from "./window.ts";

export interface Tail {
  /** Where the next batch goes. */
  readonly segment: number;
  readonly offset: number;
  /** Of the last frame. */
  readonly chain: Chain;
  /** The last frame says that everything before it was durable. */
  readonly marked: boolean;
  /** What was cut off, if anything. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | null;
}

export interface Recovering {
  readonly disk: Disk;
  readonly life: Life;
  /** The segments from `life.base` on, ascending. */
  readonly numbers: readonly number[];
  readonly crc32: Crc32;
  /** Rules the simulator takes away. */
  readonly without?: ReadonlySet<Rule>;
  readonly each: (payload: Payload, at: Place) => void;
  /** Before the first record of a segment. */
  readonly begin: (segment: number, capacity: number, before: Chain) => void;
}

interface End {
  readonly segment: number;
  readonly end: number;
  readonly size: number;
  readonly chain: Chain;
  readonly marked: boolean;
  /** At or before the first frame that none says was durable. */
  readonly unsure: number;
}

/** Looks and changes nothing. Throws CarillonError `corrupt`, naming file and byte. */
export async function readAll(recovering: Recovering): Promise<End & { readonly dirtyEnd: number }> {
  const { disk, life, numbers, crc32, each, begin } = recovering;
  numbers.forEach((number, index) => {
    if (number !== life.base + index) throw refusal(disk, missing(segmentName(life.base + index)));
  });
  let last: End = { segment: 0, end: 0, size: 0, chain: life.behind, marked: true, unsure: 0 };
  for (const segment of numbers) {
    const size = await disk.size(segmentName(segment));
    const file = await disk.open(segmentName(segment));
    const before = last.chain;
    let begun = false;
    const starts: { readonly sequence: number; readonly at: number }[] = [];
    try {
      const walked = await walk(new Window(file, size), 0, before, life.seed, crc32, (bytes, at, sequence) => {
        starts.push({ sequence, at });
        if (!begun) begin(segment, wholeSectors(size), before);
        begun = true;
        each(decode(bytes, at), place(segment, at));
      }, recovering.without?.has("whole-tail"));
      if (walked.end === 0) break;
      if (!begun) begin(segment, wholeSectors(size), before);
      const unsure = starts.find(({ sequence }) => sequence > walked.durable) ?? starts.at(-1);
      last = { segment, end: walked.end, size, chain: walked.chain, marked: walked.marked, unsure: unsure?.at ?? 0 };
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      throw refusal(disk, damageAt(segmentName(segment), error.at, error.message));
    } finally {
      await file.close();
    }
  }
  return { ...last, dirtyEnd: await refuseDamage(recovering, last) };
}

/** As `readAll`, and leaves exactly those segments that hold records, ready to be written on. Null: there are none. */
export async function recover(recovering: Recovering): Promise<Tail | null> {
  const { disk, numbers, life, crc32 } = recovering;
  const { segment, end, chain, marked, unsure, dirtyEnd } = await readAll(recovering);
  for (const number of numbers) if (number > segment) await disk.remove(segmentName(number));
  if (segment === 0) return null;
  const name = segmentName(segment);
  const offset = alignSector(end);
  if (!recovering.without?.has("settled-tail")) await settle(disk, name, wholeSectors(unsure), end, dirtyEnd, life.seed, crc32);
  const torn = dirtyEnd > end ? { file: name, offset: end, bytes: dirtyEnd - end } : null;
  return { segment, offset, chain, marked, torn };
}

export function wholeSectors(bytes: number): number {
  return Math.floor(bytes / sectorBytes) * sectorBytes;
}

/** A record that is whole by its checksum and yet makes no sense. */
class Unreadable extends Error {
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

function decode(bytes: Uint8Array, at: number): Payload {
  try {
    return decodePayload(bytes);
  } catch (error) {
    if (error instanceof CarillonError) throw new Unreadable(at, error.message);
    throw error;
  }
}

/** Looks at everything behind the last readable record. Returns where in its segment the last byte that is not zero ends. */
async function refuseDamage({ disk, life, numbers, crc32 }: Recovering, last: End): Promise<number> {
  const { sequence } = last.chain;
  const first = segmentName(last.segment === 0 ? life.base : last.segment);
  if (last.segment < life.reached && !numbers.includes(life.reached)) throw refusal(disk, missing(segmentName(life.reached)));
  const damaged = (): CarillonError =>
    refusal(disk, damageAt(first, last.end, `record ${sequence + 1} was durable and is unreadable`), "behind");
  let dirtyEnd = 0;
  for (const number of numbers) {
    if (number < last.segment) continue;
    const size = await disk.size(segmentName(number));
    const file = await disk.open(segmentName(number));
    try {
      const from = number === last.segment ? last.end : 0;
      const proof = await nextFrame(new Window(file, size), from, life.seed, crc32, (header) => header.durable > sequence, (at) => {
        if (number === last.segment) dirtyEnd = Math.min(at + 8, size);
      });
      if (proof !== null) throw damaged();
    } finally {
      await file.close();
    }
  }
  if (last.segment < life.reached) throw damaged();
  return dirtyEnd;
}

/**
 * Makes durable what has been read and will be built upon, and puts zeros in place of what was torn behind it. What a killed
 * process had written may be in the system's memory only; and after a failed sync the system takes it for written, so that
 * another sync would do nothing: it has to be written again.
 */
async function settle(disk: Disk, name: string, unsure: number, end: number, to: number, seed: number, crc32: Crc32): Promise<void> {
  const file = await disk.open(name);
  try {
    const from = alignSector(end);
    for (let at = unsure; at < from; at += windowBytes) await writeAll(file, at, await file.read(at, Math.min(windowBytes, from - at)));
    // A sector is never written again, but for this: the rest of a frame's batch was torn, so nobody was told of either.
    if (await nextFrame(new Window(file, from), end, seed, crc32, () => true) !== null) {
      const sector = await file.read(from - sectorBytes, sectorBytes);
      sector.fill(0, sectorBytes - (from - end));
      await writeAll(file, from - sectorBytes, sector);
    }
    const zeros = new Uint8Array(Math.max(0, Math.min(windowBytes, alignSector(to) - from)));
    for (let at = from; at < to; at += zeros.byteLength) {
      await writeAll(file, at, zeros.subarray(0, Math.min(zeros.byteLength, alignSector(to) - at)));
    }
    await syncAll(file);
  } finally {
    await file.close();
  }
}

/**
 * Reads a journal from its first record to its last. Behind the last readable record there is either
 * a torn tail (what was being written when the process ended; nobody was told of it) or damage (it was
 * durable, and now it is unreadable). They are told apart by what follows: every frame says how much was
 * durable when it was written.
 */
import type { JournalRecord } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import { Reader } from "../codec/bytes.ts";
import { decodeRecord } from "../codec/record.ts";
import type { Disk, DiskFile } from "../runtime.ts";
import { alignFrame, alignSector, type Crc32, headerBytes, readHeader, sectorBytes } from "./frame.ts";
import { type Place, place } from "./log_index.ts";
import { segmentName } from "./segments.ts";

export interface Tail {
  /** Where the next batch goes. */
  readonly segment: number;
  readonly offset: number;
  readonly capacity: number;
  /** Of the last record. */
  readonly sequence: number;
  readonly crc: number;
  /** What was cut off, if anything. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | null;
}

export type EachRecord = (record: JournalRecord, at: Place) => void;

const windowBytes = 1 << 20;

/** `numbers`: the segments there are, ascending. Leaves exactly those that hold records, or none. */
export async function recover(
  disk: Disk,
  numbers: readonly number[],
  seed: number,
  crc32: Crc32,
  each: EachRecord,
): Promise<Tail | null> {
  numbers.forEach((number, index) => {
    if (number === index + 1) return;
    throw new CarillonError("corrupt", `Cannot start: "${disk.root}/${segmentName(index + 1)}" is missing`);
  });
  let last = { number: 0, end: 0, size: 0 };
  let chain: Chain = { sequence: 0, crc: seed };
  for (const number of numbers) {
    const size = await disk.size(segmentName(number));
    const file = await disk.open(segmentName(number));
    try {
      const read = await readSegment(new Window(file, size), number, chain, seed, crc32, each);
      if (read.end === 0) break;
      chain = read.chain;
      last = { number, end: read.end, size };
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      throw new CarillonError(
        "corrupt",
        `Cannot start: "${disk.root}/${segmentName(number)}" is damaged at byte ${error.at}: ${error.message}`,
      );
    } finally {
      await file.close();
    }
  }
  const dirtyEnd = await refuseDamage(disk, numbers, last, chain, seed, crc32);
  for (const number of numbers) if (number > last.number) await disk.remove(segmentName(number));
  if (last.number === 0) return null;
  const name = segmentName(last.number);
  const offset = alignSector(last.end);
  await clean(disk, name, offset, dirtyEnd);
  const torn = dirtyEnd > last.end ? { file: name, offset: last.end, bytes: dirtyEnd - last.end } : null;
  return { segment: last.number, offset, capacity: Math.floor(last.size / sectorBytes) * sectorBytes, ...chain, torn };
}

interface Chain {
  readonly sequence: number;
  readonly crc: number;
}

/** A record that is whole by its checksum and yet makes no sense. */
class Unreadable extends Error {
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

async function readSegment(
  window: Window,
  number: number,
  chain: Chain,
  seed: number,
  crc32: Crc32,
  each: EachRecord,
): Promise<{ readonly end: number; readonly chain: Chain }> {
  let { sequence, crc } = chain;
  let at = 0;
  let end = 0;
  while (at < window.size) {
    if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
    const header = readHeader(window.bytes, at - window.from, crc32, seed);
    if (header !== null && header.sequence === sequence + 1 && header.previous === crc && at + headerBytes + header.length <= window.size) {
      if (!window.has(at, headerBytes + header.length)) await window.load(at, headerBytes + header.length);
      const payload = window.view(at + headerBytes, header.length);
      if (crc32(payload) === header.payloadCrc) {
        // An empty frame is a mark: it only says what was durable.
        if (payload.byteLength > 0) each(decode(payload, at), place(number, at));
        sequence = header.sequence;
        crc = header.crc;
        at = end = alignFrame(at + headerBytes + header.length);
        continue;
      }
    }
    // The end of a batch: the next one begins with a sector.
    if (at % sectorBytes === 0) break;
    at = alignSector(at);
  }
  return { end, chain: { sequence, crc } };
}

function decode(payload: Uint8Array, at: number): JournalRecord {
  try {
    const reader = new Reader(payload);
    const record = decodeRecord(reader);
    reader.end();
    return record;
  } catch (error) {
    if (error instanceof CarillonError) throw new Unreadable(at, error.message);
    throw error;
  }
}

/** Looks at everything behind the last readable record. Returns where in its segment the last byte that is not zero ends. */
async function refuseDamage(
  disk: Disk,
  numbers: readonly number[],
  last: { readonly number: number; readonly end: number },
  chain: Chain,
  seed: number,
  crc32: Crc32,
): Promise<number> {
  let dirtyEnd = 0;
  for (const number of numbers) {
    if (number < last.number) continue;
    const file = await disk.open(segmentName(number));
    try {
      const size = await disk.size(segmentName(number));
      const window = new Window(file, size);
      let at = number === last.number ? last.end : 0;
      while (at < size) {
        if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
        at = window.from + skipZeros(window.bytes, at - window.from);
        if (at >= window.end) continue;
        if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
        if (number === last.number) dirtyEnd = Math.min(at + 8, size);
        const header = readHeader(window.bytes, at - window.from, crc32, seed);
        at += 8;
        if (header === null || header.durable <= chain.sequence) continue;
        const damaged = last.number === 0 ? numbers[0]! : last.number;
        throw new CarillonError(
          "corrupt",
          `Cannot start: "${disk.root}/${segmentName(damaged)}" is damaged behind byte ${last.end}: record ${
            chain.sequence + 1
          } was durable and is unreadable`,
          { facts: { file: segmentName(damaged), offset: last.end } },
        );
      }
    } finally {
      await file.close();
    }
  }
  return dirtyEnd;
}

/** From `at`, a multiple of 8 from the start of the file: where the next eight bytes that are not all zero begin, or the end. */
function skipZeros(bytes: Uint8Array, at: number): number {
  const end = bytes.byteLength;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, end >>> 2);
  let word = at >>> 2;
  while (word < words.length && words[word] === 0) word++;
  if (word < words.length) return word * 4 - word * 4 % 8;
  for (let rest = words.length * 4; rest < end; rest++) if (bytes[rest] !== 0) return rest - rest % 8;
  return end;
}

/**
 * Zeros in place of what was torn, and a sync: what a killed process had written but not synced has been read and will
 * be built upon, so from here on it has to be durable.
 */
async function clean(disk: Disk, name: string, from: number, to: number): Promise<void> {
  const file = await disk.open(name);
  try {
    const zeros = new Uint8Array(windowBytes);
    for (let at = from; at < to; at += zeros.byteLength) {
      const part = zeros.subarray(0, Math.min(zeros.byteLength, alignSector(to) - at));
      await new Promise<void>((resolve, reject) => file.write(at, part, (error) => error ? reject(error) : resolve()));
    }
    await new Promise<void>((resolve, reject) => file.sync((error) => error ? reject(error) : resolve()));
  } finally {
    await file.close();
  }
}

/** A part of a file in memory that moves along with the reader. */
class Window {
  readonly size: number;
  bytes: Uint8Array = new Uint8Array(0);
  from = 0;
  readonly #file: DiskFile;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  get end(): number {
    return this.from + this.bytes.byteLength;
  }

  /** So much of `length` bytes as the file has. */
  has(at: number, length: number): boolean {
    return at >= this.from && Math.min(at + length, this.size) <= this.end;
  }

  async load(at: number, length: number): Promise<void> {
    this.bytes = await this.#file.read(at, Math.min(Math.max(length, windowBytes), this.size - at));
    this.from = at;
    // Shorter than it says it is: somebody else is at work here.
    if (!this.has(at, length)) throw new CarillonError("corrupt", `Cannot read a segment: it ends before byte ${at + length}`);
  }

  view(at: number, length: number): Uint8Array {
    return this.bytes.subarray(at - this.from, at - this.from + length);
  }
}

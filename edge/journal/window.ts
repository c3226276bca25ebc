/** A part of a file in memory that moves along with the reader, and the walk from frame to frame through a segment. */
import { CarillonError } from "../../core/errors.ts";
import type { DiskFile } from "../runtime.ts";
import { alignFrame, alignSector, type Crc32, headerBytes, readHeader, sectorBytes } from "./frame.ts";

export const windowBytes: number = 1 << 20;

export class Window {
  readonly size: number;
  bytes: Uint8Array = new Uint8Array(0);
  from = 0;
  readonly #file: DiskFile;
  readonly #stepBytes: number;
  /** Read into again and again: what was handed out before is another's then. */
  #buffer = new Uint8Array(0);

  constructor(file: DiskFile, size: number, stepBytes: number = windowBytes) {
    this.#file = file;
    this.size = size;
    this.#stepBytes = stepBytes;
  }

  get end(): number {
    return this.from + this.bytes.byteLength;
  }

  /** So much of `length` bytes as the file has. */
  has(at: number, length: number): boolean {
    return at >= this.from && Math.min(at + length, this.size) <= this.end;
  }

  async load(at: number, length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, this.#stepBytes), this.size - at);
    if (this.#buffer.byteLength < wanted) this.#buffer = new Uint8Array(wanted);
    this.bytes = await this.#file.read(at, wanted, this.#buffer);
    this.from = at;
    // Shorter than it says it is: somebody else is at work here.
    if (!this.has(at, length)) throw new CarillonError("corrupt", `Cannot read a segment: it ends before byte ${at + length}`);
  }

  view(at: number, length: number): Uint8Array {
    return this.bytes.subarray(at - this.from, at - this.from + length);
  }
}

/** Where in the journal's chain of frames a reader is: behind this frame. */
export interface Chain {
  readonly sequence: number;
  readonly crc: number;
}

export interface Walked {
  /** Behind the last frame that continues the chain; 0 if none does. */
  readonly end: number;
  readonly chain: Chain;
  /** The last frame was a mark: it only says what was durable. */
  readonly marked: boolean;
  /** Up to this frame everything was durable when the last one was written. */
  readonly durable: number;
}

/**
 * Every frame from `at` on that continues the chain. `each` gets a payload that is whole, and lent; marks have none. Only the
 * simulator is `trusting`: then headers are enough.
 */
export async function walk(
  window: Window,
  at: number,
  chain: Chain,
  seed: number,
  crc32: Crc32,
  each: (payload: Uint8Array, at: number, sequence: number) => void,
  trusting = false,
): Promise<Walked> {
  let { sequence, crc } = chain;
  let end = 0;
  let marked = false;
  let durable = 0;
  while (at < window.size) {
    if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
    const header = readHeader(window.bytes, at - window.from, crc32, seed);
    if (header !== null && header.sequence === sequence + 1 && header.previous === crc && at + headerBytes + header.length <= window.size) {
      if (!window.has(at, headerBytes + header.length)) await window.load(at, headerBytes + header.length);
      const payload = window.view(at + headerBytes, header.length);
      if (trusting || crc32(payload) === header.payloadCrc) {
        sequence = header.sequence;
        crc = header.crc;
        durable = header.durable;
        marked = payload.byteLength === 0;
        if (!marked) each(payload, at, sequence);
        at = end = alignFrame(at + headerBytes + header.length);
        continue;
      }
    }
    // The end of a batch: the next one begins with a sector.
    if (at % sectorBytes === 0) break;
    at = alignSector(at);
  }
  return { end, chain: { sequence, crc }, marked, durable };
}

/**
 * The first frame of this journal from `at` on, a multiple of 8, that is behind `sequence`, or null. Reads to the end of
 * the file if there is none.
 */
export async function nextFrame(
  window: Window,
  at: number,
  seed: number,
  crc32: Crc32,
  accept: (header: NonNullable<ReturnType<typeof readHeader>>) => boolean,
  onDirty: (at: number) => void = () => {},
): Promise<{ readonly at: number; readonly header: NonNullable<ReturnType<typeof readHeader>> } | null> {
  while (at < window.size) {
    if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
    at = window.from + skipZeros(window.bytes, at - window.from);
    if (at >= window.end) continue;
    if (!window.has(at, headerBytes)) await window.load(at, headerBytes);
    onDirty(at);
    const header = readHeader(window.bytes, at - window.from, crc32, seed);
    if (header !== null && accept(header)) return { at, header };
    at += 8;
  }
  return null;
}

/** From `at`, a multiple of 8 from the start of the file: where the next eight bytes that are not all zero begin, or the end. */
function skipZeros(bytes: Uint8Array, at: number): number {
  const end = bytes.byteLength;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, end >>> 2);
  let word = at >>> 2;
  // Most of a segment may be empty, and a start waits for this.
  while (
    word + 8 <= words.length &&
    (words[word]! | words[word + 1]! | words[word + 2]! | words[word + 3]! | words[word + 4]! | words[word + 5]! | words[word + 6]! |
        words[word + 7]!) === 0
  ) word += 8;
  while (word < words.length && words[word] === 0) word++;
  if (word < words.length) return word * 4 - word * 4 % 8;
  for (let rest = words.length * 4; rest < end; rest++) if (bytes[rest] !== 0) return rest - rest % 8;
  return end;
}

/**
 * One copy of the superblock: a sector of its own, with its number in it and a checksum over all of it.
 *
 * sector = magic u32 · format u16 · copy u8 · 0 u8 · body length u32 · body · 0… · checksum u32
 */
import type { NodeId } from "../../core/ids.ts";
import { DecodeError, Reader, Writer } from "../codec/bytes.ts";
import { readList, writeList } from "../codec/foundation.ts";
import { type Crc32, sectorBytes } from "./frame.ts";
import type { Chain } from "./window.ts";

/** What a directory says about itself. */
export interface Life {
  /** Raised with every change. */
  readonly version: number;
  readonly cluster: string;
  readonly node: NodeId;
  /** Random: begins the journal's chain, so that a segment of another directory is no part of it. */
  readonly seed: number;
  /** Random: the same only in a directory and its copies. */
  readonly directory: number;
  /** What the file system calls the place; a copy is in another. Empty: not known yet. */
  readonly place: string;
  /** How often it has begun: first, after damage, after it was adopted in a new place. */
  readonly incarnation: number;
  /** The node may not know what it promised, and must not vote on what it finds here. */
  readonly rejoining: boolean;
  /** Recovery begins with this segment, and the chain there behind this. Everything from it on is needed. */
  readonly base: number;
  readonly behind: Chain;
  /** Something has been durable in this segment. */
  readonly reached: number;
  /** Older segments that are still there, ascending: only to read entries back. */
  readonly kept: readonly Run[];
  /** Segments up to there are damaged and put aside, under this name. */
  readonly aside: { readonly upTo: number; readonly name: string } | null;
}

/** Consecutive segments, with the chain before the first and behind the last. */
export interface Run {
  readonly first: number;
  readonly last: number;
  readonly before: Chain;
  readonly behind: Chain;
}

export const format = 2;
const magic = 0x4b424c43;
const headBytes = 12;

/** So many runs fit with everything else, whatever that is. */
export const runsMax = 60;
export const clusterBytesMax = 512;

/** Who can read nothing else of a newer format reads this: magic, format, checksum. */
export class NewerFormat extends Error {
  readonly format: number;

  constructor(format: number) {
    super(`format ${format}`);
    this.format = format;
  }
}

export function encodeCopy(life: Life, copy: number, crc32: Crc32): Uint8Array {
  const writer = new Writer(sectorBytes);
  writer.u32(magic);
  writer.u16(format);
  writer.u8(copy);
  writer.u8(0);
  writer.u32(0);
  writer.u53(life.version);
  writer.utf8(life.cluster);
  writer.u16(life.node);
  writer.u32(life.seed);
  writer.u32(life.directory);
  writer.utf8(life.place);
  writer.u32(life.incarnation);
  writer.bool(life.rejoining);
  writer.u53(life.base);
  writeChain(writer, life.behind);
  writer.u53(life.reached);
  writeList(writer, life.kept, (run) => {
    writer.u53(run.first);
    writer.u53(run.last);
    writeChain(writer, run.before);
    writeChain(writer, run.behind);
  });
  writer.bool(life.aside !== null);
  if (life.aside !== null) {
    writer.u53(life.aside.upTo);
    writer.utf8(life.aside.name);
  }
  writer.patchU32(8, writer.length - headBytes);
  writer.skip(sectorBytes - 4 - writer.length);
  writer.u32(crc32(writer.view()));
  return writer.copy();
}

/** Null if the sector is no whole copy with this number. Throws NewerFormat. */
export function decodeCopy(sector: Uint8Array, copy: number, crc32: Crc32): Life | null {
  if (sector.byteLength !== sectorBytes) return null;
  const end = sectorBytes - 4;
  const view = new DataView(sector.buffer, sector.byteOffset, sectorBytes);
  if (view.getUint32(0, true) !== magic || view.getUint32(end, true) !== crc32(sector.subarray(0, end))) return null;
  const found = view.getUint16(4, true);
  if (found !== format) throw new NewerFormat(found);
  const length = view.getUint32(8, true);
  if (sector[6] !== copy || length > end - headBytes) return null;
  try {
    const reader = new Reader(sector.subarray(headBytes, headBytes + length));
    const life = readLife(reader);
    reader.end();
    return life;
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

function readLife(reader: Reader): Life {
  return {
    version: reader.u53(),
    cluster: reader.utf8(),
    node: reader.u16(),
    seed: reader.u32(),
    directory: reader.u32(),
    place: reader.utf8(),
    incarnation: reader.u32(),
    rejoining: reader.bool(),
    base: reader.u53(),
    behind: readChain(reader),
    reached: reader.u53(),
    kept: readList(reader, 40, () => ({
      first: reader.u53(),
      last: reader.u53(),
      before: readChain(reader),
      behind: readChain(reader),
    })),
    aside: reader.bool() ? { upTo: reader.u53(), name: reader.utf8() } : null,
  };
}

function writeChain(writer: Writer, { sequence, crc }: Chain): void {
  writer.u53(sequence);
  writer.u32(crc);
}

function readChain(reader: Reader): Chain {
  return { sequence: reader.u53(), crc: reader.u32() };
}

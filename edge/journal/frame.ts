/**
 * How a record lies on the disk. Every frame begins 8-byte aligned with a header that has a checksum
 * of its own, names its record's place in the journal and repeats the checksum of the frame before:
 * a stale, misplaced or foreign sector cannot pass for what should be there.
 *
 * header = magic u32 · length u32 · sequence u53 · behind u32 · previous u32 · payload checksum u32 · header checksum u32
 */

export const headerBytes = 32;
/** What a disk writes as a whole. No write touches a sector that holds something acknowledged. */
export const sectorBytes = 4_096;
export const payloadBytesMax: number = 1 << 27;

const magic = 0x314a4c43;

export interface FrameHeader {
  readonly length: number;
  /** Number of the record in the life of the journal, from 1. */
  readonly sequence: number;
  /** Everything up to this record was durable when the frame was written: if one of them is unreadable now, it has been damaged. */
  readonly durable: number;
  /** The header checksum of the frame before; the journal's seed for the first. */
  readonly previous: number;
  readonly payloadCrc: number;
  /** Of this header; what the next frame repeats. */
  readonly crc: number;
}

export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

export function alignFrame(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

export function alignSector(bytes: number): number {
  return Math.ceil(bytes / sectorBytes) * sectorBytes;
}

/** Writes the header of the frame at `at` of `bytes`, whose payload is in place. Returns its checksum. */
export function sealFrame(
  bytes: Uint8Array,
  at: number,
  frame: { readonly length: number; readonly sequence: number; readonly durable: number; readonly previous: number },
  crc32: Crc32,
  seed: number,
): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, headerBytes);
  view.setUint32(0, magic, true);
  view.setUint32(4, frame.length, true);
  view.setUint32(8, frame.sequence >>> 0, true);
  view.setUint32(12, Math.floor(frame.sequence / 2 ** 32), true);
  view.setUint32(16, Math.min(frame.sequence - 1 - frame.durable, 0xffff_ffff), true);
  view.setUint32(20, frame.previous, true);
  view.setUint32(24, crc32(bytes.subarray(at + headerBytes, at + headerBytes + frame.length)), true);
  const crc = crc32(bytes.subarray(at, at + headerBytes - 4), seed);
  view.setUint32(28, crc, true);
  return crc;
}

/** The header at `at`, or null if there is none that is whole and of this journal (`seed`). */
export function readHeader(bytes: Uint8Array, at: number, crc32: Crc32, seed: number): FrameHeader | null {
  if (at + headerBytes > bytes.byteLength) return null;
  // Most places that are looked at hold nothing: tell that before a view is made.
  if (bytes[at] !== (magic & 0xff) || bytes[at + 1] !== (magic >>> 8 & 0xff)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, headerBytes);
  if (view.getUint32(0, true) !== magic) return null;
  const crc = view.getUint32(28, true);
  if (crc32(bytes.subarray(at, at + headerBytes - 4), seed) !== crc) return null;
  const sequence = view.getUint32(12, true) * 2 ** 32 + view.getUint32(8, true);
  return {
    length: view.getUint32(4, true),
    sequence,
    durable: sequence - 1 - view.getUint32(16, true),
    previous: view.getUint32(20, true),
    payloadCrc: view.getUint32(24, true),
    crc,
  };
}

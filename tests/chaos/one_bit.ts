/** One bit of one file of a node's directory, chosen by a seed: any file, any place, with more of what is read at a start. */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../fuzz/random.ts";

export type FileKind = "journal" | "checkpoint" | "superblock" | "key" | "other";

export interface Bit {
  readonly kind: FileKind;
  readonly file: string;
  readonly offset: number;
  readonly bit: number;
  /** Where the last byte that is not zero ends: files are zero-filled before use. */
  readonly written: number;
}

/** How often each kind is drawn, where there is one. Chance alone would find hardly anything but journals. */
const shares: Readonly<Record<FileKind, number>> = { journal: 50, checkpoint: 25, superblock: 15, key: 5, other: 5 };
/** What was written last is told from what was not finished: most can go wrong there. */
const tailBytes = 16 << 10;

export function chooseBit(directory: string, random: Random): Bit {
  const byKind = new Map<FileKind, string[]>();
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    if (!statSync(path).isFile() || statSync(path).size === 0) continue;
    const kind = kindOf(name);
    byKind.set(kind, [...byKind.get(kind) ?? [], path]);
  }
  const draws = [...byKind.keys()].sort().flatMap((kind) => Array<FileKind>(shares[kind]).fill(kind));
  const kind = random.pick(draws);
  const files = byKind.get(kind)!;
  const newest = files.findLast((file) => writtenBytes(file) > 0) ?? files.at(-1)!;
  const file = kind === "journal" && random.chance(0.5) ? newest : random.pick(files);
  const { size } = statSync(file);
  const written = writtenBytes(file);
  const place = random.below(4);
  const [from, to] = place === 0 || written === 0 ? [0, size] : place === 1 ? [Math.max(0, written - tailBytes), written] : [0, written];
  return { kind, file, offset: from + random.below(to - from), bit: random.below(8), written };
}

/** Turns it over; once more, and it is as before. The node may be running. */
export function turn({ file, offset, bit }: Bit): void {
  const descriptor = openSync(file, "r+");
  try {
    const byte = new Uint8Array(1);
    if (readSync(descriptor, byte, 0, 1, offset) !== 1) throw new Error(`Cannot flip a bit of "${file}": it has no byte ${offset}`);
    byte[0]! ^= 1 << bit;
    writeSync(descriptor, byte, 0, 1, offset);
  } finally {
    closeSync(descriptor);
  }
}

export function describeBit({ file, offset, bit, written }: Bit): string {
  return `bit ${bit} of byte ${offset} (written: ${written}) of "${file}"`;
}

function kindOf(name: string): FileKind {
  if (/^journal-\d+$/.test(name)) return "journal";
  if (name.startsWith("checkpoint-")) return "checkpoint";
  return name === "superblock" ? "superblock" : name === "node.key" ? "key" : "other";
}

const blockBytes = 64 << 10;
const zeros = new Uint8Array(blockBytes);

function writtenBytes(file: string): number {
  const descriptor = openSync(file, "r");
  const block = Buffer.alloc(blockBytes);
  try {
    for (let from = Math.floor(Math.max(0, statSync(file).size - 1) / blockBytes) * blockBytes; from >= 0; from -= blockBytes) {
      const bytes = block.subarray(0, readSync(descriptor, block, 0, blockBytes, from));
      if (bytes.equals(zeros.subarray(0, bytes.byteLength))) continue;
      return from + bytes.findLastIndex((byte) => byte !== 0) + 1;
    }
    return 0;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * How a checkpoint lies in a file: blocks, each with a checksum that is keyed with the one before, so that no block can be
 * damaged, missing, doubled or another file's without being noticed. The first says whose state it is and where it goes on,
 * the last that it is whole.
 *
 * block = checksum 16 bytes · kind u8 · 3 zeros · length u32 · content
 */
import type { Resume } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Position } from "../../core/position.ts";
import { Reader, type Writer } from "../codec/bytes.ts";
import { readList, readPosition, readResume, writeList, writePosition, writeResume } from "../codec/foundation.ts";

export type Hash = (key: Uint8Array, data: Uint8Array) => Uint8Array;

/** What a checkpoint is of. */
export interface Head {
  readonly cluster: string;
  /** The replica's name. */
  readonly replica: string;
  /** Everything at or below has been applied, and nothing above. */
  readonly position: Position;
  /** Where each of its groups goes on. */
  readonly groups: readonly Resume[];
}

export type BlockKind = "head" | "body" | "end";

export const blockHeaderBytes = 24;
/** Body content is cut there. */
export const bodyBytesMax: number = 64 << 10;
/** A head names proposers and their batches: bounded, and more than it can need. */
export const headBytesMax: number = 32 << 20;

const checksumBytes = 16;
const version = 1;
const kinds: Readonly<Record<BlockKind, number>> = { head: 1, body: 2, end: 3 };

/** Seals blocks one after another, or checks them in the same order. */
export class Chain {
  readonly #hash: Hash;
  #key: Uint8Array = new TextEncoder().encode("carillon checkpoint");

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  /** The checksum of the last block: names the whole file. */
  get root(): Uint8Array {
    return this.#key;
  }

  seal(kind: BlockKind, content: Uint8Array): Uint8Array {
    const block = new Uint8Array(blockHeaderBytes + content.byteLength);
    block.set(content, blockHeaderBytes);
    return this.sealInPlace(kind, block);
  }

  /** The content is where it belongs in the block already. */
  sealInPlace(kind: BlockKind, block: Uint8Array): Uint8Array {
    block.fill(0, checksumBytes, blockHeaderBytes);
    block[checksumBytes] = kinds[kind];
    new DataView(block.buffer, block.byteOffset).setUint32(checksumBytes + 4, block.byteLength - blockHeaderBytes, true);
    block.set(this.#next(block), 0);
    return block;
  }

  /** The kind of a whole block that is the next. Throws CarillonError `corrupt`. */
  check(block: Uint8Array): BlockKind {
    const expected = this.#next(block);
    for (let at = 0; at < checksumBytes; at++) if (block[at] !== expected[at]) throw damaged("a checksum is wrong");
    const kind = (Object.keys(kinds) as BlockKind[]).find((name) => kinds[name] === block[checksumBytes]);
    if (kind === undefined) throw damaged("a block is of no known kind");
    return kind;
  }

  #next(block: Uint8Array): Uint8Array {
    return this.#key = this.#hash(this.#key, block.subarray(checksumBytes)).slice(0, checksumBytes);
  }
}

/** Bytes of the content of the block that begins here. Throws CarillonError `corrupt` for more than there can be. */
export function contentBytes(header: Uint8Array): number {
  const length = new DataView(header.buffer, header.byteOffset, blockHeaderBytes).getUint32(checksumBytes + 4, true);
  if (length > headBytesMax) throw damaged(`a block claims ${length} bytes`);
  return length;
}

export function writeHead(writer: Writer, { cluster, replica, position, groups }: Head): void {
  writer.u8(version);
  writer.utf8(cluster);
  writer.utf8(replica);
  writePosition(writer, position);
  writeList(writer, groups, (resume) => writeResume(writer, resume));
}

/** Throws CarillonError `corrupt`. */
export function readHead(bytes: Uint8Array): Head {
  const reader = new Reader(bytes);
  const found = reader.u8();
  if (found !== version) throw damaged(`its format is version ${found}, and this program knows ${version}`);
  const head = {
    cluster: reader.utf8(),
    replica: reader.utf8(),
    position: readPosition(reader),
    groups: readList(reader, 50, () => readResume(reader)),
  };
  reader.end();
  return head;
}

export function damaged(state: string): CarillonError {
  return new CarillonError("corrupt", `Cannot read a checkpoint: ${state}`);
}

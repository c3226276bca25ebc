/**
 * A node's checkpoints: files beside the journal, or, without a disk, the same files in memory. A file gets its name only when it is whole
 * and durable; of each replica the newest two are kept.
 */
import type { Resume } from "../../core/effects.ts";
import { comparePositions, formatPosition, parsePosition, type Position } from "../../core/position.ts";
import { Writer } from "../codec/bytes.ts";
import type { Disk, DiskFile } from "../runtime.ts";
import { blockHeaderBytes, bodyBytesMax, Chain, contentBytes, damaged, type Hash, type Head, readHead, writeHead } from "./blocks.ts";

/** Files, as far as checkpoints need them. */
export type Files = Pick<Disk, "list" | "read" | "size" | "preallocate" | "open" | "remove" | "rename">;

export interface Stored {
  readonly replica: string;
  readonly position: Position;
  readonly file: string;
  readonly bytes: number;
}

const keptMax = 2;
/** Written and not yet synced at most: a sync of much at once would hold up the journal's. */
const syncEveryBytes = 4 << 20;
/** What a restore reads at a time. */
const readBytes = 1 << 20;

const namePattern = /^checkpoint-([\w.-]+)-([0-9a-f]{20})$/;
const partPattern = /^checkpoint-.*\.part$/;

export class CheckpointStore {
  readonly #files: Files;
  readonly #cluster: string;
  readonly #hash: Hash;
  #all: Stored[] = [];

  constructor(files: Files, cluster: string, hash: Hash) {
    this.#files = files;
    this.#cluster = cluster;
    this.#hash = hash;
  }

  /** Finds what there is. What was being written when the process ended is removed. */
  async open(): Promise<void> {
    for (const file of await this.#files.list()) {
      const match = namePattern.exec(file);
      const position = match === null ? null : parsePosition(match[2]!);
      if (position !== null) this.#all.push({ replica: plain(match![1]!), position, file, bytes: await this.#files.size(file) });
      else if (partPattern.test(file)) await this.#files.remove(file);
    }
  }

  /** Of one replica, the newest first. */
  of(replica: string): Stored[] {
    return this.#all.filter((one) => one.replica === replica).sort((a, b) => comparePositions(b.position, a.position));
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Writes what `next` hands out until it says null, a block at a time. */
  async write(head: Omit<Head, "cluster">, next: () => Promise<Uint8Array | null>): Promise<Stored> {
    const file = fileName(head.replica, head.position);
    const part = await Part.create(this.#files, file);
    const chain = new Chain(this.#hash);
    try {
      const writer = new Writer();
      writeHead(writer, { ...head, cluster: this.#cluster });
      await part.append(chain.seal("head", writer.view()));
      for (let bytes = await next(); bytes !== null; bytes = await next()) {
        for (let at = 0; at < bytes.byteLength; at += bodyBytesMax) {
          await part.append(chain.seal("body", bytes.subarray(at, at + bodyBytesMax)));
        }
      }
      await part.append(chain.seal("end", new Uint8Array(0)));
    } catch (error) {
      await part.discard();
      throw error;
    }
    return await this.adopt(await part.finish(), head.replica, head.position);
  }

  /** For bytes that come from a peer: appended as they are, and `adopt`ed once they have been checked. */
  receive(replica: string, position: Position): Promise<Part> {
    return Part.create(this.#files, fileName(replica, position));
  }

  /** The part becomes a checkpoint; older ones than the two newest go. */
  async adopt(part: { readonly name: string; readonly bytes: number }, replica: string, position: Position): Promise<Stored> {
    const file = fileName(replica, position);
    await this.#files.rename(part.name, file);
    const stored = { replica, position, file, bytes: part.bytes };
    this.#all = [...this.#all.filter((one) => one.file !== file), stored];
    for (const old of this.of(replica).slice(keptMax)) await this.forget(old);
    return stored;
  }

  /** What was received is of no use beyond what has been read of it. */
  async discard(part: { readonly name: string }): Promise<void> {
    await this.#files.remove(part.name);
  }

  async forget(stored: Stored): Promise<void> {
    this.#all = this.#all.filter((one) => one !== stored);
    await this.#files.remove(stored.file);
  }

  /** A part of the file, for a peer. */
  read(stored: Stored, offset: number, length: number): Promise<Uint8Array> {
    return this.#files.read(stored.file, offset, Math.min(length, stored.bytes - offset));
  }

  /** Reads a whole file, checking every block. `body` gets what comes behind the head. Throws CarillonError `corrupt`. */
  async check(file: string, onHead: (head: Head) => void, body: (content: Uint8Array) => void): Promise<void> {
    const blocks = new Blocks(this.#files, file, await this.#files.size(file));
    const chain = new Chain(this.#hash);
    for (let first = true;; first = false) {
      const block = await blocks.next();
      const kind = chain.check(block);
      const content = block.subarray(blockHeaderBytes);
      if (first !== (kind === "head")) throw damaged("its head is not where it belongs");
      if (kind === "head") onHead(this.#ours(readHead(content)));
      else if (kind === "body") body(content);
      else break;
    }
    if (!blocks.done) throw damaged("it goes on behind its end");
  }

  /** Only the head, checked. */
  async head({ file, bytes }: Pick<Stored, "file" | "bytes">): Promise<Head> {
    const block = await new Blocks(this.#files, file, bytes).next();
    if (new Chain(this.#hash).check(block) !== "head") throw damaged("it does not begin with its head");
    return this.#ours(readHead(block.subarray(blockHeaderBytes)));
  }

  #ours(head: Head): Head {
    if (head.cluster !== this.#cluster) throw damaged(`it is of cluster ${JSON.stringify(head.cluster)}`);
    return head;
  }
}

/** How far a checkpoint goes in one group; undefined if its replica does not hear it. */
export function resumeOf(groups: readonly Resume[], id: number): Resume | undefined {
  return groups.find(({ group }) => group === id);
}

/** A file on its way. */
export class Part {
  readonly name: string;
  bytes = 0;
  readonly #files: Files;
  readonly #file: DiskFile;
  #unsynced = 0;

  private constructor(files: Files, name: string, file: DiskFile) {
    this.#files = files;
    this.name = name;
    this.#file = file;
  }

  static async create(files: Files, file: string): Promise<Part> {
    const name = `${file}.part`;
    await files.preallocate(name, 0);
    return new Part(files, name, await files.open(name));
  }

  async append(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) =>
      this.#file.write(this.bytes, bytes, (error) => error === null ? resolve() : reject(error))
    );
    this.bytes += bytes.byteLength;
    this.#unsynced += bytes.byteLength;
    if (this.#unsynced >= syncEveryBytes) await this.#sync();
  }

  async finish(): Promise<{ readonly name: string; readonly bytes: number }> {
    await this.#sync();
    await this.#file.close();
    return this;
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await this.#files.remove(this.name).catch(() => {});
  }

  #sync(): Promise<void> {
    this.#unsynced = 0;
    return new Promise((resolve, reject) => this.#file.sync((error) => error === null ? resolve() : reject(error)));
  }
}

/** Reads a file block by block. */
class Blocks {
  readonly #files: Files;
  readonly #file: string;
  readonly #size: number;
  #buffer = new Uint8Array(0);
  #bufferAt = 0;
  #at = 0;

  constructor(files: Files, file: string, size: number) {
    this.#files = files;
    this.#file = file;
    this.#size = size;
  }

  get done(): boolean {
    return this.#at === this.#size;
  }

  async next(): Promise<Uint8Array> {
    const header = await this.#view(blockHeaderBytes);
    const block = await this.#view(blockHeaderBytes + contentBytes(header));
    this.#at += block.byteLength;
    return block;
  }

  async #view(length: number): Promise<Uint8Array> {
    if (this.#at + length > this.#size) throw damaged(`it ends after ${this.#size} bytes, inside a block`);
    const from = this.#at - this.#bufferAt;
    if (from + length <= this.#buffer.byteLength) return this.#buffer.subarray(from, from + length);
    const read = await this.#files.read(this.#file, this.#at, Math.min(Math.max(length, readBytes), this.#size - this.#at));
    if (read.byteLength < length) throw damaged("its file is shorter than it was");
    this.#buffer = read as Uint8Array<ArrayBuffer>;
    this.#bufferAt = this.#at;
    return this.#buffer.subarray(0, length);
  }
}

/** Names of replicas in names of files: whatever is not plain is written as its code. */
function fileName(replica: string, position: Position): string {
  const name = [...new TextEncoder().encode(replica)].map((byte) => {
    const letter = String.fromCharCode(byte);
    return /[\w-]/.test(letter) ? letter : `.${byte.toString(16).padStart(2, "0")}`;
  }).join("");
  return `checkpoint-${name}-${formatPosition(position)}`;
}

function plain(name: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < name.length; at++) {
    if (name[at] === ".") {
      bytes.push(parseInt(name.slice(at + 1, at + 3), 16));
      at += 2;
    } else bytes.push(name.charCodeAt(at));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

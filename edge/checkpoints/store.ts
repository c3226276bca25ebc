/**
 * A node's checkpoints: files beside the journal, or, without a disk, the same files in memory. A file gets its name only when it is whole
 * and durable; of each replica the newest two are kept.
 */
import type { Resume } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import { comparePositions, formatPosition, parsePosition, type Position } from "../../core/position.ts";
import { Writer } from "../codec/bytes.ts";
import type { Disk } from "../runtime.ts";
import { blockHeaderBytes, bodyBytesMax, Chain, contentBytes, damaged, type Hash, type Head, readHead, writeHead } from "./blocks.ts";
import { Part } from "./part.ts";

/** Files, as far as checkpoints need them. */
export type Files = Pick<Disk, "list" | "read" | "size" | "preallocate" | "open" | "remove" | "rename">;

export interface Stored {
  readonly replica: string;
  readonly position: Position;
  readonly file: string;
  readonly bytes: number;
}

const keptMax = 2;
const blockBytesMax = blockHeaderBytes + bodyBytesMax;
/** Written at a time, of the largest: four take little more of a processor than one. */
const blocksWritten = 4;
/** What a restore reads at a time. */
const readBytes = 1 << 20;

const namePattern = /^checkpoint-([\w.-]+)-([0-9a-f]{20})$/;
/** What is being fetched says how large it will be: with its position, that is whether it is the one that is offered. */
const fetchedPattern = /^checkpoint-([\w.-]+)-([0-9a-f]{20})\.(\d+)\.part$/;
const partPattern = /^checkpoint-.*\.part$/;

/** Fetched in part, and left when its fetching ended early. */
interface Fetched {
  readonly replica: string;
  readonly position: Position;
  readonly name: string;
}

export class CheckpointStore {
  readonly #files: Files;
  readonly #cluster: string;
  readonly #hash: Hash;
  #all: Stored[] = [];
  /** At most one of each replica. */
  #fetched: Fetched[] = [];

  constructor(files: Files, cluster: string, hash: Hash) {
    this.#files = files;
    this.#cluster = cluster;
    this.#hash = hash;
  }

  /** Finds what there is of these replicas. What was being written when the process ended is removed; what was being fetched is kept. */
  async open(replicas: readonly string[]): Promise<void> {
    for (const file of await this.#files.list()) {
      const match = namePattern.exec(file) ?? fetchedPattern.exec(file);
      const position = match === null ? null : parsePosition(match[2]!);
      const replica = match === null ? "" : plain(match[1]!);
      if (position !== null && match![3] === undefined) {
        this.#all.push({ replica, position, file, bytes: await this.#files.size(file) });
      } else if (position !== null && replicas.includes(replica)) this.#fetched.push({ replica, position, name: file });
      else if (partPattern.test(file)) await this.#files.remove(file);
    }
    for (const replica of replicas) {
      const [newest] = this.of(replica);
      const useful = this.#fetched.filter((one) =>
        one.replica === replica && (newest === undefined || comparePositions(one.position, newest.position) > 0)
      );
      await this.#dropFetched(replica, useful.at(-1)?.name);
    }
  }

  /** Of one replica, the newest first. */
  of(replica: string): Stored[] {
    return this.#all.filter((one) => one.replica === replica).sort((a, b) => comparePositions(b.position, a.position));
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Writes what `next` puts into the room of a block, from its beginning, until it says null: how many bytes. */
  async write(head: Omit<Head, "cluster">, next: (room: Uint8Array) => Promise<number | null>): Promise<Stored> {
    const file = fileName(head.replica, head.position);
    const part = await Part.create(this.#files, `${file}.part`);
    const chain = new Chain(this.#hash);
    try {
      const writer = new Writer();
      writeHead(writer, { ...head, cluster: this.#cluster });
      await part.append(chain.seal("head", writer.view()));
      // The next ones are made where the last were, once those have been written.
      const blocks = new Uint8Array(blocksWritten * blockBytesMax);
      let at = 0;
      const room = () => blocks.subarray(at + blockHeaderBytes, at + blockBytesMax);
      for (let bytes = await next(room()); bytes !== null; bytes = await next(room())) {
        if (bytes > 0) at += chain.sealInPlace("body", blocks.subarray(at, at + blockHeaderBytes + bytes)).byteLength;
        if (at + blockBytesMax <= blocks.byteLength) continue;
        await part.append(blocks.subarray(0, at));
        at = 0;
      }
      if (at > 0) await part.append(blocks.subarray(0, at));
      await part.append(chain.seal("end", new Uint8Array(0)));
    } catch (error) {
      await part.discard();
      throw error;
    }
    return await this.adopt(await part.finish(), head.replica, head.position);
  }

  /**
   * For a file of so many bytes that comes from peers: appended as they are, and `adopt`ed once all are there. What an earlier try, or
   * life, has fetched of the same file is kept as far as its checksums are right; of another one it is removed.
   */
  async receive(replica: string, position: Position, bytes: number): Promise<Part> {
    const name = `${fileName(replica, position)}.${bytes}.part`;
    const known = this.#fetched.some((one) => one.name === name);
    await this.#dropFetched(replica, name);
    const whole = known ? await this.#wholeBytes(name, replica, position) : 0;
    if (!known) this.#fetched.push({ replica, position, name });
    return whole === 0 ? await Part.create(this.#files, name) : await Part.resume(this.#files, name, whole);
  }

  /** The part becomes a checkpoint; older ones than the two newest go, and so does what was being fetched: it is not needed any more. */
  async adopt(part: { readonly name: string; readonly bytes: number }, replica: string, position: Position): Promise<Stored> {
    const file = fileName(replica, position);
    await this.#files.rename(part.name, file);
    this.#fetched = this.#fetched.filter(({ name }) => name !== part.name);
    const stored = { replica, position, file, bytes: part.bytes };
    this.#all = [...this.#all.filter((one) => one.file !== file), stored];
    for (const old of this.of(replica).slice(keptMax)) await this.forget(old);
    await this.#dropFetched(replica);
    return stored;
  }

  /** What was fetched is of no use, or there is no room for it. */
  async discard(part: Part): Promise<void> {
    this.#fetched = this.#fetched.filter(({ name }) => name !== part.name);
    await part.discard();
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
  async head({ file, bytes }: Stored): Promise<Head> {
    return this.headOf(await new Blocks(this.#files, file, bytes).next());
  }

  /** From the whole block that it is. Throws CarillonError `corrupt`. */
  headOf(block: Uint8Array): Head {
    if (new Chain(this.#hash).check(block) !== "head") throw damaged("it does not begin with its head");
    return this.#ours(readHead(block.subarray(blockHeaderBytes)));
  }

  /** How many bytes of what was fetched are whole blocks of this checkpoint. */
  async #wholeBytes(name: string, replica: string, position: Position): Promise<number> {
    const blocks = new Blocks(this.#files, name, await this.#files.size(name));
    const chain = new Chain(this.#hash);
    let whole = 0;
    try {
      for (; !blocks.done; whole = blocks.at) {
        const block = await blocks.next();
        const kind = chain.check(block);
        if (whole > 0) continue;
        const head = kind === "head" ? this.#ours(readHead(block.subarray(blockHeaderBytes))) : null;
        if (head?.replica !== replica || comparePositions(head.position, position) !== 0) return 0;
      }
    } catch (error) {
      // What had not reached the disk when the power failed, or has been damaged since, is fetched again.
      if (!(error instanceof CarillonError) || error.code !== "corrupt") throw error;
    }
    return whole;
  }

  /** Of one replica: everything, or everything else. */
  async #dropFetched(replica: string, but?: string): Promise<void> {
    const stale = this.#fetched.filter((one) => one.replica === replica && one.name !== but);
    this.#fetched = this.#fetched.filter((one) => !stale.includes(one));
    for (const { name } of stale) await this.#files.remove(name);
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

  /** Behind the blocks that have been read. */
  get at(): number {
    return this.#at;
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

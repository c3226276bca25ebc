/**
 * The newest changes of one KV machine, as bytes: a watch can begin behind any position among them
 * without reading the log.
 *
 *   change: size u32 · op u8 · position 10 bytes · key length u16 · key · (put: type · value)
 *
 * Behind the position it is the command as it came. Chunks fill one after another, and the oldest
 * goes, whole, once they hold too much: nothing is kept for whoever reads slowly.
 */
import { comparePositions, type Position, start } from "../../core/position.ts";
import { positionBytes, Reader, readU32, readU53, writeU32, writeU53 } from "../bytes.ts";
import { readType } from "../content.ts";
import { opPut } from "./command.ts";

/** A copy: nothing in it changes any more. */
export interface Changed {
  /** Binary string. */
  readonly key: string;
  readonly position: Position;
  /** Null for a deletion. */
  readonly content: { readonly type: string; readonly bytes: Uint8Array } | null;
}

/** A reader's place, and the keys it cares for. Moved by `seek` and `take` only. */
export interface Cursor {
  /** Inclusive; binary string. */
  readonly from: string;
  /** Exclusive; null for no end. */
  readonly to: string | null;
  /** Changes up to here are passed over; null once one behind it was seen. */
  after: Position | null;
  /** Chunks are numbered for ever. */
  chunk: number;
  at: number;
}

interface Chunk {
  readonly bytes: Uint8Array;
  used: number;
  /** Of its last change. */
  last: Position;
}

const positionAt = 5;
const headBytes = positionAt + positionBytes;
/** So many normal chunks fill the history. */
const chunks = 32;

export class History {
  readonly #bytesMax: number;
  readonly #chunkBytes: number;
  readonly #chunks: Chunk[] = [];
  /** Number of the oldest chunk. */
  #first = 0;
  #held = 0;
  /** The buffer of a dropped chunk, for the next one. */
  #spare: Uint8Array | null = null;
  #oldest: Position = start;
  /** Those for one key, of whom there may be very many, and all others. */
  readonly #byKey = new Map<string, Set<() => void>>();
  readonly #others = new Set<() => void>();
  readonly #reader = new Reader();

  /** `bytesMax`: of all chunks together; the newest two are kept in any case. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#chunkBytes = Math.ceil(bytesMax / chunks);
  }

  /** Every change behind it is here. */
  get oldest(): Position {
    return this.#oldest;
  }

  /** Of the last change there was, whether it is here or before everything that is. */
  get newest(): Position {
    return this.#chunks.at(-1)?.last ?? this.#oldest;
  }

  /** Bytes of memory held. */
  get heldBytes(): number {
    return this.#held + (this.#spare?.byteLength ?? 0);
  }

  /** Takes what is left of `command`, from the length of the key on. Positions must ascend. */
  add(op: number, position: Position, key: string, command: Reader): void {
    const size = headBytes + command.left;
    const newest = this.#chunks.at(-1);
    const chunk = this.#room(size);
    const { bytes, used } = chunk;
    writeU32(bytes, used, size);
    bytes[used + 4] = op;
    writeU53(bytes, used + positionAt, position.major);
    bytes[used + positionAt + 7] = position.group;
    bytes[used + positionAt + 8] = position.group >>> 8;
    bytes[used + positionAt + 9] = position.minor;
    command.copy(command.left, bytes, used + headBytes);
    chunk.used = used + size;
    chunk.last = position;
    if (this.#others.size > 0) { for (const changed of this.#others) changed(); }
    if (this.#byKey.size > 0) this.#tell(chunk === newest ? this.#byKey.get(key) : undefined, chunk !== newest);
  }

  /**
   * Calls `changed` after each change in the range at least, and at the beginning of each chunk. A cursor must `seek` then: chunks
   * do not wait for it, and only so is one for which there was nothing told apart from one that has missed something.
   */
  listen(from: string, to: string | null, changed: () => void): () => void {
    if (to !== `${from}\0`) {
      this.#others.add(changed);
      return () => {
        this.#others.delete(changed);
      };
    }
    const listeners = this.#byKey.get(from) ?? new Set();
    this.#byKey.set(from, listeners.add(changed));
    return () => {
      listeners.delete(changed);
      if (listeners.size === 0 && this.#byKey.get(from) === listeners) this.#byKey.delete(from);
    };
  }

  #tell(listeners: ReadonlySet<() => void> | undefined, everybody: boolean): void {
    if (everybody) { for (const each of this.#byKey.values()) for (const changed of each) changed(); }
    else if (listeners !== undefined) { for (const changed of listeners) changed(); }
  }

  /** Null if changes behind `after` are gone. `after` may lie ahead of everything that is here. */
  open(after: Position, from: string, to: string | null): Cursor | null {
    if (comparePositions(this.#oldest, after) > 0) return null;
    const index = this.#chunks.findIndex(({ last }) => comparePositions(last, after) > 0);
    if (index >= 0) return { from, to, after, chunk: this.#first + index, at: 0 };
    const end = Math.max(this.#chunks.length - 1, 0);
    return { from, to, after, chunk: this.#first + end, at: this.#chunks[end]?.used ?? 0 };
  }

  /** Forgets everything: the state is now one that last changed at `newest`, and was not come to change by change. Whoever listens is told. */
  restart(newest: Position): void {
    // Also a cursor at the very end has missed something.
    this.#first += Math.max(this.#chunks.length, 1);
    this.#chunks.length = 0;
    this.#held = 0;
    this.#oldest = newest;
    for (const changed of this.#others) changed();
    this.#tell(undefined, true);
  }

  /** Moves the cursor to the next change in its range: its position, null if there is none yet, "lost" if it may have been dropped. */
  seek(cursor: Cursor): Position | null | "lost" {
    if (cursor.chunk < this.#first) {
      if (cursor.after === null || comparePositions(this.#oldest, cursor.after) > 0) return "lost";
      // Nothing of what has gone was for it.
      cursor.chunk = this.#first;
      cursor.at = 0;
    }
    for (let index = cursor.chunk - this.#first; index < this.#chunks.length; index++) {
      const { bytes, used } = this.#chunks[index]!;
      if (cursor.chunk < this.#first + index) {
        cursor.chunk = this.#first + index;
        cursor.at = 0;
      }
      for (; cursor.at < used; cursor.at += readU32(bytes, cursor.at)) {
        const position = wanted(bytes, cursor);
        if (position !== null) return position;
      }
    }
    return null;
  }

  /** The change `seek` has just found; the cursor moves behind it. */
  take(cursor: Cursor): Changed {
    const { bytes } = this.#chunks[cursor.chunk - this.#first]!;
    const end = cursor.at + readU32(bytes, cursor.at);
    const op = bytes[cursor.at + 4]!;
    const reader = this.#reader.reset(bytes, cursor.at + positionAt, end);
    const position = reader.position();
    const key = reader.binary(reader.u16());
    cursor.at = end;
    if (op !== opPut) return { key, position, content: null };
    const type = readType(reader);
    return { key, position, content: { type, bytes: reader.slice(reader.left) } };
  }

  /** The newest chunk, with room for so many bytes. */
  #room(size: number): Chunk {
    const newest = this.#chunks.at(-1);
    if (newest !== undefined && size <= newest.bytes.byteLength - newest.used) return newest;
    const normal = size <= this.#chunkBytes;
    const bytes = normal ? this.#spare ?? new Uint8Array(this.#chunkBytes) : new Uint8Array(size);
    if (normal) this.#spare = null;
    const chunk: Chunk = { bytes, used: 0, last: start };
    this.#chunks.push(chunk);
    this.#held += bytes.byteLength;
    // The one before stays: a cursor at its very end has missed nothing yet.
    while (this.#held > this.#bytesMax && this.#chunks.length > 2) this.#drop();
    return chunk;
  }

  #drop(): void {
    const { bytes, last } = this.#chunks.shift()!;
    this.#first++;
    this.#held -= bytes.byteLength;
    this.#oldest = last;
    if (bytes.byteLength === this.#chunkBytes) this.#spare = bytes;
  }
}

/** The position of the change at the cursor if it is one of the cursor's. */
function wanted(bytes: Uint8Array, cursor: Cursor): Position | null {
  const keyAt = cursor.at + headBytes + 2;
  const length = bytes[keyAt - 2]! | bytes[keyAt - 1]! << 8;
  const inRange = compareKey(bytes, keyAt, length, cursor.from) >= 0 &&
    (cursor.to === null || compareKey(bytes, keyAt, length, cursor.to) < 0);
  if (!inRange && cursor.after === null) return null;
  const at = cursor.at + positionAt;
  const position = { major: readU53(bytes, at), group: bytes[at + 7]! | bytes[at + 8]! << 8, minor: bytes[at + 9]! };
  if (cursor.after !== null && comparePositions(position, cursor.after) <= 0) return null;
  cursor.after = null;
  return inRange ? position : null;
}

function compareKey(bytes: Uint8Array, at: number, length: number, key: string): number {
  const both = Math.min(length, key.length);
  for (let i = 0; i < both; i++) {
    const difference = bytes[at + i]! - key.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return length - key.length;
}

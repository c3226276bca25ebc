/**
 * A state handed out as bytes, piece by piece over many turns, while it goes on changing. Whatever has state hands out its items as
 * they were at one moment; here they are cut into pieces. The bytes say nothing but the state: two that are equal at equal
 * positions give equal bytes, however they came about and wherever they are cut.
 */
import { assert } from "../core/assert.ts";
import { Writer } from "./bytes.ts";

export interface Snapshot {
  /**
   * The next bytes, at most so many; null behind the last. Fewer may come, even none, where finding them would take too long for one turn:
   * only null is the end. They lie in `into`, from its beginning, if that is given and has room for them; else in an array of their own.
   */
  next(bytesWanted: number, into?: Uint8Array): Uint8Array | null;
  /** Nothing more is asked for. Harmless after the end, which does the same. */
  close(): void;
}

/** The items of one state as they were when this was made, in an order that only the state decides. */
export interface Items {
  /** Bytes of the next item, 0 if there is none, `later` if the search for it should go on in another turn. */
  next(): number;
  /** Writes the item that `next` has just found. */
  write(writer: Writer): void;
  close(): void;
}

export const later = -1;

const noBytes = new Uint8Array(0);

export class Cutter implements Snapshot {
  readonly #items: Items;
  readonly #writer = new Writer(0);
  /** What did not fit into the last piece: by now its value may have been overwritten where it was. */
  #rest = noBytes;
  #restAt = 0;
  #ended = false;

  constructor(items: Items) {
    this.#items = items;
  }

  next(bytesWanted: number, into?: Uint8Array): Uint8Array | null {
    assert(bytesWanted >= 1, `Cannot hand out ${bytesWanted} bytes of a snapshot: at least one must be wanted`);
    if (this.#ended && this.#restAt === this.#rest.byteLength) return null;
    const piece = into !== undefined && into.byteLength >= bytesWanted ? into.subarray(0, bytesWanted) : new Uint8Array(bytesWanted);
    let at = this.#takeRest(piece, 0);
    while (at < bytesWanted && !this.#ended) {
      const size = this.#items.next();
      if (size === later) break;
      if (size === 0) this.#end();
      else if (size <= bytesWanted - at) {
        this.#write(piece, at, size);
        at += size;
      } else {
        this.#write(this.#rest = new Uint8Array(size), 0, size);
        this.#restAt = 0;
        at += this.#takeRest(piece, at);
      }
    }
    return at === 0 && this.#ended ? null : at === bytesWanted ? piece : piece.subarray(0, at);
  }

  close(): void {
    this.#end();
    this.#rest = noBytes;
    this.#restAt = 0;
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#items.close();
  }

  #write(out: Uint8Array, at: number, size: number): void {
    this.#items.write(this.#writer.reset(out, at));
    assert(this.#writer.at === at + size, `Cannot hand out a snapshot: an item of ${size} bytes took ${this.#writer.at - at}`);
  }

  #takeRest(piece: Uint8Array, at: number): number {
    const count = Math.min(this.#rest.byteLength - this.#restAt, piece.byteLength - at);
    if (count === 0) return 0;
    piece.set(this.#rest.subarray(this.#restAt, this.#restAt + count), at);
    this.#restAt += count;
    if (this.#restAt === this.#rest.byteLength) {
      this.#rest = noBytes;
      this.#restAt = 0;
    }
    return count;
  }
}

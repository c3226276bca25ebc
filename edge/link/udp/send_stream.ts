/**
 * The sending half of a stream: bytes kept as the caller's own buffers until the peer has them, and three marks on them: sent,
 * acknowledged, and to be sent again. A packet refers to them by offset, so that a loss costs no copy.
 */
import { assert } from "../../../core/assert.ts";
import { type FrameWriter, streamHeaderBytesMax, varintBytes } from "./frames.ts";
import { Ranges } from "./ranges.ts";

/** Bytes of a stream in one packet. */
export interface Piece {
  readonly stream: SendStream;
  readonly start: number;
  readonly end: number;
  /** Said for the first time. */
  readonly isNew: boolean;
}

/** Unsent bytes at which a writer is asked to wait, and at which it is called back. */
export const highWaterBytes = 1_048_576;
export const lowWaterBytes = highWaterBytes / 4;

const gone: Uint8Array = new Uint8Array(0);

export class SendStream {
  readonly id: number;
  /** How far the peer allows us to go. */
  limit: number;
  /** It is in the schedule's queue. */
  queued = false;
  /** Its writer has been told to wait. */
  waited = false;
  /** The caller's buffers from the first that is not acknowledged whole; `#ends[i]` is the offset behind `#chunks[i]`. */
  #chunks: Uint8Array[] = [];
  #ends: number[] = [];
  #head = 0;
  /** Invariants: #kept ≤ #sent ≤ #end, #sent ≤ limit. */
  #kept = 0;
  #sent = 0;
  #end = 0;
  /** Chunk in which `#sent` lies. */
  #cursor = 0;
  readonly #acked: Ranges = new Ranges();
  readonly #again: Ranges = new Ranges();

  constructor(id: number, limit: number) {
    this.id = id;
    this.limit = limit;
  }

  get unsentBytes(): number {
    return this.#end - this.#sent;
  }

  get unackedBytes(): number {
    return this.#end - this.#kept;
  }

  write(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#end += bytes.byteLength;
    this.#chunks.push(bytes);
    this.#ends.push(this.#end);
  }

  /** Something could leave, given so much of the connection's credit. */
  ready(credit: number): boolean {
    return this.#again.count > 0 || (this.#sent < Math.min(this.#end, this.limit) && credit > 0);
  }

  /** One STREAM frame, lost bytes first; null if nothing can leave or nothing fits. A new piece uses up credit of the connection. */
  fill(writer: FrameWriter, credit: number): Piece | null {
    const isNew = this.#again.count === 0;
    const start = isNew ? this.#sent : this.#again.starts[0]!;
    const stop = isNew ? Math.min(this.#end, this.limit, this.#sent + credit) : this.#again.ends[0]!;
    if (stop <= start) return null;
    const most = Math.min(stop - start, writer.room);
    const length = Math.min(most, writer.room - 1 - varintBytes(this.id) - varintBytes(start) - varintBytes(most));
    // A frame that is nearly all head is not worth it while there is more to come.
    if (length <= 0 || (length < stop - start && length < streamHeaderBytesMax)) return null;
    writer.stream(this.id, start, length);
    const end = start + length;
    this.#copy(writer, start, end, isNew);
    if (isNew) this.#sent = end;
    else this.#again.remove(start, end);
    return { stream: this, start, end, isNew };
  }

  acked(start: number, end: number): void {
    this.#again.remove(start, end);
    this.#acked.add(start, end);
    // What lies below `#kept` is the first range for ever.
    if (this.#acked.starts[0]! > 0) return;
    this.#kept = this.#acked.ends[0]!;
    for (; this.#head < this.#chunks.length && this.#ends[this.#head]! <= this.#kept; this.#head += 1) this.#chunks[this.#head] = gone;
    if (this.#head > 32 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#ends = this.#ends.slice(this.#head);
      this.#cursor = Math.max(0, this.#cursor - this.#head);
      this.#head = 0;
    }
  }

  /** To be sent again, but for what has arrived by another packet. */
  lost(start: number, end: number): void {
    this.#again.add(start, end);
    for (let at = 0; at < this.#acked.count && this.#acked.starts[at]! < end; at += 1) {
      if (this.#acked.ends[at]! > start) this.#again.remove(this.#acked.starts[at]!, this.#acked.ends[at]!);
    }
  }

  #copy(writer: FrameWriter, start: number, end: number, isNew: boolean): void {
    let at = isNew ? Math.max(this.#cursor, this.#head) : this.#find(start);
    while (this.#ends[at]! <= start) at += 1;
    let from = start;
    while (from < end) {
      const chunk = this.#chunks[at];
      assert(chunk !== undefined, `Cannot send bytes ${from} to ${end} of stream ${this.id}: they are gone`);
      const chunkEnd = this.#ends[at]!;
      const offset = from - (chunkEnd - chunk.byteLength);
      const to = Math.min(end, chunkEnd);
      writer.copy(offset === 0 && to === chunkEnd ? chunk : chunk.subarray(offset, offset + to - from));
      from = to;
      if (to === chunkEnd) at += 1;
    }
    if (isNew) this.#cursor = at;
  }

  /** Chunk in which `offset` lies. */
  #find(offset: number): number {
    let low = this.#head;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

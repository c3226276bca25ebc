/**
 * What waits to leave in one lane: whole frames, bounded in bytes, taken out in pieces that are worth a
 * write. Frames that lie side by side in memory are joined without a copy.
 */
import { controlLane, type Lane } from "./link.ts";

interface Piece {
  readonly bytes: Uint8Array;
  /** The piece may have grown over its right neighbours: `bytes.byteLength ≤ length`. */
  length: number;
  frames: number;
}

/** Pieces below this are copied together into one write; larger ones leave as they are. */
const gatherBytesMax: number = 16 << 10;

const controlBytesMax: number = 4 << 20;
const payloadBytesMax: number = 32 << 20;

/** What may wait in a lane while its peer takes nothing. */
export function queueBytesMaxOf(lane: Lane): number {
  return lane === controlLane ? controlBytesMax : payloadBytesMax;
}

export class Queue {
  readonly bytesMax: number;
  #pieces: Piece[] = [];
  #next = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False: full, and the frame is dropped. The newest goes, because what is queued has been promised to be in order. */
  push(frame: Uint8Array): boolean {
    if (this.#bytes + frame.byteLength > this.bytesMax) return false;
    this.#bytes += frame.byteLength;
    const last = this.#pieces.at(-1);
    const isNeighbour = last !== undefined && last.bytes.buffer === frame.buffer &&
      last.bytes.byteOffset + last.length === frame.byteOffset;
    if (isNeighbour) {
      last.length += frame.byteLength;
      last.frames++;
    } else {
      this.#pieces.push({ bytes: frame, length: frame.byteLength, frames: 1 });
    }
    return true;
  }

  /** The next write, or null. */
  take(): { readonly bytes: Uint8Array; readonly frames: number } | null {
    const first = this.#pieces[this.#next];
    if (first === undefined) return null;
    let end = this.#next + 1;
    let bytes = first.length;
    let frames = first.frames;
    while (bytes < gatherBytesMax && end < this.#pieces.length && this.#pieces[end]!.length < gatherBytesMax) {
      bytes += this.#pieces[end]!.length;
      frames += this.#pieces[end]!.frames;
      end++;
    }
    const taken = end === this.#next + 1 ? whole(first) : gathered(this.#pieces, this.#next, end, bytes);
    this.#advance(end);
    this.#bytes -= bytes;
    return { bytes: taken, frames };
  }

  /** Forgets everything; says how many frames that were. */
  clear(): number {
    let frames = 0;
    for (let index = this.#next; index < this.#pieces.length; index++) frames += this.#pieces[index]!.frames;
    this.#pieces = [];
    this.#next = 0;
    this.#bytes = 0;
    return frames;
  }

  #advance(to: number): void {
    this.#next = to;
    // Shifting the rest each time would cost its length; half the array at a time costs nothing on average.
    if (this.#next * 2 < this.#pieces.length) return;
    this.#pieces.splice(0, this.#next);
    this.#next = 0;
  }
}

function whole(piece: Piece): Uint8Array {
  return new Uint8Array(piece.bytes.buffer, piece.bytes.byteOffset, piece.length);
}

function gathered(pieces: readonly Piece[], from: number, to: number, bytes: number): Uint8Array {
  const joined = new Uint8Array(bytes);
  let at = 0;
  for (let index = from; index < to; index++) {
    const piece = whole(pieces[index]!);
    joined.set(piece, at);
    at += piece.byteLength;
  }
  return joined;
}

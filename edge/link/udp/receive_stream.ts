/**
 * The receiving half of a stream: hands out bytes in order, as views of the packets they came in, and keeps what came too early.
 * What is kept is bounded in bytes by the credit given and in pieces by a number.
 */

/** Most pieces that wait for a gap to be filled. */
export const piecesMax = 4_096;

interface Early {
  readonly start: number;
  readonly bytes: Uint8Array;
}

export class ReceiveStream {
  readonly id: number;
  /** Bytes handed out. */
  delivered = 0;
  /** End of the furthest byte seen. */
  furthest = 0;
  /** How far the peer may go, as last told. */
  limit: number;
  /** Ascending, without overlap, all behind `delivered`. */
  #early: Early[] = [];

  constructor(id: number, limit: number) {
    this.id = id;
    this.limit = limit;
  }

  get earlyPieces(): number {
    return this.#early.length;
  }

  /** False if there is no room for it: it must not be acknowledged then. */
  receive(offset: number, bytes: Uint8Array, deliver: (bytes: Uint8Array) => void): boolean {
    const end = offset + bytes.byteLength;
    if (end > this.delivered && offset <= this.delivered) {
      this.#deliver(offset === this.delivered ? bytes : bytes.subarray(this.delivered - offset), deliver);
      if (this.#early.length > 0) this.#drain(deliver);
    } else if (end > this.delivered && !this.#keep(offset, bytes)) {
      return false;
    }
    this.furthest = Math.max(this.furthest, end);
    return true;
  }

  #deliver(bytes: Uint8Array, deliver: (bytes: Uint8Array) => void): void {
    this.delivered += bytes.byteLength;
    deliver(bytes);
  }

  #drain(deliver: (bytes: Uint8Array) => void): void {
    let at = 0;
    for (; at < this.#early.length; at += 1) {
      const { start, bytes } = this.#early[at]!;
      if (start > this.delivered) break;
      const skip = this.delivered - start;
      if (skip < bytes.byteLength) this.#deliver(skip === 0 ? bytes : bytes.subarray(skip), deliver);
    }
    if (at > 0) this.#early.splice(0, at);
  }

  /** Puts into the gaps what is new of it. */
  #keep(offset: number, bytes: Uint8Array): boolean {
    const early = this.#early;
    const end = offset + bytes.byteLength;
    let low = 0;
    let high = early.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(early[middle]!) <= offset) low = middle + 1;
      else high = middle;
    }
    let from = offset;
    let replaced = 0;
    const pieces: Early[] = [];
    while (from < end) {
      const next = early[low + replaced];
      const to = next === undefined ? end : Math.min(end, next.start);
      if (to > from) pieces.push({ start: from, bytes: own(bytes.subarray(from - offset, to - offset)) });
      if (next === undefined || next.start >= end) break;
      pieces.push(next);
      replaced += 1;
      from = endOf(next);
    }
    if (early.length + pieces.length - replaced > piecesMax) return false;
    early.splice(low, replaced, ...pieces);
    return true;
  }
}

function endOf(piece: Early): number {
  return piece.start + piece.bytes.byteLength;
}

/** A small view would keep a whole packet in memory for as long as it waits. */
function own(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength * 4 >= bytes.buffer.byteLength * 3 ? bytes : bytes.slice();
}

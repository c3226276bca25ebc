/**
 * The records of one log: a queue of segments, each one buffer that grows to a megabyte and an index
 * of where its records start. Trimming drops whole segments; what is trimmed of the oldest one is
 * only hidden.
 *
 *   record: payload length u32 · position 10 bytes · type · payload
 */
import { assert } from "../../core/assert.ts";
import type { Position } from "../../core/position.ts";
import { positionBytes, Reader, readU32, writeU32, writeU53 } from "../bytes.ts";
import { readType } from "../content.ts";

/** A copy: nothing in it changes any more. */
export interface StoredRecord {
  readonly offset: number;
  readonly position: Position;
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface Segment {
  /** Offset of its first record. */
  readonly base: number;
  data: Uint8Array;
  used: number;
  /** Where record `base + i` starts. */
  starts: Uint32Array;
  count: number;
  /** Payload bytes of all its records. */
  payload: number;
}

/** What a log held at one moment: of the last segment perhaps only the beginning. Nothing that happens to the log changes it. */
export interface Extract {
  readonly first: number;
  readonly next: number;
  readonly segments: readonly Readonly<Segment>[];
}

const headerBytes = 4 + positionBytes;
const smallestBytes = 1 << 10;
const largestBytes = 1 << 20;
const fewStarts = 16;

export class Segments {
  #segments: Segment[] = [];
  /** Oldest kept offset. */
  #first = 0;
  /** The offset the next record gets. */
  #next = 0;
  /** Payload bytes from `#first` on. */
  #bytes = 0;
  readonly #reader = new Reader();

  /** `first`: the offset of the first record; what was before has been trimmed. */
  constructor(first = 0) {
    this.#first = first;
    this.#next = first;
  }

  get first(): number {
    return this.#first;
  }

  get next(): number {
    return this.#next;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get heldBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.data.byteLength + segment.starts.byteLength, 0);
  }

  extract(): Extract {
    return { first: this.#first, next: this.#next, segments: this.#segments.slice() };
  }

  /** The next `size` bytes of `content` are type and payload, the last `payloadBytes` of them the payload. */
  append(position: Position, content: Reader, size: number, payloadBytes: number): void {
    const segment = this.#room(headerBytes + size);
    const { data, used } = segment;
    writeU32(data, used, payloadBytes);
    writeU53(data, used + 4, position.major);
    data[used + 11] = position.group;
    data[used + 12] = position.group >>> 8;
    data[used + 13] = position.minor;
    content.copy(size, data, used + headerBytes);
    segment.starts[segment.count++] = used;
    segment.used = used + headerBytes + size;
    segment.payload += payloadBytes;
    this.#bytes += payloadBytes;
    this.#next++;
  }

  /** Records from `from` on, at most `limit` and with payloads of at most `bytes` together, but always one. `from` must be kept or the tail. */
  read(from: number, limit: number, bytes: number): StoredRecord[] {
    assert(from >= this.#first && from <= this.#next, `Cannot read from ${from}: kept are ${this.#first} to ${this.#next}`);
    const records: StoredRecord[] = [];
    let total = 0;
    for (let index = this.#find(from); index < this.#segments.length; index++) {
      const segment = this.#segments[index]!;
      for (let i = Math.max(from - segment.base, 0); i < segment.count; i++) {
        total += readU32(segment.data, segment.starts[i]!);
        if (records.length >= limit || records.length > 0 && total > bytes) return records;
        records.push(this.#record(segment, i));
      }
    }
    return records;
  }

  /** Forgets everything below `offset`, which is at most the tail. */
  trim(offset: number): void {
    assert(offset <= this.#next, `Cannot trim to ${offset}: the tail is ${this.#next}`);
    while (this.#first < offset) {
      const segment = this.#segments[0]!;
      const end = segment.base + segment.count;
      if (this.#first === segment.base && end <= offset) {
        this.#bytes -= segment.payload;
        this.#first = end;
      } else {
        for (const to = Math.min(end, offset); this.#first < to; this.#first++) {
          this.#bytes -= readU32(segment.data, segment.starts[this.#first - segment.base]!);
        }
      }
      if (this.#first === end) this.#segments.shift();
    }
  }

  /** The last segment, with room for so many bytes more. */
  #room(bytes: number): Segment {
    let segment = this.#segments.at(-1);
    const needed = (segment?.used ?? 0) + bytes;
    if (segment === undefined || needed > largestBytes && segment.count > 0) {
      const size = Math.max(bytes, segment === undefined ? smallestBytes : largestBytes);
      if (segment !== undefined) seal(segment);
      segment = { base: this.#next, data: new Uint8Array(size), used: 0, starts: new Uint32Array(fewStarts), count: 0, payload: 0 };
      this.#segments.push(segment);
    } else if (needed > segment.data.byteLength) {
      segment.data = grown(segment.data, Math.max(needed, Math.min(largestBytes, segment.data.byteLength * 2)));
    }
    if (segment.count === segment.starts.length) {
      const starts = new Uint32Array(segment.count * 2);
      starts.set(segment.starts);
      segment.starts = starts;
    }
    return segment;
  }

  /** Index of the segment that holds `offset`. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.base <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(low - 1, 0);
  }

  #record(segment: Segment, index: number): StoredRecord {
    const start = segment.starts[index]!;
    const length = readU32(segment.data, start);
    const reader = this.#reader.reset(segment.data, start + 4);
    const position = reader.position();
    const type = readType(reader);
    return { offset: segment.base + index, position, type, bytes: reader.slice(length) };
  }
}

/** A full segment keeps only what it uses. */
function seal(segment: Segment): void {
  segment.starts = segment.starts.slice(0, segment.count);
  if (segment.used * 8 < segment.data.byteLength * 7) segment.data = segment.data.slice(0, segment.used);
}

function grown(data: Uint8Array, size: number): Uint8Array {
  const bigger = new Uint8Array(size);
  bigger.set(data);
  return bigger;
}

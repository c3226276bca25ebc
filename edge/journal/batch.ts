/** Records that are written to the disk together, with one write and one sync. */
import type { Writer } from "../codec/bytes.ts";
import { alignFrame, alignSector, type Crc32, headerBytes, sealFrame } from "./frame.ts";
import { encodePayload, type Payload } from "./payload.ts";

export type Done = (error: Error | null) => void;

/** A writer that has grown beyond this is given back to the collector instead of kept. */
const keptBytesMax = 8 << 20;

export class Batch {
  readonly segment: number;
  /** In the segment; begins a sector. */
  readonly offset: number;
  readonly dones: Done[] = [];
  #marks = true;
  readonly #writer: Writer;
  /** Where each frame begins, and its payload's length. */
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];

  constructor(segment: number, offset: number, writer: Writer) {
    this.segment = segment;
    this.offset = offset;
    this.#writer = writer;
  }

  get records(): number {
    return this.#starts.length;
  }

  /** Only marks: nobody waits for them, and nothing is lost with them. */
  get marks(): boolean {
    return this.#marks;
  }

  /** Where in the segment the next batch may begin. */
  get end(): number {
    return this.offset + alignSector(this.#writer.length);
  }

  get bytes(): number {
    return this.#writer.length;
  }

  /** Appends a frame whose header is still open; null is a mark. Returns its offset in the segment. */
  add(payload: Payload | null): number {
    this.#align();
    const at = this.#writer.skip(headerBytes);
    if (payload !== null) {
      encodePayload(this.#writer, payload);
      this.#marks = false;
    }
    return this.#keep(at);
  }

  /** Takes the last frame out again, for a batch in another segment. */
  moveLastTo(other: Batch): number {
    const at = this.#starts.pop()!;
    this.#lengths.pop();
    other.#align();
    const there = other.#writer.length;
    other.#writer.bytes(this.#writer.view(at));
    other.#marks &&= this.#marks;
    this.#writer.clear(at);
    return other.#keep(there);
  }

  /** Closes all headers and pads to the sector; the bytes are good until the writer is used again. */
  seal(first: number, durable: number, previous: number, crc32: Crc32, seed: number): { readonly bytes: Uint8Array; readonly crc: number } {
    this.#writer.skip(alignSector(this.#writer.length) - this.#writer.length);
    const bytes = this.#writer.view();
    let crc = previous;
    for (let index = 0; index < this.records; index++) {
      const frame = { length: this.#lengths[index]!, sequence: first + index, durable, previous: crc };
      crc = sealFrame(bytes, this.#starts[index]!, frame, crc32, seed);
    }
    return { bytes, crc };
  }

  /** The payload of the frame at `offset` of the segment, if this batch holds it. */
  payload(offset: number): Uint8Array | null {
    const at = offset - this.offset;
    const index = this.#starts.indexOf(at);
    return index < 0 ? null : this.#writer.view(at + headerBytes).subarray(0, this.#lengths[index]!);
  }

  /** For the next batch; null if it is too large to keep. */
  release(): Writer | null {
    if (this.#writer.length > keptBytesMax) return null;
    this.#writer.clear();
    return this.#writer;
  }

  #align(): void {
    this.#writer.skip(alignFrame(this.#writer.length) - this.#writer.length);
  }

  #keep(at: number): number {
    this.#starts.push(at);
    this.#lengths.push(this.#writer.length - at - headerBytes);
    return this.offset + at;
  }
}

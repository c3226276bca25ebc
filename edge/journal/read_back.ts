/** Reads old entries from the segments: one read of the disk for many of them, each checked before it is believed. */
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Instance } from "../../core/ids.ts";
import type { Disk } from "../runtime.ts";
import { type Crc32, headerBytes, readHeader } from "./frame.ts";
import { offsetOf, type Place, unitOf } from "./log_index.ts";
import { decodePayload, recordOf } from "./payload.ts";
import { segmentName } from "./segments.ts";

const chunkBytesMin = 64 << 10;
const chunkBytesMax = 1 << 20;

export class ReadBack {
  readonly #disk: Disk;
  readonly #crc32: Crc32;
  readonly #seed: number;
  readonly #chunkBytes: number;
  #chunk = { segment: 0, from: 0, bytes: new Uint8Array(0) };
  /** The last record, because one can hold many entries. */
  #last: { readonly at: Place; readonly record: JournalRecord | null } | null = null;

  constructor(disk: Disk, crc32: Crc32, seed: number, bytesWanted: number) {
    this.#disk = disk;
    this.#crc32 = crc32;
    this.#seed = seed;
    this.#chunkBytes = Math.min(Math.max(bytesWanted, chunkBytesMin), chunkBytesMax);
  }

  /** `waiting`: the record's payload, if it has not reached the disk. */
  async entry(at: Place, instance: Instance, waiting: Uint8Array | null): Promise<Entry> {
    if (this.#last?.at !== at) {
      const payload = waiting ?? await this.#payload(unitOf(at), offsetOf(at));
      this.#last = { at, record: recordOf(decodePayload(payload)) };
    }
    const { record } = this.#last;
    const entry = record === null ? undefined : entryOf(record, instance);
    if (entry === undefined) throw this.#corrupt(unitOf(at), offsetOf(at));
    return entry;
  }

  async #payload(segment: number, offset: number): Promise<Uint8Array> {
    if (!this.#has(segment, offset, headerBytes)) await this.#load(segment, offset, headerBytes);
    const header = readHeader(this.#chunk.bytes, offset - this.#chunk.from, this.#crc32, this.#seed);
    if (header === null) throw this.#corrupt(segment, offset);
    const total = headerBytes + header.length;
    if (!this.#has(segment, offset, total)) await this.#load(segment, offset, total);
    const start = offset - this.#chunk.from + headerBytes;
    const payload = this.#chunk.bytes.subarray(start, start + header.length);
    if (payload.byteLength !== header.length || this.#crc32(payload) !== header.payloadCrc) throw this.#corrupt(segment, offset);
    return payload;
  }

  #has(segment: number, offset: number, length: number): boolean {
    const { segment: loaded, from, bytes } = this.#chunk;
    return segment === loaded && offset >= from && offset + length <= from + bytes.byteLength;
  }

  async #load(segment: number, offset: number, length: number): Promise<void> {
    const bytes = await this.#disk.read(segmentName(segment), offset, Math.max(length, this.#chunkBytes));
    this.#chunk = { segment, from: offset, bytes: bytes as Uint8Array<ArrayBuffer> };
  }

  #corrupt(segment: number, offset: number): CarillonError {
    const file = segmentName(segment);
    return new CarillonError("corrupt", `Cannot read back an entry: "${this.#disk.root}/${file}" is damaged at byte ${offset}`, {
      facts: { file, offset },
    });
  }
}

function entryOf(record: JournalRecord, instance: Instance): Entry | undefined {
  switch (record.kind) {
    case "accept":
      return record.entry.instance === instance ? record.entry : undefined;
    case "install":
    case "learn":
    case "base":
      return record.entries.find((entry) => entry.instance === instance);
    case "promise":
    case "decided":
    case "ceiling":
      return undefined;
  }
}

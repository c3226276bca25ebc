/** The journal on a disk: batches, group commit and reading back. Recovery and the format are next door. */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import { type Entry, entryBytes } from "../../core/entry.ts";
import { CarillonError } from "../../core/errors.ts";
import type { GroupId, Instance, Millis } from "../../core/ids.ts";
import { Writer } from "../codec/bytes.ts";
import type { Clock, Disk, DiskFile } from "../runtime.ts";
import { Batch, type Done } from "./batch.ts";
import { type Crc32, payloadBytesMax } from "./frame.ts";
import type { Journal, Recovery } from "./journal.ts";
import { LogIndex, offsetOf, place, unitOf } from "./log_index.ts";
import { ReadBack } from "./read_back.ts";
import { recover } from "./recovery.ts";
import { Segments } from "./segments.ts";
import { Histogram, type JournalStats } from "./stats.ts";

/** A batch is closed there: a larger one would only make the first of its records wait for the last. */
const batchBytesMax = 4 << 20;
/** In mode `async` nothing written stays unsynced for longer, plus the time a sync takes. */
const lazySyncMs = 50;
/** What one read looks up at most: bounds the list of places, not the answer. */
const readEntriesMax = 4_096;

export interface DiskJournalOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly durability: "sync" | "async";
  readonly seed: number;
  readonly segments: readonly number[];
  readonly segmentBytes: number;
  readonly release: () => Promise<void>;
  readonly onFailure: (error: Error) => void;
}

export class DiskJournal implements Journal {
  readonly #options: DiskJournalOptions;
  readonly #index = new LogIndex();
  readonly #segments: Segments;
  readonly #syncSeconds = new Histogram();
  /** Batches not yet written: the first is on its way, the last gathers. */
  readonly #queue: Batch[] = [];
  readonly #writers: Writer[] = [];
  #writing = false;
  /** The segment being written, and the file it is. */
  #file: { readonly number: number; readonly file: DiskFile } | null = null;
  /** Where the next batch goes, if none gathers. */
  #next = { segment: 1, offset: 0 };
  /** Of the last record sealed. */
  #sequence = 0;
  #crc: number;
  /** Records known to be durable. Invariant: #durable ≤ #written ≤ #sequence. */
  #durable = 0;
  #written = 0;
  #marked = 0;
  #lazySync: Promise<void> | null = null;
  #cancelSync: (() => void) | null = null;
  #failure: Error | null = null;
  #onIdle: (() => void) | null = null;
  #records = 0;
  #batches = 0;
  #bytesWritten = 0;
  #recovered = false;

  constructor(options: DiskJournalOptions) {
    this.#options = options;
    this.#crc = options.seed;
    this.#segments = new Segments(options.disk, options.segmentBytes);
  }

  async recover(each: (record: JournalRecord) => void): Promise<Recovery> {
    const { disk, segments, seed, crc32 } = this.#options;
    let records = 0;
    const tail = await recover(disk, segments, seed, crc32, (record, at) => {
      records++;
      this.#index.note(record, () => at);
      each(record);
    });
    if (tail === null) {
      this.#segments.prepare(1);
    } else {
      this.#next = { segment: tail.segment, offset: tail.offset };
      this.#sequence =
        this.#written =
        this.#durable =
        this.#marked =
          tail.sequence;
      this.#crc = tail.crc;
      for (let number = 1; number < tail.segment; number++) this.#segments.found(number, this.#options.segmentBytes);
      this.#segments.found(tail.segment, tail.capacity);
    }
    this.#recovered = true;
    return { records, torn: tail?.torn ?? null };
  }

  append(records: readonly JournalRecord[], done: Done): void {
    assert(this.#recovered, "Cannot append to the journal: it has not been recovered");
    if (this.#failure !== null) return this.#options.clock.soon(() => done(this.#failure));
    let batch = this.#gathering();
    for (const record of records) {
      batch = this.#add(record);
    }
    batch.dones.push(done);
    this.#pump();
  }

  async read(group: GroupId, from: Instance, to: Instance, bytesMax: number): Promise<Entry[]> {
    const { disk, crc32, seed } = this.#options;
    const places = this.#index.range(group, from, to, readEntriesMax);
    const back = new ReadBack(disk, crc32, seed, bytesMax);
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = 0; index < places.length; index++) {
      const at = places[index]!;
      const waiting = this.#waiting(unitOf(at), offsetOf(at));
      const entry = await back.entry(at, from + index, waiting);
      bytes += entryBytes(entry);
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(entry);
    }
    return entries;
  }

  stats(): JournalStats {
    return {
      records: this.#records,
      batches: this.#batches,
      bytesWritten: this.#bytesWritten,
      segments: this.#segments.count,
      bytes: this.#segments.bytes,
      entries: this.#index.entries,
      syncSeconds: this.#syncSeconds.view(),
    };
  }

  async close(): Promise<void> {
    await this.#idle();
    if (this.#recovered && this.#failure === null && this.#written > this.#marked) {
      // So that what is durable now is known to have been, if it is unreadable some day.
      await this.#syncLazily();
      if (this.#failure === null) this.#add(null);
      this.#pump();
      await this.#idle();
      await this.#syncLazily();
    }
    this.#cancelSync?.();
    await this.#lazySync;
    await this.#segments.settle();
    await this.#file?.file.close().catch(() => {});
    this.#file = null;
    this.#failure ??= new Error("Cannot append to the journal: it is closed");
    await this.#options.release();
  }

  #idle(): Promise<void> {
    if (this.#queue.length === 0 || this.#failure !== null) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle = resolve);
  }

  /** The batch that takes records now. */
  #gathering(): Batch {
    const last = this.#queue.at(-1);
    if (last !== undefined && !(this.#writing && this.#queue.length === 1) && last.bytes < batchBytesMax) return last;
    return this.#newBatch(last === undefined ? this.#next : { segment: last.segment, offset: last.end });
  }

  #newBatch({ segment, offset }: { readonly segment: number; readonly offset: number }): Batch {
    const batch = new Batch(segment, offset, this.#writers.pop() ?? new Writer(64 << 10));
    this.#queue.push(batch);
    return batch;
  }

  #add(record: JournalRecord | null): Batch {
    let batch = this.#gathering();
    let offset = batch.add(record);
    assert(batch.bytes <= payloadBytesMax, `Cannot append to the journal: a batch of ${batch.bytes} bytes is too large`);
    const capacity = this.#segments.capacity(batch.segment);
    if (batch.end > capacity && batch.offset === 0 && batch.records === 1) {
      // Larger than any segment: it gets one of its own size.
      this.#segments.prepare(batch.segment, batch.end);
    } else if (batch.end > capacity) {
      // A batch never crosses segments: what does not fit begins the next.
      const full = batch;
      if (full.records === 1) this.#queue.pop();
      batch = this.#newBatch({ segment: full.segment + 1, offset: 0 });
      offset = full.moveLastTo(batch);
      this.#segments.prepare(batch.segment, batch.end);
    } else if (batch.end > capacity / 2) {
      this.#segments.prepare(batch.segment + 1);
    }
    if (record !== null) this.#index.note(record, () => place(batch.segment, offset));
    return batch;
  }

  /** The payload at a place that has not been written yet. */
  #waiting(segment: number, offset: number): Uint8Array | null {
    for (const batch of this.#queue) {
      if (batch.segment !== segment) continue;
      const payload = batch.payload(offset);
      if (payload !== null) return payload;
    }
    return null;
  }

  /** Begins to write the first batch in the queue, unless one is being written. */
  #pump(): void {
    const batch = this.#queue[0];
    if (this.#writing || batch === undefined || this.#failure !== null) return;
    this.#writing = true;
    if (this.#file?.number === batch.segment) return this.#write(batch, this.#file.file);
    this.#turnTo(batch.segment).then((file) => this.#write(batch, file), (error: Error) => this.#fail(error));
  }

  /** To the next segment, and not before everything in the one before is durable: a tail can be torn in one segment only. */
  async #turnTo(number: number): Promise<DiskFile> {
    if (this.#file !== null) {
      await this.#syncLazily();
      if (this.#failure !== null) throw this.#failure;
      await this.#file.file.close();
      this.#file = null;
    }
    const file = await this.#segments.open(number);
    this.#file = { number, file };
    return file;
  }

  #write(batch: Batch, file: DiskFile): void {
    const { clock, crc32, seed, durability } = this.#options;
    const startedAt = clock.now().mono;
    const { bytes, crc } = batch.seal(this.#sequence + 1, this.#durable, this.#crc, crc32, seed);
    this.#crc = crc;
    this.#sequence += batch.records;
    file.write(batch.offset, bytes, (error) => {
      if (error) return this.#fail(error);
      this.#bytesWritten += bytes.byteLength;
      if (durability === "async") return this.#onWritten(batch);
      file.sync((error) => {
        if (error) return this.#fail(error);
        this.#observe(startedAt);
        this.#durable = this.#sequence;
        this.#onWritten(batch);
      });
    });
  }

  #onWritten(batch: Batch): void {
    this.#queue.shift();
    this.#writing = false;
    this.#written = this.#sequence;
    this.#records += batch.records;
    this.#batches++;
    if (this.#queue.length === 0) this.#next = { segment: batch.segment, offset: batch.end };
    const writer = batch.release();
    if (writer !== null && this.#writers.length < 2) this.#writers.push(writer);
    if (this.#durable < this.#written) this.#syncSoon();
    // The disk first: what comes of the news takes its time.
    this.#pump();
    for (const done of batch.dones) done(null);
    if (this.#queue.length === 0) this.#onIdle?.();
  }

  #syncSoon(): void {
    if (this.#cancelSync !== null || this.#lazySync !== null) return;
    const { clock } = this.#options;
    this.#cancelSync = clock.wakeAt(clock.now().mono + lazySyncMs, () => {
      this.#cancelSync = null;
      void this.#syncLazily();
    });
  }

  /** Mode `async`: makes durable what is written by now. Never rejects: a failure is told once, to whom it concerns. */
  async #syncLazily(): Promise<void> {
    await this.#lazySync;
    if (this.#failure !== null || this.#file === null || this.#durable === this.#written) return;
    const upTo = this.#written;
    const { file } = this.#file;
    const startedAt = this.#options.clock.now().mono;
    this.#lazySync = new Promise((resolve) =>
      file.sync((error) => {
        this.#lazySync = null;
        if (error) {
          this.#fail(error);
        } else {
          this.#observe(startedAt);
          this.#durable = upTo;
          if (this.#durable < this.#written) this.#syncSoon();
        }
        resolve();
      })
    );
    await this.#lazySync;
  }

  #observe(startedAt: Millis): void {
    this.#syncSeconds.observe((this.#options.clock.now().mono - startedAt) / 1_000);
  }

  /** What is on the disk is unknown from here on. */
  #fail(cause: Error): void {
    if (this.#failure !== null) return;
    const error = cause instanceof CarillonError
      ? cause
      : new CarillonError("internal", `Cannot write the journal in "${this.#options.disk.root}": ${cause.message}`, { cause });
    this.#failure = error;
    this.#options.onFailure(error);
    for (const batch of this.#queue.splice(0)) for (const done of batch.dones) done(error);
    this.#onIdle?.();
  }
}

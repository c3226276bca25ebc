/**
 * Group commit: while one batch is written and synced, the next gathers. A batch is one write and one sync, however many
 * records are in it.
 */
import { assert } from "../../core/assert.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Millis } from "../../core/ids.ts";
import type { Rule } from "../../core/rules.ts";
import { Writer } from "../codec/bytes.ts";
import type { Clock, DiskFile } from "../runtime.ts";
import { Batch, type Done } from "./batch.ts";
import { type Crc32, payloadBytesMax } from "./frame.ts";
import type { LogIndex } from "./log_index.ts";
import { place } from "./log_index.ts";
import type { Payload } from "./payload.ts";
import type { Tail } from "./recovery.ts";
import type { Segments } from "./segments.ts";
import { Histogram } from "./stats.ts";
import type { Chain } from "./window.ts";

/** A batch is closed there: a larger one would only make the first of its records wait for the last. */
const batchBytesMax = 4 << 20;
/** In mode `async` nothing written stays unsynced for longer, plus the time a sync takes. */
const lazySyncMs = 50;
/** After so long without a record a mark says that the last ones are durable: unreadable from there on, they are damaged. */
const markAfterMs: Millis = 1_000;
const markGraceMs: Millis = 250;

export interface PipelineOptions {
  readonly root: string;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly durability: "sync" | "async";
  readonly segments: Segments;
  readonly index: LogIndex;
  readonly onFailure: (error: Error) => void;
  /** The first batch in a segment is durable. */
  readonly onReached: (segment: number) => void;
  /** Rules the simulator takes away. */
  readonly without: ReadonlySet<Rule>;
}

export class Pipeline {
  readonly syncSeconds: Histogram = new Histogram();
  records = 0;
  batches = 0;
  bytesWritten = 0;
  readonly #options: PipelineOptions;
  /** Batches not yet written: the first is on its way, the last gathers. */
  readonly #queue: Batch[] = [];
  readonly #writers: Writer[] = [];
  #writing = false;
  /** The segment being written, and the file it is. */
  #file: { readonly number: number; readonly file: DiskFile } | null = null;
  /** Where the next batch goes, if none gathers. */
  #next = { segment: 1, offset: 0 };
  #seed = 0;
  /** Of the last frame sealed. */
  #sequence = 0;
  #crc = 0;
  /** Frames known to be durable. Invariant: #durable ≤ #written ≤ #sequence. */
  #durable = 0;
  #written = 0;
  /** The last frame that needs no mark behind it. */
  #marked = 0;
  #reached = 0;
  /** When the last batch was written that was no mark. */
  #busyAt: Millis = 0;
  #lazySync: Promise<void> | null = null;
  #cancelSync: (() => void) | null = null;
  #cancelMark: (() => void) | null = null;
  #failure: Error | null = null;
  #onIdle: (() => void) | null = null;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  /** Goes on where a recovery ended; `tail` is null where there is nothing yet and `segment` is to be the first. */
  begin(seed: number, behind: Chain, segment: number, tail: Tail | null): void {
    const { sequence, crc } = tail === null ? behind : tail.chain;
    this.#seed = seed;
    this.#crc = crc;
    this.#sequence = this.#written = this.#durable = sequence;
    this.#marked = tail !== null && !tail.marked ? 0 : sequence;
    this.#reached = tail === null ? 0 : tail.segment;
    this.#busyAt = this.#options.clock.now().mono;
    this.#next = tail === null ? { segment, offset: 0 } : { segment: tail.segment, offset: tail.offset };
    if (tail === null) this.#options.segments.prepare(segment);
    this.#markSoon();
  }

  get failure(): Error | null {
    return this.#failure;
  }

  get busy(): boolean {
    return this.#queue.length > 0;
  }

  /** What has been written: up to there in this segment, and up to this frame. */
  get written(): { readonly segment: number; readonly sequence: number } {
    return { segment: this.#reached, sequence: this.#written };
  }

  append(payloads: readonly Payload[], done: Done): void {
    if (this.#failure !== null) return this.#options.clock.soon(() => done(this.#failure));
    this.#append(payloads, done);
  }

  /** As `append`, at the beginning of a segment. Returns which. */
  appendInNew(payloads: readonly Payload[], done: Done): number {
    const last = this.#queue.at(-1);
    const { segment, offset } = last === undefined ? this.#next : { segment: last.segment, offset: last.end };
    const begins = { segment: offset === 0 ? segment : segment + 1, offset: 0 };
    if (this.#failure === null) this.#newBatch(begins);
    this.append(payloads, done);
    return begins.segment;
  }

  /** Resolves when everything written by now is durable; rejects if it will not be. */
  async sync(): Promise<void> {
    const last = this.#queue.at(-1);
    if (last !== undefined) {
      await new Promise<void>((resolve, reject) => last.dones.push((error) => error === null ? resolve() : reject(error)));
    }
    await this.#syncLazily();
    if (this.#failure !== null) throw this.#failure;
  }

  /** The payload at a place that has not been written yet. */
  waiting(segment: number, offset: number): Uint8Array | null {
    for (const batch of this.#queue) {
      if (batch.segment !== segment) continue;
      const payload = batch.payload(offset);
      if (payload !== null) return payload;
    }
    return null;
  }

  async close(): Promise<void> {
    this.#cancelMark?.();
    await this.#idle();
    if (this.#failure === null && this.#written > this.#marked) {
      // So that what is durable now is known to have been, if it is unreadable some day.
      await this.#syncLazily();
      this.#mark();
      await this.#idle();
      await this.#syncLazily();
    }
    this.#cancelSync?.();
    this.#cancelMark?.();
    await this.#lazySync;
    await this.#file?.file.close().catch(() => {});
    this.#file = null;
    this.#failure ??= new Error("Cannot append to the journal: it is closed");
  }

  /** What is on the disk is unknown from here on. */
  fail(cause: Error): void {
    if (this.#failure !== null) return;
    const error = cause instanceof CarillonError
      ? cause
      : new CarillonError("internal", `Cannot write the journal in "${this.#options.root}": ${cause.message}`, { cause });
    this.#failure = error;
    this.#options.onFailure(error);
    for (const batch of this.#queue.splice(0)) for (const done of batch.dones) done(error);
    this.#onIdle?.();
  }

  #idle(): Promise<void> {
    if (this.#queue.length === 0 || this.#failure !== null) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle = resolve);
  }

  #append(payloads: readonly Payload[], done: Done): void {
    let batch = this.#gathering();
    for (const payload of payloads) batch = this.#add(payload);
    batch.dones.push(done);
    this.#pump();
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

  #add(payload: Payload | null): Batch {
    const { segments, index } = this.#options;
    let batch = this.#gathering();
    let offset = batch.add(payload);
    assert(batch.bytes <= payloadBytesMax, `Cannot append to the journal: a batch of ${batch.bytes} bytes is too large`);
    const capacity = segments.capacity(batch.segment);
    if (batch.end > capacity && batch.offset === 0 && batch.records === 1) {
      // Larger than any segment: it gets one of its own size.
      segments.prepare(batch.segment, batch.end);
    } else if (batch.end > capacity) {
      // A batch never crosses segments: what does not fit begins the next.
      const full = batch;
      if (full.records === 1) this.#queue.pop();
      batch = this.#newBatch({ segment: full.segment + 1, offset: 0 });
      offset = full.moveLastTo(batch);
      segments.prepare(batch.segment, batch.end);
    } else if (batch.end > capacity / 2) {
      segments.prepare(batch.segment + 1);
    }
    if (payload !== null) index.note(payload, () => place(batch.segment, offset));
    return batch;
  }

  /** Begins to write the first batch in the queue, unless one is being written. */
  #pump(): void {
    const batch = this.#queue[0];
    if (this.#writing || batch === undefined || this.#failure !== null) return;
    this.#writing = true;
    if (this.#file?.number === batch.segment) return this.#write(batch, this.#file.file);
    this.#turnTo(batch.segment).then((file) => this.#write(batch, file), (error: Error) => this.fail(error));
  }

  /** To the next segment, and not before everything in the one before is durable: a tail can be torn in one segment only. */
  async #turnTo(number: number): Promise<DiskFile> {
    if (this.#file !== null) {
      await this.#syncLazily();
      if (this.#failure !== null) throw this.#failure;
      await this.#file.file.close();
      this.#file = null;
    }
    const file = await this.#options.segments.open(number);
    this.#file = { number, file };
    return file;
  }

  #write(batch: Batch, file: DiskFile): void {
    const { clock, crc32, segments, durability, without } = this.#options;
    if (this.#failure !== null) return;
    const startedAt = clock.now().mono;
    if (!batch.marks) this.#busyAt = startedAt;
    if (batch.offset === 0) segments.begun(batch.segment, { sequence: this.#sequence, crc: this.#crc });
    const { bytes, crc } = batch.seal(this.#sequence + 1, this.#durable, this.#crc, crc32, this.#seed);
    this.#crc = crc;
    this.#sequence += batch.records;
    const written = (error: Error | null): void => {
      if (error) return this.fail(error);
      this.bytesWritten += bytes.byteLength;
      this.#onWritten(batch);
    };
    const synced = (error: Error | null): void => {
      if (error && !without.has("failed-sync-ends")) return this.fail(error);
      this.#observe(startedAt);
      this.#durable = this.#sequence;
      written(null);
    };
    if (durability === "async" || batch.marks || without.has("sync-before-done")) file.write(batch.offset, bytes, written);
    else if (this.#durable === this.#written && !without.has("failed-sync-ends")) file.commit(batch.offset, bytes, synced);
    // A mark before it is to be durable as well.
    else file.write(batch.offset, bytes, (error) => error ? this.fail(error) : file.sync(synced));
  }

  #onWritten(batch: Batch): void {
    this.#queue.shift();
    this.#writing = false;
    this.#written = this.#sequence;
    if (batch.marks) this.#marked = this.#sequence;
    else this.records += batch.records;
    this.batches++;
    if (this.#queue.length === 0) this.#next = { segment: batch.segment, offset: batch.end };
    const writer = batch.release();
    if (writer !== null && this.#writers.length < 2) this.#writers.push(writer);
    if (this.#durable < this.#written) this.#syncSoon();
    else this.#onDurable();
    // The disk first: what comes of the news takes its time.
    this.#pump();
    for (const done of batch.dones) done(null);
    if (this.#queue.length === 0) this.#onIdle?.();
  }

  #onDurable(): void {
    if (this.#file !== null && this.#file.number > this.#reached) {
      this.#reached = this.#file.number;
      this.#options.onReached(this.#reached);
    }
    this.#markSoon();
  }

  /** One alarm for many batches: it looks again when it rings. */
  #markSoon(): void {
    if (this.#cancelMark !== null || this.#marked >= this.#written) return;
    const { clock } = this.#options;
    this.#cancelMark = clock.wakeAt(Math.max(this.#busyAt + markAfterMs, clock.now().mono), () => {
      this.#cancelMark = null;
      // What is under way comes back here when it is durable.
      if (this.#queue.length > 0 || this.#durable < this.#written) return;
      if (clock.now().mono < this.#busyAt + markAfterMs) this.#markSoon();
      else this.#mark();
    }, markGraceMs);
  }

  #mark(): void {
    if (this.#failure !== null) return;
    this.#add(null);
    this.#pump();
  }

  #syncSoon(): void {
    if (this.#cancelSync !== null || this.#lazySync !== null) return;
    const { clock } = this.#options;
    this.#cancelSync = clock.wakeAt(clock.now().mono + lazySyncMs, () => {
      this.#cancelSync = null;
      void this.#syncLazily();
    });
  }

  /** Makes durable what is written by now. Never rejects: a failure is told once, to whom it concerns. */
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
          this.fail(error);
        } else {
          this.#observe(startedAt);
          this.#durable = Math.max(this.#durable, upTo);
          if (this.#durable < this.#written) this.#syncSoon();
          else this.#onDurable();
        }
        resolve();
      })
    );
    await this.#lazySync;
  }

  #observe(startedAt: Millis): void {
    this.syncSeconds.observe((this.#options.clock.now().mono - startedAt) / 1_000);
  }
}

/** The journal on a disk: what is appended, read back, made anew and given up. How it is written and recovered is next door. */
import { assert, AssertionError } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import { type Entry, entryBytes } from "../../core/entry.ts";
import { CarillonError } from "../../core/errors.ts";
import type { GroupId, Instance, Millis } from "../../core/ids.ts";
import type { Rule } from "../../core/rules.ts";
import type { Clock, Disk } from "../runtime.ts";
import type { Done } from "./batch.ts";
import { type Damage, damageAt, refusal } from "./damage.ts";
import type { Crc32 } from "./frame.ts";
import type { Journal, Recovery } from "./journal.ts";
import { LogIndex, offsetOf, type Place, unitOf } from "./log_index.ts";
import { readPast, skim } from "./past.ts";
import type { BaseRecord, Payload } from "./payload.ts";
import { recordOf } from "./payload.ts";
import { Pipeline } from "./pipeline.ts";
import { putAside, quarantineName } from "./quarantine.ts";
import { ReadBack } from "./read_back.ts";
import { recover } from "./recovery.ts";
import { Scrub } from "./scrub.ts";
import { segmentName, segmentNumbers, Segments } from "./segments.ts";
import { reserveFile, Space } from "./space.ts";
import type { JournalStats } from "./stats.ts";
import type { Superblock } from "./superblock.ts";
import type { Life } from "./superblock_codec.ts";
import { Tidy } from "./tidy.ts";

/** What one read looks up at most: bounds the list of places, not the answer. */
const readEntriesMax = 4_096;
const reachedAfterMs: Millis = 1_000;
/** Places whose damage has been told; beyond that it is told again. */
const damagedPlacesMax = 4_096;

export interface DiskJournalOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly entropy: () => number;
  readonly durability: "sync" | "async";
  readonly superblock: Superblock;
  readonly replicated: boolean;
  readonly segmentBytes: number;
  readonly reserveBytes: number;
  readonly scrubEveryMs: Millis;
  readonly release: () => Promise<void>;
  readonly onFailure: (error: Error) => void;
  readonly onDamage: (damage: Damage) => void;
  readonly onSpace: (full: boolean) => void;
  readonly without: ReadonlySet<Rule>;
}

export class DiskJournal implements Journal {
  readonly #options: DiskJournalOptions;
  readonly #space: Space;
  #index = new LogIndex();
  #segments: Segments;
  #pipeline: Pipeline;
  #tidy: Tidy;
  readonly #scrub: Scrub;
  readonly #damaged = new Set<Place>();
  #damages = 0;
  #trims = 0;
  /** Written by this process when the newest bases were. */
  #bytesAtRebase = 0;
  #bytesSinceRebaseBefore = 0;
  /** The newest segment with something durable in it, and when the superblock will say so. */
  #reached = 0;
  #cancelReached: (() => void) | null = null;
  #refused: CarillonError | null = null;
  #recovered = false;
  #failed = false;
  #closed = false;

  constructor(options: DiskJournalOptions) {
    const { disk, clock, crc32, reserveBytes, onSpace } = options;
    this.#options = options;
    this.#space = new Space({ disk, clock, reserveBytes, onSpace, onFailure: (error) => this.#pipeline.fail(error) });
    ({ segments: this.#segments, pipeline: this.#pipeline, tidy: this.#tidy } = this.#begin());
    this.#scrub = new Scrub({
      disk,
      clock,
      crc32,
      seed: () => options.superblock.life.seed,
      everyMs: options.scrubEveryMs,
      segments: () => this.#segments,
      pipeline: () => this.#pipeline,
      onDamage: (damage, places) => this.#report(damage, places),
    });
  }

  async recover(each: (record: JournalRecord) => void): Promise<Recovery> {
    const { disk, crc32, superblock, replicated, without } = this.#options;
    const { life } = superblock;
    const names = await putAside(disk, life.aside, await disk.list());
    const numbers = segmentNumbers(names);
    const isKept = (number: number): boolean => life.kept.some(({ first, last }) => number >= first && number <= last);
    // What was given up and not yet removed.
    for (const number of numbers) if (number < life.base && !isKept(number)) await disk.remove(segmentName(number));
    const damage: Damage[] = [];
    let records = 0;
    const begin = (number: number, capacity: number, before: { readonly sequence: number; readonly crc: number }): void =>
      this.#segments.found(number, capacity, before);
    try {
      const onDamage = (found: Damage): void => {
        if (!replicated) throw refusal(disk, found);
        // A record of whatever group may be missing there: no log is known to be whole across it.
        this.#index.clear();
        damage.push(found);
      };
      await readPast({
        disk,
        life,
        numbers: numbers.filter(isKept),
        crc32,
        each: (bytes, at) => skim(this.#index, bytes, at),
        begin,
        onDamage,
      });
      const tail = await recover({
        disk,
        life,
        numbers: numbers.filter((number) => number >= life.base),
        crc32,
        without,
        begin,
        each: (payload, at) => {
          this.#index.note(payload, () => at);
          if (payload.kind === "rebase" && unitOf(at) === life.base) this.#clamp(life.base, payload.base);
          const record = recordOf(payload);
          if (record === null) return;
          records++;
          each(record.kind === "install" && without.has("whole-record") ? { ...record, entries: record.entries.slice(0, -1) } : record);
        },
      });
      this.#pipeline.begin(life.seed, life.behind, life.base, tail);
      if (tail !== null) this.#bytesSinceRebaseBefore = this.#sizeFrom(life.base, tail.segment) + tail.offset;
      this.#recovered = true;
      this.#damages += damage.length;
      this.#space.start(names.includes(reserveFile));
      this.#scrub.start();
      this.#tidy.soon();
      return { records, torn: tail?.torn ?? null, fresh: superblock.fresh, rejoining: life.rejoining, lost: life.incarnation > 1, damage };
    } catch (error) {
      if (error instanceof CarillonError && error.code === "corrupt") this.#refused = error;
      throw error;
    }
  }

  async quarantine(): Promise<Recovery> {
    const { disk, clock, entropy, superblock, without } = this.#options;
    const refused = this.#refused;
    assert(refused !== null, "Cannot put the journal aside: it is not known to be damaged");
    const { file, offset, reason } = refused.facts as Partial<Damage>;
    const upTo = Math.max(superblock.life.base, ...segmentNumbers(await disk.list()));
    const seed = entropy();
    // Before anything else: whatever becomes of this process, the next one must not vote on half a journal.
    await superblock.update(({ incarnation }) => ({
      rejoining: !without.has("damage-rejoins"),
      incarnation: incarnation + 1,
      seed,
      base: upTo + 1,
      behind: { sequence: 0, crc: seed },
      reached: 0,
      kept: [],
      aside: { upTo, name: quarantineName(clock.now()) },
    }));
    this.#index = new LogIndex();
    ({ segments: this.#segments, pipeline: this.#pipeline, tidy: this.#tidy } = this.#begin());
    this.#refused = null;
    const recovery = await this.recover(() => {});
    this.#damages++;
    return { ...recovery, damage: [damageAt(file ?? "", offset ?? 0, reason ?? refused.message)] };
  }

  async rejoined(): Promise<void> {
    const { superblock } = this.#options;
    if (superblock.life.rejoining) await this.#orFail(superblock.update(() => ({ rejoining: false })));
  }

  append(records: readonly JournalRecord[], done: Done): void {
    assert(this.#recovered, "Cannot append to the journal: it has not been recovered");
    const { without } = this.#options;
    this.#pipeline.append(without.size === 0 ? records : altered(records, without), done);
  }

  rebase(records: readonly JournalRecord[], done: Done): void {
    assert(this.#recovered && records.length > 0, "Cannot begin the journal anew: it has not been recovered, or with nothing");
    // What has been given up stays so, although the notes that said it go with their segments.
    const trims: Payload[] = this.#index.trims().map(({ group, upTo }) => ({ kind: "trim", group, upTo }));
    const payloads = records.map((record): Payload => record.kind === "base" ? { kind: "rebase", base: record } : record);
    const bytesBefore = this.#pipeline.bytesWritten;
    const segment = this.#pipeline.appendInNew([...trims, ...payloads], (error) => {
      if (error !== null) return done(error);
      this.#bytesAtRebase = bytesBefore;
      this.#bytesSinceRebaseBefore = 0;
      this.#beginAt(segment, records).then(() => done(null), done);
    });
  }

  trim(group: GroupId, upTo: Instance): void {
    assert(this.#recovered, "Cannot trim the journal: it has not been recovered");
    if (upTo <= this.#index.trimmedTo(group)) return;
    this.#trims++;
    this.#pipeline.append([{ kind: "trim", group, upTo }], () => {});
    this.#tidy.soon();
  }

  oldest(group: GroupId): Instance {
    return this.#index.oldest(group);
  }

  async read(group: GroupId, from: Instance, to: Instance, bytesMax: number): Promise<Entry[]> {
    const { disk, crc32, superblock } = this.#options;
    const places = this.#index.range(group, from, to, readEntriesMax);
    const back = new ReadBack(disk, crc32, superblock.life.seed, bytesMax);
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = 0; index < places.length; index++) {
      const at = places[index]!;
      const instance = from + index;
      if (this.#damaged.has(at)) break;
      try {
        const waiting = this.#pipeline.waiting(unitOf(at), offsetOf(at));
        const entry = await back.entry(at, instance, waiting);
        bytes += entryBytes(entry);
        if (entries.length > 0 && bytes > bytesMax) break;
        entries.push(entry);
      } catch (error) {
        if (error instanceof AssertionError || this.#closed) throw error;
        if (entries.length > 0) break;
        const now = this.#index.range(group, instance, instance, 1)[0];
        // Given up meanwhile, or written again elsewhere.
        if (now === undefined) break;
        if (now !== at) return await this.read(group, from, to, bytesMax);
        this.#report(damageAt(segmentName(unitOf(at)), offsetOf(at), (error as Error).message), [at]);
        break;
      }
    }
    return entries;
  }

  stats(): JournalStats {
    const { records, batches, bytesWritten, syncSeconds } = this.#pipeline;
    return {
      records,
      batches,
      bytesWritten,
      segments: this.#segments.count,
      bytes: this.#segments.bytes,
      entries: this.#index.entries,
      bytesSinceRebase: this.#bytesSinceRebaseBefore + bytesWritten - this.#bytesAtRebase,
      oldestSegment: this.#segments.oldest,
      trims: this.#trims,
      damages: this.#damages,
      scrubbedBytes: this.#scrub.bytes,
      full: this.#space.full,
      syncSeconds: syncSeconds.view(),
    };
  }

  async close(): Promise<void> {
    this.#scrub.close();
    await this.#pipeline.close();
    if (this.#cancelReached !== null && !this.#failed) await this.#noteReached().catch(() => {});
    this.#cancelReached?.();
    this.#closed = true;
    await this.#tidy.close();
    await this.#space.close();
    await this.#segments.settle();
    await this.#options.superblock.settle();
    await this.#options.release();
  }

  #begin(): { readonly segments: Segments; readonly pipeline: Pipeline; readonly tidy: Tidy } {
    const { disk, clock, crc32, durability, superblock, segmentBytes, without } = this.#options;
    const onFailure = (error: Error): void => {
      this.#failed = true;
      this.#options.onFailure(error);
    };
    const index = this.#index;
    const segments = new Segments(disk, this.#space, segmentBytes);
    const onReached = (reached: number): void => {
      this.#reached = reached;
      this.#cancelReached ??= clock.wakeAt(clock.now().mono + reachedAfterMs, () => void this.#noteReached().catch(() => {}));
    };
    const pipeline = new Pipeline({ root: disk.root, clock, crc32, durability, segments, index, onFailure, onReached, without });
    const tidy = new Tidy({ disk, superblock, segments, index, pipeline });
    return { segments, pipeline, tidy };
  }

  /** The bases in this segment are written: makes them where the next recovery begins. */
  async #beginAt(segment: number, records: readonly JournalRecord[]): Promise<void> {
    await this.#pipeline.sync();
    const behind = this.#segments.before(segment)!;
    const change = (life: Life): Partial<Life> => {
      // Two rebases may overtake each other here.
      if (segment <= life.base) return {};
      const kept = this.#segments.runs(segment, new Set(), life.kept);
      return { base: segment, behind, reached: Math.max(life.reached, segment), kept };
    };
    await this.#orFail(this.#options.superblock.update(change));
    for (const record of records) if (record.kind === "base") this.#clamp(segment, record);
    this.#tidy.soon();
  }

  #clamp(segment: number, { group, foundation }: BaseRecord): void {
    this.#index.coverage.clamp(segment, group, foundation.instance);
  }

  /** `places`: where the record may begin that is unreadable. */
  #report(damage: Damage, places: readonly Place[]): void {
    const at = places.find((place) => this.#index.ownerOf(place) !== null) ?? places[0]!;
    if (this.#damaged.has(at)) return;
    if (this.#damaged.size < damagedPlacesMax) this.#damaged.add(at);
    this.#damages++;
    this.#options.onDamage({ ...damage, ...this.#index.ownerOf(at) });
  }

  /** So that a segment that is missing as a whole is missed. Not at once: a busy journal comes to many of them in a second. */
  async #noteReached(): Promise<void> {
    this.#cancelReached?.();
    this.#cancelReached = null;
    const reached = this.#reached;
    await this.#orFail(this.#options.superblock.update((life) => ({ reached: Math.max(life.reached, reached) })));
  }

  async #orFail(change: Promise<void>): Promise<void> {
    try {
      await change;
    } catch (error) {
      this.#pipeline.fail(error as Error);
      throw error;
    }
  }

  #sizeFrom(first: number, end: number): number {
    let bytes = 0;
    for (let number = first; number < end; number++) bytes += this.#segments.capacity(number);
    return bytes;
  }
}

/** What the simulator makes of records to see what happens then. */
function altered(records: readonly JournalRecord[], without: ReadonlySet<Rule>): JournalRecord[] {
  return records.filter(({ kind }) => kind !== "accept" || !without.has("vote-kept")).map((record): JournalRecord => {
    if (record.kind === "promise" && without.has("promise-kept")) return { ...record, ballot: 0 };
    return record.kind === "ceiling" && without.has("ceiling-kept") ? { ...record, stamp: 0 } : record;
  });
}

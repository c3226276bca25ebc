/**
 * The log one node holds of one group: gap-free, known by the ballot whose log it is a prefix of, with
 * a decided prefix that never changes. A bounded suffix stays in memory; older entries are on disk.
 */
import { assert } from "../assert.ts";
import { type Entry, entryBytes } from "../entry.ts";
import type { Foundation, Landmark } from "../foundation.ts";
import type { Ballot, Instance, Stamp } from "../ids.ts";

/** With the bytes of everything before it, counted from where this process began. */
interface Milestone extends Landmark {
  readonly bytes: number;
}

/** What an entry leaves behind for those above it. */
export interface Summary {
  readonly ballot: Ballot;
  readonly stamp: Stamp;
  readonly slots: number;
}

export class Log {
  /** The ballot whose log this is a prefix of; 0 when it is only a decided prefix (see `learn`). */
  ballot: Ballot = 0;
  /** Entries at or below were decided when the ballot began. */
  base: Instance = 0;
  /** The ballot's `start` entry. */
  start: Instance = 0;
  /** Invariant: decided ≤ last, and it never retreats. */
  decided: Instance = 0;

  #entries: Entry[] = [];
  /** The instance of #entries[0]. */
  #first: Instance = 1;
  #bytes = 0;
  /** Of the newest entry that is no longer in memory. */
  #evicted: Summary = { ballot: 0, stamp: 0, slots: 0 };
  /** Entries at or below are forgotten, here and in the journal. Invariant: trimmed < first, trimmed ≤ decided. */
  #trimmed: Instance = 0;
  /** No more than this was used up to there. */
  #trimmedEnd: Pick<Summary, "stamp" | "slots"> = { stamp: 0, slots: 0 };
  /** One in so many instances is a landmark; the log is trimmed to landmarks. */
  readonly #landmarkEvery: number;
  #landmarks: Milestone[] = [];
  #bytesEver = 0;
  /** Asserting that stamps increase; off when the simulator takes the hybrid clock away. */
  readonly #checkStamps: boolean;

  constructor(checkStamps = true, landmarkEvery = 256) {
    this.#checkStamps = checkStamps;
    this.#landmarkEvery = landmarkEvery;
  }

  get last(): Instance {
    return this.#first + this.#entries.length - 1;
  }

  /** The oldest instance still in memory. */
  get first(): Instance {
    return this.#first;
  }

  get suffix(): readonly Entry[] {
    return this.#entries;
  }

  /** The largest stamp used. */
  get topStamp(): Stamp {
    const top = this.#entries.at(-1);
    return top ? top.stamp + top.count - 1 : this.#evicted.stamp;
  }

  get trimmed(): Instance {
    return this.#trimmed;
  }

  /** The largest stamp and the slots that what has been forgotten may have used. */
  get trimmedEnd(): Pick<Summary, "stamp" | "slots"> {
    return this.#trimmedEnd;
  }

  get landmarks(): readonly Landmark[] {
    return this.#landmarks;
  }

  /** Slots filled by everything in the log. */
  get slots(): number {
    const top = this.#entries.at(-1);
    return top ? top.slotBase + top.slots : this.#evicted.slots;
  }

  /** undefined if it is not in memory. */
  get(instance: Instance): Entry | undefined {
    return this.#entries[instance - this.#first];
  }

  /** The ballot an entry was first proposed in, which names its content; undefined for what left memory, but for the newest of it. */
  ballotAt(instance: Instance): Ballot | undefined {
    return this.summary(instance)?.ballot;
  }

  /** What the log amounts to up to an instance; undefined for what left memory, but for the newest of it. */
  summary(instance: Instance): Summary | undefined {
    const entry = this.get(instance);
    return entry ? summarize(entry) : instance === this.#first - 1 ? this.#evicted : undefined;
  }

  /** Whether the entries may come right behind `above` (I3, I7). Those of a peer that keeps the rules always may. */
  fits(above: Instance, entries: readonly Entry[]): boolean {
    let { stamp, slots } = this.summary(above) ?? this.#evicted;
    for (const entry of entries) {
      if (entry.slotBase !== slots || (this.#checkStamps && entry.stamp <= stamp)) return false;
      stamp = entry.stamp + entry.count - 1;
      slots = entry.slotBase + entry.slots;
    }
    return true;
  }

  append(entry: Entry): void {
    assert(entry.instance === this.last + 1, `Cannot append ${entry.instance}: the log ends at ${this.last}`);
    if (this.#checkStamps) {
      assert(entry.stamp > this.topStamp, `Cannot append ${entry.instance}: its stamp ${entry.stamp} is not above ${this.topStamp} (I3)`);
    }
    assert(entry.slotBase === this.slots, `Cannot append ${entry.instance}: slots begin at ${entry.slotBase}, not ${this.slots} (I7)`);
    this.#entries.push(entry);
    if (entry.instance % this.#landmarkEvery === 1) {
      this.#landmarks.push({ instance: entry.instance, stamp: entry.stamp, slotBase: entry.slotBase, bytes: this.#bytesEver });
    }
    const bytes = entryBytes(entry);
    this.#bytes += bytes;
    this.#bytesEver += bytes;
  }

  /** Drops everything above `above`, which is decided or the end of the decided prefix. */
  truncate(above: Instance): void {
    assert(above >= this.decided, `Cannot drop what is above ${above}: ${this.decided} is decided (I4)`);
    while (this.last > above) this.#bytes -= entryBytes(this.#entries.pop()!);
    while ((this.#landmarks.at(-1)?.instance ?? 0) > above) this.#landmarks.pop();
  }

  /** Becomes a prefix of the log of `ballot`, in one change. */
  install(ballot: Ballot, base: Instance, start: Instance, above: Instance, entries: readonly Entry[]): void {
    this.truncate(above);
    for (const entry of entries) this.append(entry);
    this.ballot = ballot;
    this.base = base;
    this.start = start;
  }

  /**
   * Takes over decided entries from a peer. Entries of another ballot mean that this is no longer a
   * prefix of any ballot's log, only a decided prefix; it votes again once a ballot is installed.
   */
  learn(above: Instance, entries: readonly Entry[]): void {
    const foreign = above < this.last || entries.some((entry) => entry.ballot !== this.ballot);
    this.truncate(above);
    for (const entry of entries) this.append(entry);
    if (foreign) {
      this.ballot = 0;
      this.base = 0;
      this.start = 0;
    }
    this.decide(this.last);
  }

  decide(upTo: Instance): void {
    assert(upTo <= this.last, `Cannot decide ${upTo}: the log ends at ${this.last} (I4)`);
    if (upTo > this.decided) this.decided = upTo;
  }

  /** Lets go of the oldest entries, none above `keepAbove`, until the rest fits; a quarter at a time, as it moves the rest. */
  evict(keepAbove: Instance, bytesMax: number, entriesMax: number): void {
    if (this.#bytes <= bytesMax * 1.25 && this.#entries.length <= entriesMax * 1.25) return;
    let count = 0;
    const large = (): boolean => this.#bytes > bytesMax || this.#entries.length - count > entriesMax;
    while (large() && this.#first + count <= keepAbove && count < this.#entries.length) {
      const entry = this.#entries[count++]!;
      this.#bytes -= entryBytes(entry);
    }
    if (count === 0) return;
    this.#evicted = this.summary(this.#first + count - 1)!;
    this.#entries = this.#entries.slice(count);
    this.#first += count;
  }

  /** Where to begin reading so as not to miss the first entry that reaches beyond the stamp or the slot. */
  landmarkBelow(value: number, by: "stamp" | "slotBase"): Instance {
    let low = 0;
    let high = this.#landmarks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#landmarks[middle]![by] <= value) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? this.#trimmed + 1 : this.#landmarks[low - 1]!.instance;
  }

  /** Everything up to the foundation is decided and gone; nothing is above it. */
  rest({ instance, ballot, stamp, slots }: Foundation, landmarks: readonly Landmark[]): void {
    this.ballot = 0;
    this.base = 0;
    this.start = 0;
    this.decided = instance;
    this.#entries = [];
    this.#first = instance + 1;
    this.#bytes = 0;
    this.#evicted = { ballot, stamp, slots };
    this.#landmarks = landmarks.map((landmark) => ({ ...landmark, bytes: 0 }));
  }

  /** The journal has nothing at or below. */
  restoreTrimmed(upTo: Instance): void {
    this.#trimmed = Math.max(this.#trimmed, Math.min(upTo, this.#first - 1));
    this.#dropLandmarks();
    const next = this.#landmarks[0];
    const known = next !== undefined && next.instance < this.#first;
    this.#trimmedEnd = known ? { stamp: next.stamp - 1, slots: next.slotBase } : this.#evicted;
  }

  /**
   * Forgets what nobody needs: entries at or below `upTo`, but for the newest, in whole landmarks so that
   * the oldest position left is known. Says whether anything was forgotten.
   */
  trim(upTo: Instance, { retainBytes, retainEntries }: { readonly retainBytes: number; readonly retainEntries: number }): boolean {
    let kept: Milestone | null = null;
    for (const landmark of this.#landmarks) {
      const retained = this.#bytesEver - landmark.bytes < retainBytes && this.last - landmark.instance < retainEntries;
      if (retained || landmark.instance > Math.min(upTo + 1, this.#first)) break;
      kept = landmark;
    }
    if (kept === null || kept.instance - 1 <= this.#trimmed) return false;
    this.#trimmed = kept.instance - 1;
    this.#trimmedEnd = { stamp: kept.stamp - 1, slots: kept.slotBase };
    this.#dropLandmarks();
    return true;
  }

  #dropLandmarks(): void {
    const kept = this.#landmarks.findIndex(({ instance }) => instance > this.#trimmed);
    this.#landmarks.splice(0, kept < 0 ? this.#landmarks.length : kept);
  }
}

function summarize({ ballot, stamp, count, slotBase, slots }: Entry): Summary {
  return { ballot, stamp: stamp + count - 1, slots: slotBase + slots };
}

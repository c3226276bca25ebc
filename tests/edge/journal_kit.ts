/** What the journal's tests share: records of every kind, and a journal on a disk of their choice. */
import type { JournalRecord } from "../../core/effects.ts";
import { type Entry, packCommands } from "../../core/entry.ts";
import { ballot, type GroupId, type Instance, type Now, origin } from "../../core/ids.ts";
import type { Clock, Disk } from "../../edge/runtime.ts";
import { runtime } from "#runtime";
import type { Damage } from "../../edge/journal/damage.ts";
import { type Journal, openJournal, type Recovery } from "../../edge/journal/journal.ts";

export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

/** An entry whose content follows from its instance and mark. */
export function entry(instance: Instance, mark = 1, size = 100): Entry {
  const bytes = packCommands([new Uint8Array(size).fill(mark + instance)]);
  const batches = [{ origin: origin(3, 77), sequence: instance, count: 1, bytes }];
  return { instance, ballot: ballot(mark, 1), stamp: 1_000 + instance, count: 1, slotBase: instance - 1, slots: 1, kind: "batch", batches };
}

export function accept(group: GroupId, instance: Instance, mark = 1, size = 100): JournalRecord {
  return { kind: "accept", group, ballot: ballot(mark, 1), entry: entry(instance, mark, size) };
}

export function install(group: GroupId, above: Instance, upTo: Instance, mark: number, size = 100): JournalRecord {
  const entries: Entry[] = [];
  for (let instance = above + 1; instance < upTo; instance++) entries.push(entry(instance, mark, size));
  entries.push({ ...entry(upTo, mark), kind: "start", batches: [], slots: 0 });
  return { kind: "install", group, ballot: ballot(mark, 2), base: above, start: upTo, above, entries };
}

export function learn(group: GroupId, above: Instance, upTo: Instance, mark: number): JournalRecord {
  const entries: Entry[] = [];
  for (let instance = above + 1; instance <= upTo; instance++) entries.push(entry(instance, mark));
  return { kind: "learn", group, promised: ballot(mark, 2), above, entries };
}

/** Everything up to `upTo` in one, with the entries above it as they are in ballot `mark`. */
export function base(group: GroupId, upTo: Instance, last: Instance = upTo, mark = 1): JournalRecord {
  const entries: Entry[] = [];
  for (let instance = upTo + 1; instance <= last; instance++) entries.push(entry(instance, mark));
  const foundation = { instance: upTo, ballot: ballot(mark, 1), stamp: 1_000 + upTo, slots: upTo, started: [], seen: [] };
  return {
    kind: "base",
    group,
    promised: ballot(mark, 1),
    ballot: ballot(mark, 1),
    base: upTo,
    start: upTo,
    foundation,
    trimmed: 0,
    landmarks: [],
    repeated: [],
    entries,
  };
}

/** One of each kind, in an order that makes sense. */
export const everyKind: readonly JournalRecord[] = [
  { kind: "ceiling", stamp: 4_000_000 },
  { kind: "promise", group: 1, ballot: ballot(1, 1) },
  install(1, 0, 1, 1),
  accept(1, 2),
  accept(1, 3, 1, 0),
  { kind: "accept", group: 1, ballot: ballot(1, 1), entry: { ...entry(4), kind: "skip", batches: [], slots: 900 } },
  { kind: "decided", group: 1, upTo: 3 },
  learn(2, 0, 3, 1),
  install(1, 2, 5, 2),
  accept(1, 6, 2, 9_000),
];

export interface Opened {
  readonly journal: Journal;
  readonly records: JournalRecord[];
  readonly recovery: Recovery;
  readonly failures: Error[];
  readonly damage: Damage[];
  /** What was said about room, in order. */
  readonly full: boolean[];
}

export interface How {
  readonly durability?: "sync" | "async";
  readonly segmentBytes?: number;
  readonly cluster?: string;
  readonly node?: number;
  readonly replicated?: boolean;
  /** Default: none. */
  readonly reserveBytes?: number;
  readonly scrubEveryMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** What is damaged is put aside instead of refused. */
  readonly quarantine?: boolean;
}

/** Stepped by hand: `pass` lets so much time go by and rings what is due. */
export class HandClock implements Clock {
  #mono = 0;
  readonly #alarms = new Set<{ readonly at: number; readonly callback: () => void }>();

  now(): Now {
    return { mono: this.#mono, wall: 60_000_000_000_000 + this.#mono * 1_000 };
  }

  wakeAt(at: number, callback: () => void): () => void {
    const alarm = { at, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }

  /** Lets what an alarm sets going come to rest before the next rings. */
  async pass(ms: number): Promise<void> {
    const until = this.#mono + ms;
    for (;;) {
      await settled();
      const due = [...this.#alarms].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#alarms.delete(due);
      this.#mono = Math.max(this.#mono, due.at);
      due.callback();
    }
    this.#mono = until;
  }
}

/** What a disk in memory has been asked for by now, and what follows from it, has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Opened and recovered. */
export async function open(disk: Disk, how: How = {}): Promise<Opened> {
  const failures: Error[] = [];
  const damage: Damage[] = [];
  const full: boolean[] = [];
  let entropy = 123_456_789;
  const journal = await openJournal({
    disk,
    clock: how.clock ?? runtime.clock,
    crc32: runtime.crc32,
    entropy: () => entropy++,
    durability: how.durability ?? "sync",
    cluster: how.cluster ?? "test",
    node: how.node ?? 1,
    onFailure: (error) => failures.push(error),
    onDamage: (found) => damage.push(found),
    onSpace: (is) => full.push(is),
    segmentBytes: how.segmentBytes ?? 1 << 16,
    reserveBytes: how.reserveBytes ?? 0,
    ...(how.replicated === undefined ? {} : { replicated: how.replicated }),
    ...(how.scrubEveryMs === undefined ? {} : { scrubEveryMs: how.scrubEveryMs }),
  });
  const records: JournalRecord[] = [];
  try {
    const recovery = await journal.recover((record) => records.push(record)).catch((error: Error & { code?: string }) => {
      if (how.quarantine !== true || error.code !== "corrupt") throw error;
      records.length = 0;
      return journal.quarantine();
    });
    return { journal, records, recovery, failures, damage, full };
  } catch (error) {
    await journal.close();
    throw error;
  }
}

export function rebase(journal: Journal, ...records: readonly JournalRecord[]): Promise<void> {
  return new Promise((resolve, reject) => journal.rebase(records, (error) => error === null ? resolve() : reject(error)));
}

/** Resolves when it is done, rejects with what it was done with. */
export function append(journal: Journal, ...records: readonly JournalRecord[]): Promise<void> {
  return new Promise((resolve, reject) => journal.append(records, (error) => error === null ? resolve() : reject(error)));
}

/** What the journal's tests share: records of every kind, and a journal on a disk of their choice. */
import type { JournalRecord } from "../../core/effects.ts";
import { type Entry, packCommands } from "../../core/entry.ts";
import { ballot, type GroupId, type Instance, origin } from "../../core/ids.ts";
import type { Disk } from "../../edge/runtime.ts";
import { runtime } from "#runtime";
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
}

export interface How {
  readonly durability?: "sync" | "async";
  readonly segmentBytes?: number;
  readonly cluster?: string;
  readonly node?: number;
}

/** Opened and recovered. */
export async function open(disk: Disk, how: How = {}): Promise<Opened> {
  const failures: Error[] = [];
  const journal = await openJournal({
    disk,
    clock: runtime.clock,
    crc32: runtime.crc32,
    entropy: () => 123_456_789,
    durability: how.durability ?? "sync",
    cluster: how.cluster ?? "test",
    node: how.node ?? 1,
    onFailure: (error) => failures.push(error),
    segmentBytes: how.segmentBytes ?? 1 << 16,
  });
  const records: JournalRecord[] = [];
  try {
    const recovery = await journal.recover((record) => records.push(record));
    return { journal, records, recovery, failures };
  } catch (error) {
    await journal.close();
    throw error;
  }
}

/** Resolves when it is done, rejects with what it was done with. */
export function append(journal: Journal, ...records: readonly JournalRecord[]): Promise<void> {
  return new Promise((resolve, reject) => journal.append(records, (error) => error === null ? resolve() : reject(error)));
}

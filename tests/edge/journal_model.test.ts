/**
 * Appends, new ballots, checkpoints, rebases and trims in any order, with crashes in between, against a model that is a list
 * of everything that was said: what comes back is a stretch of that list, from a rebase to at least what was told.
 */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { Instance } from "../../core/ids.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, base, entry, install, open, type Opened, random, rebase } from "./journal_kit.ts";

interface Group {
  readonly id: number;
  /** By instance; what lies at or below a checkpoint that was taken over is not there. */
  log: Map<Instance, Entry>;
  last: Instance;
  decided: Instance;
  /** The highest trim asked for. */
  trimmed: Instance;
  mark: number;
}

/** What the log of a group is after these records. */
function logOf(
  id: number,
  records: readonly JournalRecord[],
  own: ReadonlySet<JournalRecord>,
): { log: Map<Instance, Entry>; last: Instance } {
  const log = new Map<Instance, Entry>();
  let last = 0;
  const put = (above: Instance, entries: readonly Entry[]): void => {
    for (let instance = above + 1; instance <= last; instance++) log.delete(instance);
    last = above;
    for (const one of entries) log.set(last = one.instance, one);
  };
  for (const record of records) {
    if (record.kind === "ceiling" || record.group !== id) continue;
    if (record.kind === "accept") put(record.entry.instance - 1, [record.entry]);
    else if (record.kind === "install") put(record.above, record.entries);
    else if (record.kind === "base") {
      if (!own.has(record)) log.clear();
      put(record.foundation.instance, record.entries);
    }
  }
  return { log, last };
}

/** No two bases of a run are the same. */
function marked(record: JournalRecord, promised: number, entries: readonly Entry[]): JournalRecord {
  if (record.kind !== "base") throw new Error("Cannot mark it: it is no base");
  return { ...record, promised, entries };
}

/** All of a record, in little. */
function describe(record: JournalRecord | undefined): string {
  return JSON.stringify(record, (_, value) => value instanceof Uint8Array ? runtime.crc32(value) : value);
}

test(
  "whatever the order and wherever the crash, what comes back was said, all that was told is there, and every read is right",
  async () => {
    const seen = { rebased: 0, fellBack: 0, removed: 0, lost: 0 };
    for (let seed = 1; seed <= 40; seed++) {
      const next = random(seed);
      const int = (below: number): number => Math.floor(next() * below);
      const durability = next() < 0.5 ? "sync" as const : "async" as const;
      const how = { segmentBytes: 16_384 + int(3) * 8_192, durability };
      let disk = new FaultyDisk();
      /** Everything said, in order, and where in it rebases begin. */
      let said: JournalRecord[] = [];
      let starts = [0];
      const own = new Set<JournalRecord>();
      let told = 0;
      let toldStart = 0;
      const groups = [1, 2, 3].map((id): Group => ({ id, log: new Map(), last: 0, decided: 0, trimmed: 0, mark: 1 }));
      const renew = (): void => {
        for (const group of groups) Object.assign(group, logOf(group.id, said, own));
      };

      const check = async ({ journal, records }: Opened, what: string): Promise<void> => {
        const texts = records.map(describe);
        const from = starts.find((start) => start >= toldStart && texts.every((text, index) => text === describe(said[start + index])));
        expect([what, from === undefined ? texts : "said"]).toEqual([what, "said"]);
        expect([what, from! + records.length >= told]).toEqual([what, true]);
        if (from! > 0) seen.rebased++;
        if (starts.some((start) => start > from! && start < from! + records.length)) seen.fellBack++;
        if (from! + records.length < said.length) seen.lost++;
        said = said.slice(0, from! + records.length);
        starts = starts.filter((start) => start <= said.length);
        told = said.length;
        toldStart = from!;
        renew();
        // A checkpoint that was taken over and lost decided nothing.
        for (const group of groups) group.decided = Math.min(group.decided, group.last);
        for (const { id, log, last, trimmed } of groups) {
          const oldest = journal.oldest(id);
          const missing = [...log.keys()].filter((instance) => instance > trimmed && instance < oldest);
          expect([what, id, missing]).toEqual([what, id, []]);
          const read = await journal.read(id, oldest, last + 9, 1 << 30);
          expect([what, id, read]).toEqual([what, id, [...log.values()].filter(({ instance }) => instance >= oldest)]);
        }
        if (journal.stats().oldestSegment > 1) seen.removed++;
      };

      for (let life = 0; life < 5; life++) {
        const opened = await open(disk, how);
        const { journal } = opened;
        await check(opened, `seed ${seed}, life ${life}`);
        const say = (...records: JournalRecord[]): Promise<void> => {
          said.push(...records);
          const upTo = said.length;
          renew();
          return append(journal, ...records).then(() => {
            if (durability === "sync") told = Math.max(told, upTo);
          }, () => {});
        };
        for (let round = 0; round < 40; round++) {
          const group = groups[next() < 0.7 ? 0 : int(3)]!;
          const { id, last, decided, mark } = group;
          const dice = next();
          let done: Promise<void> = Promise.resolve();
          if (dice < 0.6) done = say(...Array.from({ length: 1 + int(3) }, (_, i) => accept(id, last + 1 + i, mark, int(2_500))));
          else if (dice < 0.7) done = say(install(id, decided, decided + 1 + int(4), ++group.mark, int(1_500)));
          else if (dice < 0.72) {
            group.decided = last + 1 + int(5);
            done = say(marked(base(id, group.decided), seed * 100 + round, []));
          } else if (dice < 0.82) journal.trim(id, group.trimmed = Math.max(group.trimmed, decided - int(4)));
          else {
            const start = said.length;
            const bases = groups.map((one) =>
              marked(base(one.id, one.decided), seed * 100 + round, [...one.log.values()].filter(({ instance }) => instance > one.decided))
            );
            const records: JournalRecord[] = [...bases, { kind: "ceiling", stamp: seed * 1_000 + round }];
            for (const record of bases) own.add(record);
            said.push(...records);
            starts.push(start);
            const upTo = said.length;
            done = rebase(journal, ...records).then(() => {
              told = Math.max(told, upTo);
              toldStart = Math.max(toldStart, start);
            });
          }
          // A decision needs what is told: what is lost in a crash was none.
          const wait = next();
          if (wait < 0.5) {
            await done;
            if (told === said.length) group.decided = Math.max(group.decided, logOf(id, said, own).last - int(3));
          } else if (wait < 0.75) await new Promise((resolve) => setImmediate(resolve));
          expect(opened.failures).toEqual([]);
        }
        const end = next();
        if (end < 0.2) {
          await journal.close();
          told = said.length;
        }
        disk = end < 0.4 ? disk.kill() : disk.losePower(next);
      }
      await check(await open(disk, how), `seed ${seed}, the end`);
    }
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(10);
  },
);

test("the model notices an entry that is not the one", () => {
  const records = [accept(1, 1), accept(1, 2), install(1, 1, 3, 2)];
  expect([...logOf(1, records, new Set()).log.values()].map(({ instance, ballot }) => [instance, ballot])).toEqual([
    [1, entry(1).ballot],
    [2, entry(2, 2).ballot],
    [3, entry(3, 2).ballot],
  ]);
});

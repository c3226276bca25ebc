/** Beginning anew and giving up: where a recovery starts, what is still readable, which files go. */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import { openJournal } from "../../edge/journal/journal.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, base, entry, HandClock, install, learn, open, type Opened, random, rebase, settled } from "./journal_kit.ts";

const instances = (entries: readonly Entry[]): number[] => entries.map((one) => one.instance);
const span = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const ceiling: JournalRecord = { kind: "ceiling", stamp: 9_000_000 };
const how = { segmentBytes: 32_768 } as const;
const segmentsOf = async (disk: FaultyDisk): Promise<number[]> =>
  (await disk.list()).filter((name) => name.startsWith("journal-")).map((name) => Number(name.slice(8))).sort((a, b) => a - b);

test("recovery begins at the newest bases, and what lies below them can still be read back", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk, how);
  for (const instance of span(1, 40)) await append(first.journal, accept(1, instance, 1, 2_000));
  await append(first.journal, accept(2, 1), { kind: "promise", group: 2, ballot: 99 });
  await rebase(first.journal, base(1, 38, 40), base(2, 1), ceiling);
  await append(first.journal, accept(1, 41));
  const second = await open(disk.kill(), how);
  expect(second.records).toEqual([base(1, 38, 40), base(2, 1), ceiling, accept(1, 41)]);
  expect(instances(await second.journal.read(1, 1, 50, 1 << 30))).toEqual(span(1, 41));
  expect(await second.journal.read(1, 38, 39, 1 << 30)).toEqual([entry(38, 1, 2_000), entry(39)]);
  expect(await second.journal.read(2, 1, 9, 1 << 20)).toEqual([entry(1)]);
  expect([second.journal.oldest(1), second.journal.oldest(2), second.journal.oldest(3)]).toEqual([1, 1, 1]);
  await second.journal.close();
});

test("a crash at any point of a rebase falls back to where recovery began before", async () => {
  const before = new FaultyDisk();
  const { journal } = await open(before, how);
  for (const instance of span(1, 12)) await append(journal, accept(1, instance, 1, 1_000));
  await rebase(journal, base(1, 10, 12), ceiling);
  const appended: JournalRecord[] = [accept(1, 13), accept(1, 14)];
  await append(journal, ...appended);
  await journal.close();
  const old = [base(1, 10, 12), ceiling, ...appended];
  const anew = [base(1, 13, 14), base(2, 0), ceiling];
  const seen = new Set<string>();
  for (let turns = 0; turns < 40; turns++) {
    for (let seed = 1; seed <= 3; seed++) {
      const disk = before.clone();
      const again = await open(disk, how);
      let done = false;
      void rebase(again.journal, ...anew).then(() => done = true);
      for (let turn = 0; turn < turns && !done; turn++) await new Promise((resolve) => setImmediate(resolve));
      const told = done;
      const next = await open(disk.losePower(random(seed * 100 + turns)), how);
      const isAnew = JSON.stringify(next.records) === JSON.stringify(anew);
      if (!isAnew) expect(next.records).toEqual([...old, ...anew].slice(0, Math.max(old.length, next.records.length)));
      if (told) expect(isAnew).toBe(true);
      expect(instances(await next.journal.read(1, 1, 20, 1 << 20))).toEqual(span(1, 14));
      seen.add(isAnew ? "anew" : "old");
      await next.journal.close();
    }
  }
  expect([...seen].sort()).toEqual(["anew", "old"]);
});

test("segments go once they are older than the bases and below every trim, and what is left is still whole", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk, how);
  for (const instance of span(1, 100)) await append(first.journal, accept(1, instance, 1, 2_000), accept(2, instance, 1, 10));
  await settled();
  const all = await segmentsOf(disk);
  expect(all.length).toBeGreaterThan(8);
  // Trimmed, and not yet older than any bases.
  first.journal.trim(1, 90);
  await settled();
  expect((await segmentsOf(disk)).slice(0, all.length)).toEqual(all);
  expect(await first.journal.read(1, 90, 95, 1 << 20)).toEqual([]);
  expect(instances(await first.journal.read(1, 91, 95, 1 << 20))).toEqual(span(91, 95));
  await rebase(first.journal, base(1, 100), base(2, 100), ceiling);
  await settled();
  // Group 2 still wants all of its own.
  expect((await segmentsOf(disk)).slice(0, 8)).toEqual(all.slice(0, 8));
  first.journal.trim(2, 60);
  await settled();
  const left = await segmentsOf(disk);
  expect(left[0]).toBeGreaterThan(all[0]! + 4);
  expect(first.journal.stats()).toMatchObject({ oldestSegment: left[0], trims: 2, entries: 50 });
  await append(first.journal, accept(1, 101));
  const second = await open(disk.kill(), how);
  expect(second.records).toEqual([base(1, 100), base(2, 100), ceiling, accept(1, 101)]);
  expect([second.journal.oldest(1), second.journal.oldest(2)]).toEqual([91, 61]);
  expect(instances(await second.journal.read(1, 91, 101, 1 << 20))).toEqual(span(91, 101));
  expect(instances(await second.journal.read(2, 61, 101, 1 << 20))).toEqual(span(61, 100));
  await second.journal.close();
});

test("a group at rest holds back its own segment and none of the others", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk, how);
  await append(journal, accept(7, 1), accept(7, 2));
  for (let round = 1; round <= 12; round++) {
    for (const instance of span(round * 20 - 19, round * 20)) await append(journal, accept(1, instance, 1, 2_000));
    await rebase(journal, base(1, round * 20), base(7, 2), ceiling);
    journal.trim(1, round * 20);
    await settled();
  }
  expect((await segmentsOf(disk)).length).toBeLessThan(6);
  expect((await segmentsOf(disk))[0]).toBe(1);
  expect(journal.stats().bytes).toBeLessThan(6 * 32_768);
  const again = await open(disk.kill(), how);
  expect(instances(await again.journal.read(7, 1, 9, 1 << 20))).toEqual([1, 2]);
  expect(again.journal.oldest(1)).toBe(241);
  await again.journal.close();
});

test("entries that the bases hold again hold back no older segment, before and after a restart", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk, how);
  for (const instance of span(1, 12)) await append(journal, accept(1, instance, 1, 2_000));
  await rebase(journal, base(1, 10, 12), ceiling);
  const restarted = disk.kill();
  const same = await open(restarted, how);
  same.journal.trim(1, 10);
  await settled();
  const written = async (): Promise<number[]> =>
    (await segmentsOf(restarted)).filter((number) => restarted.bytes(`journal-0000000${number}`)[0] !== 0);
  expect((await written()).length).toBe(1);
  expect(await same.journal.read(1, 11, 12, 1 << 20)).toEqual([entry(11), entry(12)]);
  // The same without the restart.
  for (const instance of span(13, 24)) await append(same.journal, accept(1, instance, 1, 2_000));
  await rebase(same.journal, base(1, 20, 24), ceiling);
  same.journal.trim(1, 20);
  await settled();
  expect((await written()).length).toBe(1);
  expect(await same.journal.read(1, 20, 24, 1 << 20)).toEqual([]);
  expect(await same.journal.read(1, 21, 24, 1 << 20)).toEqual(span(21, 24).map((instance) => entry(instance)));
  await same.journal.close();
});

test("more gaps than the superblock has room for wait, and go later", async () => {
  const disk = new FaultyDisk();
  const tight = { segmentBytes: 4_096 };
  const { journal } = await open(disk, tight);
  // Every other segment is of a group at rest.
  for (const instance of span(1, 90)) {
    await append(journal, accept(1, instance, 1, 3_500)).then(() => append(journal, accept(2, instance, 1, 3_500)));
  }
  await rebase(journal, base(1, 90), base(2, 90), ceiling);
  journal.trim(1, 90);
  await settled();
  const between = (await segmentsOf(disk)).length;
  expect(between).toBeGreaterThan(90);
  expect(between).toBeLessThan(160);
  const next = disk.kill();
  const again = await open(next, tight);
  expect(instances(await again.journal.read(2, 1, 90, 1 << 30))).toEqual(span(1, 90));
  again.journal.trim(2, 60);
  await settled();
  expect((await segmentsOf(next)).length).toBeLessThan(40);
  expect(instances(await again.journal.read(2, 61, 90, 1 << 30))).toEqual(span(61, 90));
  await again.journal.close();
});

/**
 * Group 9 holds the first segment, in which 6 … 10 of group 1 are of a ballot that came to nothing. The segment of what
 * replaced them goes with the trim, the one of 11 … 14 stays: only the trim itself stands between the two.
 */
async function replaced(disk: FaultyDisk, durability: "sync" | "async"): Promise<Opened> {
  const opened = await open(disk, { ...how, durability, clock: new HandClock() });
  const filler = (from: number): JournalRecord[] => span(from, from + 14).map((i) => accept(8, i, 1, 2_000));
  const { journal } = opened;
  await append(journal, accept(9, 1), ...span(1, 10).map((i) => accept(1, i, 1, 500)));
  await append(journal, ...filler(1));
  await append(journal, install(1, 5, 10, 2, 1_000));
  await append(journal, ...filler(16));
  await append(journal, ...span(11, 14).map((i) => accept(1, i, 2, 100)));
  await rebase(journal, base(1, 14), base(8, 30), base(9, 1), ceiling);
  journal.trim(1, 10);
  journal.trim(8, 30);
  await settled();
  expect((await segmentsOf(disk))[0]).toBe(1);
  expect((await segmentsOf(disk))[1]).toBeGreaterThan(2);
  return opened;
}

async function nothingCameBack({ journal }: Opened): Promise<void> {
  expect([journal.oldest(1), journal.oldest(9)]).toEqual([11, 1]);
  expect(await journal.read(1, 8, 14, 1 << 20)).toEqual([]);
  expect(await journal.read(1, 11, 14, 1 << 20)).toEqual(span(11, 14).map((i) => entry(i, 2)));
  await journal.close();
}

test("entries that were replaced do not come back when the segment that replaced them has gone", async () => {
  for (const durability of ["sync", "async"] as const) {
    const disk = new FaultyDisk();
    await replaced(disk, durability);
    await nothingCameBack(await open(disk.losePower(() => 0), how));
  }
});

test("nor when the notes of the trims have gone as well, with the segment they were in", async () => {
  const disk = new FaultyDisk();
  const { journal } = await replaced(disk, "sync");
  const withNotes = (await segmentsOf(disk)).at(-1)!;
  await rebase(journal, base(1, 14), base(8, 30), base(9, 1), ceiling);
  await settled();
  expect(await segmentsOf(disk)).not.toContain(withNotes);
  await nothingCameBack(await open(disk.kill(), how));
});

test("a checkpoint taken over from a peer leaves nothing readable below it, also across restarts", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk, how);
  await append(first.journal, accept(9, 1, 1, 9_000), ...span(1, 10).map((i) => accept(1, i)));
  await append(first.journal, base(1, 8), accept(1, 9, 2));
  expect([first.journal.oldest(1), await first.journal.read(1, 8, 8, 1 << 20)]).toEqual([9, []]);
  await append(first.journal, accept(1, 10, 2));
  await rebase(first.journal, base(1, 10, 10, 2), base(9, 1), ceiling);
  await rebase(first.journal, base(1, 10, 10, 2), base(9, 1), ceiling);
  await settled();
  const second = await open(disk.kill(), how);
  expect(await second.journal.read(1, 9, 10, 1 << 20)).toEqual([entry(9, 2), entry(10, 2)]);
  expect([second.journal.oldest(1), second.journal.oldest(9)]).toEqual([9, 1]);
  await append(second.journal, base(1, 50), learn(1, 50, 51, 1));
  expect([second.journal.oldest(1), await second.journal.read(1, 10, 51, 1 << 20)]).toEqual([51, []]);
  await second.journal.close();
});

test("under constant load the journal, its files and its index stay as small as what is kept", async () => {
  for (const durability of ["sync", "async"] as const) {
    const disk = new FaultyDisk();
    const { journal } = await open(disk, { ...how, durability });
    let most = { bytes: 0, entries: 0, segments: 0 };
    for (let round = 1; round <= 60; round++) {
      await append(journal, ...span(round * 10 - 9, round * 10).map((i) => accept(1, i, 1, 900)));
      if (round % 5 === 0) {
        await rebase(journal, base(1, round * 10 - 5, round * 10), ceiling);
        journal.trim(1, round * 10 - 30);
        await settled();
        const { bytes, entries, segments } = journal.stats();
        most = {
          bytes: Math.max(most.bytes, bytes),
          entries: Math.max(most.entries, entries),
          segments: Math.max(most.segments, segments),
        };
        expect(journal.stats().bytesSinceRebase).toBeLessThan(20_000);
      }
    }
    expect(most.segments).toBeLessThan(9);
    expect(most.bytes).toBeLessThan(9 * 32_768);
    expect(most.entries).toBeLessThan(90);
    expect(journal.stats().records).toBeGreaterThan(600);
    await journal.close();
    const again = await open(disk, how);
    expect(again.records.length).toBeLessThan(4);
    await again.journal.close();
  }
});

test("in memory slabs are given back, and what was trimmed is answered with nothing", async () => {
  const journal = await openJournal({
    disk: null,
    clock: runtime.clock,
    crc32: runtime.crc32,
    entropy: () => 1,
    durability: "memory",
    cluster: "test",
    node: 1,
    onFailure: () => {},
  });
  for (const instance of span(1, 100)) journal.append([accept(1, instance, 1, 100_000), accept(2, instance, 1, 10)], () => {});
  const { bytes, segments } = journal.stats();
  expect(segments).toBeGreaterThan(8);
  journal.rebase([base(1, 100), base(2, 100), ceiling], () => {});
  journal.trim(1, 90);
  expect(journal.stats().segments).toBe(segments);
  journal.trim(2, 90);
  expect(journal.stats().segments).toBeLessThan(4);
  expect(journal.stats().bytes).toBeLessThan(bytes / 3);
  expect([journal.oldest(1), await journal.read(1, 90, 91, 1 << 20)]).toEqual([91, []]);
  expect(instances(await journal.read(1, 91, 100, 1 << 30))).toEqual(span(91, 100));
  await journal.close();
});

test("a second after its first record the newest segment is missed as well", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const { journal } = await open(disk, { ...how, clock });
  for (const instance of span(1, 20)) await append(journal, accept(1, instance, 1, 2_000));
  await clock.pass(1_100);
  const newest = (await segmentsOf(disk)).findLast((number) => disk.bytes(`journal-0000000${number}`)[0] !== 0)!;
  expect(newest).toBeGreaterThan(1);
  const killed = disk.kill();
  for (const number of await segmentsOf(killed)) if (number >= newest) await killed.remove(`journal-0000000${number}`);
  await expect(open(killed, how)).rejects.toThrow(`Cannot start: "/test/journal-0000000${newest}" is missing`);
});

test("a missing segment is damage wherever it was needed: at the base, behind it, or among those kept to read back", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk, how);
  await append(journal, accept(7, 1), accept(7, 2));
  for (const instance of span(1, 60)) await append(journal, accept(1, instance, 1, 2_000));
  journal.trim(1, 30);
  await rebase(journal, base(1, 60), base(7, 2), ceiling);
  for (const instance of span(61, 80)) await append(journal, accept(1, instance, 1, 2_000));
  await settled();
  const killed = disk.kill();
  const numbers = await segmentsOf(killed);
  expect(numbers[1]).toBeGreaterThan(2);
  const unused = journal.stats().segments === numbers.length ? 1 : 0;
  for (const number of numbers.slice(0, numbers.length - unused)) {
    const damaged = killed.clone();
    const name = `journal-${String(number).padStart(8, "0")}`;
    await damaged.remove(name);
    const result = await open(damaged, how).catch((error: Error) => error);
    expect(result instanceof Error ? result.message : `${name} is not missed`).toBe(`Cannot start: "/test/${name}" is missing`);
  }
  const whole = await open(killed.clone(), how);
  expect(whole.records.length).toBe(23);
  await whole.journal.close();
});

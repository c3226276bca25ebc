/** Damage: told from a torn tail also when idle, put aside, found while running, and never taken for something else. */
import { expect, test } from "bun:test";
import type { JournalRecord } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, base, entry, HandClock, open, type Opened, random, rebase, settled } from "./journal_kit.ts";

const segment = "journal-00000001";
const span = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const ceiling: JournalRecord = { kind: "ceiling", stamp: 9_000_000 };

test("a second after the last record an idle journal has a mark: a flip in the last batch is damage, a torn one stays torn", async () => {
  for (const durability of ["sync", "async"] as const) {
    const clock = new HandClock();
    const disk = new FaultyDisk();
    const { journal } = await open(disk, { clock, durability });
    await append(journal, accept(1, 1));
    await append(journal, accept(1, 2));
    const young = disk.clone();
    young.flip(segment, 4_096 + 60);
    // Nobody can tell yet: this is the window.
    expect((await open(young)).records).toEqual([accept(1, 1)]);
    await clock.pass(1_100);
    const old = disk.clone();
    old.flip(segment, 4_096 + 60);
    await expect(open(old)).rejects.toThrow("damaged behind byte");
    // One mark, not one a second.
    const { bytesWritten } = journal.stats();
    await clock.pass(20_000);
    expect(journal.stats().bytesWritten).toBe(bytesWritten);
    // What is torn afterwards is torn.
    void append(journal, accept(1, 3, 1, 20_000)).catch(() => {});
    await settled();
    const torn = disk.clone();
    torn.bytes(segment).fill(0, 12_288 + 4_096);
    expect((await open(torn)).records).toEqual([accept(1, 1), accept(1, 2)]);
    await journal.close();
  }
});

test("what a kill left without a mark gets one after the restart", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk, { clock: new HandClock() });
  await append(first.journal, accept(1, 1));
  const next = disk.kill();
  const clock = new HandClock();
  const second = await open(next, { clock });
  await clock.pass(2_000);
  await second.journal.close();
  next.flip(segment, 60);
  await expect(open(next)).rejects.toThrow("damaged behind byte 0");
});

test("damage is put aside on demand: the journal begins anew, rejoining, and keeps one set of what was damaged", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk);
  for (const instance of span(1, 5)) await append(first.journal, accept(1, instance));
  await first.journal.close();
  disk.flip(segment, 4_096 + 60);
  const how = { replicated: true, quarantine: true, clock: new HandClock() };
  const second = await open(disk, how);
  expect(second.records).toEqual([]);
  expect(second.recovery).toMatchObject({ records: 0, fresh: false, rejoining: true, lost: true });
  expect(second.recovery.damage).toEqual([
    { file: segment, offset: 224, reason: "record 2 was durable and is unreadable", group: null, instance: null },
  ]);
  await settled();
  expect((await disk.list()).sort()).toEqual(["damaged-20251125T104000Z-journal-00000001", "journal-00000002", "superblock"]);
  await append(second.journal, accept(1, 1, 4));
  await second.journal.close();
  const third = await open(disk, how);
  expect([third.records, third.recovery.rejoining, third.recovery.lost]).toEqual([[accept(1, 1, 4)], true, true]);
  await third.journal.rejoined();
  await third.journal.close();
  disk.flip("journal-00000002", 60);
  await how.clock.pass(60_000);
  const fourth = await open(disk, how);
  expect([fourth.records, fourth.recovery.rejoining]).toEqual([[], true]);
  expect((await disk.list()).filter((name) => name.startsWith("damaged-"))).toEqual(["damaged-20251125T104100Z-journal-00000002"]);
  await fourth.journal.close();
});

test("a crash while damage is put aside never leaves a journal that votes", async () => {
  const whole = new FaultyDisk();
  const first = await open(whole, { segmentBytes: 16_384 });
  for (const instance of span(1, 12)) await append(first.journal, accept(1, instance, 1, 3_000));
  await first.journal.close();
  const outcomes = new Set<string>();
  for (let turns = 0; turns < 40; turns++) {
    const disk = whole.clone();
    disk.flip("journal-00000002", 60);
    void open(disk, { segmentBytes: 16_384, replicated: true, quarantine: true }).catch(() => {});
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    const next = disk.losePower(random(turns));
    const again = await open(next, { segmentBytes: 16_384 }).catch((error: CarillonError) => error);
    if (again instanceof Error) {
      expect(again.message).toMatch(/is damaged behind byte/);
      outcomes.add("refused");
    } else {
      expect([again.records, again.recovery.rejoining]).toEqual([[], true]);
      outcomes.add("rejoining");
      await again.journal.close();
    }
  }
  expect([...outcomes].sort()).toEqual(["refused", "rejoining"]);
});

test("an entry that cannot be read back is answered with nothing and told once, and those around it are served", async () => {
  const disk = new FaultyDisk();
  const { journal, damage, failures } = await open(disk);
  for (const instance of [1, 2, 3]) await append(journal, accept(1, instance));
  disk.flip(segment, 4_096 + 60);
  expect(await journal.read(1, 1, 3, 1 << 20)).toEqual([entry(1)]);
  expect(await journal.read(1, 2, 3, 1 << 20)).toEqual([]);
  expect(await journal.read(1, 2, 3, 1 << 20)).toEqual([]);
  expect(await journal.read(1, 3, 3, 1 << 20)).toEqual([entry(3)]);
  const reason = 'Cannot read back an entry: "/test/journal-00000001" is damaged at byte 4096';
  expect(damage).toEqual([{ file: segment, offset: 4_096, reason, group: 1, instance: 2 }]);
  expect([journal.stats().damages, failures]).toEqual([1, []]);
  disk.failRead = new Error("EIO: i/o error");
  expect(await journal.read(1, 3, 3, 1 << 20)).toEqual([]);
  expect(damage[1]).toMatchObject({ group: 1, instance: 3, reason: "EIO: i/o error" });
  disk.failRead = null;
  // The same entry, written again elsewhere.
  await append(journal, accept(1, 2, 5));
  expect(await journal.read(1, 2, 3, 1 << 20)).toEqual([entry(2, 5)]);
  await journal.close();
});

/** Group 7 keeps the first segment, group 1 the ones behind it; recovery begins after all of them. */
async function withPast(): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const { journal } = await open(disk, { segmentBytes: 32_768 });
  await append(journal, accept(7, 1), accept(7, 2));
  for (const instance of span(1, 40)) await append(journal, accept(1, instance, 1, 2_000));
  await rebase(journal, base(1, 40), base(7, 2), ceiling);
  await append(journal, accept(1, 41));
  await journal.close();
  return disk;
}

test("damage to what is only kept to be read back is refused alone, and among others given up with all before it", async () => {
  const how = { segmentBytes: 32_768 };
  const whole = await withPast();
  const damaged = whole.clone();
  damaged.flip("journal-00000003", 9_000);
  await expect(open(damaged.clone(), how)).rejects.toThrow(
    /^Cannot start: "\/test\/journal-00000003" is damaged at byte \d+: record \d+ is unreadable$/,
  );
  const { journal, records, recovery } = await open(damaged, { ...how, replicated: true });
  expect(records).toEqual([base(1, 40), base(7, 2), ceiling, accept(1, 41)]);
  expect(recovery).toMatchObject({ rejoining: false, damage: [{ file: "journal-00000003" }] });
  const oldest = journal.oldest(1);
  expect(oldest).toBeGreaterThan(10);
  expect((await journal.read(1, oldest, 41, 1 << 30)).length).toBe(42 - oldest);
  expect([journal.oldest(7), await journal.read(1, oldest - 1, 41, 1 << 20)]).toEqual([3, []]);
  await settled();
  // What nothing is read from any more goes.
  expect(await damaged.list()).not.toContain("journal-00000001");
  await journal.close();
  const again = await open(damaged, { ...how, replicated: true });
  expect([again.records.length, again.journal.oldest(1), again.recovery.damage]).toEqual([4, oldest, recovery.damage]);
  await again.journal.close();
});

test("the scrub finds what nobody reads: everything once in an interval, at four megabytes a second", async () => {
  const clock = new HandClock();
  const disk = await withPast();
  const { journal, damage } = await open(disk, { segmentBytes: 32_768, clock, scrubEveryMs: 60_000 });
  await clock.pass(70_000);
  const { bytes, scrubbedBytes } = journal.stats();
  expect(scrubbedBytes).toBeGreaterThan(bytes - 2 * 32_768);
  expect([damage, journal.stats().damages]).toEqual([[], 0]);
  disk.flip("journal-00000001", 60);
  disk.flip("journal-00000002", 8_192 + 9);
  disk.flip("journal-00000002", 16_384 + 100);
  await clock.pass(60_000);
  expect(damage.map(({ file, group, instance }) => ({ file, group, instance }))).toEqual([
    { file: "journal-00000001", group: 7, instance: 1 },
    { file: "journal-00000002", group: 1, instance: 10 },
    { file: "journal-00000002", group: 1, instance: 12 },
  ]);
  expect(journal.stats().damages).toBe(3);
  await clock.pass(60_000);
  expect(journal.stats().damages).toBe(3);
  expect(await journal.read(1, 10, 12, 1 << 20)).toEqual([]);
  await journal.close();
});

test("the scrub keeps its pace, and gives way to a busy journal", async () => {
  const clock = new HandClock();
  const disk = new FaultyDisk();
  const how = { segmentBytes: 1 << 20, clock, scrubEveryMs: 10_000 };
  const { journal } = await open(disk, how);
  for (const instance of span(1, 40)) await append(journal, accept(1, instance, 1, 200_000));
  await clock.pass(10_000);
  await clock.pass(1_000);
  const first = journal.stats().scrubbedBytes;
  expect(first).toBeGreaterThan(3 << 20);
  expect(first).toBeLessThanOrEqual(4 << 20);
  disk.hold = true;
  void append(journal, accept(1, 41));
  await clock.pass(1_000);
  expect(journal.stats().scrubbedBytes - first).toBeLessThanOrEqual(1 << 20);
  disk.letGo();
  await journal.close();
});

test("500 single flips in any file: the right content, put aside, or refused by name, and never a wrong record", async () => {
  const whole = await withPast();
  const how = { segmentBytes: 32_768 };
  const more = await open(whole, how);
  await append(more.journal, ...span(42, 50).map((instance) => accept(1, instance, 2, 900)));
  await more.journal.close();
  const right = await open(whole.clone(), how);
  const names = [...whole.files.keys()];
  const seen = { right: 0, aside: 0, refused: 0, past: 0 };
  for (let seed = 1; seed <= 500; seed++) {
    const next = random(seed);
    const disk = whole.clone();
    const name = names[Math.floor(next() * names.length)]!;
    const bytes = disk.bytes(name);
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    let at = Math.floor(next() * (next() < 0.9 ? used : bytes.byteLength));
    // Most of a small journal is padding: rather something that means something.
    if (next() < 0.7 && at < used) { while (bytes[at] === 0) at++; }
    disk.flip(name, at, 1 << Math.floor(next() * 8));
    const what = `seed ${seed}: byte ${at} of ${name}`;
    const replicated = next() < 0.5;
    const opened: Opened | Error = await open(disk, { ...how, replicated, quarantine: replicated }).catch((error: Error) => error);
    if (opened instanceof Error) {
      expect([what, opened instanceof CarillonError, opened.message.includes(name)]).toEqual([what, true, true]);
      seen.refused++;
      continue;
    }
    const { journal, records, recovery } = opened;
    if (recovery.rejoining) {
      expect([what, records, recovery.damage[0]!.file.startsWith("journal-")]).toEqual([what, [], true]);
      seen.aside++;
    } else {
      expect([what, records]).toEqual([what, right.records]);
      seen[recovery.damage.length > 0 ? "past" : "right"]++;
    }
    for (const group of [1, 7]) {
      const oldest = journal.oldest(group);
      const read = await journal.read(group, oldest, 100, 1 << 30);
      expect([what, read]).toEqual([what, recovery.rejoining ? [] : await right.journal.read(group, oldest, 100, 1 << 30)]);
    }
    await journal.close();
  }
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(10);
});

test("one bit in a thousand, in every segment: never a wrong record, and what is left serves", async () => {
  const whole = await withPast();
  const how = { segmentBytes: 32_768 };
  const right = await open(whole.clone(), how);
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const disk = whole.clone();
    for (const name of [...disk.files.keys()].filter((name) => name.startsWith("journal-"))) {
      const bits = disk.bytes(name).byteLength * 8;
      // The gap to the next flip, as if each bit were drawn.
      for (let bit = gap(next); bit < bits; bit += gap(next)) disk.flip(name, bit >> 3, 1 << bit % 8);
    }
    const { journal, records, recovery } = await open(disk, { ...how, replicated: true, quarantine: true });
    expect([seed, records]).toEqual([seed, recovery.rejoining ? [] : right.records]);
    expect(recovery.damage.length).toBeGreaterThan(0);
    await append(journal, accept(1, 1, 9));
    expect(await journal.read(1, 1, 1, 1 << 20)).toEqual(recovery.rejoining ? [entry(1, 9)] : []);
    await journal.close();
  }
});

function gap(next: () => number): number {
  return 1 + Math.floor(Math.log(1 - next()) / Math.log(1 - 1e-3));
}

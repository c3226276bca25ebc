/** The journal while it runs: group commit, modes, failures, segments and reading back. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import type { Entry } from "../../core/entry.ts";
import { openJournal } from "../../edge/journal/journal.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, entry, everyKind, HandClock, install, learn, open, settled } from "./journal_kit.ts";

const instances = (entries: readonly Entry[]): number[] => entries.map((one) => one.instance);

test("while one batch is written and synced the next gathers, and all are done in order", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  disk.hold = true;
  disk.calls.length = 0;
  const order: number[] = [];
  const done: Promise<void>[] = [];
  for (let instance = 1; instance <= 50; instance++) done.push(append(journal, accept(1, instance)).then(() => void order.push(instance)));
  await Bun.sleep(10);
  expect(disk.calls).toEqual(["commit 4096"]);
  expect(order).toEqual([]);
  disk.letGo();
  await Promise.all(done);
  expect(disk.calls).toEqual(["commit 4096", "commit 12288"]);
  expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect(journal.stats()).toMatchObject({ records: 50, batches: 2, bytesWritten: 16_384, entries: 50, syncSeconds: { count: 2 } });
  await journal.close();
});

test("what is written behind a mark makes the mark durable too", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const { journal } = await open(disk, { clock });
  await append(journal, accept(1, 1));
  disk.calls.length = 0;
  await clock.pass(1_000);
  expect(disk.calls).toEqual(["write 4096"]);
  await append(journal, accept(1, 2));
  await append(journal, accept(1, 3));
  expect(disk.calls).toEqual(["write 4096", "write 4096", "sync", "commit 4096"]);
  await journal.close();
});

test("no sector that holds something durable is written again", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  await settled();
  for (let instance = 1; instance <= 20; instance++) {
    const before = disk.bytes("journal-00000001").slice();
    await append(journal, accept(1, instance, 1, instance * 300));
    const after = disk.bytes("journal-00000001");
    const used = before.findLastIndex((byte) => byte !== 0);
    for (let at = 0; at < Math.ceil((used + 1) / 4_096) * 4_096; at++) {
      if (before[at] !== after[at]) throw new Error(`Cannot be: byte ${at} changed`);
    }
  }
  await journal.close();
});

test("async is done when written and syncs within its interval", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const { journal } = await open(disk, { durability: "async", clock });
  disk.calls.length = 0;
  for (let instance = 1; instance <= 10; instance++) await append(journal, accept(1, instance));
  expect(disk.calls.filter((call) => call === "sync").length).toBe(0);
  await clock.pass(60);
  expect(disk.calls.filter((call) => call === "sync").length).toBe(1);
  expect((await open(disk.losePower(() => 0))).records.length).toBe(10);
});

test("a failed write or sync is told once, to all who wait and all who come, and never retried", async () => {
  for (const what of ["failWrite", "failSync"] as const) {
    const disk = new FaultyDisk();
    const { journal, failures } = await open(disk);
    await append(journal, accept(1, 1));
    disk[what] = new Error("EIO: i/o error");
    disk.calls.length = 0;
    const results = await Promise.allSettled([2, 3, 4].map((instance) => append(journal, accept(1, instance))));
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected", "rejected"]);
    disk[what] = null;
    await expect(append(journal, accept(1, 5))).rejects.toThrow("EIO: i/o error");
    expect(failures.map((error) => error.message)).toEqual(['Cannot write the journal in "/test": EIO: i/o error']);
    expect(disk.calls).toEqual(["commit 4096"]);
    await journal.close();
  }
});

test("a failed lazy sync is told although nobody waits", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const { journal, failures } = await open(disk, { durability: "async", clock });
  disk.failSync = new Error("EIO: i/o error");
  await append(journal, accept(1, 1));
  await clock.pass(60);
  expect(failures.map((error) => error.message)).toEqual(['Cannot write the journal in "/test": EIO: i/o error']);
  await journal.close();
});

test("a full disk is told when the next segment is needed, not before", async () => {
  const disk = new FaultyDisk();
  const { journal, failures } = await open(disk, { segmentBytes: 32_768 });
  await append(journal, accept(1, 1));
  disk.failPreallocate = new Error("ENOSPC: no space left on device");
  for (let instance = 2; instance <= 8; instance++) await append(journal, accept(1, instance));
  expect(failures).toEqual([]);
  await expect(append(journal, accept(1, 9))).rejects.toThrow("Cannot extend the journal: ENOSPC: no space left on device");
  expect(failures.map((error) => (error as Error & { code?: string }).code)).toEqual(["disk-full"]);
  await journal.close();
});

test("records larger than a segment, and segments one after another, come back", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk, { segmentBytes: 32_768 });
  const records = [
    install(1, 0, 40, 1, 4_000),
    ...[41, 42, 43, 44].map((i) => accept(1, i, 2, 20_000)),
    install(1, 40, 90, 3, 4_000),
    accept(1, 91),
  ];
  await append(first.journal, ...records);
  await append(first.journal, accept(1, 92));
  expect(instances(await first.journal.read(1, 38, 92, 1 << 30))).toEqual(Array.from({ length: 55 }, (_, i) => 38 + i));
  await first.journal.close();
  const second = await open(disk, { segmentBytes: 32_768 });
  expect(second.records).toEqual([...records, accept(1, 92)]);
  expect(instances(await second.journal.read(1, 1, 92, 1 << 30)).length).toBe(92);
  await second.journal.close();
});

test("entries are read back from the log as it is: after accept, install and learn, also across a restart", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  await append(journal, ...everyKind);
  const check = async (read: typeof journal.read): Promise<void> => {
    // Installed above 2 in ballot 2: 3 and 4 replaced, 5 the start, then 6 accepted.
    expect(await read(1, 1, 9, 1 << 20)).toEqual([
      { ...entry(1), kind: "start", batches: [], slots: 0 },
      entry(2),
      entry(3, 2),
      entry(4, 2),
      { ...entry(5, 2), kind: "start", batches: [], slots: 0 },
      entry(6, 2, 9_000),
    ]);
    expect(await read(2, 2, 3, 1 << 20)).toEqual([entry(2), entry(3)]);
    expect(await read(2, 4, 9, 1 << 20)).toEqual([]);
    expect(await read(3, 1, 9, 1 << 20)).toEqual([]);
    expect(instances(await read(1, 1, 6, 1))).toEqual([1]);
    expect(instances(await read(1, 1, 6, 64 + 64 + 24 + 104))).toEqual([1, 2]);
  };
  await check((...ask) => journal.read(...ask));
  await append(journal, learn(2, 1, 2, 5));
  await journal.close();
  const again = await open(disk);
  await check(async (group, from, to, bytes) =>
    group === 2 && from === 2 ? [entry(2), entry(3)] : await again.journal.read(group, from, to, bytes)
  );
  expect(await again.journal.read(2, 1, 3, 1 << 20)).toEqual([entry(1), entry(2, 5)]);
  await again.journal.close();
});

test("what has not reached the disk yet can be read back too", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  disk.hold = true;
  const pending = [1, 2, 3, 4].map((instance) => append(journal, accept(1, instance)));
  expect(instances(await journal.read(1, 1, 4, 1 << 20))).toEqual([1, 2, 3, 4]);
  await Bun.sleep(5);
  expect(instances(await journal.read(1, 1, 4, 1 << 20))).toEqual([1, 2, 3, 4]);
  disk.letGo();
  await Promise.all(pending);
  expect(await journal.read(1, 2, 3, 1 << 20)).toEqual([entry(2), entry(3)]);
  await journal.close();
});

test("in memory entries are read back from the log as it is, and nothing is waited for", async () => {
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
  let done = 0;
  journal.append(everyKind, () => done++);
  expect(done).toBe(1);
  journal.append([accept(2, 4, 1, 3 << 20), accept(2, 5)], () => {});
  expect(await journal.read(1, 2, 6, 1 << 20)).toEqual([
    entry(2),
    entry(3, 2),
    entry(4, 2),
    { ...entry(5, 2), kind: "start", batches: [], slots: 0 },
    entry(6, 2, 9_000),
  ]);
  expect(await journal.read(2, 3, 9, 8 << 20)).toEqual([entry(3), entry(4, 1, 3 << 20), entry(5)]);
  expect(instances(await journal.read(2, 3, 9, 1 << 20))).toEqual([3]);
  await journal.close();
});

test("on the machine's own disk: many writers at once, a restart, everything there", async () => {
  const directory = await mkdtemp(join(tmpdir(), "carillon-journal-"));
  try {
    const first = await open(await runtime.openDisk(directory));
    const order: number[] = [];
    const writers = Array.from({ length: 300 }, (_, i) => append(first.journal, accept(1, i + 1, 1, 900)).then(() => void order.push(i)));
    await Promise.all(writers);
    expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(first.journal.stats().batches).toBeLessThan(20);
    await expect(open(await runtime.openDisk(directory))).rejects.toThrow(/^Cannot use ".*": another process is using it$/);
    await first.journal.close();
    const second = await open(await runtime.openDisk(directory));
    expect(second.records).toEqual(Array.from({ length: 300 }, (_, i) => accept(1, i + 1, 1, 900)));
    expect(instances(await second.journal.read(1, 250, 300, 1 << 20))).toEqual(Array.from({ length: 51 }, (_, i) => 250 + i));
    await second.journal.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

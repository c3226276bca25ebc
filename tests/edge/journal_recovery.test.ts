/** The journal after an end: what comes back, what is cut, what is refused. */
import { expect, test } from "bun:test";
import type { JournalRecord } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, base, entry, everyKind, install, open, random, rebase } from "./journal_kit.ts";

const segment = "journal-00000001";

/** A disk with these batches on it, one append each, as a killed process leaves it. */
async function written(batches: readonly (readonly JournalRecord[])[], durability: "sync" | "async" = "sync"): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const { journal } = await open(disk, { durability });
  for (const batch of batches) await append(journal, ...batch);
  return disk.kill();
}

function lastNonZero(bytes: Uint8Array): number {
  let at = bytes.length - 1;
  while (at >= 0 && bytes[at] === 0) at--;
  return at;
}

test("records of every kind come back in order, after a kill and after a close", async () => {
  const disk = await written(everyKind.map((record) => [record]));
  const first = await open(disk);
  expect(first.records).toEqual([...everyKind]);
  expect(first.recovery).toEqual({ records: everyKind.length, torn: null, fresh: false, rejoining: false, lost: false, damage: [] });
  await append(first.journal, accept(1, 7, 2), accept(1, 8, 2));
  await first.journal.close();
  const second = await open(disk);
  expect(second.records).toEqual([...everyKind, accept(1, 7, 2), accept(1, 8, 2)]);
  await second.journal.close();
  const third = await open(disk);
  expect(third.records.length).toBe(everyKind.length + 2);
  await third.journal.close();
});

test("a last batch torn at any byte is cut, and what follows is written over it", async () => {
  const whole = await written([[accept(1, 1), accept(1, 2)], [accept(1, 3), accept(1, 4, 1, 5_000), accept(1, 5)]]);
  const end = lastNonZero(whole.bytes(segment)) + 1;
  const counts = new Set<number>();
  for (let cut = 4_096; cut < end; cut += cut % 4_096 < 64 || end - cut < 64 ? 1 : 37) {
    let disk = whole.clone();
    disk.bytes(segment).fill(0, cut);
    const first = await open(disk);
    expect(first.records).toEqual(
      [accept(1, 1), accept(1, 2), accept(1, 3), accept(1, 4, 1, 5_000), accept(1, 5)].slice(0, first.records.length),
    );
    expect(first.records.length).toBeGreaterThanOrEqual(2);
    expect(first.records.length).toBeLessThan(5);
    counts.add(first.records.length);
    const next = accept(1, first.records.length + 1, 9);
    await append(first.journal, next);
    disk = disk.kill();
    const second = await open(disk);
    expect(second.records).toEqual([...first.records, next]);
  }
  expect([...counts].sort()).toEqual([2, 3, 4]);
});

test("a last batch with a hole is cut there, although frames behind the hole are whole", async () => {
  let disk = await written([[accept(1, 1)], [accept(1, 2, 1, 6_000), accept(1, 3, 1, 6_000), accept(1, 4, 1, 6_000)]]);
  disk.bytes(segment).fill(0, 4_096 + 8_192, 4_096 + 12_288);
  const { records, recovery, journal } = await open(disk);
  expect(records).toEqual([accept(1, 1), accept(1, 2, 1, 6_000)]);
  expect(recovery.torn).toMatchObject({ file: segment });
  await append(journal, accept(1, 3, 2));
  disk = disk.kill();
  // Nothing of the old batch is found again behind the new one.
  const again = await open(disk);
  expect(again.records).toEqual([accept(1, 1), accept(1, 2, 1, 6_000), accept(1, 3, 2)]);
  expect(again.recovery.torn).toBeNull();
});

test("what is torn in the middle of a sector is no trouble later, when the segment is one of the past", async () => {
  const disk = await written([[accept(1, 1), accept(1, 2, 1, 9_000)]]);
  disk.bytes(segment).fill(0, 4_096);
  const first = await open(disk);
  expect(first.records).toEqual([accept(1, 1)]);
  await rebase(first.journal, base(1, 1));
  const second = await open(disk.kill());
  expect([second.records, second.recovery.damage]).toEqual([[base(1, 1)], []]);
  expect(await second.journal.read(1, 1, 2, 1 << 20)).toEqual([entry(1)]);
  await second.journal.close();
});

test("a flipped bit in what was durable is refused, with file and byte", async () => {
  const whole = await written([[accept(1, 1)], [accept(1, 2), accept(1, 3)], [accept(1, 4)]]);
  const original = whole.bytes(segment).slice();
  let refused = 0;
  for (let at = 0; at < 8_192; at += at % 4_096 < 500 ? 13 : 131) {
    const disk = whole.clone();
    disk.bytes(segment)[at]! ^= 1 << at % 8;
    const result = await open(disk).catch((error: unknown) => error);
    if (result instanceof CarillonError) {
      refused++;
      expect(result.code).toBe("corrupt");
      expect(result.message).toMatch(
        /^Cannot start: "\/test\/journal-00000001" is damaged behind byte (0|2\d\d|4\d{3}): record [123] was durable and is unreadable$/,
      );
      expect(disk.bytes(segment).filter((byte, i) => byte !== original[i]).length).toBe(1);
    } else {
      // Padding between batches, which nobody reads.
      expect((result as { records: unknown[] }).records.length).toBe(4);
      expect(original[at]).toBe(0);
    }
  }
  expect(refused).toBeGreaterThan(20);
});

test("what proves damage, or that there is none, may be megabytes away", async () => {
  const how = { segmentBytes: 4 << 20 };
  const disk = new FaultyDisk();
  const { journal } = await open(disk, how);
  for (const record of [accept(1, 1), accept(1, 2, 1, 1_500_000), accept(1, 3)]) await append(journal, record);
  const killed = disk.kill();
  const damaged = killed.clone();
  damaged.bytes(segment)[4_096 + 9]! ^= 1;
  await expect(open(damaged, how)).rejects.toThrow(/damaged behind byte 2\d\d: record 2 was durable and is unreadable$/);
  const whole = await open(killed.clone(), how);
  expect([whole.records.length, whole.recovery.torn]).toEqual([3, null]);
  const torn = killed.clone();
  torn.bytes(segment).fill(0, 1_300_000);
  const cut = await open(torn, how);
  expect(cut.records).toEqual([accept(1, 1)]);
  expect(cut.recovery.torn!.offset + cut.recovery.torn!.bytes).toBe(1_300_000);
});

test("after a clean close damage to the last batch is damage, not a torn tail", async () => {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  await append(journal, accept(1, 1));
  await journal.close();
  disk.bytes(segment)[50]! ^= 4;
  await expect(open(disk)).rejects.toThrow(
    `Cannot start: "/test/${segment}" is damaged behind byte 0: record 1 was durable and is unreadable`,
  );
});

test("a missing, emptied or exchanged segment is refused", async () => {
  let disk = new FaultyDisk();
  const { journal } = await open(disk, { segmentBytes: 65_536 });
  for (let instance = 1; instance <= 60; instance++) await append(journal, accept(1, instance, 1, 4_000));
  disk = disk.kill();
  expect((await disk.list()).sort().slice(0, 4)).toEqual([1, 2, 3, 4].map((n) => `journal-0000000${n}`));

  const missing = disk.clone();
  await missing.remove("journal-00000002");
  await expect(open(missing)).rejects.toThrow('Cannot start: "/test/journal-00000002" is missing');
  const emptied = disk.clone();
  emptied.bytes("journal-00000002").fill(0);
  await expect(open(emptied)).rejects.toThrow(/damaged behind byte/);
  const exchanged = disk.clone();
  exchanged.bytes("journal-00000003").set(disk.bytes("journal-00000002"));
  await expect(open(exchanged)).rejects.toThrow(/damaged behind byte/);
  expect((await open(disk)).records.length).toBe(60);
});

test("a segment that was being made when the process ended is no trouble", async () => {
  let disk = await written([[accept(1, 1)]]);
  await disk.preallocate("journal-00000002", 12_345);
  const { records, journal } = await open(disk);
  expect(records).toEqual([accept(1, 1)]);
  expect(await disk.list()).not.toContain("journal-00000002");
  await append(journal, accept(1, 2));
  disk = disk.kill();
  expect((await open(disk)).records.length).toBe(2);
});

test("a power loss loses nothing that was told, whatever became of each sector", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const next = random(seed);
    let disk = new FaultyDisk();
    const told: JournalRecord[] = [];
    for (let life = 0; life < 4; life++) {
      const { records, journal } = await open(disk, { segmentBytes: 65_536 });
      expect(records.slice(0, told.length)).toEqual(told);
      told.splice(0, told.length, ...records);
      let instance = told.length;
      for (let round = 0; round < 6; round++) {
        const batch = Array.from({ length: 1 + Math.floor(next() * 4) }, () => accept(1, ++instance, life + 1, Math.floor(next() * 9_000)));
        const done = append(journal, ...batch).then(() => told.push(...batch));
        if (next() < 0.7) await done;
        else if (next() < 0.5) await new Promise((resolve) => setImmediate(resolve));
      }
      // Sometimes only the process ends: what the next one reads of it has to be durable by the time it says so.
      disk = next() < 0.4 ? disk.kill() : disk.losePower(next);
    }
    const { records } = await open(disk, { segmentBytes: 65_536 });
    expect(records.slice(0, told.length)).toEqual(told);
  }
});

test("what a failed sync has left in memory only is written again before anything builds upon it", async () => {
  const disk = new FaultyDisk();
  const first = await open(disk);
  await append(first.journal, accept(1, 1));
  disk.failSync = new Error("EIO");
  await expect(append(first.journal, accept(1, 2, 1, 9_000), accept(1, 3))).rejects.toThrow("EIO");
  // The process ends and the next one reads it all.
  const killed = disk.kill();
  const second = await open(killed);
  expect(second.records).toEqual([accept(1, 1), accept(1, 2, 1, 9_000), accept(1, 3)]);
  const third = await open(killed.losePower(() => 0));
  expect(third.records).toEqual(second.records);
});

test("garbage in any file is refused with a CarillonError or understood, never anything else", async () => {
  const whole = await written([[...everyKind], [accept(1, 7)], [install(1, 6, 9, 3)]]);
  for (let seed = 1; seed <= 300; seed++) {
    const next = random(seed);
    const disk = whole.clone();
    const names = [...disk.files.keys()];
    for (let changes = 1 + Math.floor(next() * 4); changes > 0; changes--) {
      const bytes = disk.bytes(names[Math.floor(next() * names.length)]!);
      const from = Math.floor(next() * Math.min(bytes.length, 20_000));
      const length = Math.floor(next() ** 3 * 5_000);
      if (next() < 0.5) bytes.fill(Math.floor(next() * 256), from, from + length);
      else bytes.copyWithin(from, Math.floor(next() * 16_000), Math.floor(next() * 16_000) + length);
    }
    try {
      const { journal } = await open(disk);
      await append(journal, accept(1, 100));
      await journal.close();
    } catch (error) {
      expect(error).toBeInstanceOf(CarillonError);
      expect((error as CarillonError).message).toStartWith("Cannot ");
    }
  }
});

test("a directory of another cluster, node or format is refused, and so is one that is in use", async () => {
  const disk = await written([[accept(1, 1)]]);
  await expect(open(disk, { cluster: "other" })).rejects.toThrow('Cannot use "/test": it belongs to cluster "test", not "other"');
  await expect(open(disk, { node: 2 })).rejects.toThrow('Cannot use "/test": it belongs to node 1, not 2');
  const held = await open(disk);
  await expect(open(disk)).rejects.toThrow('Cannot use "/test": another process is using it');
  await held.journal.close();

  const nameless = disk.clone();
  await nameless.remove("superblock");
  await expect(open(nameless)).rejects.toThrow('Cannot use "/test": it has "journal-00000001" and no "superblock" file');
});

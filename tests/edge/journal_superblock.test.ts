/** The superblock: what survives of it, whose directory it is, and which copies of a directory are refused. */
import { expect, test } from "bun:test";
import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import { adoptDirectory, openSuperblock } from "../../edge/journal/superblock.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, open, random } from "./journal_kit.ts";

const sectorBytes = 4_096;
const tools = (disk: FaultyDisk): Parameters<typeof openSuperblock>[0] => ({ disk, crc32: runtime.crc32, entropy: () => 7 });
const wanted = { cluster: "test", node: 1, replicated: false };

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function made(): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const { journal } = await open(disk);
  await append(journal, accept(1, 1));
  await journal.close();
  return disk;
}

test("any two damaged copies are repaired; of three, or two pairs that disagree with nobody, nothing is believed", async () => {
  const whole = await made();
  for (let mask = 0; mask < 16; mask++) {
    const disk = whole.clone();
    const damaged = [0, 1, 2, 3].filter((copy) => mask & 1 << copy);
    for (const copy of damaged) disk.bytes("superblock")[copy * sectorBytes + 20 + copy]! ^= 1;
    if (damaged.length > 2) {
      await expect(open(disk)).rejects.toThrow('Cannot use "/test": its "superblock" file is damaged: no two of its four copies agree');
      continue;
    }
    const { records, journal } = await open(disk);
    expect(records).toEqual([accept(1, 1)]);
    await journal.close();
    // All four are whole again: any two of the others may go now.
    for (const copy of [0, 1, 2, 3].filter((copy) => !damaged.includes(copy)).slice(0, 2)) disk.bytes("superblock")[copy * sectorBytes] = 0;
    expect((await open(disk)).records).toEqual([accept(1, 1)]);
  }
});

test("a sector that is somebody else's counts for nothing", async () => {
  const disk = await made();
  const bytes = disk.bytes("superblock");
  for (const copy of [1, 2, 3]) bytes.copyWithin(copy * sectorBytes, 0, sectorBytes);
  await expect(open(disk)).rejects.toThrow("no two of its four copies agree");
});

test("a power cut during a change leaves the old or the new, also with copies damaged before", async () => {
  const seen = { old: 0, new: 0 };
  for (let seed = 1; seed <= 300; seed++) {
    const next = random(seed);
    const disk = await made();
    if (next() < 0.5) disk.bytes("superblock")[Math.floor(next() * 4) * sectorBytes + 30]! ^= 1;
    const superblock = await openSuperblock(tools(disk), wanted, await disk.list());
    const before = superblock.life.incarnation;
    let done = false;
    let lost = disk;
    // Some changes are cut, also while what an earlier cut left is being put right.
    for (let cut = 0; cut < 2; cut++) {
      const opened = cut === 0 ? superblock : await openSuperblock(tools(lost), wanted, await lost.list()).catch((error) => error);
      expect(opened).not.toBeInstanceOf(Error);
      done = false;
      void opened.update(() => ({ incarnation: before + 1 })).then(() => done = true);
      for (let left = Math.floor(next() * 9); left > 0 && !done; left--) await turns(1);
      const told = done;
      lost = lost.losePower(next);
      const { life } = await openSuperblock(tools(lost.clone()), wanted, await lost.list());
      expect([before, before + 1]).toContain(life.incarnation);
      if (told) expect(life.incarnation).toBe(before + 1);
      seen[life.incarnation === before ? "old" : "new"]++;
    }
  }
  expect(Math.min(seen.old, seen.new)).toBeGreaterThan(50);
});

test("what a killed process left in the system's memory is made durable before anything is built upon it", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const disk = await made();
    const first = await openSuperblock(tools(disk), wanted, await disk.list());
    const { incarnation } = first.life;
    disk.hold = true;
    void first.update(() => ({ incarnation: incarnation + 1 }));
    // Two copies are written and not synced.
    await turns(9);
    const second = disk.kill();
    void openSuperblock(tools(second), wanted, await second.list());
    await turns(Math.floor(next() * 4));
    const lost = second.losePower(next);
    const { life } = await openSuperblock(tools(lost), wanted, await lost.list());
    expect([incarnation, incarnation + 1]).toContain(life.incarnation);
  }
});

test("a directory of format 1 opens, becomes format 2, and survives a crash on the way", async () => {
  const text = '{"format":1,"cluster":"test","node":1,"seed":99}';
  const sum = runtime.crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
  const identity = new TextEncoder().encode(`${text}\n${sum}\n`);
  const disk = new FaultyDisk();
  await disk.replace("identity", identity);
  const first = await open(disk);
  await append(first.journal, accept(1, 1));
  await first.journal.close();
  expect((await disk.list()).sort()).toEqual(["journal-00000001", "superblock"]);
  // The superblock was there and the identity not yet gone.
  await disk.replace("identity", identity);
  const second = await open(disk);
  expect(second.records).toEqual([accept(1, 1)]);
  expect(await disk.list()).not.toContain("identity");
  await second.journal.close();

  const damaged = new FaultyDisk();
  await damaged.replace("identity", identity.map((byte, index) => index === 5 ? byte ^ 1 : byte));
  await expect(open(damaged)).rejects.toThrow('Cannot use "/test": its "identity" file is damaged');
  const other = text.replace('"format":1', '"format":9');
  const newer = new FaultyDisk();
  const newerSum = runtime.crc32(new TextEncoder().encode(other)).toString(16).padStart(8, "0");
  await newer.replace("identity", new TextEncoder().encode(`${other}\n${newerSum}\n`));
  await expect(open(newer)).rejects.toThrow('Cannot use "/test": its format is 9, and this version reads formats 1 and 2');
});

test("a superblock of a newer format is refused as such", async () => {
  const disk = await made();
  const bytes = disk.bytes("superblock");
  for (const copy of [0, 1, 2, 3]) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + copy * sectorBytes, sectorBytes);
    view.setUint16(4, 3, true);
    view.setUint32(sectorBytes - 4, runtime.crc32(bytes.subarray(copy * sectorBytes, (copy + 1) * sectorBytes - 4)), true);
  }
  await expect(open(disk)).rejects.toThrow('Cannot use "/test": its format is 3, and this version reads formats 1 and 2');
});

test("a copy of a directory is refused with the way out, and rejoins once it is adopted", async () => {
  const disk = await made();
  const copy = disk.clone();
  copy.where = "2:1";
  const refused = 'Cannot use "/test": it was copied or restored to this place, and the node it belongs to may still run elsewhere; ' +
    'if that one never starts again, run: carillon journal adopt "/test"';
  await expect(open(copy)).rejects.toThrow(refused);
  await adoptDirectory(tools(copy), await copy.list());
  const adopted = await open(copy);
  expect([adopted.records, adopted.recovery.rejoining]).toEqual([[accept(1, 1)], true]);
  await adopted.journal.rejoined();
  await adopted.journal.close();
  const later = await open(copy);
  expect(later.recovery.rejoining).toBe(false);
  await later.journal.close();
  // The other one is what it was.
  expect((await open(disk)).recovery.rejoining).toBe(false);
});

test("on the machine's own disk: a moved directory opens, a copied one does not", async () => {
  const root = await mkdtemp(join(tmpdir(), "carillon-superblock-"));
  try {
    const first = await open(await runtime.openDisk(join(root, "a")));
    await append(first.journal, accept(1, 1));
    await first.journal.close();
    await cp(join(root, "a"), join(root, "copy"), { recursive: true, preserveTimestamps: true });
    await rename(join(root, "a"), join(root, "moved"));
    const moved = await open(await runtime.openDisk(join(root, "moved")));
    expect(moved.records).toEqual([accept(1, 1)]);
    await moved.journal.close();
    await expect(open(await runtime.openDisk(join(root, "copy")))).rejects.toThrow("it was copied or restored to this place");
  } finally {
    await rm(root, { recursive: true });
  }
});

test("an empty directory rejoins if others may remember its node, until it is said that it has", async () => {
  const alone = new FaultyDisk();
  const single = await open(alone);
  expect(single.recovery).toMatchObject({ fresh: true, rejoining: false });
  await single.journal.close();
  const disk = new FaultyDisk();
  const first = await open(disk, { replicated: true });
  expect(first.recovery).toMatchObject({ fresh: true, rejoining: true, lost: false });
  await append(first.journal, accept(1, 1));
  const next = disk.kill();
  const second = await open(next, { replicated: true });
  expect(second.recovery).toMatchObject({ fresh: false, rejoining: true, lost: false });
  await second.journal.rejoined();
  const third = await open(next.losePower(() => 0), { replicated: true });
  expect(third.recovery).toMatchObject({ fresh: false, rejoining: false });
  await third.journal.close();
});

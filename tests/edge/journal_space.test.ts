/** A full disk: the reserve gives way, what is new is refused, votes go on, and room that comes back is noticed. */
import { expect, test } from "bun:test";
import { FaultyDisk } from "./faulty_disk.ts";
import { accept, append, base, HandClock, open, type Opened, rebase, settled } from "./journal_kit.ts";

const segmentBytes = 32_768;
const reserveBytes = 2 * segmentBytes;

async function opened(disk: FaultyDisk, clock: HandClock): Promise<Opened> {
  const fresh = await open(disk, { segmentBytes, reserveBytes, clock });
  await clock.pass(1_500);
  return fresh;
}

/** Until there has been no room for the next segment. */
async function fill({ journal }: Opened, from = 1): Promise<number> {
  let instance = from;
  while (!journal.stats().full) {
    await append(journal, accept(1, instance++, 1, 3_000));
    await settled();
  }
  return instance;
}

test("the reserve is made behind the start, and gives way to segments when there is no room", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const first = await open(disk, { segmentBytes, reserveBytes, clock });
  expect(await disk.list()).not.toContain("reserve");
  await clock.pass(1_500);
  expect(await disk.size("reserve")).toBe(reserveBytes);
  disk.room = disk.used + segmentBytes + 10_000;
  const next = await fill(first);
  expect(first.full).toEqual([true]);
  expect(await disk.list()).not.toContain("reserve");
  // Votes go on for as long as the reserve lasts, and everything can be read.
  for (let instance = next; instance < next + 8; instance++) await append(first.journal, accept(1, instance, 1, 3_000));
  expect((await first.journal.read(1, 1, 999, 1 << 30)).length).toBe(next + 7);
  expect(first.failures).toEqual([]);
  // Then it ends as a failed write does, and says why.
  let last: Error | null = null;
  for (let instance = next + 8; last === null && instance < next + 99; instance++) {
    last = await append(first.journal, accept(1, instance, 1, 3_000)).then(() => null, (error: Error) => error);
  }
  expect(last!.message).toBe("Cannot extend the journal: the disk is full");
  expect(first.failures.map((error) => (error as Error & { code?: string }).code)).toEqual(["disk-full"]);
  expect(first.full).toEqual([true]);
  await first.journal.close();
});

test("room that comes back is noticed within two seconds, and the reserve is there again first", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const first = await opened(disk, clock);
  disk.room = disk.used + 10_000;
  const next = await fill(first);
  await clock.pass(10_000);
  expect(first.full).toEqual([true]);
  disk.room = Infinity;
  await clock.pass(2_000);
  expect(first.full).toEqual([true, false]);
  expect(await disk.size("reserve")).toBe(reserveBytes);
  for (let instance = next; instance < next + 40; instance++) await append(first.journal, accept(1, instance, 1, 3_000));
  expect([first.journal.stats().full, first.failures]).toEqual([false, []]);
  const again = await opened(disk.kill(), clock);
  expect(again.records.length).toBe(next + 39);
  await again.journal.close();
});

test("trimming goes on in the reserve and makes the room that was missing", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const first = await opened(disk, clock);
  disk.room = disk.used + 5 * segmentBytes;
  const next = await fill(first);
  await rebase(first.journal, base(1, next - 1), { kind: "ceiling", stamp: 9_000_000 });
  first.journal.trim(1, next - 1);
  await clock.pass(3_000);
  expect(first.full).toEqual([true, false]);
  expect(await disk.size("reserve")).toBe(reserveBytes);
  expect([first.journal.stats().oldestSegment > 3, first.failures]).toEqual([true, []]);
  await first.journal.close();
});

test("a node that starts on a full disk says so, and serves", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const first = await open(disk, { segmentBytes, reserveBytes, clock });
  await append(first.journal, accept(1, 1));
  await first.journal.close();
  disk.room = disk.used + 100;
  const second = await opened(disk, clock);
  expect([second.records, second.full, second.journal.stats().full]).toEqual([[accept(1, 1)], [true], true]);
  // What was made of a reserve is not kept.
  expect(disk.used).toBeLessThan(disk.room);
  await append(second.journal, accept(1, 2));
  disk.room = Infinity;
  await clock.pass(1_500);
  expect(second.full).toEqual([true, false]);
  await second.journal.close();
});

test("a disk that fails is no full disk: it is not tried again, and the reserve stays", async () => {
  const disk = new FaultyDisk();
  const clock = new HandClock();
  const first = await opened(disk, clock);
  disk.failPreallocate = Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
  let last: Error | null = null;
  for (let instance = 1; last === null && instance < 99; instance++) {
    last = await append(first.journal, accept(1, instance, 1, 3_000)).then(() => null, (error: Error) => error);
  }
  expect(last!.message).toBe("Cannot extend the journal: EIO: i/o error");
  expect([first.full, await disk.size("reserve")]).toEqual([[], reserveBytes]);
  await first.journal.close();
});

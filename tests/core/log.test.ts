/** One group's log: what an install drops, what learning costs, what leaves memory. */
import { expect, test } from "bun:test";
import type { Entry } from "../../core/entry.ts";
import { Log } from "../../core/group/log.ts";

const entry = (instance: number, ballot: number, bytes = 10): Entry => ({
  instance,
  ballot,
  stamp: instance * 10,
  count: 1,
  slotBase: instance - 1,
  slots: 1,
  kind: "batch",
  batches: [{ origin: 1, sequence: instance, count: 1, bytes: new Uint8Array(bytes) }],
});

const run = (from: number, to: number, ballot: number, bytes?: number): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, index) => entry(from + index, ballot, bytes));

test("an install drops the undecided suffix and nothing else", () => {
  const log = new Log();
  log.install(1, 0, 1, 0, run(1, 5, 1));
  log.decide(3);
  log.install(2, 3, 5, 3, run(4, 5, 2));
  expect(log.suffix.map(({ instance, ballot }) => [instance, ballot])).toEqual([[1, 1], [2, 1], [3, 1], [4, 2], [5, 2]]);
  expect(() => log.install(3, 2, 3, 2, run(3, 3, 3))).toThrow("Cannot drop what is above 2: 3 is decided (I4)");
});

test("a gap, a stamp that does not rise, and slots that do not continue are refused", () => {
  const log = new Log();
  log.append(entry(1, 1));
  expect(() => log.append(entry(3, 1))).toThrow("Cannot append 3: the log ends at 1");
  expect(() => log.append({ ...entry(2, 1), stamp: 10 })).toThrow("(I3)");
  expect(() => log.append({ ...entry(2, 1), slotBase: 7 })).toThrow("(I7)");
});

test("entries of its own ballot leave a log whole, foreign ones leave only a decided prefix", () => {
  const log = new Log();
  log.install(2, 0, 1, 0, run(1, 2, 2));
  log.learn(2, run(3, 4, 2));
  expect([log.ballot, log.decided]).toEqual([2, 4]);
  log.learn(4, run(5, 5, 3));
  expect([log.ballot, log.start, log.decided, log.last]).toEqual([0, 0, 5, 5]);
});

test("what leaves memory is decided, and its end is still known", () => {
  const log = new Log();
  log.install(1, 0, 1, 0, run(1, 100, 1, 1_000));
  log.decide(60);
  log.evict(60, 50_000, 1_000);
  expect(log.first).toBe(56);
  expect([log.ballotAt(55), log.ballotAt(54), log.get(55), log.get(56)?.instance]).toEqual([1, undefined, undefined, 56]);
  log.evict(60, 0, 1_000);
  expect(log.first).toBe(61);
  log.truncate(60);
  expect([log.last, log.topStamp, log.slots]).toEqual([60, 600, 60]);
});

test("of small entries so many stay in memory, and so many are kept at all", () => {
  const log = new Log();
  log.install(1, 0, 1, 0, run(1, 3_000, 1));
  log.decide(3_000);
  log.evict(3_000, 1 << 20, 2_500);
  expect(log.first).toBe(1);
  log.evict(3_000, 1 << 20, 1_000);
  expect([log.first, log.get(2_001)?.instance]).toEqual([2_001, 2_001]);
  const few = { retainBytes: 1 << 20, retainEntries: 2_000 };
  expect(log.trim(900, few)).toBe(true);
  // Behind the last landmark that leaves so many.
  expect(log.trimmed).toBe(768);
  expect(log.trim(900, few)).toBe(false);
  log.trim(3_000, { retainBytes: 0, retainEntries: 2_000 });
  expect(log.trimmed).toBe(1_792);
});

test("a landmark never lies behind what is looked for", () => {
  const log = new Log();
  log.install(1, 0, 1, 0, run(1, 1_000, 1));
  for (const instance of [1, 256, 257, 258, 700, 1_000]) {
    const found = log.landmarkBelow(instance * 10, "stamp");
    expect(found).toBeLessThanOrEqual(instance);
    expect(instance - found).toBeLessThan(256);
  }
  log.truncate(300);
  expect(log.landmarkBelow(10_000, "stamp")).toBe(257);
});

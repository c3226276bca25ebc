/** The hybrid clock's promises: statements hold, stamps stay above them, and a restart does not forget. */
import { expect, test } from "bun:test";
import { GroupClock, HybridClock } from "../../core/clock.ts";
import { reachedByQuorum } from "../../core/quorum.ts";
import { Repeats } from "../../core/group/repeats.ts";

test("stamps stay above every statement when the wall clock steps back", () => {
  const clock = new HybridClock({ raw: false, durable: false });
  const group = new GroupClock(clock, 0, false);
  clock.tick(1_000, 0);
  const stated = group.state();
  clock.tick(500, 0);
  expect(group.stamp(3)).toBeGreaterThan(stated);
  expect(group.state()).toBeGreaterThanOrEqual(stated + 3);
});

test("nothing above the durable ceiling is stated", () => {
  const clock = new HybridClock({ raw: false, durable: true });
  const group = new GroupClock(clock, 250, false);
  clock.tick(1_000, 0);
  expect(group.state()).toBe(0);
  clock.raise(1_100);
  expect(group.state()).toBe(1_100);
});

test("after a restart everything is above what may have been stated", () => {
  const clock = new HybridClock({ raw: false, durable: true });
  const group = new GroupClock(clock, 0, false);
  clock.tick(10, 0);
  clock.resumeAbove(5_000);
  group.see(5_000);
  expect(group.stamp(1)).toBeGreaterThan(5_000);
});

test("ahead of a wall clock that was set back, it runs at half speed until the wall has caught up", () => {
  const clock = new HybridClock({ raw: false, durable: false });
  clock.tick(10_000, 0);
  clock.next(1);
  clock.tick(2_000, 1);
  expect(clock.last).toBe(10_500);
  clock.tick(3_000, 2);
  expect(clock.last).toBe(11_000);
  clock.tick(20_000, 19);
  expect(clock.last).toBe(20_000);
});

test("a quorum reaches the value its slowest member has", () => {
  expect(reachedByQuorum([5, 9, 7], 2, 0)).toBe(7);
  expect(reachedByQuorum([5, 9, 7], 3, 0)).toBe(5);
  expect(reachedByQuorum([5], 2, -1)).toBe(-1);
});

test("only the first occurrence of a batch counts, whatever the gaps", () => {
  const repeats = new Repeats();
  const entry = (instance: number, ...sequences: number[]) => ({
    instance,
    ballot: 1,
    stamp: instance,
    count: sequences.length,
    slotBase: 0,
    slots: 0,
    kind: "batch" as const,
    batches: sequences.map((sequence) => ({ origin: 7, sequence, count: 1, bytes: new Uint8Array(4) })),
  });
  repeats.learn(entry(1, 3, 1));
  repeats.learn(entry(2, 1, 2, 3, 4));
  expect(repeats.at(1)).toBeNull();
  expect([...repeats.at(2)!]).toEqual([0, 2]);
  expect([repeats.has(7, 4), repeats.has(7, 5), repeats.has(8, 1)]).toEqual([true, false, false]);
});

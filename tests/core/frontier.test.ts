/** When an idle group lets others pass, and when it must not. Each case is a way the order once broke. */
import { expect, test } from "bun:test";
import type { Entry, EntryKind } from "../../core/entry.ts";
import { Frontier } from "../../core/merge/frontier.ts";
import type { Rule } from "../../core/rules.ts";

const entry = (instance: number, ballot: number, stamp: number, kind: EntryKind): Entry => ({
  instance,
  ballot,
  stamp,
  count: 1,
  slotBase: 0,
  slots: 0,
  kind,
  batches: [],
});

function frontier(...without: Rule[]): Frontier {
  return new Frontier(1, { merge: "ts" }, 2, new Set(without));
}

const bound = (of: Frontier): number => of.nextUnknown().major - 1;

test("it is the smaller of the coordinator's clock and the quorum's", () => {
  const f = frontier();
  f.learn(entry(1, 10, 100, "start"));
  f.coordinatorStates(10, 1, 500);
  expect(bound(f)).toBe(100);
  f.acceptorStates(1, 10, 500);
  f.acceptorStates(2, 10, 400);
  f.acceptorStates(3, 10, 300);
  expect(bound(f)).toBe(400);
  f.acceptorStates(3, 10, 900);
  expect(bound(f)).toBe(500);
});

test("a statement waits until what was proposed before it is decided here", () => {
  const f = frontier("quorum-clock");
  f.learn(entry(1, 10, 100, "start"));
  f.coordinatorStates(10, 2, 500);
  expect(bound(f)).toBe(100);
  f.learn(entry(2, 10, 200, "batch"));
  expect(bound(f)).toBe(500);
});

test("an acceptor that promised a higher ballot no longer counts for the lower one", () => {
  for (const [without, expected] of [[[], 100], [["clock-of-ballot"], 500]] as const) {
    const f = frontier(...without);
    f.learn(entry(1, 10, 100, "start"));
    f.coordinatorStates(10, 1, 500);
    f.acceptorStates(1, 10, 500);
    f.acceptorStates(2, 20, 600);
    expect(bound(f)).toBe(expected);
  }
});

test("nothing of a ballot counts before its start is decided", () => {
  for (const [without, expected] of [[[], 100], [["start-fence"], 500]] as const) {
    const f = frontier(...without);
    f.learn(entry(1, 10, 100, "start"));
    f.coordinatorStates(20, 1, 500);
    f.acceptorStates(1, 20, 500);
    f.acceptorStates(2, 20, 500);
    expect(bound(f)).toBe(expected);
  }
});

test("an older word never takes back a newer one", () => {
  const f = frontier("quorum-clock");
  f.learn(entry(1, 10, 100, "start"));
  f.coordinatorStates(10, 1, 500);
  f.coordinatorStates(10, 1, 300);
  f.coordinatorStates(9, 1, 900);
  expect(bound(f)).toBe(500);
});

test("slots: the next unknown is the end of the decided prefix", () => {
  const f = new Frontier(3, { merge: "rr", turn: 4 }, 2, new Set());
  f.learn({ ...entry(1, 10, 100, "skip"), slots: 9 });
  expect(f.nextUnknown()).toEqual({ major: 2, group: 3, minor: 1 });
});

test("what an acceptor says in a new life counts, though a higher promise of its last one was heard", () => {
  const f = frontier();
  f.learn(entry(1, 10, 100, "start"));
  f.coordinatorStates(10, 1, 500);
  f.acceptorStates(1, 10, 500);
  f.acceptorStates(2, 20, 300);
  f.forget(2);
  f.acceptorStates(2, 10, 400);
  expect(bound(f)).toBe(400);
});

/** Memory is given back once after a burst, and only when the node has gone quiet. */
import { expect, test } from "bun:test";
import { Quiet } from "../../edge/quiet.ts";
import type { Clock } from "../../edge/runtime.ts";

class Alarms implements Clock {
  at = 0;
  pending: { at: number; callback: () => void } | null = null;
  now = () => ({ mono: this.at, wall: 0 });
  soon = (callback: () => void): void => callback();
  wakeAt = (at: number, callback: () => void): () => void => {
    this.pending = { at, callback };
    return () => this.pending = null;
  };
  pass(ms: number): void {
    this.at += ms;
    const { pending } = this;
    if (pending === null || pending.at > this.at) return;
    this.pending = null;
    pending.callback();
  }
}

test("a burst is followed by one collection, a second after its last command", () => {
  const alarms = new Alarms();
  let collected = 0;
  const quiet = new Quiet(alarms, () => collected++);
  for (let tenth = 0; tenth < 25; tenth++) {
    quiet.delivered(1_000);
    alarms.pass(100);
  }
  expect(collected).toBe(0);
  for (let tenth = 0; tenth < 20; tenth++) alarms.pass(100);
  expect(collected).toBe(1);
  for (let second = 0; second < 100; second++) alarms.pass(1_000);
  expect([collected, alarms.pending]).toEqual([1, null]);
});

test("a few commands are not worth a collection", () => {
  const alarms = new Alarms();
  const quiet = new Quiet(alarms, () => expect.unreachable());
  quiet.delivered(2_000);
  alarms.pass(10_000);
  expect(alarms.pending).toBeNull();
  quiet.close();
});

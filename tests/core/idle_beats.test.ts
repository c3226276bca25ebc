/** Idle nodes near each other beat together; nowhere does an answer prompt a beat before its time. */
import { expect, test } from "bun:test";
import type { Millis, NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import { Apart } from "../harness/apart.ts";

/** When heartbeats left, by node, in some idle seconds of three nodes that start one after the other. */
function idleBeats(oneWayMs: Millis): ReadonlyMap<NodeId, readonly Millis[]> {
  const beats = new Map<NodeId, Millis[]>();
  const nodes = new Apart(oneWayMs);
  nodes.onSend = (from, { kind }) => {
    if (kind === "heartbeat" && nodes.now > 10_000 && beats.get(from)!.at(-1) !== nodes.now) beats.get(from)!.push(nodes.now);
  };
  while (nodes.now < 20_000) {
    for (const [index, id] of [1, 2, 3].entries()) {
      if (nodes.now !== 1_000 + index * 90) continue;
      nodes.start(id);
      beats.set(id, []);
    }
    nodes.tick();
  }
  return beats;
}

test("nodes a millisecond apart are awake at the same moments", () => {
  const beats = idleBeats(1);
  const all = [...beats.values()].flat().sort((a, b) => a - b);
  expect(all.length).toBeGreaterThan(100);
  const moments = all.filter((at, index) => index === 0 || at - all[index - 1]! > 10);
  expect(moments.length).toBeLessThanOrEqual(10 * 1_000 / defaultLimits.heartbeatIdleMs + 1);
});

for (const oneWayMs of [1, 10, 30, 40, 70, 120, 200]) {
  test(`with ${oneWayMs} ms between nodes no idle node beats before its time, or much later`, () => {
    for (const times of idleBeats(oneWayMs).values()) {
      const pauses = times.slice(1).map((at, index) => at - times[index]!);
      const mean = pauses.reduce((sum, pause) => sum + pause, 0) / pauses.length;
      expect(mean).toBeGreaterThan(defaultLimits.heartbeatIdleMs * 0.95);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(defaultLimits.heartbeatIdleMs * 9 / 8 + 1);
    }
  });
}

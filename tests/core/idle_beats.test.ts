/** Idle nodes near each other beat together; nowhere does an answer prompt a beat before its time. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

/** When heartbeats left, by node, in some idle seconds of three nodes that start one after the other. */
function idleBeats(oneWayMs: Millis): ReadonlyMap<NodeId, readonly Millis[]> {
  const beats = new Map<NodeId, Millis[]>();
  const cores = new Map<NodeId, { readonly core: CoreNode; wakeAt: Millis; lsn: number }>();
  const flight: { readonly due: Millis; readonly from: NodeId; readonly to: NodeId; readonly message: Message }[] = [];
  let now = 1_000;
  const step = (id: NodeId, input: Input): void => {
    const node = cores.get(id);
    if (node === undefined) return;
    node.core.step(input, { mono: now, wall: now * 1_000 });
    const { send, sendAfterPersist, records, wakeAt } = node.core.drain();
    node.wakeAt = wakeAt;
    for (const { to, message } of [...send, ...sendAfterPersist]) {
      if (message.kind === "heartbeat" && now > 10_000 && beats.get(id)!.at(-1) !== now) beats.get(id)!.push(now);
      for (const node of to) flight.push({ due: now + oneWayMs, from: id, to: node, message });
    }
    node.lsn += records.length;
    if (records.length > 0) step(id, { kind: "persisted", upTo: node.lsn });
  };
  for (; now < 20_000; now++) {
    for (const [index, id] of [1, 2, 3].entries()) {
      if (now !== 1_000 + index * 90) continue;
      const core = new CoreNode({ id, topology, limits: defaultLimits, durability: "sync", seed: id, incarnation: id });
      cores.set(id, { core, wakeAt: now, lsn: 0 });
      beats.set(id, []);
    }
    while (flight[0] !== undefined && flight[0].due <= now) {
      const { from, to, message } = flight.shift()!;
      step(to, { kind: "receive", from, message });
    }
    for (const [id, { wakeAt }] of cores) if (wakeAt <= now) step(id, { kind: "wake" });
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

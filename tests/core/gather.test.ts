/** When a coordinator proposes what it has, and when it lets more commands gather first. */
import { describe, expect, test } from "bun:test";
import type { Millis, NodeId } from "../../core/ids.ts";
import { Apart } from "../harness/apart.ts";

interface Load {
  readonly meanMs: number;
  readonly commandsPerEntry: number;
}

/** Clients of the coordinator's node, each with one command on its way; the first of them come 1 ms apart. */
function load(oneWayMs: Millis, clients: number): Load {
  const nodes = new Apart(oneWayMs);
  for (const id of [1, 2, 3]) nodes.start(id);
  while (nodes.coordinator() === 0 || nodes.now < 3_000) nodes.tick();
  const coordinator: NodeId = nodes.coordinator();
  nodes.step(coordinator, { kind: "subscribe", subscription: 1, groups: [1], after: "now", demand: Infinity });
  const begun = nodes.now;
  const sentAt: Millis[] = [];
  const latencies: Millis[] = [];
  let entries = 0;
  const propose = (client: number): void => {
    sentAt[client] = nodes.now;
    nodes.step(coordinator, { kind: "propose", ticket: client + 1, group: 1, payload: Uint8Array.of(client) });
  };
  const answered: number[] = [];
  nodes.onDelivery = (node, { entry, from, to }) => {
    if (node !== coordinator || to <= from) return;
    entries++;
    for (const { bytes, count } of entry.batches) {
      // A batch is its commands, each behind four bytes of length.
      for (let index = 0; index < count; index++) answered.push(bytes[index * 5 + 4]!);
    }
  };
  while (nodes.now < begun + 3_000) {
    nodes.tick();
    for (const client of answered.splice(0)) {
      latencies.push(nodes.now - 1 - sentAt[client]!);
      propose(client);
    }
    if (nodes.now - begun <= clients) propose(nodes.now - begun - 1);
  }
  return { meanMs: latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length, commandsPerEntry: latencies.length / entries };
}

describe("a coordinator", () => {
  for (const oneWayMs of [20, 50, 120]) {
    test(`${oneWayMs} ms from its acceptors keeps nobody waiting for a round trip`, () => {
      const { meanMs } = load(oneWayMs, 32);
      expect(meanMs).toBeLessThan(2 * oneWayMs + 10);
    });
  }
  test("near its acceptors lets commands gather while two entries are in flight", () => {
    const { meanMs, commandsPerEntry } = load(1, 64);
    expect(meanMs).toBeLessThan(4);
    expect(commandsPerEntry).toBeGreaterThan(15);
  });
});

/** Whole nodes with real links and real disks in this process: one order, restarts, and refusals to start. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import type { Delivery } from "../../core/effects.ts";
import { eachCommand } from "../../core/entry.ts";
import type { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Durability } from "../../core/node.ts";
import { formatPosition, type Position } from "../../core/position.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../core/topology.ts";
import { freePorts } from "../../edge/runtime/system.ts";
import { type RunningNode, startNode, type StartNodeOptions } from "../../edge/start_node.ts";
import { testIdentity } from "../harness/identity.ts";

async function localTopology(nodes: number, more: Partial<TopologyInput> = {}): Promise<Topology> {
  const named = [];
  const ports = await freePorts(nodes);
  for (let id = 1; id <= nodes; id++) named.push({ name: `n${id}`, link: `127.0.0.1:${ports[id - 1]}` });
  return parseTopology({ cluster: "test", nodes: named, ...more });
}

function start(topology: Topology, self: NodeId, directory: string, more: Partial<StartNodeOptions> = {}): Promise<RunningNode> {
  const [host, port] = topology.nodes[self - 1]!.link.split(":");
  return startNode({
    runtime,
    topology,
    self,
    data: join(directory, `n${self}`),
    durability: "sync",
    link: topology.nodes.length === 1 ? null : { host: host!, port: Number(port) },
    identity: testIdentity(runtime.cryptography, topology, self),
    log: () => {},
    onFatal: (error) => {
      throw error;
    },
    ...more,
  });
}

/** What a subscriber sees, as text in order. */
class Seen {
  readonly commands: string[] = [];
  readonly onDelivery = ({ entry, from, to, repeated }: Delivery): void => {
    let index = 0;
    entry.batches.forEach((batch, number) =>
      eachCommand(batch.bytes, (payload) => {
        if (index >= from && index < to && !repeated?.has(number)) this.commands.push(new TextDecoder().decode(payload));
        index++;
      })
    );
  };
}

const utf8 = new TextEncoder();
const failed = (error: Error): void => {
  throw error;
};

async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Cannot wait longer for ${condition}`);
    await Bun.sleep(2);
  }
}

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "carillon-node-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const confirm = (node: RunningNode, subscription: ReturnType<RunningNode["orderer"]["subscribe"]>): Promise<Position> =>
  new Promise((resolve) => node.orderer.confirm(subscription, [1], resolve));

test("one node orders, and after a restart replays the same from its journal", () =>
  inDirectory(async (directory) => {
    const topology = await localTopology(1);
    const first = await start(topology, 1, directory);
    const seen = new Seen();
    const subscription = first.orderer.subscribe([1], null, Infinity, seen.onDelivery);
    for (let i = 0; i < 3_000; i++) first.orderer.propose(1, utf8.encode(`command ${i}`), failed);
    await until(() => seen.commands.length === 3_000);
    expect(seen.commands).toEqual(Array.from({ length: 3_000 }, (_, i) => `command ${i}`));
    const position = await confirm(first, subscription);
    await first.close();

    // A suffix too small to hold anything: all of it has to be read back.
    const second = await start(topology, 1, directory, { limits: { suffixBytes: 1, fetchBytes: 4_096 } });
    const again = new Seen();
    const replay = second.orderer.subscribe([1], null, Infinity, again.onDelivery);
    expect(formatPosition(await confirm(second, replay)) >= formatPosition(position)).toBe(true);
    expect(again.commands).toEqual(seen.commands);
    second.orderer.propose(1, utf8.encode("one more"), failed);
    await until(() => again.commands.length === 3_001);
    await second.close();
  }));

for (const durability of ["sync", "async", "memory"] satisfies Durability[]) {
  test(`three nodes see one order (${durability}), also while one is away and after it is back`, () =>
    inDirectory(async (directory) => {
      const topology = await localTopology(3);
      const nodes = await Promise.all([1, 2, 3].map((id) => start(topology, id, directory, { durability })));
      const seen = nodes.map(() => new Seen());
      nodes.forEach((node, i) => node.orderer.subscribe([1], null, Infinity, seen[i]!.onDelivery));
      await until(() => nodes.every((node) => node.view().groups[0]!.coordinator !== 0));
      nodes.forEach((node, n) => {
        for (let i = 0; i < 200; i++) node.orderer.propose(1, utf8.encode(`n${n + 1} ${i}`), failed);
      });
      await until(() => seen.every(({ commands }) => commands.length === 600));
      expect(seen[1]!.commands).toEqual(seen[0]!.commands);
      expect(seen[2]!.commands).toEqual(seen[0]!.commands);

      const leader = nodes[0]!.view().groups[0]!.coordinator;
      await nodes[leader - 1]!.close();
      const others = [1, 2, 3].filter((id) => id !== leader);
      for (const id of others) {
        for (let i = 0; i < 100; i++) nodes[id - 1]!.orderer.propose(1, utf8.encode(`n${id} again ${i}`), () => {});
      }
      await until(() => others.every((id) => seen[id - 1]!.commands.length === 800));

      nodes[leader - 1] = await start(topology, leader, directory, { durability });
      const back = new Seen();
      nodes[leader - 1]!.orderer.subscribe([1], null, Infinity, back.onDelivery);
      await until(() => back.commands.length === 800);
      expect(back.commands).toEqual(seen[others[0]! - 1]!.commands);
      for (const node of nodes) await node.close();
    }), 30_000);
}

test("a coordinator that closes makes way: nobody waits for its lease", () =>
  inDirectory(async (directory) => {
    const topology = await localTopology(3);
    const nodes = await Promise.all([1, 2, 3].map((id) => start(topology, id, directory)));
    await until(() => nodes.every((node) => node.view().groups[0]!.coordinator !== 0));
    const leader = nodes[0]!.view().groups[0]!.coordinator;
    const other = nodes[leader % 3]!;
    const seen = new Seen();
    other.orderer.subscribe([1], "now", Infinity, seen.onDelivery);
    await Bun.sleep(200);
    await nodes[leader - 1]!.close();
    const startedAt = performance.now();
    other.orderer.propose(1, utf8.encode("on"), failed);
    await until(() => seen.commands.length === 1);
    expect(performance.now() - startedAt).toBeLessThan(defaultLimits.leaseMs);
    await Promise.all(nodes.map((node) => node.close()));
  }));

test("demand, unsubscribing, refusals and a hand-over", () =>
  inDirectory(async (directory) => {
    const topology = await localTopology(1);
    const node = await start(topology, 1, directory);
    const seen = new Seen();
    const subscription = node.orderer.subscribe([1], null, 3, seen.onDelivery);
    const refusals: string[] = [];
    const refused = (error: Error & { code?: string }): void => void refusals.push(`${error.code}: ${error.message}`);
    for (let i = 0; i < 10; i++) node.orderer.propose(1, utf8.encode(`${i}`), refused);
    node.orderer.propose(1, new Uint8Array(3 << 20), refused);
    node.orderer.propose(99, utf8.encode("x"), refused);
    await until(() => seen.commands.length === 3 && refusals.length === 2);
    await Bun.sleep(30);
    expect(seen.commands).toEqual(["0", "1", "2"]);
    expect(refusals).toEqual([
      "too-large: Cannot order a command: a command of 3145728 bytes exceeds 2097152",
      "internal: Cannot order a command: this node is no member of group 99",
    ]);
    subscription.more(2);
    await until(() => seen.commands.length === 5);
    subscription.close();
    subscription.more(5);
    node.orderer.confirm(subscription, [1], () => failed(new Error("confirmed after the close")));
    await Bun.sleep(30);
    expect(seen.commands.length).toBe(5);
    node.orderer.handover(1, 0);
    await node.close();
    node.orderer.propose(1, utf8.encode("late"), refused);
    expect(refusals[2]).toBe("closed: Cannot order a command: this node is closed");
  }));

test("what a late turn finds past its deadline is not ordered, and its caller is told so", () =>
  inDirectory(async (directory) => {
    const node = await start(await localTopology(1), 1, directory);
    const seen = new Seen();
    const subscription = node.orderer.subscribe([1], null, Infinity, seen.onDelivery);
    await confirm(node, subscription);
    const refusals: unknown[] = [];
    const refused = ({ code, outcome, retryable, message }: CarillonError): void =>
      void refusals.push({ code, outcome, retryable, message });
    node.orderer.propose(1, utf8.encode("before"), failed);
    node.orderer.propose(1, utf8.encode("late"), refused, 5);
    node.orderer.propose(1, utf8.encode("behind"), failed, 60_000);
    // The event loop stands still for longer than the second has time.
    for (const since = performance.now(); performance.now() - since < 10;);
    await until(() => seen.commands.length >= 2);
    node.orderer.propose(1, utf8.encode("after"), failed);
    await until(() => seen.commands.includes("after"));
    expect(seen.commands).toEqual(["before", "behind", "after"]);
    expect(refusals).toEqual([{
      code: "timeout",
      outcome: "none",
      retryable: true,
      message: "Cannot order a command: its time was over before this node could begin with it",
    }]);
    await node.close();
  }));

test("a directory in use, of another node or without need is refused, and nothing stays behind", () =>
  inDirectory(async (directory) => {
    const topology = await localTopology(1);
    const node = await start(topology, 1, directory);
    await expect(start(topology, 1, directory)).rejects.toThrow(/^Cannot use ".*n1": another process is using it$/);
    await node.close();
    const other = parseTopology({ cluster: "other", nodes: [{ name: "n1" }] });
    await expect(start(other, 1, directory)).rejects.toThrow(/it belongs to cluster "test", not "other"$/);
    await expect(startNode({ ...options(topology), self: 2, durability: "memory" })).rejects.toThrow(
      "Cannot start node 2: the cluster has no such node",
    );
    await expect(startNode({ ...options(topology), durability: "sync" })).rejects.toThrow(
      'Cannot start node 1: durability "sync" needs a data directory',
    );
    const three = await localTopology(3);
    await expect(start(three, 1, join(directory, "three"), { identity: null })).rejects.toThrow(
      "Cannot start node 1: it has peers and no keys to be known by",
    );
    await (await start(three, 1, join(directory, "three"))).close();
    await (await start(topology, 1, directory)).close();
  }));

function options(topology: Topology): Omit<StartNodeOptions, "durability"> {
  return { runtime, topology, self: 1, link: null, identity: null, log: () => {}, onFatal: failed };
}

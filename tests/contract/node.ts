/** A whole cluster on this runtime: links, journals and cores of three nodes, and one of them restarted. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Delivery } from "../../core/effects.ts";
import { eachCommand } from "../../core/entry.ts";
import type { Durability } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { freePorts } from "../../edge/runtime/system.ts";
import { type RunningNode, startNode } from "../../edge/start_node.ts";
import { equal, eventually, test } from "./check.ts";
import { testIdentity } from "../harness/identity.ts";

const utf8 = new TextEncoder();

export function node(runtime: Runtime): void {
  for (const durability of ["sync", "memory"] as const) {
    test(`node: three see one order (${durability}), also one that was away`, () => oneOrder(runtime, durability));
  }
}

async function oneOrder(runtime: Runtime, durability: Durability): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "carillon-contract-"));
  const ports = await freePorts(3);
  const topology = parseTopology({
    cluster: "contract",
    nodes: ports.map((port, i) => ({ name: `n${i + 1}`, link: `127.0.0.1:${port}` })),
  });
  const fatal: string[] = [];
  const start = (self: number): Promise<RunningNode> =>
    startNode({
      runtime,
      topology,
      self,
      data: join(directory, `n${self}`),
      durability,
      link: { host: "127.0.0.1", port: ports[self - 1]! },
      identity: testIdentity(runtime.cryptography, topology, self),
      log: () => {},
      onFatal: (error) => fatal.push(error.message),
    });
  const listen = (running: RunningNode): string[] => {
    const seen: string[] = [];
    running.orderer.subscribe([1], null, Infinity, (delivery) => take(delivery, seen));
    return seen;
  };
  const propose = (running: RunningNode, name: string, count: number): void => {
    for (let i = 0; i < count; i++) running.orderer.propose(1, utf8.encode(`${name} ${i}`), (error) => fatal.push(error.message));
  };

  const nodes = await Promise.all([1, 2, 3].map(start));
  try {
    const seen = nodes.map(listen);
    await eventually("all follow somebody", () => nodes.every((one) => one.view().groups[0]!.coordinator !== 0));
    nodes.forEach((one, i) => propose(one, `n${i + 1}`, 300));
    await eventually("900 commands are everywhere", () => seen.every((commands) => commands.length === 900));
    equal(seen[1], seen[0]);
    equal(seen[2], seen[0]);

    await nodes[2]!.close();
    propose(nodes[0]!, "while away", 100);
    await eventually("two go on", () => seen[0]!.length === 1_000 && seen[1]!.length === 1_000);
    nodes[2] = await start(3);
    const back = listen(nodes[2]);
    await eventually("the third catches up", () => back.length === 1_000);
    equal(back, seen[0]);
    equal(fatal, []);
  } finally {
    await Promise.all(nodes.map((one) => one.close()));
    await rm(directory, { recursive: true });
  }
}

function take({ entry, from, to, repeated }: Delivery, into: string[]): void {
  let index = 0;
  entry.batches.forEach((batch, number) =>
    eachCommand(batch.bytes, (payload) => {
      if (index >= from && index < to && !repeated?.has(number)) into.push(new TextDecoder().decode(payload));
      index++;
    })
  );
}

/** A coordinator makes way for a preferred acceptor only if that one would hear of it. */
import { expect, test } from "bun:test";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "../harness/core_env.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

function afterReturn(cut: boolean): string[] {
  const env = new CoreEnv(topology, "sync");
  for (const id of [2, 3]) env.start(id);
  env.tick(3_000, () => env.view(2, 1)!.coordinates !== 0 || env.view(3, 1)!.coordinates !== 0);
  const coordinator = env.view(2, 1)!.coordinates !== 0 ? 2 : 3;
  if (cut) env.cut(coordinator, 1);
  env.start(1);
  env.take();
  env.tick(20_000);
  return env.take().filter((line) => / (coordinates|stops coordinating) /.test(line));
}

test("the preferred acceptor gets its place back once it is level", () => {
  expect(afterReturn(false)).toEqual([expect.stringMatching(/^n[23] g1 stops coordinating/), expect.stringMatching(/^n1 g1 coordinates/)]);
});

test("also while there is always something in flight", () => {
  const env = new CoreEnv(topology, "sync");
  for (const id of [2, 3]) env.start(id);
  env.tick(3_000, () => env.view(2, 1)!.coordinates !== 0 || env.view(3, 1)!.coordinates !== 0);
  env.start(1);
  for (let n = 0; n < 1_500 && env.view(1, 1)!.coordinates === 0; n++) {
    env.propose(2, 1, `${n}`);
    env.tick(7);
  }
  expect(env.view(1, 1)!.coordinates).not.toBe(0);
});

test("one that does not hear the coordinator gets nothing", () => {
  expect(afterReturn(true)).toEqual([]);
});

test("nobody makes way for a node that is down", () => {
  const env = new CoreEnv(topology, "sync");
  for (const id of [1, 2, 3]) env.start(id);
  env.tick(3_000);
  env.crash(3);
  env.tick(2_000);
  env.take();
  env.input(1, { kind: "handover", group: 1, to: 3 });
  env.tick(2_000);
  expect(env.take()).toEqual([]);
  expect(env.view(1, 1)!.coordinates).not.toBe(0);
});

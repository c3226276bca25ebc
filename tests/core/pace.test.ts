/** Merge `rr`: a coordinator keeps pace with the fastest group, also with one that it is no member of. */
import { expect, test } from "bun:test";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "../harness/core_env.ts";

/** Simulation seed 80260022: n1 and n2 had all they delivered of the one group wait for slots of the other for ever, at λ. */
test("who merges both groups tells the one's coordinator how far the other is", () => {
  const topology = parseTopology({
    merge: "rr",
    turn: 10,
    // One turn in 100 s: what is ordered is ahead of the pace at once.
    skipRate: 0.1,
    skipIntervalMs: 5,
    nodes: ["n1", "n2", "n3"].map((name) => ({ name })),
    groups: [
      { name: "slow", acceptors: ["n1"], learners: ["n2"], proposers: ["n1"] },
      { name: "fast", acceptors: ["n3"], learners: ["n2"], proposers: ["n3"] },
    ],
  });
  const env = new CoreEnv(topology, "sync");
  for (const { id } of topology.nodes) env.start(id);
  env.tick(1_000);
  expect(env.view(1, 1)?.coordinates).toBeGreaterThan(0);
  expect(env.view(3, 2)?.coordinates).toBeGreaterThan(0);
  env.take();
  const commands = Array.from({ length: 35 }, (_, index) => `c${index}`);
  for (const command of commands) env.propose(3, 2, command);
  env.tick(1_000);
  const delivered = env.take().filter((line) => line.startsWith("n2 delivers g2"));
  expect(delivered).toEqual(commands.map((command) => `n2 delivers g2 "${command}"`));
});

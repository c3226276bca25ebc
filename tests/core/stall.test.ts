/** A node that stood still for a moment blames nobody else for it. */
import { expect, test } from "bun:test";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "../harness/core_env.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

/** What is told of who coordinates when n1, which coordinates under load, stands still for so long. */
function afterStall(phaseMs: number, stallMs: number): string[] {
  const env = new CoreEnv(topology, "sync");
  for (const id of [1, 2, 3]) env.start(id);
  env.tick(1_000 + phaseMs);
  const load = (ms: number, awake: (id: number) => boolean): void => {
    for (let n = 0; n < ms; n += 3) {
      env.propose(2, 1, `${n}`);
      env.tick(3, undefined, awake);
    }
  };
  load(300, () => true);
  env.take();
  for (const other of [2, 3]) {
    env.cut(other, 1);
    env.cut(1, other);
  }
  load(stallMs, (id) => id !== 1);
  env.mend();
  load(300, () => true);
  return env.take().filter((line) => / (coordinates|stops coordinating) | prepare /.test(line));
}

test("a coordinator that was away for less than anybody worries goes on", () => {
  for (let phaseMs = 0; phaseMs < 40; phaseMs += 4) {
    for (const stallMs of [190, 225]) expect(afterStall(phaseMs, stallMs), `phase ${phaseMs}, ${stallMs} ms`).toEqual([]);
  }
});

/**
 * A command of a group that spans others is not seen in one of them while another may still order something before it: who sees
 * it there and then has something ordered in the other would find the two the other way round where both are merged. Found by
 * the simulator of whole nodes: nodes came back from a power failure with clocks far apart.
 */
import { expect, test } from "bun:test";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "../harness/core_env.ts";

const [first, second, all] = [1, 2, 3];

/** n1 orders the first group, n2 the second and the one that spans both. A replica of the second on n2, which hears nothing of n1. */
function started(abreast: readonly number[]): CoreEnv {
  const nodes = ["n1", "n2"].map((name) => ({ name }));
  const env = new CoreEnv(
    parseTopology({
      nodes,
      groups: [
        { name: "first", acceptors: ["n1"], learners: ["n1", "n2"] },
        { name: "second", acceptors: ["n2"], learners: ["n1", "n2"] },
        { name: "all", acceptors: ["n2"], learners: ["n1", "n2"], spans: ["first", "second"] },
      ],
    }),
    "memory",
  );
  for (const id of [1, 2]) env.start(id);
  env.tick(1_000);
  env.input(2, { kind: "unsubscribe", subscription: 1 });
  env.input(2, { kind: "subscribe", subscription: 2, groups: [second!, all!], after: null, demand: Infinity, abreast });
  env.cut(1, 2);
  env.take();
  env.propose(2, all!, "in both");
  env.tick(1_000);
  return env;
}

const heard = (env: CoreEnv): string[] => env.take().filter((line) => line.startsWith("n2 delivers"));
const stamps = (env: CoreEnv, group: number): number[] =>
  env.view(1, group)!.suffix.filter(({ kind }) => kind === "batch").map(({ stamp }) => stamp);

test("what spans a group waits until nothing of that group can come before it", () => {
  const env = started([first!]);
  expect(heard(env)).toEqual([]);
  env.mend();
  env.tick(1_000);
  expect(heard(env)).toEqual(['n2 delivers g3 "in both"']);
  env.propose(1, first!, "afterwards");
  env.tick(1_000);
  expect(stamps(env, first!)[0]!).toBeGreaterThan(stamps(env, all!)[0]!);
});

test("a group that is not named is not waited for, and what spans nothing waits for none", () => {
  expect(heard(started([]))).toEqual(['n2 delivers g3 "in both"']);
  const env = started([first!]);
  env.propose(2, second!, "alone");
  env.tick(1_000);
  // Its place is behind the other's.
  expect(heard(env)).toEqual([]);
  const before = started([first!]);
  before.input(2, { kind: "subscribe", subscription: 3, groups: [second!], after: null, demand: Infinity, abreast: [first!] });
  before.propose(2, second!, "alone");
  before.tick(1_000);
  expect(heard(before)).toEqual(['n2 delivers g2 "alone"']);
});

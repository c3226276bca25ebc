/** Why somebody coordinates, or nobody does: said truly, by whoever it happened to. */
import { expect, test } from "bun:test";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "../harness/core_env.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

function started(): CoreEnv {
  const env = new CoreEnv(topology, "sync");
  for (const id of [1, 2, 3]) env.start(id);
  env.tick(3_000, () => [1, 2, 3].every((id) => env.view(id, 1)!.coordinator === 1));
  return env;
}

/** "to whom: why" of the changes behind the first. */
const roles = (env: CoreEnv, id: number, behind = 0): string[] =>
  env.view(id, 1)!.roles.filter(({ number }) => number > behind).map(({ coordinator, why }) => `${coordinator}: ${why}`);

test("the first coordinator, as itself and the others see it", () => {
  const env = started();
  expect([1, 2, 3].map((id) => roles(env, id))).toEqual([["1: first"], ["1: heard"], ["1: heard"]]);
});

test("one that dies is missed, and another takes over because of that", () => {
  const env = started();
  env.crash(1);
  env.tick(5_000, () => env.view(2, 1)!.coordinator === 2 && env.view(3, 1)!.coordinator === 2);
  const missed = roles(env, 2, 1)[0]!;
  expect(["0: suspected", "0: lease-expired"]).toContain(missed);
  expect(roles(env, 2, 1)).toEqual([missed, missed.replace("0", "2")]);
  expect(roles(env, 3, 1).at(-1)).toBe("2: heard");
});

test("one that makes way says so, and so does whom it made way for", () => {
  const env = started();
  env.input(1, { kind: "handover", group: 1, to: 3 });
  env.tick(2_000, () => [1, 2, 3].every((id) => env.view(id, 1)!.coordinator === 3));
  expect([roles(env, 1, 1), roles(env, 3, 1)]).toEqual([["0: handed-over", "3: heard"], ["3: released"]]);
});

test("one that its quorum does not hear stops because of that", () => {
  const env = started();
  for (const other of [2, 3]) {
    env.cut(1, other);
    env.cut(other, 1);
  }
  env.tick(5_000, () => env.view(1, 1)!.coordinates === 0);
  expect(roles(env, 1, 1)[0]).toBe("0: no-quorum");
});

test("only the newest changes are kept, and their numbers go on", () => {
  const env = started();
  for (let turn = 0; turn < 12; turn++) {
    const to = turn % 2 === 0 ? 2 : 1;
    env.input(to === 2 ? 1 : 2, { kind: "handover", group: 1, to });
    env.tick(2_000, () => [1, 2, 3].every((id) => env.view(id, 1)!.coordinator === to));
  }
  const changes = env.view(1, 1)!.roles;
  expect(changes.length).toBe(8);
  expect(changes.map(({ number }) => number)).toEqual(Array.from({ length: 8 }, (_, index) => changes[0]!.number + index));
  expect(changes.at(-1)!.number).toBeGreaterThanOrEqual(19);
});

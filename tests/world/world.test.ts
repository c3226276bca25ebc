/**
 * Fresh random seeds of the whole stack, in every test run; seeds that once found something; and the world's own
 * promises: one seed is one history, in each of the three runtimes.
 */
import { describe as suite, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Rule } from "../../core/rules.ts";
import { type Aim, aims } from "./aims.ts";
import { digestLines } from "./digest.ts";
import { drawPlan } from "./plan.ts";
import { findPlanted } from "./planted.ts";
import { type Outcome, replay, runPlan, runSeed } from "./run.ts";
import { shrink } from "./shrink.ts";
import { runSeeds } from "./workers.ts";

/** So many at most, and no new one after so long: machines differ. */
const freshSeeds = 30;
const freshMs = 25_000;

/** Found a bug once. They reach it no longer when plans are drawn differently; then they are seeds like any other. */
const regressions: readonly (readonly [aim: Aim | null, seed: number, what: string])[] = [
  [null, 2, "after a failed sync, a node built upon what its system only held in memory"],
  [null, 138_775_224, "listeners from now on were told that now had been forgotten"],
  [null, 42, "most of a new cluster ended right after the first promise, and then all waited for each other"],
  ["founders", 21, "the same, of five nodes"],
  ["injuries", 810_046, "the note that a node votes again was on its disk before what its votes rest on"],
  ["founders", 20, "a killed process left half a superblock to its system, and a power cut took the other half from the next one"],
];

function expectClean(outcome: Outcome): void {
  const { failure } = outcome;
  if (failure === null) return;
  throw new Error(`seed ${outcome.seed} violates "${failure.check}": ${failure.message}\nreplay: ${replay(outcome)}\n${failure.stack}`);
}

suite("fresh seeds", () => {
  const base = Math.floor(Math.random() * 1_000_000_000);
  console.log(`world: seeds from ${base}; bun tests/world/cli.ts --seeds ${freshSeeds} --from ${base}`);

  test("random seeds violate nothing", async () => {
    const began = performance.now();
    const totals: Record<string, number> = {};
    let seeds = 0;
    for (; seeds < freshSeeds && performance.now() - began < freshMs; seeds++) {
      const outcome = await runSeed(base + seeds);
      expectClean(outcome);
      for (const [name, count] of Object.entries(outcome.counts)) totals[name] = (totals[name] ?? 0) + count;
    }
    // A world in which nothing happens violates nothing either.
    expect(totals["calls"]! / seeds).toBeGreaterThan(50);
    expect(totals["faults"]! / seeds).toBeGreaterThan(1);
    expect(totals["statesMet"]! / seeds).toBeGreaterThan(20);
  }, 300_000);
});

suite("regressions", () => {
  for (const [aim, seed, what] of regressions) {
    const how = aim === null ? {} : { aim: aims[aim] };
    test(`seed ${seed}: ${what}`, async () => expectClean(await runSeed(seed, how)), 120_000);
  }
});

suite("planted bugs", () => {
  // The quick ones; `bun tests/world/planted.ts` has all of them.
  const quick: readonly Rule[] = [
    "sync-before-done",
    "hold-until-durable",
    "session-long",
    "read-confirmed",
    "watch-once",
    "append-atomic",
    "trim-exact",
  ];
  for (const rule of quick) {
    test(`taking away "${rule}" is noticed`, async () => expect(await findPlanted(rule, 30)).not.toBeNull(), 240_000);
  }

  test("a failure is shrunk to the faults it needs", async () => {
    const plan = drawPlan(1, { without: ["sync-before-done"], aim: aims.usurpers });
    const { failure } = await runPlan(plan);
    const shrunk = await shrink(plan, failure!.check);
    expect(shrunk.failure.check).toBe("durability");
    // It needs none of them.
    expect(plan.faults.length).toBeGreaterThan(3);
    expect(shrunk.faults).toEqual([]);
  }, 300_000);
});

suite("one seed is one history", () => {
  test("run twice", async () => {
    const first = await runSeed(11);
    const second = await runSeed(11);
    expect(second).toEqual(first);
    expect((await runSeed(8)).digest).not.toBe(first.digest);
  }, 120_000);

  test("in this process and in two others, which stop in order", async () => {
    const drawing = { seconds: 1, long: false, link: null, aim: null, without: [] };
    const range = { from: 8, seeds: 3, drawing };
    const outcomes = async (workers: number, goesOn: (taken: number) => boolean): Promise<Outcome[]> => {
      const taken: Outcome[] = [];
      await runSeeds({ ...range, workers }, () => goesOn(taken.length), (outcome) => void taken.push(outcome));
      return taken.sort((a, b) => a.seed - b.seed);
    };
    const all = await outcomes(1, () => true);
    expect(all.map(({ seed, failure }) => ({ seed, failure }))).toEqual([8, 9, 10].map((seed) => ({ seed, failure: null })));
    expect(await outcomes(2, () => true)).toEqual(all);
    // Two have begun when the first is done.
    expect(await outcomes(2, (taken) => taken === 0)).toEqual(all.slice(0, 2));
  }, 120_000);

  test("in Bun, Deno and Node", async () => {
    const here = await digestLines();
    const folder = mkdtempSync(join(tmpdir(), "carillon-world-"));
    try {
      const script = new URL("digest.ts", import.meta.url).pathname;
      const bundle = await Bun.build({ entrypoints: [script], target: "node" });
      const file = join(folder, "digest.mjs");
      writeFileSync(file, await bundle.outputs[0]!.text());
      const deno = new URL("../../node_modules/.bin/deno", import.meta.url).pathname;
      expect(await linesOf([deno, "run", "-A", script]), "Deno").toEqual(here);
      expect(await linesOf(["node", file]), "Node").toEqual(here);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 240_000);

  async function linesOf(command: string[]): Promise<string[]> {
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
    const [output, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(await child.exited, errors).toBe(0);
    return output.trimEnd().split("\n");
  }
});

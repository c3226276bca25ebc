/** Damaged packets, frames and handshakes, from the kept corpus and fresh ones; and that the fuzzer would find something. */
import { expect, test } from "bun:test";
import { Random } from "../../fuzz/random.ts";
import { canary } from "./canary.ts";
import { loadCorpus } from "./corpus.ts";
import { fuzz } from "./engine.ts";
import { fuzzOnNode } from "./on_node.ts";
import { targets } from "./targets.ts";

const root = new URL("../../..", import.meta.url).pathname;
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const reads = Number(process.env["FUZZ_READS"] ?? 3_000);
console.log(`FUZZ_SEED=${seed} FUZZ_READS=${reads}`);

for (const target of targets) {
  test(`damaged ${target.name}: refused or understood, soon, and nothing else`, () => {
    const corpus = loadCorpus(root, target.name);
    const result = fuzz(target, new Random(seed), { reads, corpus });
    // A fuzzer that never gets past the first byte finds nothing.
    expect(result.accepted).toBeGreaterThan(result.inputs / 100);
  }, 60_000);
}

test("a fault behind four bytes is found by a fuzzer that sees where it has been, and by no other", async () => {
  // Always the same: one seed in some hundreds takes longer, and says nothing about the parsers.
  const tries = { seed: 1, inputs: 200_000, target: "all", keep: false };
  fuzz(canary, new Random(tries.seed), { reads: tries.inputs, corpus: [] });
  const { code, text } = await fuzzOnNode("canary.ts", tries, "pipe");
  expect([code, text.includes("the canary sings")]).toEqual([1, true]);
}, 60_000);

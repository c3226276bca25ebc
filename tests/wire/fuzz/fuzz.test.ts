/** Damaged packets, frames and handshakes, from the kept corpus and fresh ones; and that the fuzzer would find something. */
import { expect, test } from "bun:test";
import { Random } from "../../fuzz/random.ts";
import { sings } from "./canary.ts";
import { loadCorpus } from "./corpus.ts";
import { fuzz } from "./engine.ts";
import { onNode } from "./on_node.ts";
import { targets } from "./targets.ts";

const root = new URL("../../..", import.meta.url).pathname;
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const inputs = Number(process.env["FUZZ_INPUTS"] ?? 20_000);
console.log(`FUZZ_SEED=${seed} FUZZ_INPUTS=${inputs}`);

for (const make of targets) {
  const target = make(new Random(seed));
  test(`damaged ${target.name}: refused or understood, soon, and nothing else`, () => {
    const corpus = loadCorpus(root, target.name);
    const result = fuzz(target, new Random(seed), { inputs: corpus.length + Math.ceil(inputs / target.cost), corpus });
    // A fuzzer that never gets past the first byte finds nothing.
    expect(result.accepted).toBeGreaterThan(result.inputs / 100);
  }, 60_000);
}

test("a fault behind four bytes is found by a fuzzer that sees where it has been, and by no other", async () => {
  expect(sings(seed)).toBe(false);
  const { code, text } = await onNode("canary.ts", [String(seed)], "pipe");
  expect([code, text.trim()]).toEqual([0, "found"]);
}, 60_000);

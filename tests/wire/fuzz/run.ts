/**
 * Fuzzes the wire's parsers with V8's coverage: runs on Node, as a bundle that `bun tests/wire/cli.ts fuzz` makes and starts.
 * Arguments: the project's folder, inputs for each parser, the seed, a parser's name or "all", and "keep" to put inputs that
 * went somewhere new into the corpus.
 */
import { hashText } from "../../sim/prng.ts";
import { Random } from "../../fuzz/random.ts";
import { loadCorpus, saveCorpus } from "./corpus.ts";
import { v8Coverage } from "./coverage.ts";
import { fuzz } from "./engine.ts";
import { targets } from "./targets.ts";

const [root = "", inputs = "", seed = "", wanted = "all", keep = ""] = process.argv.slice(2);
const tellEveryMs = 5_000;
const coverage = v8Coverage(import.meta.url);

for (const make of targets) {
  const random = new Random(Number(seed));
  const target = make(random);
  if (wanted !== "all" && wanted !== target.name) continue;
  const began = performance.now();
  let told = began;
  const given = loadCorpus(root, target.name);
  const result = fuzz(target, new Random(hashText(target.name, Number(seed))), {
    inputs: Math.ceil(Number(inputs) / target.cost),
    corpus: given,
    coverage,
    onProgress: (done, corpus) => {
      if (performance.now() - told < tellEveryMs) return;
      told = performance.now();
      console.log(`${target.name}: ${done} inputs, corpus ${corpus}`);
    },
  });
  const seconds = (performance.now() - began) / 1_000;
  console.log(
    `${target.name}: ${result.inputs} inputs in ${seconds.toFixed(1)} s (${Math.round(result.inputs / seconds)}/s), ` +
      `${result.accepted} accepted, ${result.corpus.length - given.length} went where none had gone, slowest ${
        result.slowestMs.toFixed(1)
      } ms`,
  );
  if (keep === "keep") saveCorpus(root, target.name, result.corpus);
}

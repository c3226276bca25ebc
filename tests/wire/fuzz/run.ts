/**
 * Fuzzes parsers with V8's coverage: runs on Node, as a bundle that `bun tests/wire/cli.ts fuzz` makes and starts. The parsers are
 * a bundle of their own, so that what they do can be told from what the fuzzer does. Arguments: that bundle, the project's folder, inputs for each parser, the seed, a parser's name or "all", and "keep" to put inputs that
 * went somewhere new into the corpus.
 */
import { pathToFileURL } from "node:url";
import { hashText } from "../../sim/prng.ts";
import { Random } from "../../fuzz/random.ts";
import { loadCorpus, saveCorpus } from "./corpus.ts";
import { v8Coverage } from "./coverage.ts";
import { fuzz } from "./engine.ts";
import type { Target } from "./target.ts";

const [parsers = "", root = "", inputs = "", seed = "", wanted = "all", keep = ""] = process.argv.slice(2);
const tellEveryMs = 5_000;
const { targets } = await import(parsers) as { readonly targets: readonly ((random: Random) => Target)[] };
const coverage = v8Coverage(pathToFileURL(parsers).href);

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
  if (keep === "keep" && !target.keyed) saveCorpus(root, target.name, result.corpus);
}

/**
 * Fuzzes with V8's coverage: runs on Node, as a bundle that `bun tests/wire/cli.ts fuzz` makes and starts. The targets are
 * a bundle of their own, so that what they do can be told from what the fuzzer does. Arguments: that bundle, the project's folder,
 * what is to be read by each target, the seed, a target's name or "all", and "keep" to put inputs that went somewhere new into the
 * corpus. Ends with 1 if one broke, or memory grew.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { hashText } from "../../sim/prng.ts";
import { Random } from "../../fuzz/random.ts";
import { loadCorpus, saveCorpus } from "./corpus.ts";
import { V8Coverage } from "./coverage.ts";
import { Broken, fuzz } from "./engine.ts";
import type { Target } from "./target.ts";

const [parsers = "", root = "", reads = "", seed = "", wanted = "all", keep = ""] = process.argv.slice(2);
const tellEveryMs = 5_000;
const growthBytesMax = 32 << 20;
const folder = "edge/link/udp/";
const { targets } = await import(parsers) as { readonly targets: readonly Target[] };

/** Whether it held, after the verdict is printed. */
function run(target: Target): boolean {
  const coverage = new V8Coverage(pathToFileURL(parsers).href, readFileSync(parsers, "utf8"));
  const began = performance.now();
  let told = began;
  const given = loadCorpus(root, target.name);
  // Once what is made at first has been made.
  let heap = 0;
  try {
    const result = fuzz(target, new Random(hashText(target.name, Number(seed))), {
      reads: Number(reads),
      corpus: given,
      coverage: coverage.look,
      onProgress: (read, corpus) => {
        if (heap === 0 && read > Number(reads) / 5) heap = heapBytes();
        if (performance.now() - told < tellEveryMs) return;
        told = performance.now();
        console.log(`     ${target.name}: ${read} read, corpus ${corpus}, ${(read / (told - began) * 1_000).toFixed(0)}/s`);
      },
    });
    const growth = heapBytes() - heap;
    const seconds = (performance.now() - began) / 1_000;
    const holds = growth < growthBytesMax;
    console.log(
      `${holds ? "ok  " : "FAIL"} ${target.name}: ${result.read} read in ${result.inputs} inputs and ${seconds.toFixed(0)} s, ` +
        `${result.accepted} got somewhere, ${result.corpus.length - given.length} went where none had gone, ` +
        `slowest ${result.slowestMs.toFixed(1)} ms, heap ${growth < 0 ? "" : "+"}${(growth / 2 ** 20).toFixed(1)} MB`,
    );
    const reached = coverage.reached(folder).filter((file) => file.reached > 0);
    console.log(`     lines: ${reached.map(({ file, lines, reached }) => `${file.slice(folder.length)} ${reached}/${lines}`).join(", ")}`);
    if (keep === "keep") saveCorpus(root, target.name, result.corpus);
    return holds;
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    console.log(`FAIL ${error.message}\nreplay: npm run wire -- fuzz --target ${target.name} --seed ${seed} --inputs ${reads}`);
    console.log((error.cause as Error).stack);
    return false;
  }
}

function heapBytes(): number {
  gc?.();
  return process.memoryUsage().heapUsed;
}

const chosen = targets.filter(({ name }) => wanted === "all" || wanted === name);
const held = chosen.filter(run).length;
console.log(`${held} of ${chosen.length} hold (seed ${seed})`);
process.exitCode = held === chosen.length && held > 0 ? 0 : 1;

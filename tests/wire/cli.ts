/**
 * `bun tests/wire/cli.ts` measures links over UDP on simulated paths, case by case, and prints each figure.
 *
 *   [WORD …]          the cases whose names have one of the words; default all
 *   stalls            only the table of how long groups on one lossy link wait for each other
 *   fuzz              gives links whatever anybody could, with V8's coverage, on Node
 *   flood             throws damaged datagrams at a node with a connection
 *   --seed N          default random, printed
 *   --short           the sizes of the test run
 *   --inputs N        packets, messages or datagrams for each target of `fuzz`, and for `flood`; default a million
 *   --target NAME     for `fuzz`: one of them
 *   --keep            for `fuzz`: keeps inputs that went somewhere new in tests/data/wire_corpus
 *
 * Exit code: 0 if everything held, 1 if not, 2 for a wrong call.
 */
import { anySeed, exit, Wishes } from "../harness/wishes.ts";
import { cases } from "./cases.ts";
import { flood } from "./flood.ts";
import { fuzzOnNode } from "./fuzz/on_node.ts";
import { stallLines } from "./stalls.ts";

interface Wish {
  readonly words: readonly string[];
  readonly seed: number;
  readonly short: boolean;
  readonly inputs: number;
  readonly target: string;
  readonly keep: boolean;
}

const wishes = new Wishes("measure", { values: ["seed", "inputs", "target"], flags: ["short", "keep"] });
const wish: Wish = {
  words: wishes.words,
  seed: wishes.whole("seed") ?? anySeed(),
  short: wishes.has("short"),
  inputs: wishes.whole("inputs") ?? 1_000_000,
  target: wishes.text("target") ?? "all",
  keep: wishes.has("keep"),
};

function measure(wish: Wish): boolean {
  const chosen = cases.filter(({ name }) => wish.words.length === 0 || wish.words.some((word) => name.includes(word)));
  if (chosen.length === 0) wishes.complain(`no case has ${wish.words.join(" or ")} in its name`);
  let failed = 0;
  for (const { name, promise, run } of chosen) {
    const began = performance.now();
    const { figure, holds } = run(wish.seed, wish.short ? "short" : "full");
    if (!holds) failed++;
    console.log(`${holds ? "ok  " : "FAIL"} ${name}: ${figure}  [${promise}; ${((performance.now() - began) / 1_000).toFixed(1)} s]`);
  }
  console.log(`${chosen.length - failed} of ${chosen.length} hold`);
  return failed === 0;
}

console.log(`seed ${wish.seed}`);
const [word] = wish.words;
if (word === "fuzz") exit((await fuzzOnNode("targets.ts", wish, "inherit")).code);
if (word === "flood") exit(flood(wish.seed, wish.inputs, console.log).holds ? 0 : 1);
if (word === "stalls") {
  for (const line of stallLines(wish.seed, wish.short ? "short" : "full")) console.log(line);
  exit(0);
}
exit(measure(wish) ? 0 : 1);

/**
 * `bun tests/wire/cli.ts` measures links over UDP on simulated paths, case by case, and prints each figure.
 *
 *   [WORD …]          the cases whose names have one of the words; default all
 *   stalls            only the table of how long groups on one lossy link wait for each other
 *   fuzz              damages what parsers get, with V8's coverage, on Node
 *   flood             throws damaged datagrams at a node with a connection
 *   --seed N          default random, printed
 *   --short           the sizes of the test run
 *   --inputs N        for `fuzz` (each parser) and `flood`; default a million
 *   --target NAME     for `fuzz`: one parser
 *   --keep            for `fuzz`: keeps inputs that went somewhere new in tests/data/wire_corpus
 *
 * Exit code: 0 if everything held, 1 if not, 2 for a wrong call.
 */
import { cases } from "./cases.ts";
import { flood } from "./flood.ts";
import { fuzzOnNode } from "./fuzz/on_node.ts";
import { stallLines } from "./stalls.ts";

interface Wish {
  words: string[];
  seed: number;
  short: boolean;
  inputs: number;
  target: string;
  keep: boolean;
}

function complain(what: string): never {
  console.error(`Cannot measure: ${what}`);
  process.exit(2);
}

function parse(args: readonly string[]): Wish {
  const wish: Wish = {
    words: [],
    seed: Math.floor(Math.random() * 1_000_000_000),
    short: false,
    inputs: 1_000_000,
    target: "all",
    keep: false,
  };
  const number = (at: number): number => {
    const value = Number(args[at]);
    return Number.isSafeInteger(value) && value >= 0 ? value : complain(`${args[at - 1]} needs a whole number`);
  };
  for (let at = 0; at < args.length; at++) {
    switch (args[at]) {
      case "--seed":
        wish.seed = number(++at);
        break;
      case "--inputs":
        wish.inputs = number(++at);
        break;
      case "--target":
        wish.target = args[++at] ?? complain("--target needs a name");
        break;
      case "--short":
        wish.short = true;
        break;
      case "--keep":
        wish.keep = true;
        break;
      default:
        if (args[at]!.startsWith("-")) complain(`what is ${JSON.stringify(args[at])}?`);
        wish.words.push(args[at]!);
    }
  }
  return wish;
}

function measure(wish: Wish): boolean {
  const chosen = cases.filter(({ name }) => wish.words.length === 0 || wish.words.some((word) => name.includes(word)));
  if (chosen.length === 0) complain(`no case has ${wish.words.join(" or ")} in its name`);
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

const wish = parse(process.argv.slice(2));
console.log(`seed ${wish.seed}`);
const [word] = wish.words;
if (word === "fuzz") process.exit((await fuzzOnNode("targets.ts", wish, "inherit")).code);
if (word === "flood") process.exit(flood(wish.seed, wish.inputs, console.log).holds ? 0 : 1);
if (word === "stalls") {
  for (const line of stallLines(wish.seed, wish.short ? "short" : "full")) console.log(line);
  process.exit(0);
}
process.exit(measure(wish) ? 0 : 1);

/**
 * `bun tests/world/cli.ts --seeds 1000` runs the whole stack through fresh seeds; `--seed N --trace` shows one of them.
 *
 *   --seed N          one seed
 *   --seeds N         so many seeds, from --from (default: a random one, printed)
 *   --from N
 *   --seconds S       virtual seconds with faults, of each seed (default: a few, drawn)
 *   --link DRIVER     h2, udp or auto, in every seed (default: drawn)
 *   --without RULE    takes a rule away (repeatable); then a violation is what is hoped for
 *   --trace           what happens in the run
 *   --shrink          leaves out faults of a failing seed until none can be spared
 *   --keep-going      does not stop at the first failing seed
 *   --ledger          adds the run to tests/world/ledger.md
 *
 * Exit code: 0 if no seed failed, 1 if one did, 2 for a wrong call.
 */
import type { Rule } from "../../core/rules.ts";
import type { LinkDriver } from "../../edge/link/open.ts";
import { allRules } from "./all_rules.ts";
import { coverageLines } from "./buggify.ts";
import { describeFault } from "./fault.ts";
import { appendLedger } from "./ledger.ts";
import { drawPlan, type PlanOptions } from "./plan.ts";
import { type Outcome, replay, runPlan, runSeed } from "./run.ts";
import { shrink } from "./shrink.ts";

declare const Deno: { readonly args: string[]; exit(code: number): never } | undefined;

interface Wish {
  seed: number | null;
  seeds: number;
  from: number;
  seconds: number | null;
  link: LinkDriver | null;
  without: Rule[];
  trace: boolean;
  shrink: boolean;
  keepGoing: boolean;
  ledger: boolean;
}

const args = typeof Deno === "undefined" ? process.argv.slice(2) : Deno.args;
const drivers: readonly LinkDriver[] = ["h2", "udp", "auto"];
const tellEveryMs = 10_000;

function exit(code: number): never {
  return typeof Deno === "undefined" ? process.exit(code) : Deno.exit(code);
}

function complain(what: string): never {
  console.error(`Cannot simulate: ${what}`);
  return exit(2);
}

function parse(): Wish {
  const wish: Wish = {
    seed: null,
    seeds: 100,
    from: Math.floor(Math.random() * 1_000_000_000),
    seconds: null,
    link: null,
    without: [],
    trace: false,
    shrink: false,
    keepGoing: false,
    ledger: false,
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
      case "--seeds":
        wish.seeds = number(++at);
        break;
      case "--from":
        wish.from = number(++at);
        break;
      case "--seconds":
        wish.seconds = number(++at);
        break;
      case "--link":
        wish.link = drivers.find((name) => name === args[at + 1]) ?? complain(`--link needs one of: ${drivers.join(", ")}`);
        at++;
        break;
      case "--without": {
        const rule = allRules.find((name) => name === args[at + 1]);
        wish.without.push(rule ?? complain(`--without needs one of: ${allRules.join(", ")}`));
        at++;
        break;
      }
      case "--trace":
        wish.trace = true;
        break;
      case "--shrink":
        wish.shrink = true;
        break;
      case "--keep-going":
        wish.keepGoing = true;
        break;
      case "--ledger":
        wish.ledger = true;
        break;
      default:
        complain(`what is ${JSON.stringify(args[at])}?`);
    }
  }
  return wish;
}

function options(wish: Wish): PlanOptions {
  return {
    without: wish.without,
    ...(wish.link === null ? {} : { link: wish.link }),
    ...(wish.seconds === null ? {} : { seconds: wish.seconds }),
  };
}

async function report(outcome: Outcome, wish: Wish): Promise<void> {
  const { failure, seed } = outcome;
  if (failure === null) return;
  console.log(`\nseed ${seed} violates "${failure.check}": ${failure.message}`);
  if (failure.check === "exception" || failure.check === "assertion") console.log(failure.stack);
  console.log(`replay: ${replay(outcome)}${wish.seconds === null ? "" : ` --seconds ${wish.seconds}`}`);
  if (!wish.shrink) return;
  const shrunk = await shrink(drawPlan(seed, options(wish)), failure.check);
  console.log(`${shrunk.faults.length} faults are enough, after ${shrunk.runs} runs:`);
  for (const fault of shrunk.faults) console.log(describeFault(fault));
  console.log(`${shrunk.failure.check}: ${shrunk.failure.message}`);
}

function tell(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([name, value]) => `${value} ${name}`).join(", ");
}

async function one(wish: Wish, seed: number): Promise<number> {
  const plan = drawPlan(seed, options(wish));
  if (wish.trace) { for (const fault of plan.faults) console.log(describeFault(fault)); }
  const outcome = await runPlan(plan, wish.trace ? console.log : null);
  await report(outcome, wish);
  console.log(
    `seed ${seed}: ${outcome.failure === null ? "no violation" : "VIOLATION"}, digest ${outcome.digest}; ${tell(outcome.counts)}`,
  );
  return outcome.failure === null ? 0 : 1;
}

async function many(wish: Wish): Promise<number> {
  console.log(`seeds ${wish.from} … ${wish.from + wish.seeds - 1}${wish.without.map((rule) => `, without ${rule}`).join("")}`);
  const began = performance.now();
  let told = began;
  const totals: Record<string, number> = {};
  const failed: Outcome[] = [];
  let done = 0;
  const speed = (): string => {
    const ms = performance.now() - began;
    return `${(done / ms * 1_000).toFixed(1)} seeds/s, ${((totals["virtualMs"] ?? 0) / ms).toFixed(0)} times real time`;
  };
  while (done < wish.seeds) {
    const outcome = await runSeed(wish.from + done, options(wish));
    done++;
    for (const [name, value] of Object.entries(outcome.counts)) totals[name] = (totals[name] ?? 0) + value;
    if (outcome.failure !== null) {
      failed.push(outcome);
      await report(outcome, wish);
      if (!wish.keepGoing) break;
    }
    if (performance.now() - told > tellEveryMs) {
      told = performance.now();
      console.log(`${done} of ${wish.seeds}, ${speed()}, ${totals["calls"]} calls, ${failed.length} failed`);
    }
  }
  console.log(
    `\n${done} seeds, ${speed()}, ${failed.length} failed${failed.length > 0 ? `: ${failed.map(({ seed }) => seed).join(" ")}` : ""}`,
  );
  console.log(tell(totals));
  for (const line of coverageLines()) console.log(line);
  if (wish.ledger) console.log(appendLedger({ seeds: done, from: wish.from, failed: failed.length, totals }));
  return failed.length === 0 ? 0 : 1;
}

const wish = parse();
exit(wish.seed === null ? await many(wish) : await one(wish, wish.seed));

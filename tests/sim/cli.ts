/**
 * `bun tests/sim/cli.ts --seeds 1000` searches; `--seed N --trace` replays one and shows every step.
 *
 *   --seed N          one seed
 *   --seeds N         so many seeds, from --from (default: a random one, printed)
 *   --from N
 *   --without RULE    takes a rule away (repeatable); then a violation is what is hoped for
 *   --aim NAME        looks for one kind of trouble (see aims.ts)
 *   --trace           every step of the run; otherwise the last ones before a failure
 *   --twice           each seed two times, digests compared
 *   --keep-going      does not stop at the first failing seed
 *
 * Exit code: 0 if no seed failed, 1 if one did, 2 for a wrong call.
 */
import type { Rule } from "../../core/rules.ts";
import { type Aim, aims } from "./aims.ts";
import { allRules } from "./all_rules.ts";
import { type Outcome, replay, type RunOptions, runSeed } from "./run.ts";

declare const Deno: { readonly args: string[]; exit(code: number): never } | undefined;

interface Wish {
  seed: number | null;
  seeds: number;
  from: number;
  without: Rule[];
  aim: Aim | null;
  trace: boolean;
  twice: boolean;
  keepGoing: boolean;
}

const args = typeof Deno === "undefined" ? process.argv.slice(2) : Deno.args;

function exit(code: number): never {
  return typeof Deno === "undefined" ? process.exit(code) : Deno.exit(code);
}

function parse(): Wish {
  const wish: Wish = {
    seed: null,
    seeds: 100,
    from: Math.floor(Math.random() * 1_000_000_000),
    without: [],
    aim: null,
    trace: false,
    twice: false,
    keepGoing: false,
  };
  const number = (at: number): number => {
    const value = Number(args[at]);
    if (!Number.isSafeInteger(value) || value < 0) complain(`${args[at - 1]} needs a whole number`);
    return value;
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
      case "--without": {
        const rule = allRules.find((name) => name === args[at + 1]);
        if (rule === undefined) complain(`--without needs one of: ${allRules.join(", ")}`);
        wish.without.push(rule);
        at++;
        break;
      }
      case "--aim": {
        const aim = (Object.keys(aims) as Aim[]).find((name) => name === args[at + 1]);
        if (aim === undefined) complain(`--aim needs one of: ${Object.keys(aims).join(", ")}`);
        wish.aim = aim;
        at++;
        break;
      }
      case "--trace":
        wish.trace = true;
        break;
      case "--twice":
        wish.twice = true;
        break;
      case "--keep-going":
        wish.keepGoing = true;
        break;
      default:
        complain(`what is ${JSON.stringify(args[at])}?`);
    }
  }
  return wish;
}

function complain(what: string): never {
  console.error(`Cannot simulate: ${what}`);
  return exit(2);
}

function rules(wish: Wish): RunOptions {
  return { without: wish.without, ...(wish.aim === null ? {} : { aim: wish.aim }) };
}

function report(outcome: Outcome): void {
  const { failure } = outcome;
  if (failure === null) return;
  for (const line of failure.tail) console.log(line);
  console.log(`\nseed ${outcome.seed} violates "${failure.oracle}": ${failure.message}`);
  if (failure.oracle === "exception" || failure.oracle === "assertion") console.log(failure.stack);
  console.log(`replay: ${replay(outcome)}`);
}

function tell(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([name, value]) => `${value} ${name}`).join(", ");
}

function one(wish: Wish, seed: number): number {
  const outcome = runSeed(seed, { ...rules(wish), ...(wish.trace ? { trace: console.log } : { tail: 40 }) });
  report(outcome);
  console.log(
    `seed ${seed}: ${outcome.failure === null ? "no violation" : "VIOLATION"}, digest ${outcome.digest}; ${tell(outcome.counts)}`,
  );
  return outcome.failure === null ? 0 : 1;
}

function many(wish: Wish): number {
  console.log(`seeds ${wish.from} … ${wish.from + wish.seeds - 1}${wish.without.map((rule) => `, without ${rule}`).join("")}`);
  const began = performance.now();
  let told = began;
  const totals: Record<string, number> = {};
  const failed: Outcome[] = [];
  let done = 0;
  const rate = (): string => `${(done / (performance.now() - began) * 1_000).toFixed(1)} seeds/s`;
  for (; done < wish.seeds; done++) {
    const seed = wish.from + done;
    const outcome = runSeed(seed, rules(wish));
    for (const [name, value] of Object.entries(outcome.counts)) totals[name] = (totals[name] ?? 0) + value;
    if (outcome.failure !== null) {
      failed.push(outcome);
      report(outcome);
      if (!wish.keepGoing) break;
    }
    if (wish.twice && runSeed(seed, rules(wish)).digest !== outcome.digest) {
      console.log(`seed ${seed} has two digests: something in it is left to chance`);
      return 1;
    }
    if (performance.now() - told > 5_000) {
      told = performance.now();
      console.log(`${done + 1} of ${wish.seeds}, ${rate()}, ${totals["deliveries"]} deliveries, ${failed.length} failed`);
    }
  }
  console.log(
    `\n${done} seeds, ${rate()}, ${failed.length} failed${failed.length > 0 ? `: ${failed.map(({ seed }) => seed).join(" ")}` : ""}`,
  );
  console.log(tell(totals));
  return failed.length === 0 ? 0 : 1;
}

const wish = parse();
exit(wish.seed === null ? many(wish) : one(wish, wish.seed));

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
import { anySeed, exit, tellCounts, Wishes } from "../harness/wishes.ts";
import { type Aim, aims } from "./aims.ts";
import { allRules } from "./all_rules.ts";
import { type Outcome, replay, type RunOptions, runSeed } from "./run.ts";

interface Wish {
  readonly seed: number | null;
  readonly seeds: number;
  readonly from: number;
  readonly without: readonly Rule[];
  readonly aim: Aim | null;
  readonly trace: boolean;
  readonly twice: boolean;
  readonly keepGoing: boolean;
}

function parse(): Wish {
  const wishes = new Wishes("simulate", {
    values: ["seed", "seeds", "from", "aim"],
    lists: ["without"],
    flags: ["trace", "twice", "keep-going"],
  });
  if (wishes.words.length > 0) wishes.complain(`what is ${JSON.stringify(wishes.words[0])}?`);
  return {
    seed: wishes.whole("seed"),
    seeds: wishes.whole("seeds") ?? 100,
    from: wishes.whole("from") ?? anySeed(),
    without: wishes.someOf("without", allRules),
    aim: wishes.oneOf("aim", Object.keys(aims) as Aim[]),
    trace: wishes.has("trace"),
    twice: wishes.has("twice"),
    keepGoing: wishes.has("keep-going"),
  };
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

function one(wish: Wish, seed: number): number {
  const outcome = runSeed(seed, { ...rules(wish), ...(wish.trace ? { trace: console.log } : { tail: 40 }) });
  report(outcome);
  console.log(
    `seed ${seed}: ${outcome.failure === null ? "no violation" : "VIOLATION"}, digest ${outcome.digest}; ${tellCounts(outcome.counts)}`,
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
  console.log(tellCounts(totals));
  return failed.length === 0 ? 0 : 1;
}

const wish = parse();
exit(wish.seed === null ? many(wish) : one(wish, wish.seed));

/**
 * `bun tests/world/cli.ts --seeds 1000` runs the whole stack through fresh seeds; `--seed N --trace` shows one of them.
 *
 *   --seed N          one seed
 *   --seeds N         so many seeds, from --from (default: a random one, printed)
 *   --from N
 *   --seconds S       virtual seconds with faults, of each seed (default: a few, drawn)
 *   --long            of each seed two minutes (or --seconds): bursts of users and faults, and quiet in between
 *   --link DRIVER     h2, udp or auto, in every seed (default: drawn)
 *   --aim NAME        plans that look for one kind of trouble
 *   --without RULE    takes a rule away (repeatable); then a violation is what is hoped for
 *   --trace           what happens in the run
 *   --shrink          leaves out faults of a failing seed until none can be spared
 *   --keep-going      does not stop at the first failing seed
 *   --ledger          adds the run to tests/world/ledger.md
 *   --workers N       in so many processes (default: 1)
 *
 * SIGINT and SIGTERM end it after the seeds it is at, with what was found so far and the words to go on behind it.
 *
 * Exit code: 0 if no seed failed, 1 if one did, 2 for a wrong call.
 */
import type { LinkDriver } from "../../edge/link/open.ts";
import { anySeed, exit, tellCounts, Wishes } from "../harness/wishes.ts";
import { type Aim, aims } from "./aims.ts";
import { allRules } from "./all_rules.ts";
import { coverageLines } from "./buggify.ts";
import { type Drawing, optionsOf } from "./drawing.ts";
import { describeFault } from "./fault.ts";
import { appendLedger } from "./ledger.ts";
import { drawPlan } from "./plan.ts";
import { type Outcome, replay, runPlan } from "./run.ts";
import { shrink } from "./shrink.ts";
import { runSeeds } from "./workers.ts";

interface Wish extends Drawing {
  readonly seed: number | null;
  readonly seeds: number;
  readonly from: number;
  readonly workers: number;
  readonly trace: boolean;
  readonly shrink: boolean;
  readonly keepGoing: boolean;
  readonly ledger: boolean;
}

const drivers: readonly LinkDriver[] = ["h2", "udp", "auto"];
const tellEveryMs = 10_000;

function parse(): Wish {
  const wishes = new Wishes("simulate", {
    values: ["seed", "seeds", "from", "seconds", "link", "aim", "workers"],
    lists: ["without"],
    flags: ["long", "trace", "shrink", "keep-going", "ledger"],
  });
  if (wishes.words.length > 0) wishes.complain(`what is ${JSON.stringify(wishes.words[0])}?`);
  return {
    seed: wishes.whole("seed"),
    seeds: wishes.whole("seeds") ?? 100,
    from: wishes.whole("from") ?? anySeed(),
    seconds: wishes.whole("seconds"),
    workers: Math.max(1, wishes.whole("workers") ?? 1),
    long: wishes.has("long"),
    link: wishes.oneOf("link", drivers),
    aim: wishes.oneOf("aim", Object.keys(aims) as Aim[]),
    without: wishes.someOf("without", allRules),
    trace: wishes.has("trace"),
    shrink: wishes.has("shrink"),
    keepGoing: wishes.has("keep-going"),
    ledger: wishes.has("ledger"),
  };
}

async function report(outcome: Outcome, wish: Wish): Promise<void> {
  const { failure, seed } = outcome;
  if (failure === null) return;
  console.log(`\nseed ${seed} violates "${failure.check}": ${failure.message}`);
  if (failure.check === "exception" || failure.check === "assertion") console.log(failure.stack);
  console.log(
    `replay: ${replay(outcome)}${wish.long ? " --long" : ""}${wish.seconds === null ? "" : ` --seconds ${wish.seconds}`}${
      wish.aim === null ? "" : ` --aim ${wish.aim}`
    }`,
  );
  if (!wish.shrink) return;
  const shrunk = await shrink(drawPlan(seed, optionsOf(wish)), failure.check);
  console.log(`${shrunk.faults.length} faults are enough, after ${shrunk.runs} runs:`);
  for (const fault of shrunk.faults) console.log(describeFault(fault));
  console.log(`${shrunk.failure.check}: ${shrunk.failure.message}`);
}

async function one(wish: Wish, seed: number): Promise<number> {
  const plan = drawPlan(seed, optionsOf(wish));
  if (wish.trace) { for (const fault of plan.faults) console.log(describeFault(fault)); }
  const outcome = await runPlan(plan, wish.trace ? console.log : null);
  await report(outcome, wish);
  console.log(
    `seed ${seed}: ${outcome.failure === null ? "no violation" : "VIOLATION"}, digest ${outcome.digest}; ${tellCounts(outcome.counts)}`,
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
  let asked = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => asked = true);
  await runSeeds({ ...wish, drawing: wish }, () => !asked && (wish.keepGoing || failed.length === 0), async (outcome) => {
    done++;
    for (const [name, value] of Object.entries(outcome.counts)) totals[name] = (totals[name] ?? 0) + value;
    if (outcome.failure !== null) {
      failed.push(outcome);
      await report(outcome, wish);
    }
    if (performance.now() - told < tellEveryMs) return;
    told = performance.now();
    console.log(`${done} of ${wish.seeds}, ${speed()}, ${totals["calls"]} calls, ${failed.length} failed`);
  });
  console.log(
    `\n${done} seeds, ${speed()}, ${failed.length} failed${failed.length > 0 ? `: ${failed.map(({ seed }) => seed).join(" ")}` : ""}`,
  );
  if (done < wish.seeds) console.log(`to go on: --from ${wish.from + done} --seeds ${wish.seeds - done}`);
  console.log(tellCounts(totals));
  for (const line of coverageLines()) console.log(line);
  if (wish.ledger) {
    console.log(appendLedger({ seeds: done, from: wish.from, aim: wish.aim, long: wish.long, failed: failed.length, totals }));
  }
  return failed.length === 0 ? 0 : 1;
}

const wish = parse();
exit(wish.seed === null ? await many(wish) : await one(wish, wish.seed));

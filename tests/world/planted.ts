/**
 * `bun tests/world/planted.ts [RULE …]`: takes one rule away after the other and shows how many seeds it takes until a check
 * notices. A rule whose removal nobody notices is unnecessary or untested, and a simulator that finds no planted bug finds no
 * other either. Exit code 1 if one was not found.
 */
import type { Rule } from "../../core/rules.ts";
import type { Aim as CoreAim } from "../sim/aims.ts";
import { runSeed as runCoreSeed } from "../sim/run.ts";
import { exit, Wishes } from "../harness/wishes.ts";
import { type Aim, aims } from "./aims.ts";
import { allRules } from "./all_rules.ts";
import { runSeed } from "./run.ts";

export interface Search {
  /** Where the trouble is that the rule is for; the general swarm if it shows anywhere. */
  readonly aim?: Aim;
  /** Shown by the simulator of bare cores, which makes many more ballots and merges in the same time. */
  readonly cores?: CoreAim | "any";
}

export const seedsMax = 500;

export const searches: Readonly<Partial<Record<Rule, Search>>> = {
  "quorum-clock": { cores: "strangers" },
  "clock-of-ballot": { cores: "eclipses" },
  "merge-clocks": { cores: "strangers" },
  "whole-log": { cores: "strangers" },
  "start-fence": { cores: "usurpers" },
  "atomic-install": { cores: "any" },
  "hybrid-clock": { cores: "any" },
  "trim-quorum": { cores: "laggards" },
  "foundation-seen": { cores: "laggards" },
  "step-down": { cores: "any" },
  "empty-rejoins": { aim: "injuries" },
  "damage-rejoins": { aim: "injuries" },
  "note-before-vote": { aim: "founders" },
  "whole-tail": { aim: "power" },
  "settled-tail": { aim: "power" },
  "promise-kept": { aim: "usurpers" },
  "ceiling-kept": { aim: "clocks" },
  "failed-sync-ends": { aim: "failing" },
  "hold-for-older": { aim: "power" },
  "own-life": { aim: "lives" },
  "scan-confirmed": { aim: "laggards" },
  "watch-in-order": { aim: "laggards" },
};

export interface Found {
  readonly seeds: number;
  readonly check: string;
  readonly message: string;
}

/** Null if `most` seeds without the rule violate nothing. */
export async function findPlanted(rule: Rule, most = seedsMax): Promise<Found | null> {
  const { aim, cores } = searches[rule] ?? {};
  for (let seed = 1; seed <= most; seed++) {
    if (cores !== undefined) {
      const { failure } = runCoreSeed(seed, { without: [rule], ...(cores === "any" ? {} : { aim: cores }) });
      if (failure !== null) return { seeds: seed, check: failure.oracle, message: failure.message };
    } else {
      const how = aim === undefined ? {} : { aim: aims[aim] };
      const { failure } = await runSeed(seed, { ...how, without: [rule] });
      // A seed that fails with the rule as well shows nothing of it.
      if (failure !== null && (await runSeed(seed, how)).failure === null) {
        return { seeds: seed, check: failure.check, message: failure.message };
      }
    }
  }
  return null;
}

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.find((name) => !allRules.includes(name as Rule));
  if (unknown !== undefined) {
    console.error(`Cannot take ${JSON.stringify(unknown)} away: the rules are ${allRules.join(", ")}`);
    return 2;
  }
  const rules = wanted.length > 0 ? wanted as readonly Rule[] : allRules;
  let found = 0;
  for (const rule of rules) {
    const began = performance.now();
    const where = searches[rule]?.cores === undefined ? "world" : "cores";
    const result = await findPlanted(rule);
    if (result !== null) found++;
    const tail = result === null
      ? `NOT FOUND within ${seedsMax} seeds`
      : `seed ${String(result.seeds).padStart(3)}  ${result.check}: ${result.message.replace(/\s+/g, " ").slice(0, 110)}`;
    console.log(`${rule.padEnd(20)} ${where}  ${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${tail}`);
  }
  console.log(`${found} of ${rules.length} planted bugs found within ${seedsMax} seeds each`);
  return found === rules.length ? 0 : 1;
}

if (import.meta.main) {
  exit(await main(new Wishes("search", { values: [], flags: [] }).words));
}

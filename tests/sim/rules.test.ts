/**
 * Every rule is needed and every removal is noticed: the simulator takes one away and must find a violation within a
 * bounded number of seeds. A rule whose removal nobody notices is unnecessary or untested.
 */
import { expect, test } from "bun:test";
import type { CoreRule } from "../../core/rules.ts";
import type { Aim } from "./aims.ts";
import { allRules } from "./all_rules.ts";
import { replay, runSeed } from "./run.ts";

interface Search {
  /** Where the trouble is that the rule is for; the general swarm if it shows anywhere. */
  readonly aim?: Aim;
  /** Seeds 1 … within are tried. About ten times what it took when this was written. */
  readonly within: number;
  /** Oracles that may be the first to notice. */
  readonly oracles: readonly string[];
}

const searches: Readonly<Record<CoreRule, Search>> = {
  "quorum-clock": { aim: "strangers", within: 600, oracles: ["late", "order"] },
  "clock-of-ballot": { aim: "eclipses", within: 200, oracles: ["late", "order"] },
  "merge-clocks": { aim: "strangers", within: 1_000, oracles: ["late", "order"] },
  "whole-log": { aim: "strangers", within: 400, oracles: ["carried-over", "agreement", "ballot-log"] },
  "atomic-install": { within: 50, oracles: ["durable-quorum", "agreement", "carried-over", "ballot-log", "assertion"] },
  "start-fence": { aim: "usurpers", within: 200, oracles: ["late", "order"] },
  "hybrid-clock": { within: 50, oracles: ["stamps", "coordinator-clock", "clock-promise", "late", "assertion"] },
  "first-occurrence": { within: 50, oracles: ["repeats", "exactly-once"] },
  "in-order": { within: 50, oracles: ["vote-before-disk"] },
  "vote-after-persist": { within: 50, oracles: ["vote-before-disk", "promise-before-disk"] },
  "step-down": { within: 400, oracles: ["liveness"] },
  "trim-quorum": { aim: "laggards", within: 50, oracles: ["trimmed", "recoverable"] },
  "foundation-seen": { aim: "laggards", within: 400, oracles: ["repeats", "exactly-once"] },
  "confirm-quorum": { within: 100, oracles: ["confirm"] },
  "tie-by-group": { within: 100, oracles: ["late", "order"] },
};

for (const rule of allRules) {
  test(`taking away "${rule}" is noticed`, () => {
    const { aim, within, oracles } = searches[rule];
    for (let seed = 1; seed <= within; seed++) {
      const outcome = runSeed(seed, { without: [rule], ...(aim === undefined ? {} : { aim }) });
      if (outcome.failure === null) continue;
      console.log(`without "${rule}": seed ${seed} violates "${outcome.failure.oracle}"; ${replay(outcome)}`);
      expect(oracles, outcome.failure.message).toContain(outcome.failure.oracle);
      return;
    }
    throw new Error(`Cannot tell what "${rule}" is for: ${within} seeds without it violate nothing`);
  }, 900_000);
}

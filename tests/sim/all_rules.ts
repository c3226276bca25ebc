/** Every rule that can be taken away, as values: the type alone cannot be walked over. */
import type { Rule } from "../../core/rules.ts";

const rules: Readonly<Record<Rule, true>> = {
  "quorum-clock": true,
  "clock-of-ballot": true,
  "merge-clocks": true,
  "whole-log": true,
  "atomic-install": true,
  "start-fence": true,
  "hybrid-clock": true,
  "first-occurrence": true,
  "in-order": true,
  "vote-after-persist": true,
  "step-down": true,
};

export const allRules: readonly Rule[] = Object.keys(rules) as Rule[];

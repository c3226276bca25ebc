/** Every rule of the core that can be taken away, as values: the type alone cannot be walked over. */
import type { CoreRule } from "../../core/rules.ts";

const rules: Readonly<Record<CoreRule, true>> = {
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
  "confirm-quorum": true,
  "trim-quorum": true,
  "foundation-seen": true,
  "tie-by-group": true,
};

export const allRules: readonly CoreRule[] = Object.keys(rules) as CoreRule[];

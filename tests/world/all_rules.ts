/** Every rule that can be taken away, as values: the type alone cannot be walked over. */
import type { OuterRule, Rule } from "../../core/rules.ts";
import { allRules as coreRules } from "../sim/all_rules.ts";

const outer: Readonly<Record<OuterRule, true>> = {
  "sync-before-done": true,
  "failed-sync-ends": true,
  "empty-rejoins": true,
  "damage-rejoins": true,
  "note-before-vote": true,
  "whole-tail": true,
  "settled-tail": true,
  "promise-kept": true,
  "vote-kept": true,
  "ceiling-kept": true,
  "whole-record": true,
  "hold-until-durable": true,
  "hold-for-older": true,
  "session-everywhere": true,
  "session-long": true,
  "message-once": true,
  "own-life": true,
  "read-confirmed": true,
  "scan-confirmed": true,
  "session-waits": true,
  "unknown-outcome": true,
  "watch-resumes": true,
  "watch-once": true,
  "watch-in-order": true,
  "deliveries-resume": true,
  "append-atomic": true,
  "trim-exact": true,
  "compare-version": true,
};

export const outerRules: readonly OuterRule[] = Object.keys(outer) as OuterRule[];
export const allRules: readonly Rule[] = [...coreRules, ...outerRules];

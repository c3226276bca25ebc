/**
 * One seed, one digest, in every JavaScript engine. `bun tests/sim/digest.ts`, `deno run tests/sim/digest.ts` and a
 * bundle of it under Node must print the same lines.
 */
import { runSeed } from "./run.ts";

/** Both merges, all durabilities and most faults come up among these. */
export const digestSeeds: readonly number[] = [5, 10, 12, 23];

export function digestLines(): string[] {
  return digestSeeds.map((seed) => {
    const { digest, failure, counts } = runSeed(seed);
    return `${seed} ${digest} ${counts["events"]} events${failure === null ? "" : ` ${failure.oracle}: ${failure.message}`}`;
  });
}

if (import.meta.main) { for (const line of digestLines()) console.log(line); }

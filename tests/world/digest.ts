/**
 * One seed, one digest, in every JavaScript engine, promises and all. `bun tests/world/digest.ts`, `deno run -A` and a
 * bundle of it under Node must print the same lines.
 */
import { runSeed } from "./run.ts";

/** Faults of several kinds come up in these, over either driver and over UDP. */
export const digestSeeds: readonly number[] = [8, 11];

export async function digestLines(): Promise<string[]> {
  const lines: string[] = [];
  for (const seed of digestSeeds) {
    const { digest, failure, counts } = await runSeed(seed);
    lines.push(`${seed} ${digest} ${counts["events"]} events${failure === null ? "" : ` ${failure.check}: ${failure.message}`}`);
  }
  return lines;
}

if (import.meta.main) { for (const line of await digestLines()) console.log(line); }

/** The least of a failing run's faults that still fails the same check: delta debugging over the recorded list. */
import type { Fault } from "./fault.ts";
import type { Plan } from "./plan.ts";
import { type Failure, runPlan } from "./run.ts";

export interface Shrunk {
  readonly faults: readonly Fault[];
  readonly failure: Failure;
  readonly runs: number;
}

/** `check`: what the whole plan violates. Throws if it does not. */
export async function shrink(plan: Plan, check: string): Promise<Shrunk> {
  let runs = 0;
  const fails = async (faults: readonly Fault[]): Promise<Failure | null> => {
    runs++;
    const { failure } = await runPlan({ ...plan, faults });
    return failure?.check === check ? failure : null;
  };
  let faults = plan.faults;
  let failure = await fails(faults);
  if (failure === null) throw new Error(`Cannot shrink seed ${plan.seed}: it does not violate "${check}"`);
  for (let parts = 2; faults.length > 0;) {
    const size = Math.ceil(faults.length / parts);
    let smaller: readonly Fault[] | null = null;
    for (let from = 0; from < faults.length && smaller === null; from += size) {
      const rest = [...faults.slice(0, from), ...faults.slice(from + size)];
      const again = await fails(rest);
      if (again === null) continue;
      smaller = rest;
      failure = again;
    }
    if (smaller !== null) {
      faults = smaller;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(faults.length, parts * 2);
  }
  return { faults, failure, runs };
}

/** One seed from beginning to end, and what came of it. */
import { AssertionError } from "../../core/assert.ts";
import type { Rule } from "../../core/rules.ts";
import type { LinkDriver } from "../../edge/link/open.ts";
import { Violation } from "../sim/oracle/violation.ts";
import { drawPlan, type Plan, type PlanOptions } from "./plan.ts";
import { World } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly without: readonly Rule[];
  readonly link: LinkDriver;
  /** Null for a clean run. */
  readonly failure: Failure | null;
  readonly digest: string;
  readonly counts: Readonly<Record<string, number>>;
}

export interface Failure {
  /** The check's name, "assertion" for a broken invariant, or "exception". */
  readonly check: string;
  readonly message: string;
  readonly stack: string;
}

export type Trace = (line: string) => void;

export function runSeed(seed: number, options: PlanOptions = {}, trace: Trace | null = null): Promise<Outcome> {
  return runPlan(drawPlan(seed, options), trace);
}

export async function runPlan(plan: Plan, trace: Trace | null = null): Promise<Outcome> {
  const world = new World(plan, trace);
  let failure: Failure | null = null;
  try {
    await world.run();
  } catch (error) {
    failure = tellError(error);
  }
  return { seed: plan.seed, without: [...plan.without], link: plan.link, failure, digest: world.digest, counts: countsOf(world) };
}

function tellError(error: unknown): Failure {
  const stack = error instanceof Error ? error.stack ?? "" : "";
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Violation) return { check: error.oracle, message, stack };
  if (error instanceof AssertionError) return { check: "assertion", message, stack };
  return { check: "exception", message, stack };
}

function countsOf(world: World): Record<string, number> {
  const { counts, work, faults } = world;
  return {
    events: world.loop.events,
    ...counts,
    acknowledged: world.acknowledged.checked,
    records: work.logs.appended,
    changes: work.watches.seen,
    resumed: work.watches.resumed,
    delivered: work.messages.delivered,
    restarted: work.messages.restarted,
    repeated: work.messages.again,
    promises: world.promises.compared,
    states: world.samples.taken,
    statesMet: world.samples.met,
    faults: faults.total,
    ...Object.fromEntries(Object.entries(faults.counts).map(([kind, count]) => [`fault ${kind}`, count])),
    virtualMs: Math.round(world.loop.queue.now),
    healedMs: Math.round(world.healedMs),
  };
}

/** The command that shows this run again. */
export function replay({ seed, without, link }: Outcome): string {
  return `bun tests/world/cli.ts --seed ${seed} --link ${link}${without.map((rule) => ` --without ${rule}`).join("")} --trace`;
}

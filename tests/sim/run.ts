/** One seed from beginning to end, and what came of it. */
import { AssertionError } from "../../core/assert.ts";
import type { Rule } from "../../core/rules.ts";
import { type Aim, aims } from "./aims.ts";
import { Violation } from "./oracles.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { World } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly without: readonly Rule[];
  readonly aim: Aim | null;
  /** Null for a clean run. */
  readonly failure: Failure | null;
  readonly digest: string;
  readonly counts: Readonly<Record<string, number>>;
}

export interface Failure {
  /** The oracle's name, "assertion" for a broken invariant of the core, or "exception". */
  readonly oracle: string;
  readonly message: string;
  readonly stack: string;
  /** The last of what happened before; empty unless the run was traced. */
  readonly tail: readonly string[];
}

export interface RunOptions {
  readonly without?: readonly Rule[];
  readonly aim?: Aim;
  /** Called with every line of the trace. */
  readonly trace?: (line: string) => void;
  /** Keeps the last lines of the trace for a failure. */
  readonly tail?: number;
}

export function runSeed(seed: number, options: RunOptions = {}): Outcome {
  const { without = [], aim } = options;
  return runPlan(drawPlan(seed, { without, ...(aim === undefined ? {} : { aim: aims[aim] }) }), options);
}

export function runPlan(plan: Plan, options: RunOptions = {}): Outcome {
  const tail: string[] = [];
  const keep = options.tail ?? 0;
  const trace = options.trace !== undefined || keep > 0
    ? (line: string): void => {
      options.trace?.(line);
      if (keep === 0) return;
      tail.push(line);
      if (tail.length > 2 * keep) tail.splice(0, keep);
    }
    : null;
  const world = new World(plan, trace);
  let failure: Failure | null = null;
  try {
    world.run();
  } catch (error) {
    failure = { ...tellError(error), tail: tail.slice(-keep) };
  }
  return { seed: plan.seed, without: [...plan.without], aim: options.aim ?? null, failure, digest: world.digest, counts: countsOf(world) };
}

/** The command that shows this run again. */
export function replay(outcome: Outcome): string {
  const without = outcome.without.map((rule) => ` --without ${rule}`).join("");
  return `bun tests/sim/cli.ts --seed ${outcome.seed}${without}${outcome.aim === null ? "" : ` --aim ${outcome.aim}`} --trace`;
}

function tellError(error: unknown): { oracle: string; message: string; stack: string } {
  const stack = error instanceof Error ? error.stack ?? "" : "";
  if (error instanceof Violation) return { oracle: error.oracle, message: error.message, stack };
  if (error instanceof AssertionError) return { oracle: "assertion", message: error.message, stack };
  return { oracle: "exception", message: String(error), stack };
}

function countsOf(world: World): Record<string, number> {
  let decided = 0;
  for (const group of world.oracles.groups.values()) decided += group.decided;
  return {
    events: world.events,
    messages: world.network.counts.delivered,
    lost: world.network.counts.lost + world.network.counts.cut,
    duplicated: world.network.counts.duplicated,
    ...world.faults.counts,
    proposals: world.workload.proposals,
    ordered: world.oracles.proposals.ordered,
    refused: world.oracles.proposals.refused,
    decided,
    deliveries: world.oracles.deliveries,
    confirmations: world.oracles.confirmations,
    checkpoints: world.replicas.checkpoints,
    installed: world.replicas.installed,
    trims: world.replicas.trims,
    virtualMs: Math.round(world.queue.now),
    healedMs: Math.round(world.healedMs),
  };
}

/** Seeds are handed to so many processes, in order; each has the next as soon as it is done with its last. */
import { type ChildProcess, fork } from "node:child_process";
import { addStrikes, type Strikes } from "./buggify.ts";
import { type Drawing, optionsOf } from "./drawing.ts";
import { type Outcome, runSeed } from "./run.ts";

export interface Task {
  readonly seed: number;
  readonly drawing: Drawing;
}

export interface Answer {
  readonly outcome: Outcome;
  readonly strikes: Strikes;
}

interface Runner {
  run(seed: number): Promise<Outcome>;
  close(): void;
}

/**
 * Takes outcomes as they come until `goesOn` says no; what has begun then is finished, so that the seeds that were run are the first ones.
 */
export async function runSeeds(
  range: { readonly from: number; readonly seeds: number; readonly workers: number; readonly drawing: Drawing },
  goesOn: () => boolean,
  take: (outcome: Outcome) => void | Promise<void>,
): Promise<void> {
  const { from, seeds, workers, drawing } = range;
  const runners = workers === 1 ? [here(drawing)] : Array.from({ length: workers }, () => inProcess(drawing));
  let begun = 0;
  const lane = async (runner: Runner): Promise<void> => {
    while (begun < seeds && goesOn()) await take(await runner.run(from + begun++));
  };
  try {
    await Promise.all(runners.map(lane));
  } finally {
    for (const runner of runners) runner.close();
  }
}

function here(drawing: Drawing): Runner {
  return { run: (seed) => runSeed(seed, optionsOf(drawing)), close: () => {} };
}

function inProcess(drawing: Drawing): Runner {
  const child = fork(new URL("worker.ts", import.meta.url));
  return { run: (seed) => ask(child, { seed, drawing }), close: () => child.disconnect() };
}

function ask(child: ChildProcess, task: Task): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: string | null): void =>
      reject(new Error(`Cannot run seed ${task.seed}: its process ended with ${code ?? signal}`));
    child.once("exit", onExit);
    child.once("message", (message) => {
      child.off("exit", onExit);
      const { outcome, strikes } = message as Answer;
      addStrikes(strikes);
      resolve(outcome);
    });
    child.send(task);
  });
}

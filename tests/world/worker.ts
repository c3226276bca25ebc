/** One of several processes that share the seeds of a run: told seeds, it tells what came of them. */
import process from "node:process";
import { takeStrikes } from "./buggify.ts";
import { optionsOf } from "./drawing.ts";
import { runSeed } from "./run.ts";
import type { Answer, Task } from "./workers.ts";

// Whoever handed out the seeds decides when it is over.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
process.on("disconnect", () => process.exit(0));
process.on("message", async (task) => {
  const { seed, drawing } = task as Task;
  const outcome = await runSeed(seed, optionsOf(drawing));
  process.send!({ outcome, strikes: takeStrikes() } satisfies Answer);
});

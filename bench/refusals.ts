/**
 * What refusing costs where nothing else is done: three bare servers answer 429 to everything, with the load of `overload.ts`. What
 * they and the generator leave of the machine is all that a node under that load could work with. `bun bench/refusals.ts
 * [--per-second 90000] [--seconds 5]`
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { OpenPlan } from "./load/open_worker.ts";
import { lines, openLoad } from "./measure.ts";
import { cpuSeconds } from "./processes.ts";
import { count, decimal } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    "per-second": { type: "string", default: "90000" },
    seconds: { type: "string", default: "5" },
    serve: { type: "boolean", default: false },
  },
});
const seconds = Number(options.seconds);

/** As long as a node's, with as many headers. */
function serve(): void {
  const body = "x".repeat(250);
  const headers = new Headers({
    "content-type": "application/problem+json",
    "retry-after": "1",
    "carillon-served-by": "n1",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "carillon-position": "0".repeat(20),
  });
  const head = { status: 429, headers };
  console.log(Bun.serve({ port: 0, hostname: "127.0.0.1", http2: true, idleTimeout: 0, fetch: () => new Response(body, head) }).port);
}

async function main(): Promise<void> {
  const servers = [1, 2, 3].map(() => Bun.spawn([process.execPath, import.meta.path, "--serve"], { stdout: "pipe", stderr: "inherit" }));
  try {
    const targets = await Promise.all(servers.map(async ({ stdout }) => ({ host: "127.0.0.1", port: Number(await firstLine(stdout)) })));
    const plan: OpenPlan = {
      work: { dialect: "carillon", transport: "h2", operation: "put", valueBytes: 1_024 },
      targets,
      connections: 30,
      streams: 100,
      keys: 10_000,
      sliceMs: 100,
      phases: [{ perSecond: Number(options["per-second"]), forMs: seconds * 1_000 }],
    };
    const pids = servers.map(({ pid }) => pid);
    const before = cpuSeconds(pids);
    const outcome = await openLoad(plan);
    const cpu = cpuSeconds(pids) - before;
    const refused = outcome.slices.reduce((sum, slice) => sum + slice.refused, 0);
    console.log(
      `${count(refused / seconds)} refusals/s at ${decimal(cpu / refused * 1e6)} us of CPU each; cores busy: ${
        decimal(cpu / seconds)
      } with the servers, ${decimal(outcome.cpuSeconds[0]! / seconds)} with the load, of ${availableParallelism()}`,
    );
  } finally {
    for (const server of servers) server.kill();
  }
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  for await (const line of lines(stream)) return line;
  throw new Error("Cannot measure: a server did not start");
}

if (options.serve) serve();
else await main();

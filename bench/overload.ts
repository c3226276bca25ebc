/**
 * What three nodes do when ten times more is asked of them than they can do: how much they still get done, how soon they refuse
 * the rest, what memory it takes, and how soon they are as before once it is over. `bun bench/overload.ts [--times 10]
 * [--seconds 5] [--storage sync] [--bytes 1024]`
 */
import { availableParallelism, tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { startCarillon, type Storage } from "./carillon.ts";
import { Histogram } from "./load/histogram.ts";
import type { OpenOutcome, OpenPlan, Slice } from "./load/open_worker.ts";
import type { Work } from "./load/request.ts";
import { fill, measure, openLoad } from "./measure.ts";
import { cpuSeconds, memoryBytes, type System } from "./processes.ts";
import { count, decimal, mebibytes, table } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    times: { type: "string", default: "10" },
    seconds: { type: "string", default: "5" },
    storage: { type: "string", default: "sync" },
    bytes: { type: "string", default: "1024" },
    clients: { type: "string", default: "256" },
    dir: { type: "string", default: tmpdir() },
  },
});
const times = Number(options.times);
const forMs = Number(options.seconds) * 1_000;
const keys = 10_000;
const sliceMs = 100;
const work: Work = { dialect: "carillon", transport: "h2", operation: "put", valueBytes: Number(options.bytes) };
const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const system = await startCarillon(options.dir, options.storage as Storage);
  try {
    await fill(system, work, keys, 64);
    const { operationsPerSecond: peak, systemMicros } = await measure(system, {
      work,
      clients: Number(options.clients),
      connections: 4,
      keys,
      warmUpMs: 1_000,
      measureMs: 3_000,
    });
    say(`peak, closed loop: ${count(peak)}/s at ${decimal(systemMicros)} us of CPU each`);
    // A run at half the peak before tells what is normal.
    const phases = [{ perSecond: peak / 2, forMs: 2_000 }, { perSecond: peak * times, forMs }, { perSecond: peak / 2, forMs: 4_000 }];
    const electionsBefore = await elections(system);
    const { outcome, rssBytes, cpuSeconds } = await overload(system, {
      work,
      targets: system.endpoints,
      connections: 30,
      streams: 100,
      keys,
      sliceMs,
      phases,
    });
    console.log(report(peak, outcome));
    const cores = (seconds: readonly number[]) => decimal(seconds[1]! / (forMs / 1_000));
    console.log(
      `RSS at most ${mebibytes(rssBytes)} MiB for three nodes; cores busy in the second phase: ${cores(cpuSeconds)} with the nodes, ${
        cores(outcome.cpuSeconds)
      } with the load, of ${availableParallelism()}; elections ${(await elections(system)) - electionsBefore}; back to normal after ${
        recoveredMs(outcome.slices)
      } ms`,
    );
  } finally {
    await system.stop();
  }
}

async function overload(system: System, plan: OpenPlan) {
  // Of the nodes, when each phase began, and at the end.
  const cpu: number[] = [];
  let rssBytes = 0;
  const sampling = setInterval(() => rssBytes = Math.max(rssBytes, memoryBytes(system.pids).rss), 200);
  const outcome = await openLoad(plan, () => cpu.push(cpuSeconds(system.pids))).finally(() => clearInterval(sampling));
  return { outcome, rssBytes, cpuSeconds: cpu.slice(1).map((seconds, phase) => seconds - cpu[phase]!) };
}

/** How often any node began to coordinate. */
async function elections({ endpoints }: System): Promise<number> {
  let sum = 0;
  for (const { host, port } of endpoints) {
    const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
    sum += Number(/^carillon_events_total\{kind="coordinates"\} (\d+)$/m.exec(text)?.[1] ?? 0);
  }
  return sum;
}

function report(peak: number, { slices, done, refused }: OpenOutcome): string {
  const names = ["half the peak", `${times} × the peak`, "half the peak again"];
  return table(
    ["load", "offered/s", "sent/s", "done/s", "of peak", "p50 ms", "p99 ms", "refused/s", "refused p50 ms", "refused p99 ms", "other"],
    names.map((name, phase) => {
      const own = slices.filter((slice) => slice.phase === phase);
      const seconds = own.length * sliceMs / 1_000;
      const sum = (of: (slice: Slice) => number) => own.reduce((total, slice) => total + of(slice), 0);
      const latency = Histogram.from(done[phase]!);
      const refusal = Histogram.from(refused[phase]!);
      const others = own.flatMap(({ failed }) => Object.values(failed)).reduce((total, failures) => total + failures, 0);
      return [
        name,
        count(sum(({ due }) => due) / seconds),
        count(sum(({ due, unsent }) => due - unsent) / seconds),
        count(sum(({ done }) => done) / seconds),
        `${Math.round(sum(({ done }) => done) / seconds / peak * 100)} %`,
        decimal(latency.quantile(0.5) / 1_000),
        decimal(latency.quantile(0.99) / 1_000),
        count(sum(({ refused }) => refused) / seconds),
        decimal(refusal.quantile(0.5) / 1_000),
        decimal(refusal.quantile(0.99) / 1_000),
        String(others),
      ];
    }),
  );
}

/** Until a tenth of a second in which nothing was refused and everything that was due got done, as fast as before. */
function recoveredMs(slices: readonly Slice[]): number {
  const slowest = slices.filter(({ phase }) => phase === 0).slice(5).map(({ slowestMs }) => slowestMs).sort((a, b) => a - b);
  const normalMs = Math.max(100, 2 * (slowest.at(-1) ?? 0));
  const after = slices.filter(({ phase }) => phase === 2);
  const at = after.findIndex(({ refused, unsent, due, done, slowestMs }) =>
    refused === 0 && unsent === 0 && done >= due * 0.8 && slowestMs <= normalMs
  );
  return at === -1 ? Infinity : at * sliceMs;
}

await main();

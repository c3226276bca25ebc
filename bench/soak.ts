/**
 * Three nodes at half of what they can do, for as long as you like: what memory and disk each takes, minute by minute, and how
 * fast that grows once it is warm. `bun bench/soak.ts [--minutes 60] [--warm 10] [--share 0.5] [--bytes 1024] [--storage sync]`
 * Exit code 1 if a node's resident memory grows by more than 1 MiB in ten minutes. What is resident swings with every collection of
 * garbage: what a minute counts with is the least that was seen in it.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { builtCommand, RealCluster, type RealNode } from "../tests/harness/real_cluster.ts";
import type { Storage } from "./carillon.ts";
import { Histogram } from "./load/histogram.ts";
import type { OpenOutcome } from "./load/open_worker.ts";
import type { Work } from "./load/request.ts";
import { fill, measure, openLoad } from "./measure.ts";
import { memoryBytes, type System } from "./processes.ts";
import { count, decimal, mebibytes, table } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    warm: { type: "string" },
    share: { type: "string", default: "0.5" },
    bytes: { type: "string", default: "1024" },
    storage: { type: "string", default: "sync" },
    dir: { type: "string", default: tmpdir() },
  },
});
const minutes = Number(options.minutes);
/** What is before is not counted: checkpoints, caches and the runtime's heap find their size. */
const warmMinutes = Number(options.warm ?? Math.min(10, minutes / 3));
const keys = 10_000;
const minuteMs = 60_000;
const lookMs = 2_000;
const growthBytesMax = 1 << 20;
const work: Work = { dialect: "carillon", transport: "h2", operation: "put", valueBytes: Number(options.bytes) };

interface Sample {
  readonly minute: number;
  /** One each, the least since the sample before. */
  readonly rssBytes: readonly number[];
  readonly diskBytes: readonly number[];
}

await using cluster = await RealCluster.start({ parent: options.dir, durability: options.storage as Storage, command: builtCommand() });
const system: System = {
  name: "carillon",
  pids: cluster.nodes.map(({ pid }) => pid),
  endpoints: cluster.nodes.map(({ httpPort }) => ({ host: "127.0.0.1", port: httpPort })),
  stop: () => Promise.resolve(),
};
await fill(system, work, keys, 64);
const peak = await measure(system, { work, clients: 64, connections: 4, keys, warmUpMs: 2_000, measureMs: 10_000 });
const perSecond = peak.operationsPerSecond * Number(options.share);
console.log(`peak, closed loop: ${count(peak.operationsPerSecond)}/s; from now on ${count(perSecond)}/s for ${minutes} minutes`);

const startedAt = performance.now();
let least = residentBytes();
const looking = setInterval(() => {
  least = residentBytes().map((bytes, at) => Math.min(bytes, least[at]!));
}, lookMs);
const samples: Sample[] = [take()];
const sampling = setInterval(() => samples.push(take()), minuteMs);
const outcome = await openLoad({
  work,
  targets: system.endpoints,
  connections: 4,
  streams: 100,
  keys,
  sliceMs: minuteMs,
  phases: [{ perSecond, forMs: minutes * minuteMs }],
});
clearInterval(sampling);
clearInterval(looking);
report();

function residentBytes(): number[] {
  return system.pids.map((pid) => memoryBytes([pid]).rss);
}

function take(): Sample {
  const minute = (performance.now() - startedAt) / minuteMs;
  const rssBytes = least;
  least = residentBytes();
  const diskBytes = cluster.nodes.map(diskOf);
  const each = (bytes: readonly number[]) => bytes.map((one) => mebibytes(one).padStart(5)).join(" ");
  console.log(`minute ${minute.toFixed(1)}: resident ${each(rssBytes)} MiB, disk ${each(diskBytes)} MiB`);
  return { minute, rssBytes, diskBytes };
}

function diskOf({ directory }: RealNode): number {
  return readdirSync(directory).reduce((sum, name) => {
    // A file may go between the two questions.
    return sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0);
  }, 0);
}

function report(): void {
  const warm = samples.filter(({ minute }) => minute >= warmMinutes);
  let grown = 0;
  const rows = cluster.nodes.map(({ name }, at) => {
    const rss = warm.map(({ rssBytes }) => rssBytes[at]!);
    const disk = warm.map(({ diskBytes }) => diskBytes[at]!);
    const slope = 10 * slopeOf(warm.map(({ minute }) => minute), rss);
    if (slope > growthBytesMax) grown++;
    const range = (bytes: readonly number[]) => `${mebibytes(Math.min(...bytes))} to ${mebibytes(Math.max(...bytes))}`;
    const growth = (bytes: number) => decimal(bytes / (1 << 20));
    return [name, range(rss), growth(slope), range(disk), growth(10 * slopeOf(warm.map(({ minute }) => minute), disk))];
  });
  const { slices, done } = outcome;
  const sum = (of: (slice: OpenOutcome["slices"][number]) => number): number => slices.reduce((total, slice) => total + of(slice), 0);
  const latency = Histogram.from(done[0]!);
  const failures = sum(({ failed }) => Object.values(failed).reduce((total, one) => total + one, 0));
  console.log(
    `${count(sum(({ done }) => done))} writes of ${work.valueBytes} bytes, ${
      count(sum(({ refused, unsent }) => refused + unsent))
    } refused or not sent, ${count(failures)} failed; p50 ${decimal(latency.quantile(0.5) / 1_000)} ms, p99 ${
      decimal(latency.quantile(0.99) / 1_000)
    } ms`,
  );
  console.log(`from minute ${decimal(warmMinutes)} on, ${warm.length} samples:`);
  console.log(table(["node", "resident MiB", "MiB in ten minutes", "disk MiB", "MiB in ten minutes"], rows));
  if (grown > 0) process.exitCode = 1;
}

/** Least squares, per minute. */
function slopeOf(at: readonly number[], values: readonly number[]): number {
  const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length;
  const [middle, level] = [mean(at), mean(values)];
  const above = at.reduce((sum, x, index) => sum + (x - middle) * (values[index]! - level), 0);
  const below = at.reduce((sum, x) => sum + (x - middle) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

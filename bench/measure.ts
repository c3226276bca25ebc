/** One measurement: a load process against a system, and what both cost meanwhile. */
import { Histogram } from "./load/histogram.ts";
import type { OpenOutcome, OpenPlan } from "./load/open_worker.ts";
import type { Work } from "./load/request.ts";
import type { Outcome, Plan } from "./load/worker.ts";
import { cpuSeconds, memoryBytes, type System } from "./processes.ts";

export interface Sample {
  readonly operationsPerSecond: number;
  readonly operations: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU microseconds of all the system's processes, and of the load generator, per operation. */
  readonly systemMicros: number;
  readonly generatorMicros: number;
  readonly rssBytes: number;
}

export interface Load {
  readonly work: Work;
  readonly clients: number;
  readonly connections: number;
  readonly keys: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** `first`: the endpoint with which the spreading of clients begins. A single client is with that one alone, leader or not. */
export async function measure(system: System, load: Load, first = 0): Promise<Sample> {
  const { endpoints } = system;
  const targets = endpoints.map((_, index) => endpoints[(index + first) % endpoints.length]!);
  const worker = spawnWorker({ ...load, targets, sequential: false });
  let before = 0;
  let after = 0;
  let outcome: Outcome | null = null;
  for await (const line of lines(worker.stdout)) {
    if (line === "measuring") before = cpuSeconds(system.pids);
    else if (line === "measured") after = cpuSeconds(system.pids);
    else outcome = JSON.parse(line);
  }
  await worker.exited;
  if (outcome === null) throw new Error(`Cannot measure ${system.name}: the load generator ended with code ${worker.exitCode}`);
  const latency = Histogram.from(outcome.latency);
  const each = 1e6 / Math.max(1, outcome.operations);
  return {
    operationsPerSecond: outcome.operations / outcome.seconds,
    operations: outcome.operations,
    failures: outcome.failures,
    p50Ms: latency.quantile(0.5) / 1_000,
    p99Ms: latency.quantile(0.99) / 1_000,
    systemMicros: (after - before) * each,
    generatorMicros: outcome.cpuSeconds * each,
    rssBytes: memoryBytes(system.pids).rss,
  };
}

/** Writes each of `keys` keys once. Throws if any write failed. */
export async function fill(system: System, work: Work, keys: number, clients: number): Promise<void> {
  const worker = spawnWorker({
    work,
    targets: system.endpoints,
    clients,
    connections: 1,
    keys,
    sequential: true,
    warmUpMs: 0,
    measureMs: 0,
  });
  let outcome: Outcome | null = null;
  for await (const line of lines(worker.stdout)) outcome = JSON.parse(line);
  if (outcome === null || outcome.operations !== keys) {
    throw new Error(`Cannot fill ${system.name}: ${outcome?.operations ?? 0} of ${keys} written, ${JSON.stringify(outcome?.failures)}`);
  }
}

function spawnWorker(plan: Plan): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  return Bun.spawn([process.execPath, `${import.meta.dir}/load/worker.ts`, JSON.stringify(plan)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

/** An open-loop load; `onPhase` is called as each phase begins, and once more at the end. Throws if the generator failed. */
export async function openLoad(plan: OpenPlan, onPhase: () => void = () => {}): Promise<OpenOutcome> {
  const worker = Bun.spawn([process.execPath, `${import.meta.dir}/load/open_worker.ts`, JSON.stringify(plan)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let outcome: OpenOutcome | null = null;
  for await (const line of lines(worker.stdout)) {
    onPhase();
    if (line.startsWith("{")) outcome = JSON.parse(line);
  }
  if (outcome === null) throw new Error(`Cannot measure: the load generator ended with code ${await worker.exited}`);
  return outcome;
}

export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}

/**
 * `npm run bench`: three nodes on loopback under closed-loop clients, beside a three-node etcd on the
 * same work (where it is installed) and what the bare machine can do. Contenders take turns, round by
 * round, so that a slow minute of the machine hits all of them. See docs/measurements.md.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startCarillon, type Storage } from "./carillon.ts";
import { etcdInstalled, startEtcd } from "./etcd.ts";
import type { Dialect, Operation, Transport } from "./load/request.ts";
import { fill, measure, type Sample } from "./measure.ts";
import type { LinkDriver } from "../edge/link/open.ts";
import type { System } from "./processes.ts";
import { count, decimal, mebibytes, median, spread, table } from "./table.ts";
import { type DiskYardstick, measureDisk, startEcho } from "./yardsticks.ts";

const keys = 10_000;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    sizes: { type: "string" },
    clients: { type: "string" },
    storage: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    "warm-up": { type: "string", default: "0" },
    fresh: { type: "string", default: "1" },
    via: { type: "string", default: "h1,h2" },
    link: { type: "string", default: "auto" },
    against: { type: "string" },
    dir: { type: "string", default: tmpdir() },
    "no-etcd": { type: "boolean", default: false },
    "no-yardsticks": { type: "boolean", default: false },
    save: { type: "boolean", default: false },
  },
});
const { quick } = options;
const list = (text: string | undefined, full: string, short: string) => (text ?? (quick ? short : full)).split(",");
const plan = {
  operations: list(options.only, "put,get,append", "put,get,append") as Operation[],
  sizes: list(options.sizes, "1024,100", "1024").map(Number),
  clients: list(options.clients, "1,16,64,256", "1,64").map(Number),
  storages: list(options.storage, "sync,memory", "sync") as Storage[],
  rounds: Number(options.rounds ?? (quick ? 1 : 3)),
  /** So many times everything is started anew, with its own files: on one machine two clusters of one build may differ by a fifth. */
  fresh: Number(options.fresh),
  measureMs: Number(options.seconds ?? (quick ? 1 : 3)) * 1_000,
  warmUpMs: quick ? 300 : 700,
  /** Of each system under 64 clients, before anything is measured: a process that lives for weeks is not compiling. */
  compileMs: Number(options["warm-up"]) * 1_000,
  transports: options.via.split(",") as Transport[],
  links: options.link.split(",") as LinkDriver[],
  /** Other checkouts of this project, in turns with this one. Each has been built, or all run from source. */
  against: (options.against?.split(",") ?? []).map((directory) => resolve(directory)),
};

/** A system reached in one way. */
interface Contender {
  readonly system: System;
  readonly label: string;
  readonly dialect: Dialect;
  readonly transport: Transport;
}

interface Cell {
  readonly storage: string;
  readonly operation: Operation;
  readonly valueBytes: number;
  readonly clients: number;
  readonly contender: string;
  readonly samples: Sample[];
}

const say = (line: string) => process.stderr.write(`${line}\n`);
const labels = { carillon: { h1: "carillon h1", h2: "carillon h2" }, etcd: { h1: "etcd json", h2: "etcd grpc" } } as const;

async function main(): Promise<void> {
  const disk = options["no-yardsticks"] ? [] : await diskYardsticks();
  const cells: Cell[] = options["no-yardsticks"] ? [] : await echoYardstick();
  for (const storage of plan.storages) {
    const same: Cell[][] = [];
    for (let fresh = 0; fresh < plan.fresh; fresh++) same.push(await compare(storage));
    cells.push(...same[0]!.map((cell, at) => ({ ...cell, samples: same.flatMap((cells) => cells[at]!.samples) })));
  }
  console.log(report(disk, cells));
  if (options.save) await save({ machine: machine(), plan, disk, cells });
}

async function compare(storage: Storage): Promise<Cell[]> {
  const carillons: { readonly system: System; readonly name: string }[] = [];
  let etcd: System | null = null;
  try {
    for (const link of plan.links) {
      say(`starting three nodes, ${storage}, linked by ${link}`);
      // Named where several are compared.
      carillons.push({ system: await startCarillon(options.dir, storage, link), name: plan.links.length === 1 ? "" : `, ${link}` });
    }
    for (const root of plan.against) {
      say(`starting three nodes of ${root}, ${storage}`);
      const other = await import(join(root, "bench/carillon.ts")) as { startCarillon: typeof startCarillon };
      carillons.push({ system: await other.startCarillon(options.dir, storage), name: ` of ${basename(root)}` });
    }
    // etcd always syncs; on a memory file system that costs nothing, which is the nearest it has to a memory mode.
    const memoryDirectory = existsSync("/dev/shm") ? "/dev/shm" : options.dir;
    if (!options["no-etcd"] && etcdInstalled()) etcd = await startEtcd(storage === "sync" ? options.dir : memoryDirectory);
    const contenders = plan.transports.flatMap((transport): Contender[] => [
      ...carillons.map(({ system, name }) => ({
        system,
        label: labels.carillon[transport] + name,
        dialect: "carillon" as const,
        transport,
      })),
      ...(etcd === null ? [] : [{ system: etcd, label: labels.etcd[transport], dialect: "etcd" as const, transport }]),
    ]);
    const cells: Cell[] = [];
    for (const valueBytes of plan.sizes) {
      for (const { system } of carillons) {
        await fill(system, { dialect: "carillon", transport: "h1", operation: "put", valueBytes }, keys, 64);
      }
      if (etcd !== null) await fill(etcd, { dialect: "etcd", transport: "h2", operation: "put", valueBytes }, keys, 64);
      if (plan.compileMs > 0) await warmUp(contenders, valueBytes);
      for (const operation of plan.operations) {
        for (const clients of plan.clients) cells.push(...await race(contenders, storage, operation, valueBytes, clients));
      }
    }
    return cells;
  } finally {
    for (const { system } of carillons) await system.stop();
    await etcd?.stop();
  }
}

async function warmUp(contenders: readonly Contender[], valueBytes: number): Promise<void> {
  for (const { system, label, dialect, transport } of contenders) {
    say(`warming up ${label}`);
    for (const operation of plan.operations) {
      if (dialect === "etcd" && operation === "append") continue;
      const work = { dialect, transport, operation, valueBytes };
      await measure(system, { work, clients: 64, connections: 1, keys, warmUpMs: 0, measureMs: plan.compileMs });
    }
  }
}

async function race(all: Contender[], storage: string, operation: Operation, valueBytes: number, clients: number): Promise<Cell[]> {
  // etcd has no log to append to.
  const contenders = all.filter(({ dialect }) => dialect !== "etcd" || operation !== "append");
  const cells = contenders.map(({ label }): Cell => ({ storage, operation, valueBytes, clients, contender: label, samples: [] }));
  for (let round = 0; round < plan.rounds; round++) {
    for (const [index, { system, label, dialect, transport }] of contenders.entries()) {
      const sample = await measure(system, {
        work: { dialect, transport, operation, valueBytes },
        clients,
        connections: 1,
        keys,
        warmUpMs: plan.warmUpMs,
        measureMs: plan.measureMs,
      }, round);
      cells[index]!.samples.push(sample);
      const failures = Object.keys(sample.failures).length === 0 ? "" : `, failed ${JSON.stringify(sample.failures)}`;
      say(`${storage} ${operation} ${valueBytes} B, ${clients} clients, ${label}: ${count(sample.operationsPerSecond)}/s${failures}`);
    }
  }
  return cells;
}

async function diskYardsticks(): Promise<DiskYardstick[]> {
  say(`measuring the disk under ${options.dir}`);
  const forMs = quick ? 500 : 2_000;
  return [
    await measureDisk(options.dir, 1_024, false, forMs),
    await measureDisk(options.dir, 1_024, true, forMs),
    await measureDisk(options.dir, 256 << 10, false, forMs),
    await measureDisk(options.dir, 256 << 10, true, forMs),
  ];
}

async function echoYardstick(): Promise<Cell[]> {
  const system = await startEcho();
  try {
    const cells: Cell[] = [];
    const contenders = plan.transports.map((transport): Contender => ({ system, label: `echo ${transport}`, dialect: "echo", transport }));
    for (const clients of plan.clients) cells.push(...await race(contenders, "none", "echo", plan.sizes[0]!, clients));
    return cells;
  } finally {
    await system.stop();
  }
}

function report(disk: readonly DiskYardstick[], cells: readonly Cell[]): string {
  const warm = plan.compileMs === 0 ? "" : `after ${plan.compileMs / 1_000} s under 64 clients, `;
  const parts = [
    machine(),
    `${warm}${plan.fresh === 1 ? "" : `${plan.fresh} times from a new start `}${plan.rounds} rounds of ${
      plan.measureMs / 1_000
    } s each, keys random over ${count(keys)}: median (min–max)`,
  ];
  if (disk.length > 0) {
    parts.push(table(
      ["write + fdatasync", "per second", "p50 ms", "p99 ms"],
      disk.map((row) => [
        `${row.bytes} B, ${row.preallocated ? "preallocated" : "appended"}`,
        count(row.syncsPerSecond),
        decimal(row.p50Ms),
        decimal(row.p99Ms),
      ]),
    ));
  }
  parts.push(table(
    [
      "storage",
      "operation",
      "bytes",
      "clients",
      "system",
      "per second",
      "p50 ms",
      "p99 ms",
      "CPU us/op",
      "load us/op",
      "RSS MiB",
      "failed",
    ],
    cells.map((cell) => {
      const pick = (field: keyof Sample) => cell.samples.map((sample) => sample[field] as number);
      const failed = cell.samples.flatMap((sample) => Object.values(sample.failures)).reduce((sum, value) => sum + value, 0);
      return [
        cell.storage,
        cell.operation,
        String(cell.valueBytes),
        String(cell.clients),
        cell.contender,
        spread(pick("operationsPerSecond"), count),
        decimal(median(pick("p50Ms"))),
        decimal(median(pick("p99Ms"))),
        decimal(median(pick("systemMicros"))),
        decimal(median(pick("generatorMicros"))),
        mebibytes(median(pick("rssBytes"))),
        String(failed),
      ];
    }),
  ));
  parts.push(...verdicts(cells));
  return parts.join("\n\n");
}

/** Each system by its better way in. */
function verdicts(cells: readonly Cell[]): string[] {
  const lines: string[] = [];
  const same = (a: Cell, b: Cell) =>
    a.storage === b.storage && a.operation === b.operation && a.valueBytes === b.valueBytes && a.clients === b.clients;
  const seen: Cell[] = [];
  for (const cell of cells) {
    if (seen.some((other) => same(cell, other))) continue;
    seen.push(cell);
    const best = (name: string, field: "operationsPerSecond" | "p50Ms", sign: 1 | -1) => {
      const figures = cells.filter((other) => same(cell, other) && other.contender.startsWith(name))
        .map((other) => sign * median(other.samples.map((sample) => sample[field])));
      return figures.length === 0 ? null : sign * Math.max(...figures);
    };
    const [ours, theirs] = [best("carillon", "operationsPerSecond", 1), best("etcd", "operationsPerSecond", 1)];
    const [ourP50, theirP50] = [best("carillon", "p50Ms", -1), best("etcd", "p50Ms", -1)];
    if (ours === null || theirs === null || ourP50 === null || theirP50 === null) continue;
    lines.push(
      `${cell.storage} ${cell.operation} ${cell.valueBytes} B, ${cell.clients} clients: ${
        (ours / theirs).toFixed(2)
      } × etcd's throughput, ` +
        `p50 ${decimal(ourP50)} ms against ${decimal(theirP50)} ms`,
    );
  }
  return lines.length === 0 ? [] : [lines.join("\n")];
}

function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model ?? "unknown CPU"}, Bun ${Bun.version}, data in ${options.dir}`;
}

async function save(result: unknown): Promise<void> {
  const directory = join(import.meta.dir, "results");
  await mkdir(directory, { recursive: true });
  const path = join(directory, `cluster-${new Date().toISOString().replaceAll(":", "")}.json`);
  await writeFile(path, JSON.stringify(result, null, 2));
  say(`saved ${path}`);
}

await main();

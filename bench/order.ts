/**
 * How many messages a group of three orders per second when the proposers are inside the nodes: no
 * HTTP, no key-value store, only proposing, ordering and delivering. Every message is delivered at
 * all three. `bun bench/order.ts [--quick] [--sizes 100,1024] [--storage memory,sync] [--shape star,ring]`
 */
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { freePorts } from "../tests/harness/real_cluster.ts";
import { Histogram } from "./load/histogram.ts";
import { lines } from "./measure.ts";
import type { OrderOutcome, OrderPlan } from "./order_node.ts";
import { cpuSeconds, removeDirectory, scratchDirectory } from "./processes.ts";
import { count, decimal, median, spread, table } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    sizes: { type: "string" },
    storage: { type: "string" },
    shape: { type: "string" },
    window: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    dir: { type: "string", default: tmpdir() },
  },
});
const list = (text: string | undefined, full: string, short: string) => (text ?? (options.quick ? short : full)).split(",");
const sizes = list(options.sizes, "100,512,1024,8192,32768", "100").map(Number);
const storages = list(options.storage, "memory,sync", "memory");
const shapes = list(options.shape, "star,ring", "star,ring") as ("star" | "ring")[];
const rounds = Number(options.rounds ?? (options.quick ? 1 : 3));
const measureMs = Number(options.seconds ?? (options.quick ? 1 : 3)) * 1_000;

interface Round {
  readonly perSecond: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly microsEach: number;
}

async function run(storage: string, shape: "star" | "ring", messageBytes: number): Promise<Round> {
  const directory = await scratchDirectory(options.dir);
  const ports = await freePorts(3);
  // Enough to fill pipes and batches, not so much that messages only wait: about 2 MB a node, at most 4 096 messages.
  const window = Number(options.window ?? Math.max(16, Math.min(4_096, Math.floor((2 << 20) / messageBytes))));
  const nodes = ports.map((_, index) => {
    const plan: OrderPlan = {
      self: `n${index + 1}`,
      topology: {
        nodes: ports.map((port, other) => ({ name: `n${other + 1}`, link: `127.0.0.1:${port}` })),
        groups: [{ name: "main", shape }],
      },
      link: { host: "127.0.0.1", port: ports[index]! },
      durability: storage as OrderPlan["durability"],
      data: `${directory}/n${index + 1}`,
      messageBytes,
      window,
      warmUpMs: options.quick ? 500 : 1_500,
      measureMs,
    };
    return Bun.spawn([process.execPath, `${import.meta.dir}/order_node.ts`, JSON.stringify(plan)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
  });
  try {
    const pids = nodes.map((node) => node.pid);
    const outputs = nodes.map((node) => lines(node.stdout));
    const next = () => Promise.all(outputs.map((output) => output.next().then(({ value }) => value ?? "")));
    await next();
    for (const node of nodes) {
      node.stdin.write("go\n");
      await node.stdin.flush();
    }
    await next();
    const before = cpuSeconds(pids);
    const outcomes = (await next()).map((line): OrderOutcome => JSON.parse(line));
    const cpu = cpuSeconds(pids) - before;
    const latency = new Histogram();
    for (const outcome of outcomes) latency.add(Histogram.from(outcome.latency));
    // All deliver the same messages; the slowest is the one that counts.
    const slowest = outcomes.reduce((a, b) => a.delivered / a.seconds < b.delivered / b.seconds ? a : b);
    return {
      perSecond: slowest.delivered / slowest.seconds,
      meanMs: latency.mean / 1_000,
      p99Ms: latency.quantile(0.99) / 1_000,
      microsEach: cpu * 1e6 / slowest.delivered,
    };
  } finally {
    for (const node of nodes) node.kill("SIGKILL");
    await Promise.all(nodes.map((node) => node.exited));
    await removeDirectory(directory);
  }
}

const rows: string[][] = [];
for (const storage of storages) {
  for (const bytes of sizes) {
    const results = new Map<string, Round[]>(shapes.map((shape) => [shape, []]));
    for (let round = 0; round < rounds; round++) {
      for (const shape of shapes) {
        const result = await run(storage, shape, bytes);
        results.get(shape)!.push(result);
        process.stderr.write(`${storage} ${shape} ${bytes} B: ${count(result.perSecond)}/s\n`);
      }
    }
    for (const [shape, all] of results) {
      const rates = all.map((result) => result.perSecond);
      rows.push([
        storage,
        shape,
        String(bytes),
        spread(rates, count),
        decimal(median(rates) * bytes / 1e6),
        decimal(median(all.map((result) => result.meanMs))),
        decimal(median(all.map((result) => result.p99Ms))),
        decimal(median(all.map((result) => result.microsEach))),
      ]);
    }
  }
}
console.log(table(["storage", "shape", "bytes", "ordered per second", "MB/s", "mean ms", "p99 ms", "CPU us/message, 3 nodes"], rows));
console.log(
  "\nThe paper's reference implementation, three nodes on two cores, in memory: 13 028/s at 512 B (20 867/s with more outstanding),\n" +
    "9 531/s at 8 KB, 4 695/s at 32 KB; with synchronous disks 182/s at 512 B.",
);

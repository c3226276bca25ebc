/**
 * What three nodes need when nobody asks anything of them: memory, CPU, time to start; and memory with
 * 100 000 records of 1 KB on each. `bun bench/footprint.ts [--quick]`
 */
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { fastestCommand } from "../tests/harness/real_cluster.ts";
import { startCarillon } from "./carillon.ts";
import { fill, lines } from "./measure.ts";
import { cpuSeconds, memoryBytes, type System } from "./processes.ts";
import { count, decimal, mebibytes, median, table } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    dir: { type: "string", default: tmpdir() },
    records: { type: "string" },
    storage: { type: "string", default: "sync" },
  },
});
const idleMs = options.quick ? 5_000 : 30_000;
const records = Number(options.records ?? (options.quick ? 10_000 : 100_000));
const storage = options.storage === "memory" ? "memory" : "sync";

/** From the start of the process to the line that says it is ready, in ms. */
async function startUp(): Promise<number> {
  const startedAt = performance.now();
  const node = Bun.spawn([...fastestCommand(), "dev", "--port", "0"], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  for await (const line of lines(node.stdout)) {
    if (!line.startsWith("ready")) continue;
    const ms = performance.now() - startedAt;
    node.kill("SIGKILL");
    await node.exited;
    return ms;
  }
  throw new Error(`Cannot measure the start of a dev node: it ended with code ${await node.exited}`);
}

async function idle(system: System): Promise<number> {
  const before = cpuSeconds(system.pids);
  const startedAt = performance.now();
  await Bun.sleep(idleMs);
  return (cpuSeconds(system.pids) - before) / (performance.now() - startedAt) * 100_000;
}

const starts: number[] = [];
for (let start = 0; start < (options.quick ? 3 : 9); start++) starts.push(await startUp());

const system = await startCarillon(options.dir, storage);
const rows: string[][] = [["start of a dev node, median", `${decimal(median(starts))} ms`, ""]];
const memoryRow = (what: string, limit: string) => {
  const { rss, pss } = memoryBytes(system.pids);
  rows.push([what, `${mebibytes(rss)} MiB resident, ${mebibytes(pss)} MiB with shared pages counted once`, limit]);
};
try {
  // What start-up needed and nobody uses any more has had time to go.
  await Bun.sleep(options.quick ? 1_000 : 10_000);
  rows.push(["CPU of three idle nodes", `${decimal(await idle(system))} % of a core`, "2 %"]);
  memoryRow("memory of three idle nodes", "250 MiB");
  process.stderr.write(`writing ${count(records)} records\n`);
  await fill(system, { dialect: "carillon", transport: "h2", operation: "put", valueBytes: 1_024 }, records, 64);
  memoryRow(`memory with ${count(records)} records of 1 KB, at once`, "");
  await Bun.sleep(Math.min(10_000, idleMs));
  memoryRow("the same some seconds later", "700 MiB");
  rows.push(["CPU of three idle nodes, with the records", `${decimal(await idle(system))} % of a core`, "2 %"]);
} finally {
  await system.stop();
}
console.log(table([`three nodes, ${storage}`, "measured", "at most"], rows));

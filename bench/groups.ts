/**
 * Whether a group in trouble holds up one that nobody merges with it: five nodes, two groups that share one node, writers to each,
 * and what the second group's writes take while the first has lost its quorum, or its coordinator stands still.
 * `bun bench/groups.ts [--trials 3] [--seconds 10]` Exit code 1 if the second's p99 is more than half as long again as before.
 */
import { parseArgs } from "node:util";
import { builtCommand, RealCluster, type RealNode } from "../tests/harness/real_cluster.ts";
import { count, decimal, median, table } from "./table.ts";

const { values: options } = parseArgs({
  options: { trials: { type: "string", default: "3" }, seconds: { type: "string", default: "10" } },
});
const trials = Number(options.trials);
const forMs = Number(options.seconds) * 1_000;
const writersEach = 4;
const thinkMs = 5;
const timeoutMs = 2_000;
const slowerMax = 1.5;

interface Trouble {
  readonly name: string;
  begin(first: readonly RealNode[]): void;
  end(first: readonly RealNode[]): void;
}

/** Of the first group's own nodes, the coordinator before the other. */
const troubles: readonly Trouble[] = [
  {
    name: "its quorum is gone",
    begin: (first) => first.forEach((node) => node.signal("SIGKILL")),
    end: (first) => first.forEach((node) => node.start()),
  },
  {
    name: "its coordinator stands still",
    begin: ([coordinator]) => coordinator!.signal("SIGSTOP"),
    end: ([coordinator]) => coordinator!.signal("SIGCONT"),
  },
];

interface Write {
  readonly group: "first" | "second";
  readonly at: number;
  readonly ms: number;
  readonly ok: boolean;
}

/** Each stays at one node. */
class Writers {
  readonly writes: Write[] = [];
  #stopped = false;
  readonly #running: Promise<void>[];

  constructor(first: readonly RealNode[], second: readonly RealNode[]) {
    this.#running = Array.from({ length: 2 * writersEach }, (_, writer) => {
      const [group, nodes, prefix] = writer % 2 === 0 ? ["first", first, "a"] as const : ["second", second, "z"] as const;
      return this.#write(group, nodes[(writer >> 1) % nodes.length]!.url, `${prefix}/${writer}`);
    });
  }

  async #write(group: Write["group"], url: string, key: string): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const at = performance.now();
      const ok = await fetch(`${url}/v1/kv/${key}/${n % 100}`, {
        method: "PUT",
        body: "x".repeat(200),
        signal: AbortSignal.timeout(timeoutMs),
      }).then((response) => response.arrayBuffer().then(() => response.ok), () => false);
      this.writes.push({ group, at, ms: performance.now() - at, ok });
      await Bun.sleep(thinkMs);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

interface Figures {
  readonly writes: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
}

function figures(all: readonly Write[], group: Write["group"], from: number, to: number): Figures {
  const here = all.filter((write) => write.group === group && write.at >= from && write.at + write.ms <= to);
  const times = here.filter(({ ok }) => ok).map(({ ms }) => ms).sort((a, b) => a - b);
  return {
    writes: times.length,
    failed: here.length - times.length,
    p50: times[times.length >> 1] ?? Infinity,
    p99: times[Math.floor(times.length * 0.99)] ?? Infinity,
  };
}

const rows: string[][] = [];
await using cluster = await RealCluster.start({
  nodes: 5,
  command: builtCommand(),
  groups: [
    `[groups.first]\nacceptors = ["n1", "n2", "n3"]\nkeys = { from = "", to = "m" }`,
    `[groups.second]\nacceptors = ["n4", "n5", "n3"]\nkeys = { from = "m" }`,
  ],
});
const first = cluster.nodes.slice(0, 2);
const second = cluster.nodes.slice(3);
let missed = 0;
for (const trouble of troubles) {
  const done: { readonly before: Figures; readonly meanwhile: Figures; readonly stuck: Figures }[] = [];
  while (done.length < trials) {
    const writers = new Writers(first, second);
    await Bun.sleep(2_000);
    const began = performance.now();
    await Bun.sleep(forMs);
    const at = performance.now();
    trouble.begin(first);
    await Bun.sleep(forMs);
    const end = performance.now();
    trouble.end(first);
    await writers.stop();
    const trial = {
      before: figures(writers.writes, "second", began, at),
      meanwhile: figures(writers.writes, "second", at, end),
      stuck: figures(writers.writes, "first", at, end),
    };
    done.push(trial);
    console.error(
      `${trouble.name}: the second's p99 ${decimal(trial.before.p99)} ms before, ${
        decimal(trial.meanwhile.p99)
      } ms meanwhile; the first did ${trial.stuck.writes}`,
    );
    for (const node of first) if (!node.running) await node.exited();
    await cluster.ready(60_000);
  }
  const middle = (which: "before" | "meanwhile", of: keyof Figures): number => median(done.map((trial) => trial[which][of]));
  const kept = middle("meanwhile", "p99") <= slowerMax * middle("before", "p99") && done.every(({ meanwhile }) => meanwhile.failed === 0);
  if (!kept) missed++;
  rows.push([
    trouble.name,
    String(trials),
    `${decimal(middle("before", "p50"))} / ${decimal(middle("before", "p99"))}`,
    `${decimal(middle("meanwhile", "p50"))} / ${decimal(middle("meanwhile", "p99"))}`,
    count(done.reduce((sum, { meanwhile }) => sum + meanwhile.failed, 0)),
    count(median(done.map(({ stuck }) => stuck.writes))),
    kept ? "kept" : "missed",
  ]);
}
console.log(table(["the first group", "trials", "second before, p50 / p99 ms", "meanwhile", "failed", "writes of the first", ""], rows));
process.exit(missed === 0 ? 0 : 1);

/**
 * How long nobody's writes are acknowledged when something breaks: three nodes on loopback, eight writers with short
 * time-outs that go to the next node when one does not answer, one fault after the other, against bounds.
 *
 *   bun bench/failover.ts [--trials 10] [--wan] [--only "coordinator killed,…"]
 *
 * `--wan` puts 40 ms one way between any two nodes. Exit code 1 if a bound is missed.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { builtCommand, RealCluster, type RealNode } from "../tests/harness/real_cluster.ts";
import { noTampering, tamper } from "../tests/harness/tamper.ts";
import { count, median, table } from "./table.ts";

const { values: options } = parseArgs({
  options: { trials: { type: "string", default: "10" }, wan: { type: "boolean", default: false }, only: { type: "string" } },
});
const trials = Number(options.trials);
const wan = options.wan;
const writers = 8;
const timeoutMs = wan ? 600 : 300;
/** How long a fault lasts, and how long after it gaps are looked for. */
const faultMs = wan ? 4_000 : 3_000;

interface Fault {
  readonly name: string;
  readonly shape?: "ring";
  readonly medianMsMax: number;
  readonly gapMsMax: number;
  /** Changes of coordinator while it lasts. */
  readonly changesMax: number;
  readonly victim: "coordinator" | "other" | "all";
  /** Changes that it should bring about; default 0. */
  readonly changesMin?: number;
  begin(cluster: RealCluster, victim: RealNode, other: RealNode): void | Promise<void>;
  end(cluster: RealCluster, victim: RealNode): void | Promise<void>;
}

const change = { medianMsMax: wan ? 1_200 : 500, gapMsMax: wan ? 2_000 : 1_000, changesMax: 1, victim: "coordinator" } as const;
const calm = { medianMsMax: wan ? 600 : 300, gapMsMax: wan ? 600 : 300, changesMax: 0, victim: "other" } as const;
const kill = {
  begin: (_: RealCluster, victim: RealNode) => victim.signal("SIGKILL"),
  end: (_: RealCluster, victim: RealNode) => victim.start(),
};
const pause = {
  begin: (_: RealCluster, victim: RealNode) => victim.signal("SIGSTOP"),
  end: (_: RealCluster, victim: RealNode) => victim.signal("SIGCONT"),
};
const heal = (cluster: RealCluster): void => restoreNetwork(cluster);
const deaf = { begin: ({ relay }: RealCluster, { name }: RealNode) => relay.deafen(name), end: heal };
const mute = { begin: ({ relay }: RealCluster, { name }: RealNode) => relay.mute(name), end: heal };
const cutOff = { begin: ({ relay }: RealCluster, { name }: RealNode) => relay.isolate(name), end: heal };
/** The two do not see each other; the third sees both. */
const partial = { begin: ({ relay }: RealCluster, a: RealNode, b: RealNode) => relay.cutBoth(a.name, b.name), end: heal };

const faults: readonly Fault[] = [
  { name: "coordinator killed", ...change, ...kill },
  { name: "coordinator stopped", ...change, ...pause },
  { name: "coordinator deaf", ...change, ...deaf },
  { name: "coordinator mute", ...change, ...mute },
  { name: "coordinator cut off", ...change, ...cutOff },
  { name: "coordinator and one other cut", ...change, ...partial },
  { name: "coordinator's disk slow", ...calm, victim: "coordinator", changesMin: 1, changesMax: 1, ...slowDisk() },
  { name: "other's disk slow", ...calm, ...slowDisk() },
  { name: "other killed, star", ...calm, ...kill },
  { name: "other stopped, star", ...calm, ...pause },
  { name: "other killed, ring", shape: "ring", ...calm, ...kill },
  { name: "other stopped, ring", shape: "ring", ...calm, ...pause },
  { name: "other cut off, ring", shape: "ring", ...calm, ...cutOff },
  {
    name: "all killed and started",
    victim: "all",
    medianMsMax: wan ? 2_000 : 1_000,
    gapMsMax: wan ? 2_000 : 1_000,
    changesMax: Infinity,
    begin: ({ nodes }) => nodes.forEach((node) => node.signal("SIGKILL")),
    end: ({ nodes }) => nodes.forEach((node) => node.start()),
  },
];

/** Every write and fdatasync takes 150 ms longer. It makes way, or does not matter, within the time the fault lasts. */
function slowDisk(): Pick<Fault, "begin" | "end"> {
  let tampering: AsyncDisposable | null = null;
  return {
    begin: async (_, victim) => {
      tampering = await tamper(victim, "delay_enter=150000");
    },
    end: async (_, victim) => {
      await tampering?.[Symbol.asyncDispose]();
      // Only in a new life it may coordinate again soon.
      await victim.kill();
      victim.start();
    },
  };
}

function restoreNetwork({ relay }: RealCluster): void {
  relay.heal();
  if (wan) relay.delayAll(40);
}

/** Closed loops; when writes were acknowledged, ascending. */
class Writers {
  readonly acknowledgedAt: number[] = [];
  readonly #running: Promise<void>[];
  #stopped = false;

  constructor(urls: readonly string[]) {
    this.#running = Array.from({ length: writers }, (_, writer) => this.#write(urls, writer));
  }

  async #write(urls: readonly string[], writer: number): Promise<void> {
    for (let n = 0, at = writer; !this.#stopped; n++) {
      const url = urls[at % urls.length]!;
      const begun = performance.now();
      const reply = await fetch(`${url}/v1/kv/writer/${writer}/${n % 100}`, {
        method: "PUT",
        body: `${n}`,
        signal: AbortSignal.timeout(timeoutMs),
      }).then((response) => response.arrayBuffer().then(() => response.ok), () => false);
      if (reply) this.acknowledgedAt.push(performance.now());
      else {
        at++;
        // Nobody listens there: not a busy loop.
        if (performance.now() - begun < 10) await Bun.sleep(10);
      }
      await Bun.sleep(2);
    }
  }

  /** The longest time without an acknowledgement that touches [from, to]. */
  gap(from: number, to: number): number {
    let longest = 0;
    let last = from;
    for (const at of this.acknowledgedAt) {
      if (at > to) break;
      if (at > from) longest = Math.max(longest, at - last);
      last = at;
    }
    return Math.max(longest, to - Math.max(last, from));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

async function until(what: string, withinMs: number, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!await check()) {
    if (performance.now() > deadline) throw new Error(`Cannot go on: ${what} did not happen within ${withinMs} ms`);
    await Bun.sleep(5);
  }
}

/** What each says of the only group; null for one that says nothing. */
async function statuses(nodes: readonly RealNode[]): Promise<({ coordinator: string | null; ballot: string } | null)[]> {
  return await Promise.all(nodes.map(async (node) => {
    const answer = await fetch(`${node.url}/v1/cluster`, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
    return answer?.ok ? (await answer.json() as { groups: { coordinator: string | null; ballot: string }[] }).groups[0]! : null;
  }));
}

/** The round of the highest ballot whose log one of these nodes holds. */
async function round(nodes: readonly RealNode[]): Promise<number> {
  return Math.max(...(await statuses(nodes)).map((status) => Number(status?.ballot.split(".")[0] ?? 0)));
}

/** All are ready, the preferred one coordinates (again), and writes have flowed for a while. */
async function settled(cluster: RealCluster, load: Writers): Promise<void> {
  await cluster.ready(30_000);
  const { name } = cluster.nodes[0]!;
  await until(
    "the return of the preferred coordinator",
    30_000,
    async () => (await statuses(cluster.nodes)).every((status) => status?.coordinator === name),
  );
  const from = performance.now();
  await until(
    "a calm second",
    30_000,
    () => performance.now() > from + 1_000 && load.gap(performance.now() - 1_000, performance.now()) < 250,
  );
}

interface Trial {
  readonly gapMs: number;
  readonly changes: number;
}

async function attempt(cluster: RealCluster, load: Writers, fault: Fault): Promise<Trial> {
  await settled(cluster, load);
  const [coordinator, ...others] = cluster.nodes as [RealNode, RealNode, RealNode];
  const [victim, other] = fault.victim === "other" ? [others[0], coordinator] : [coordinator, others[0]];
  const rest = cluster.nodes.filter((node) => node !== victim);
  const before = await round(rest);
  const at = performance.now();
  await fault.begin(cluster, victim, other);
  if (fault.victim === "all") {
    await Promise.all(cluster.nodes.map((node) => node.exited()));
    const start = performance.now();
    await fault.end(cluster, victim);
    await until("a write after the start", 30_000, () => (load.acknowledgedAt.at(-1) ?? 0) > start);
    return { gapMs: load.acknowledgedAt.find((time) => time > start)! - start, changes: 0 };
  }
  await Bun.sleep(faultMs);
  const gapMs = load.gap(at, performance.now());
  const changes = await round(rest) - before;
  if (!victim.running) await victim.exited();
  await fault.end(cluster, victim);
  return { gapMs, changes };
}

const wanted = faults.filter(({ name }) => {
  if (options.only !== undefined && !options.only.split(",").some((part) => name.includes(part))) return false;
  const impossible = name.includes("disk") ? noTampering() : null;
  if (impossible !== null) console.error(`${name}: left out, because ${impossible}`);
  return impossible === null;
});
const rows: string[][] = [];
let missed = 0;
for (const shape of ["star", "ring"] as const) {
  const here = wanted.filter((fault) => (fault.shape ?? "star") === shape);
  if (here.length === 0) continue;
  await using cluster = await RealCluster.start({ shape, relay: true, command: builtCommand() });
  restoreNetwork(cluster);
  const load = new Writers(cluster.nodes.map(({ url }) => url));
  for (const fault of here) {
    const done: Trial[] = [];
    while (done.length < trials) done.push(await attempt(cluster, load, fault));
    const gaps = done.map(({ gapMs }) => gapMs);
    const changes = Math.max(...done.map((trial) => trial.changes));
    const enough = done.every((trial) => trial.changes >= (fault.changesMin ?? 0));
    const kept = median(gaps) <= fault.medianMsMax && Math.max(...gaps) <= fault.gapMsMax && changes <= fault.changesMax && enough;
    if (!kept) missed++;
    rows.push([
      fault.name,
      String(done.length),
      count(median(gaps)),
      count(Math.max(...gaps)),
      `${count(fault.medianMsMax)} / ${count(fault.gapMsMax)}`,
      String(changes),
      kept ? "kept" : "missed",
    ]);
    console.error(
      `${fault.name}: ${gaps.map((gap) => gap.toFixed(0)).join(" ")} ms, changes ${done.map((trial) => trial.changes).join(" ")}`,
    );
  }
  await load.stop();
}
const processor = cpus();
console.log(
  `${wan ? "40 ms one way between nodes" : "loopback"}, ${writers} writers, ${timeoutMs} ms time-outs; ${processor.length} × ${
    processor[0]?.model
  }`,
);
console.log(table(["fault", "trials", "median ms", "max ms", "bounds", "changes", ""], rows));
process.exit(missed === 0 ? 0 : 1);

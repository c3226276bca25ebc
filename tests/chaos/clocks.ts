/**
 * Real nodes whose wall clocks are wrong: `bun tests/chaos/clocks.ts [--steps 40] [--seed 1]`, with libfaketime on Linux.
 *
 * Three nodes under load, each with a wall clock of its own that is set an hour forward or back, strobes between both, or runs ten
 * per cent fast or slow; the monotonic clock is left alone. What the clients noted is checked after every few steps. Prints for each
 * kind how many writes were acknowledged in the two seconds after the step against the five before, the longest time without, and
 * changes of coordinator. Exit code 1 with the first wrong answer.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Random } from "../fuzz/random.ts";
import { builtCommand, RealCluster, type RealNode } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import type { Load } from "./load.ts";
import { caughtUp, startLoad, writeGap } from "./scenarios.ts";

const library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"]
  .map((folder) => `${folder}/faketime/libfaketimeMT.so.1`).find((file) => existsSync(file));
const stepsPerCluster = 10;
const thinkMs = 5;
const beforeMs = 5_000;
const afterMs = 2_000;
const hour = 3_600;

const { values } = parseArgs({ options: { steps: { type: "string", default: "40" }, seed: { type: "string", default: "1" } } });
if (library === undefined) throw new Error("Cannot set clocks of single processes: libfaketime is not installed (apt install faketime)");
const seed = Number(values.seed);
const steps = Number(values.steps);
const random = new Random(seed);
console.log(`seed ${seed}, ${steps} steps`);

/** Sets the clock of one process: an offset in seconds, and how fast it runs. */
type SetClock = (offset: number, rate?: number) => void;

interface Kind {
  readonly name: string;
  readonly act: (set: SetClock) => void | Promise<void>;
}

const rightAgain = "right again";
const kinds: readonly Kind[] = [
  { name: "an hour forward", act: (set) => set(hour) },
  { name: "an hour back", act: (set) => set(-hour) },
  { name: rightAgain, act: (set) => set(0) },
  { name: "10 % fast", act: (set) => set(0, 1.1) },
  { name: "10 % slow", act: (set) => set(0, 0.9) },
  {
    name: "strobe",
    act: async (set) => {
      for (let n = 0; n < 20; n++) {
        set(n % 2 === 0 ? hour : -hour);
        await Bun.sleep(100);
      }
      set(0);
    },
  },
];

interface Outcome {
  readonly kind: string;
  /** Writes per second after the step as a part of those before. */
  readonly part: number;
  readonly gapMs: number;
  readonly changes: number;
}

const folder = mkdtempSync(join(tmpdir(), "carillon-clocks-"));
const outcomes: Outcome[] = [];
let writes = 0;
let operations = 0;
try {
  for (let done = 0; done < steps;) {
    const clocks = [1, 2, 3].map((id) => join(folder, `clock-${id}`));
    for (const clock of clocks) writeFileSync(clock, "+0\n");
    const command = builtCommand();
    await using cluster = await RealCluster.start({
      commands: clocks.map((clock) => [
        "env",
        `LD_PRELOAD=${library}`,
        `FAKETIME_TIMESTAMP_FILE=${clock}`,
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ...command,
      ]),
    });
    const load = await startLoad(cluster, thinkMs);
    const wrong = new Set<RealNode>();
    for (let count = 0; count < stepsPerCluster && done < steps; count++, done++) {
      const coordinator = await cluster.coordinator();
      const victim = random.chance(0.5) ? coordinator : random.pick(cluster.nodes);
      const kind = random.pick(kinds.filter(({ name }) => name !== rightAgain || wrong.has(victim)));
      if (kind.name === rightAgain || kind.name === "strobe") wrong.delete(victim);
      else wrong.add(victim);
      const set: SetClock = (offset, rate) =>
        writeFileSync(
          clocks[cluster.nodes.indexOf(victim)]!,
          `${offset < 0 ? "" : "+"}${offset}${rate === undefined ? "" : ` x${rate}`}\n`,
        );
      const outcome = await attempt(cluster, load, kind, set);
      outcomes.push(outcome);
      const { part, gapMs, changes } = outcome;
      const who = victim === coordinator ? "coordinator" : "other";
      console.log(
        `step ${done}: ${kind.name} at ${victim.name} (${who}): ${(part * 100).toFixed(0)} % of the writes, gap ${
          gapMs.toFixed(0)
        } ms, ${changes} changes`,
      );
    }
    await load.stop();
    await checkNotes(cluster.nodes, load.notes);
    writes += load.notes.acknowledgedAt.length;
    operations += [...load.notes.registers.values()].reduce((sum, history) => sum + history.length, 0);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
report();

async function attempt(cluster: RealCluster, load: Load, kind: Kind, set: SetClock): Promise<Outcome> {
  await Bun.sleep(beforeMs);
  const ballot = await round(cluster.nodes);
  const at = performance.now();
  await kind.act(set);
  await Bun.sleep(Math.max(0, at + afterMs - performance.now()));
  const end = performance.now();
  const rate = (from: number, to: number): number =>
    load.notes.acknowledgedAt.filter((time) => time >= from && time < to).length / (to - from);
  load.check();
  for (const node of cluster.nodes) await caughtUp(cluster, node);
  return {
    kind: kind.name,
    part: rate(at, end) / rate(at - beforeMs, at),
    gapMs: writeGap(load, at, end),
    changes: await round(cluster.nodes) - ballot,
  };
}

/** The round of the highest ballot: it rises with every change of coordinator. */
async function round(nodes: readonly RealNode[]): Promise<number> {
  const all = await Promise.all(nodes.map(async ({ url }) => {
    const { groups } = await (await fetch(`${url}/v1/cluster`)).json() as { groups: { ballot: string }[] };
    return Number(groups[0]!.ballot.split(".")[0]);
  }));
  return Math.max(...all);
}

function report(): void {
  console.log(`\n${"clock".padEnd(16)} steps  writes after, median  least (%)  gap median  max (ms)  changes`);
  for (const name of [...kinds.map((kind) => kind.name), "all"]) {
    const here = outcomes.filter(({ kind }) => name === "all" || kind === name);
    if (here.length === 0) continue;
    const parts = here.map(({ part }) => part * 100).sort((a, b) => a - b);
    const gaps = here.map(({ gapMs }) => gapMs).sort((a, b) => a - b);
    console.log(
      `${name.padEnd(16)} ${String(here.length).padStart(5)}  ${parts[parts.length >> 1]!.toFixed(0).padStart(20)}  ${
        parts[0]!.toFixed(0).padStart(9)
      }  ${gaps[gaps.length >> 1]!.toFixed(0).padStart(10)}  ${gaps.at(-1)!.toFixed(0).padStart(8)}  ${
        String(here.reduce((sum, { changes }) => sum + changes, 0)).padStart(7)
      }`,
    );
  }
  console.log(
    `${outcomes.length} steps, seed ${seed}: ${writes} acknowledged writes, ${operations} operations on registers: 0 lost, 0 wrong`,
  );
}

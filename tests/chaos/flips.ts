/**
 * Single flipped bits in the files of real nodes: `bun tests/chaos/flips.ts [--flips 500] [--seed 1] [--from 0]`.
 *
 * Three nodes under a light load that is written down. One after the other gets one bit of one file turned over, every other time
 * while it runs, and is started again: it has to serve what the others serve and vote again within 30 s, by itself, or refuse itself
 * with a sentence that names its directory. Then all of its answers are checked. Ends with counts; exit code 1 with the first fault.
 * The seed and the number of a flip draw its node, file and place; which bytes are there depends on what was written by then.
 */
import { cpSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { builtCommand, RealCluster, type RealNode } from "../harness/real_cluster.ts";
import { Random } from "../fuzz/random.ts";
import { Ballast } from "./ballast.ts";
import { checkNotes } from "./check.ts";
import { refuses } from "./file_damage.ts";
import type { Load } from "./load.ts";
import { type Bit, chooseBit, describeBit, turn } from "./one_bit.ts";
import { acknowledged, caughtUp, startLoad } from "./scenarios.ts";

/** Histories are searched whole: a cluster is replaced before that takes long. */
const flipsPerCluster = 25;
const thinkMs = 80;
const repairMsMax = 30_000;
/** Later than that is too late, and yet not a wrong answer. */
const patienceMs = 120_000;

const { values } = parseArgs({
  options: { flips: { type: "string", default: "500" }, seed: { type: "string", default: "1" }, from: { type: "string", default: "0" } },
});
const seed = Number(values.seed);
const from = Number(values.from);
const to = from + Number(values.flips);
console.log(`seed ${seed}, flips ${from} to ${to - 1}`);

interface Outcome {
  readonly bit: Bit;
  /** Told by the node itself, in the log or as a refusal; most flips it has no reason to mention. */
  readonly how: "served" | "put aside" | "refused";
  /** From the start until it was ready, which it is not without its votes, and served the newest position. */
  readonly repairMs: number;
}

const outcomes: Outcome[] = [];
const startedAt = performance.now();
let writes = 0;
let operations = 0;
for (let number = from; number < to;) {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const ballast = new Ballast(cluster.nodes);
  await ballast.put(150);
  const load = await startLoad(cluster, thinkMs);
  for (let count = 0; count < flipsPerCluster && number < to; count++, number++) {
    const outcome = await attempt(cluster, load, ballast, new Random(seed * 1_000_003 + number)).catch((error: Error): never => {
      const kept = join(tmpdir(), `carillon-flips-${seed}-${number}`);
      rmSync(kept, { recursive: true, force: true });
      cpSync(cluster.directory, kept, { recursive: true });
      throw new Error(
        `Cannot accept flip ${number}: ${error.message}\nAgain: bun tests/chaos/flips.ts --seed ${seed} --from ${number} --flips 1; all files: ${kept}`,
        { cause: error },
      );
    });
    outcomes.push(outcome);
    const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
    console.log(`${minutes} min, flip ${number}: ${outcome.how} after ${outcome.repairMs.toFixed(0)} ms: ${describeBit(outcome.bit)}`);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
  writes += load.notes.acknowledgedAt.length;
  operations += [...load.notes.registers.values()].reduce((sum, history) => sum + history.length, 0);
}
report();

async function attempt(cluster: RealCluster, load: Load, ballast: Ballast, random: Random): Promise<Outcome> {
  const victim = random.pick(cluster.nodes);
  const running = random.chance(0.5);
  if (!running) await victim.kill();
  const bit = chooseBit(victim.directory, random);
  turn(bit);
  const what = `${describeBit(bit)}, turned while it was ${running ? "running" : "stopped"}`;
  let said = victim.output.length;
  await acknowledged(cluster, load, 10, patienceMs);
  await ballast.put(1);
  if (running) {
    await checkAnswers(victim, load, ballast, what);
    await victim.kill();
  }
  said = running ? said : victim.output.length;
  const at = performance.now();
  victim.start();
  const refused = await refuses(victim, said, what, patienceMs);
  if (refused) {
    // What its sentence asks for: a key from where it was kept. Nothing else is refused where others have it all.
    if (bit.kind !== "key") throw new Error(`${victim.name} refused itself after ${what}. It said:\n${victim.output.slice(said)}`);
    turn(bit);
    victim.start();
    await victim.ready(patienceMs);
  }
  await caughtUp(cluster, victim, patienceMs);
  const repairMs = performance.now() - at;
  await checkAnswers(victim, load, ballast, what);
  if (!refused && bit.kind === "key") turn(bit);
  const how = refused ? "refused" : victim.output.slice(said).includes("aside") ? "put aside" : "served";
  return { bit, how, repairMs };
}

/** All that it has is what was acknowledged; nobody writes meanwhile. */
async function checkAnswers(victim: RealNode, load: Load, ballast: Ballast, what: string): Promise<void> {
  await load.pause();
  try {
    await checkNotes([victim], load.notes);
    await ballast.check(victim);
  } catch (error) {
    throw new Error(`${(error as Error).message}\nby ${victim.name}, after ${what}. It said:\n${victim.output}`, { cause: error });
  }
  load.resume();
}

function report(): void {
  const kinds = [...new Set(outcomes.map(({ bit }) => bit.kind))].sort();
  console.log(`\n${"file".padEnd(12)} flips  served  put aside  refused  back after, median  max (ms)`);
  for (const kind of [...kinds, "all"]) {
    const here = outcomes.filter(({ bit }) => kind === "all" || bit.kind === kind);
    const times = here.map(({ repairMs }) => repairMs).sort((a, b) => a - b);
    const count = (how: Outcome["how"]): string => String(here.filter((outcome) => outcome.how === how).length);
    const shown = (ms: number): string => ms.toFixed(0);
    console.log(
      `${kind.padEnd(12)} ${String(here.length).padStart(5)}  ${count("served").padStart(6)}  ${count("put aside").padStart(9)}  ${
        count("refused").padStart(7)
      }  ${shown(times[times.length >> 1]!).padStart(18)}  ${shown(times.at(-1)!).padStart(8)}`,
    );
  }
  const late = outcomes.filter(({ repairMs }) => repairMs > repairMsMax).length;
  if (late > 0) process.exitCode = 1;
  console.log(
    `${outcomes.length} flips, seed ${seed}: ${late} back later than ${
      repairMsMax / 1_000
    } s, 0 wrong answers, ${writes} acknowledged writes there, ${operations} operations on registers linearizable`,
  );
}

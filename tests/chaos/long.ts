/**
 * Chaos for as long as you like: `bun tests/chaos/long.ts --minutes 10 [--nodes 5] [--shape ring] [--only "kill,flipped bit"]`.
 * One kind of trouble after the other, at random, for real nodes under load; after every round everything that was noted
 * is checked. Ends with a table; exit code 1 with the first fault.
 */
import { parseArgs } from "node:util";
import { builtCommand, RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import { kinds, type Outcome } from "./kinds.ts";
import { startLoad } from "./scenarios.ts";

/** Histories of a register are searched whole: rounds end before that takes long. */
const troublesPerRound = 6;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    nodes: { type: "string", default: "3" },
    shape: { type: "string", default: "star" },
    only: { type: "string" },
  },
});
const nodes = Number(values.nodes);
const shape = values.shape === "ring" ? "ring" : "star";
const wanted = kinds.filter(({ name, impossible }) => {
  if (values.only !== undefined && !values.only.split(",").includes(name)) return false;
  const why = impossible();
  if (why !== null) console.log(`left out: ${name}, because ${why}`);
  return why === null;
});
if (wanted.length === 0) throw new Error(`Cannot begin: --only takes ${kinds.map(({ name }) => name).join(", ")}`);

const startedAt = performance.now();
const deadline = startedAt + Number(values.minutes) * 60_000;
const outcomes = new Map<string, Outcome[]>();
let writes = 0;
let operations = 0;

for (let round = 1; performance.now() < deadline; round++) {
  await using cluster = await RealCluster.start({ nodes, shape, relay: true, command: builtCommand() });
  const load = await startLoad(cluster);
  for (let step = 0; step < troublesPerRound && performance.now() < deadline; step++) {
    const kind = wanted[Math.floor(Math.random() * wanted.length)]!;
    const coordinator = await cluster.coordinator();
    // Every other time the one that matters most.
    const victim = Math.random() < 0.5 ? coordinator : cluster.nodes[Math.floor(Math.random() * nodes)]!;
    const name = `${kind.name}, ${kind.name === "kill all" ? "everybody" : victim === coordinator ? "coordinator" : "other"}`;
    const outcome = await kind.act(cluster, load, victim).catch((error: Error): never => {
      throw new Error(`Cannot go on after round ${round}, ${name} (${victim.name}): ${error.message}`, { cause: error });
    });
    const before = outcomes.get(name);
    if (before === undefined) outcomes.set(name, [outcome]);
    else before.push(outcome);
    const at = ((performance.now() - startedAt) / 60_000).toFixed(1);
    console.log(
      `${at} min, round ${round}: ${name}${outcome.gapMs === null ? "" : `, gap ${outcome.gapMs.toFixed(0)} ms`} ${outcome.note ?? ""}`,
    );
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
  const used = [...load.notes.registers.values()].reduce((sum, history) => sum + history.length, 0);
  writes += load.notes.acknowledgedAt.length;
  operations += used;
  console.log(
    `round ${round}: ${load.notes.acknowledgedAt.length} acknowledged writes checked at every node, ${used} operations on registers linearizable`,
  );
}

console.log(`\n${"trouble".padEnd(30)} times  gap median  gap max (ms)  refused itself`);
let times = 0;
for (const [name, all] of [...outcomes].sort(([a], [b]) => a < b ? -1 : 1)) {
  times += all.length;
  const gaps = all.flatMap(({ gapMs }) => gapMs === null ? [] : [gapMs]).sort((a, b) => a - b);
  const shown = (gap: number | undefined): string => gap === undefined ? "–" : gap.toFixed(0);
  const refused = all.filter(({ note }) => note?.endsWith("refused itself by name")).length;
  console.log(
    `${name.padEnd(30)} ${String(all.length).padStart(5)}  ${shown(gaps[(gaps.length - 1) >> 1]).padStart(10)}  ${
      shown(gaps.at(-1)).padStart(12)
    }  ${refused || ""}`,
  );
}
console.log(`${times} troubles, ${writes} acknowledged writes, ${operations} operations on registers: 0 lost, 0 wrong`);

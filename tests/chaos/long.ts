/**
 * Chaos for as long as you like: `bun tests/chaos/long.ts --minutes 10`. A random schedule of kills,
 * pauses and power failures under load; after every round everything that was noted is checked.
 */
import { parseArgs } from "node:util";
import { RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import { killAll, killAndRestart, pauseAndResume, startLoad } from "./scenarios.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "5" }, shape: { type: "string", default: "star" } },
});
const shape = values.shape === "ring" ? "ring" : "star";
const deadline = performance.now() + Number(values.minutes) * 60_000;
const gaps: { what: string; ms: number }[] = [];
let writes = 0;

for (let round = 1; performance.now() < deadline; round++) {
  await using cluster = await RealCluster.start({ shape });
  const load = await startLoad(cluster);
  for (let step = 0; step < 5; step++) {
    const coordinator = await cluster.coordinator();
    const victim = cluster.nodes[Math.floor(Math.random() * 3)]!;
    const role = victim === coordinator ? "coordinator" : "other";
    const dice = Math.random();
    if (dice < 0.5) gaps.push({ what: `kill ${role}`, ms: await killAndRestart(cluster, load, victim) });
    else if (dice < 0.8) gaps.push({ what: `pause ${role}`, ms: await pauseAndResume(cluster, load, victim, 500 + Math.random() * 3_000) });
    else gaps.push({ what: "kill all", ms: await killAll(cluster, load) });
    console.log(`round ${round}: ${gaps.at(-1)!.what}, gap ${gaps.at(-1)!.ms.toFixed(0)} ms`);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
  writes += load.notes.acknowledgedAt.length;
  console.log(`round ${round}: ${load.notes.acknowledgedAt.length} acknowledged writes checked, all there`);
}

for (const what of [...new Set(gaps.map((gap) => gap.what))].sort()) {
  const sorted = gaps.filter((gap) => gap.what === what).map((gap) => gap.ms).sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  console.log(`${what}: ${sorted.length} times, gap median ${median.toFixed(0)} ms, max ${sorted.at(-1)!.toFixed(0)} ms`);
}
console.log(`${writes} acknowledged writes, 0 lost`);

/** Real nodes killed and paused under load: nothing acknowledged is lost, service goes on, and they rejoin by themselves. */
import { expect, test } from "bun:test";
import { builtCommand, RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import { killAll, killAndRestart, pauseAndResume, startLoad } from "./scenarios.ts";

/** Wall-clock bounds are generous: the machine that runs this may be busy. What is measured is printed. */
const gapMsMax = 5_000;

test("kill -9 of the coordinator and of each other node loses nothing, and each rejoins by itself", async () => {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  const coordinator = await cluster.coordinator();
  const victims = [coordinator, ...cluster.nodes.filter((node) => node !== coordinator)];
  for (const victim of victims) {
    const role = victim === await cluster.coordinator() ? "coordinator" : "other";
    const gapMs = await killAndRestart(cluster, load, victim);
    console.log(`kill -9 ${victim.name} (${role}): longest gap between acknowledged writes ${gapMs.toFixed(0)} ms`);
    expect(gapMs).toBeLessThan(gapMsMax);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 60_000);

test("all three killed at once and started again: nothing acknowledged is lost", async () => {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  const firstMs = await killAll(cluster, load);
  console.log(`all killed: first acknowledged write ${firstMs.toFixed(0)} ms after the start`);
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 60_000);

test("a coordinator that hangs is replaced, and comes back without harm", async () => {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  const gapMs = await pauseAndResume(cluster, load, await cluster.coordinator(), 2_000);
  console.log(`SIGSTOP of the coordinator: longest gap between acknowledged writes ${gapMs.toFixed(0)} ms`);
  expect(gapMs).toBeLessThan(gapMsMax);
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 60_000);

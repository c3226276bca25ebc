/** Clusters over each kind of link, and on each runtime: killed, cut and hung up under load, they lose nothing and go on. */
import { expect, test } from "bun:test";
import type { LinkDriver } from "../../edge/link/open.ts";
import { builtCommand, type ClusterOptions, denoCommand, nodeCommand, RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import { deafen, hangUps, isolate, meddle } from "./network_faults.ts";
import { killAndRestart, startLoad } from "./scenarios.ts";

/** Wall-clock bounds are generous: the machine that runs this may be busy. What is measured is printed. */
const gapMsMax = 8_000;

/** The coordinator is killed, another is cut off, the coordinator hears nothing, connections break. */
async function underLoad(what: string, options: ClusterOptions): Promise<void> {
  await using cluster = await RealCluster.start({ relay: true, ...options });
  const load = await startLoad(cluster);
  const rounds: [string, number][] = [["coordinator killed", await killAndRestart(cluster, load, await cluster.coordinator())]];
  const other = cluster.nodes.find((node) => node !== cluster.nodes[0])!;
  for (const [name, fault] of [["cut off", isolate], ["connections reset", hangUps]] as const) {
    rounds.push([name, await meddle(cluster, load, other, 700, fault)]);
  }
  rounds.push(["deaf coordinator", await meddle(cluster, load, await cluster.coordinator(), 700, deafen)]);
  for (const [name, gapMs] of rounds) {
    console.log(`${what}, ${name}: longest gap between acknowledged writes ${gapMs.toFixed(0)} ms`);
    expect(gapMs, name).toBeLessThan(gapMsMax);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}

for (const link of ["udp", "h2", "auto"] satisfies LinkDriver[]) {
  test(`links of the driver ${link}`, async () => await underLoad(`link ${link}`, { link, command: builtCommand() }), 90_000);
}

test("nodes on Deno", async () => await underLoad("Deno", { command: denoCommand }), 90_000);
test("nodes on Node", async () => await underLoad("Node", { command: nodeCommand() }), 90_000);
test("a Bun, a Deno and a Node node in one cluster", async () => {
  await underLoad("Bun, Deno and Node", { commands: [builtCommand(), denoCommand, nodeCommand()] });
}, 90_000);

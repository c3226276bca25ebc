/** Real nodes under load whose network is cut in every way there is: nothing acknowledged is lost, and somebody always serves. */
import { expect, test } from "bun:test";
import { builtCommand, RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import * as faults from "./network_faults.ts";
import { startLoad } from "./scenarios.ts";

/** Wall-clock bounds are generous: the machine that runs this may be busy. What is measured is printed. */
const gapMsMax = 5_000;

async function underLoad(nodes: number, rounds: readonly (readonly [what: string, act: faults.Meddle, role: "coordinator" | "other"])[]) {
  await using cluster = await RealCluster.start({ nodes, relay: true, command: builtCommand() });
  const load = await startLoad(cluster);
  for (const [what, act, role] of rounds) {
    const coordinator = await cluster.coordinator();
    const victim = role === "coordinator" ? coordinator : cluster.nodes.find((node) => node !== coordinator)!;
    const gapMs = await faults.meddle(cluster, load, victim, 700, act);
    console.log(`${what}: longest gap between acknowledged writes ${gapMs.toFixed(0)} ms`);
    expect(gapMs, what).toBeLessThan(gapMsMax);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}

test("a coordinator that is deaf, mute or cut off, and paths that go one way only", async () => {
  await underLoad(3, [
    ["deaf coordinator", faults.deafen, "coordinator"],
    ["mute coordinator", faults.mute, "coordinator"],
    ["coordinator cut off", faults.isolate, "coordinator"],
    ["two do not see each other", faults.bridge, "coordinator"],
    ["one path from the coordinator", faults.oneWay, "coordinator"],
    ["connections reset", faults.hangUps, "coordinator"],
    ["far away", faults.farAway, "other"],
  ]);
}, 90_000);

test("a coordinator whose datagrams are not let through any more, and paths that are bad for datagrams", async () => {
  await underLoad(3, [["UDP of the coordinator shut off", faults.shutUdp, "coordinator"], [
    "bad for datagrams",
    faults.badForDatagrams,
    "other",
  ]]);
}, 90_000);

test("five nodes: the coordinator on the small side, then another", async () => {
  await underLoad(5, [["coordinator in a minority", faults.minority, "coordinator"], ["another in a minority", faults.minority, "other"]]);
}, 90_000);

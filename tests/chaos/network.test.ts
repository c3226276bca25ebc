/** Real nodes under load whose network is cut in every way there is: nothing acknowledged is lost, and somebody always serves. */
import { expect, test } from "bun:test";
import { builtCommand, RealCluster } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import {
  badForDatagrams,
  bridge,
  deafen,
  farAway,
  hangUps,
  isolate,
  type Meddle,
  meddle,
  minority,
  mute,
  oneWay,
  shutUdp,
} from "./network_faults.ts";
import { startLoad } from "./scenarios.ts";

/** Wall-clock bounds are generous: the machine that runs this may be busy. What is measured is printed. */
const gapMsMax = 5_000;

async function underLoad(nodes: number, rounds: readonly (readonly [what: string, act: Meddle, role: "coordinator" | "other"])[]) {
  await using cluster = await RealCluster.start({ nodes, relay: true, command: builtCommand() });
  const load = await startLoad(cluster);
  for (const [what, act, role] of rounds) {
    const coordinator = await cluster.coordinator();
    const victim = role === "coordinator" ? coordinator : cluster.nodes.find((node) => node !== coordinator)!;
    const gapMs = await meddle(cluster, load, victim, 700, act);
    console.log(`${what}: longest gap between acknowledged writes ${gapMs.toFixed(0)} ms`);
    expect(gapMs, what).toBeLessThan(gapMsMax);
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}

test("a coordinator that is deaf, mute or cut off, and paths that go one way only", async () => {
  await underLoad(3, [
    ["deaf coordinator", deafen, "coordinator"],
    ["mute coordinator", mute, "coordinator"],
    ["coordinator cut off", isolate, "coordinator"],
    ["two do not see each other", bridge, "coordinator"],
    ["one path from the coordinator", oneWay, "coordinator"],
    ["connections reset", hangUps, "coordinator"],
    ["far away", farAway, "other"],
  ]);
}, 90_000);

test("a coordinator whose datagrams are not let through any more, and paths that are bad for datagrams", async () => {
  await underLoad(3, [["UDP of the coordinator shut off", shutUdp, "coordinator"], ["bad for datagrams", badForDatagrams, "other"]]);
}, 90_000);

test("five nodes: the coordinator on the small side, then another", async () => {
  await underLoad(5, [["coordinator in a minority", minority, "coordinator"], ["another in a minority", minority, "other"]]);
}, 90_000);

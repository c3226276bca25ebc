/** Every kind of trouble the long run knows, by name: what it does to one node, or to the network around it. */
import type { RealCluster, RealNode } from "../harness/real_cluster.ts";
import { failSync, slowSync } from "./disk_faults.ts";
import { cutShort, type Damage, damageWhileDown, flipBeside, flipBit, tornTail } from "./file_damage.ts";
import { noTampering } from "../harness/tamper.ts";
import type { Load } from "./load.ts";
import * as faults from "./network_faults.ts";
import { killAll, killAndRestart, pauseAndResume } from "./scenarios.ts";

export interface Outcome {
  /** How long no write was acknowledged; null where that is not the question. */
  readonly gapMs: number | null;
  readonly note?: string;
}

export interface Kind {
  readonly name: string;
  /** Why it cannot be done on this machine, or null. */
  readonly impossible: () => string | null;
  readonly act: (cluster: RealCluster, load: Load, victim: RealNode) => Promise<Outcome>;
}

const between = (low: number, high: number): number => low + Math.random() * (high - low);
const always = (): null => null;
const gap = async (gapMs: Promise<number>): Promise<Outcome> => ({ gapMs: await gapMs });

const network = (name: string, act: faults.Meddle, forMsMax = 6_000): Kind => ({
  name,
  impossible: always,
  act: (cluster, load, victim) => gap(faults.meddle(cluster, load, victim, between(500, forMsMax), act)),
});

const damage = (name: string, act: Damage): Kind => ({
  name,
  impossible: always,
  act: async (cluster, load, victim) => {
    const { what, refused } = await damageWhileDown(cluster, load, victim, act);
    return { gapMs: null, note: `${what}: ${refused ? "refused itself by name" : "served"}` };
  },
});

export const kinds: readonly Kind[] = [
  { name: "kill", impossible: always, act: (cluster, load, victim) => gap(killAndRestart(cluster, load, victim)) },
  { name: "pause", impossible: always, act: (cluster, load, victim) => gap(pauseAndResume(cluster, load, victim, between(1_000, 10_000))) },
  { name: "kill all", impossible: always, act: (cluster, load) => gap(killAll(cluster, load)) },
  network("deaf", faults.deafen),
  network("mute", faults.mute),
  network("cut off", faults.isolate),
  network("minority", faults.minority),
  network("bridge", faults.bridge),
  network("one way", faults.oneWay),
  network("resets", faults.hangUps, 1_500),
  network("far away", faults.farAway),
  network("UDP shut off", faults.shutUdp),
  network("bad for datagrams", faults.badForDatagrams),
  damage("torn tail", tornTail),
  damage("cut short", cutShort),
  damage("flipped bit", flipBit),
  damage("flipped beside", flipBeside),
  { name: "sync error", impossible: noTampering, act: (cluster, load, victim) => gap(failSync(cluster, load, victim)) },
  {
    name: "slow disk",
    impossible: noTampering,
    act: (cluster, load, victim) => gap(slowSync(cluster, load, victim, between(1_000, 5_000))),
  },
];

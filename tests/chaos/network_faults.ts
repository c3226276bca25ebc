/** What is done to the network between nodes under load, through their relay. Each heals it, and returns when all are level. */
import type { RealCluster, RealNode } from "../harness/real_cluster.ts";
import type { Relay } from "../harness/relay.ts";
import type { Load } from "./load.ts";
import { acknowledged, caughtUp, writeGap } from "./scenarios.ts";

export type Meddle = (relay: Relay, victim: RealNode, cluster: RealCluster) => void;

/** Of whatever is done to the victim's paths. Returns the longest time in which nobody's write was acknowledged. */
export async function meddle(cluster: RealCluster, load: Load, victim: RealNode, forMs: number, act: Meddle): Promise<number> {
  const { relay } = cluster;
  const at = performance.now();
  act(relay, victim, cluster);
  let gapMs: number;
  try {
    await acknowledged(cluster, load, 30, 20_000);
    await Bun.sleep(Math.max(0, at + forMs - performance.now()));
    gapMs = writeGap(load, at, performance.now());
  } finally {
    relay.heal();
  }
  await cluster.ready(30_000);
  for (const node of cluster.nodes) await caughtUp(cluster, node);
  return gapMs;
}

export const deafen: Meddle = (relay, { name }) => relay.deafen(name);
export const mute: Meddle = (relay, { name }) => relay.mute(name);
export const isolate: Meddle = (relay, { name }) => relay.isolate(name);

/** The victim and one other do not see each other; everybody else sees both. */
export const bridge: Meddle = (relay, victim, { nodes }) => relay.cutBoth(victim.name, pick(nodes, victim).name);

/** One path, one way. */
export const oneWay: Meddle = (relay, victim, { nodes }) => relay.cut(victim.name, pick(nodes, victim).name);

/** The victim is left with as many others as make no majority. */
export const minority: Meddle = (relay, victim, { nodes }) => {
  const side = [victim, ...nodes.filter((node) => node !== victim).slice(0, Math.ceil(nodes.length / 2) - 2)];
  for (const here of side) {
    for (const there of nodes) if (!side.includes(there)) relay.cutBoth(here.name, there.name);
  }
};

/** Every connection of the victim is reset, several times. */
export const hangUps: Meddle = (relay, victim, { nodes }) => {
  const others = nodes.filter((node) => node !== victim);
  for (let n = 0; n < 8; n++) setTimeout(() => others.forEach((other) => relay.hangUp(victim.name, other.name)), n * 100);
};

/** Everything is far away, and the way is uneven and narrow. */
export const farAway: Meddle = (relay, _, { nodes }) => {
  for (const from of nodes) {
    for (const to of nodes) if (from !== to) relay.set(from.name, to.name, { delayMs: 40, jitterMs: 20, bytesPerSecond: 4 << 20 });
  }
};

/** Somebody in between does not let the victim's datagrams through. */
export const shutUdp: Meddle = (relay, { name }) => relay.block(name, true);

/** Datagrams are lost, overtake each other, and fit only if they are short. */
export const badForDatagrams: Meddle = (relay, _, { nodes }) => {
  for (const from of nodes) {
    for (const to of nodes) {
      if (from !== to) relay.set(from.name, to.name, { lossRatio: 0.05, delayMs: 5, jitterMs: 5, datagramBytesMax: 1_250 });
    }
  }
};

function pick(nodes: readonly RealNode[], except: RealNode): RealNode {
  const others = nodes.filter((node) => node !== except);
  return others[Math.floor(Math.random() * others.length)]!;
}

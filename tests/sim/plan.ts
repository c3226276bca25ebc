/**
 * Everything a run is made of, drawn from its seed before it begins: the cluster, its limits and how
 * badly the world treats it. Every knob can come up "off", so that each fault also meets a calm world.
 */
import { checkLimits, defaultLimits, type Limits } from "../../core/limits.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import type { Rule } from "../../core/rules.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../core/topology.ts";
import type { ClockFaults } from "./clocks.ts";
import type { DiskFaults } from "./disk.ts";
import type { NetworkFaults } from "./network.ts";
import { Prng } from "./prng.ts";
import type { CheckpointPlan } from "./replicas.ts";

export interface Trouble {
  /** Mean time between two faults of a kind; Infinity for never. */
  readonly partitionEveryMs: Millis;
  readonly partitionLastsMs: Millis;
  readonly holdEveryMs: Millis;
  readonly crashEveryMs: Millis;
  readonly downMs: Millis;
  readonly pauseEveryMs: Millis;
  readonly pauseMs: Millis;
  readonly handoverEveryMs: Millis;
  readonly unreachableEveryMs: Millis;
  readonly eclipseEveryMs: Millis;
}

export interface Work {
  readonly proposeEveryMs: Millis;
  /** Proposals that come together. */
  readonly burst: number;
  readonly payloadBytes: number;
  readonly subscriptionsPerNode: number;
  /** Commands a lagging subscription asks for at a time; Infinity for replicas that always want more. */
  readonly demand: number;
  readonly demandEveryMs: Millis;
  readonly resubscribeEveryMs: Millis;
  readonly confirmEveryMs: Millis;
}

/** What is left broken when the rest is healed: progress is owed all the same. */
export type Scar = "none" | "dead" | "deaf" | "mute";

export interface Plan {
  readonly seed: number;
  readonly without: ReadonlySet<Rule>;
  readonly topology: Topology;
  readonly limits: Limits;
  readonly durability: Durability;
  readonly network: NetworkFaults;
  readonly disk: DiskFaults;
  readonly clock: ClockFaults;
  readonly trouble: Trouble;
  readonly work: Work;
  readonly checkpoints: CheckpointPlan;
  /** How much one turn of a node's loop may gather. */
  readonly turnMs: Millis;
  readonly safetyMs: Millis;
  readonly scar: Scar;
  /** Messages and records are frozen, so that a node that writes into what it shares with another is found out. */
  readonly freeze: boolean;
}

export interface PlanOptions {
  readonly without?: readonly Rule[];
  /** Changes what was drawn; `aimed` in aims.ts has plans that look for one kind of trouble. */
  readonly aim?: (plan: Plan, prng: Prng) => Plan;
}

export function drawPlan(seed: number, options: PlanOptions = {}): Plan {
  const prng = new Prng(seed).split("plan");
  const without = new Set(options.without ?? []);
  const durability = prng.chance(0.7) ? "sync" : prng.chance(0.7) ? "memory" : "async";
  const limits = drawLimits(prng.split("limits"));
  const topology = drawTopology(prng.split("topology"), limits);
  const plan: Plan = {
    seed,
    without,
    topology,
    // Skips never end: whoever fetches must fetch faster than they are made.
    limits: topology.order.merge === "rr" ? { ...limits, fetchBytes: Math.max(limits.fetchBytes, 500) } : limits,
    durability,
    network: drawNetwork(prng.split("network")),
    disk: drawDisk(prng.split("disk")),
    clock: drawClock(prng.split("clock")),
    trouble: drawTrouble(prng.split("trouble")),
    work: drawWork(prng.split("work"), limits),
    checkpoints: drawCheckpoints(prng.split("checkpoints")),
    turnMs: prng.chance(0.5) ? 0 : prng.range(0.1, 3),
    safetyMs: prng.range(1_000, 3_500),
    scar: prng.chance(0.6) ? "none" : prng.pick(["dead", "deaf", "mute"]),
    freeze: prng.chance(0.25),
  };
  return options.aim === undefined ? plan : options.aim(plan, prng.split("aim"));
}

/** `calm` half of the time. */
function maybe(prng: Prng, troubled: () => number, calm: number): number {
  const value = troubled();
  return prng.chance(0.5) ? value : calm;
}

function drawTopology(prng: Prng, limits: Limits): Topology {
  const count = prng.between(3, 5);
  const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
  const merge = prng.chance(0.6) ? "ts" : "rr";
  const groupCount = prng.between(1, 4);
  const groups: NonNullable<TopologyInput["groups"]>[number][] = [];
  for (let g = 1; g <= groupCount; g++) {
    const spanning = g > 2 && prng.chance(0.5);
    const all = spanning || prng.chance(0.5);
    const voters = prng.sample(names, prng.chance(0.7) ? Math.min(3, count) : prng.between(1, count));
    const quorums = drawQuorums(prng, voters.length);
    groups.push({
      name: `g${g}`,
      acceptors: voters,
      learners: all ? names : atLeastOne(prng, names, 0.7),
      proposers: prng.chance(0.6) ? names : atLeastOne(prng, names, 0.6),
      ...(prng.chance(0.5) ? { ring: prng.shuffle(names) } : {}),
      ...quorums,
      shape: prng.chance(0.5) ? "ring" : "star",
      leadMs: prng.chance(0.6) ? 0 : prng.int(Math.min(200, limits.leadMicrosMax / 1_000) + 1),
      ...(spanning ? { spans: ["g1", "g2"] } : {}),
    });
  }
  return parseTopology({
    cluster: "sim",
    merge,
    ...(merge === "rr"
      ? { turn: prng.pick([1, 1, 2, 3, 10, 256]), skipRate: prng.pick([200, 1_000, 9_000]), skipIntervalMs: prng.pick([2, 5, 20, 60]) }
      : {}),
    nodes: names.map((name) => ({ name })),
    groups,
  });
}

function drawQuorums(prng: Prng, acceptors: number): { q1?: number; q2?: number } {
  if (acceptors < 3 || prng.chance(0.6)) return {};
  const q2 = prng.between(1, acceptors);
  return { q1: Math.min(acceptors, acceptors - q2 + prng.between(1, 2)), q2 };
}

function atLeastOne(prng: Prng, names: readonly string[], probability: number): string[] {
  const some = names.filter(() => prng.chance(probability));
  return some.length > 0 ? some : [prng.pick(names)];
}

/** Small limits find big bugs: each is shrunk on its own, often to the point of absurdity. */
function drawLimits(prng: Prng): Limits {
  const shrink = (small: () => number, usual: number): number => maybe(prng, small, usual);
  const windowEntries = shrink(() => prng.between(1, 8), defaultLimits.windowEntries);
  const entryBytes = shrink(() => prng.between(1, 600), defaultLimits.entryBytes);
  const payloadBytesMax = shrink(() => prng.between(24, 400), 4_096);
  const heartbeatMs = prng.pick([4, 10, 10, 25]);
  const heartbeatIdleMs = heartbeatMs * prng.pick([1, 2, 5]);
  const leaseMs = heartbeatIdleMs * 3 + prng.between(1, 300);
  const trimming = prng.split("trimming");
  return checkLimits({
    ...defaultLimits,
    landmarkEvery: trimming.pick([2, 5, 20, 256]),
    retainBytes: trimming.pick([0, 1_000, 20_000]),
    windowEntries,
    windowBytes: Math.max(entryBytes, shrink(() => prng.between(100, 2_000), defaultLimits.windowBytes)),
    entryBytes,
    entryCommands: shrink(() => prng.between(1, 6), defaultLimits.entryCommands),
    batchBytes: shrink(() => prng.between(1, 400), defaultLimits.batchBytes),
    batchCommands: shrink(() => prng.between(1, 4), defaultLimits.batchCommands),
    payloadBytesMax,
    pendingBytes: Math.max(payloadBytesMax, shrink(() => prng.between(100, 2_000), defaultLimits.pendingBytes)),
    pendingCommands: shrink(() => prng.between(1, 20), defaultLimits.pendingCommands),
    suffixBytes: shrink(() => prng.between(0, 3_000), defaultLimits.suffixBytes),
    fetchBytes: shrink(() => prng.between(1, 2_000), defaultLimits.fetchBytes),
    aheadEntries: windowEntries + shrink(() => prng.between(0, 4), 256),
    heartbeatMs,
    heartbeatIdleMs,
    activeMs: prng.pick([0, 50, 250]),
    leaseMs,
    electionMs: prng.pick([5, 20, 60]),
    resendMs: prng.pick([20, 100, 300]),
    clockAheadMicros: prng.pick([20_000, 500_000, defaultLimits.clockAheadMicros]),
    leadMicrosMax: prng.pick([200_000, defaultLimits.leadMicrosMax]),
  });
}

function drawNetwork(prng: Prng): NetworkFaults {
  return {
    delayMinMs: prng.pick([0, 0.1, 1, 5, 20]),
    delayTypicalMs: prng.pick([0, 0.2, 1, 3, 10, 30]),
    loss: maybe(prng, () => prng.range(0, 0.3), 0),
    duplicate: maybe(prng, () => prng.range(0, 0.4), 0),
    inOrder: prng.chance(0.4),
  };
}

function drawDisk(prng: Prng): DiskFaults {
  return {
    syncMinMs: prng.pick([0, 0.1, 1]),
    syncTypicalMs: prng.pick([0, 0.2, 2, 15]),
    stallMs: prng.pick([50, 300, 800]),
    stallChance: maybe(prng, () => prng.range(0, 0.05), 0),
    keepTornTail: prng.pick([0, 0.5, 1]),
  };
}

function drawClock(prng: Prng): ClockFaults {
  return {
    offsetMs: maybe(prng, () => prng.pick([5, 150, 3_000]), 0),
    drift: maybe(prng, () => prng.pick([0.0001, 0.003]), 0),
    stepMs: maybe(prng, () => prng.pick([50, 1_000, 5_000]), 0),
    stepEveryMs: prng.range(300, 2_000),
  };
}

function drawTrouble(prng: Prng): Trouble {
  const every = (min: Millis, max: Millis): Millis => maybe(prng, () => prng.range(min, max), Infinity);
  return {
    partitionEveryMs: every(150, 1_500),
    partitionLastsMs: prng.pick([20, 200, 800]),
    holdEveryMs: every(150, 1_500),
    crashEveryMs: every(200, 2_000),
    downMs: prng.pick([1, 50, 500]),
    pauseEveryMs: every(200, 2_000),
    pauseMs: prng.pick([20, 150, 700]),
    handoverEveryMs: every(50, 1_500),
    unreachableEveryMs: every(100, 1_000),
    // Rare by itself; an aim has it.
    eclipseEveryMs: Infinity,
  };
}

function drawCheckpoints(prng: Prng): CheckpointPlan {
  return {
    everyMs: maybe(prng, () => prng.pick([20, 100, 500]), Infinity),
    writeMs: prng.pick([1, 20, 200]),
    fetchMs: prng.pick([1, 20, 200]),
    rebase: prng.pick([0, 0.3, 1]),
  };
}

function drawWork(prng: Prng, limits: Limits): Work {
  return {
    proposeEveryMs: prng.pick([3, 10, 40]),
    burst: prng.pick([1, 1, 3, 10]),
    payloadBytes: Math.max(16, Math.min(limits.payloadBytesMax, prng.pick([16, 40, 200]))),
    subscriptionsPerNode: prng.between(1, 3),
    demand: prng.chance(0.6) ? Infinity : prng.between(1, 8),
    demandEveryMs: prng.pick([5, 50, 400]),
    resubscribeEveryMs: maybe(prng, () => prng.range(100, 1_000), Infinity),
    confirmEveryMs: maybe(prng, () => prng.range(10, 200), Infinity),
  };
}

/** Nodes without which some group could not elect, decide or (under `memory`) remember. */
export function indispensable(topology: Topology, node: NodeId): boolean {
  return topology.groups.some((group) => {
    if (!group.acceptors.includes(node)) return false;
    return group.acceptors.length - 1 < Math.max(group.q1, group.q2);
  });
}

/**
 * Everything a run is made of, drawn from its seed before it begins: the cluster, its limits, what the world is like,
 * what its users do and the list of faults that will befall it. The list can be replaced by a part of itself: that is
 * how a failure is shrunk.
 */
import type { Millis } from "../../core/ids.ts";
import { checkLimits, defaultLimits, type Limits } from "../../core/limits.ts";
import type { Durability } from "../../core/node.ts";
import type { Rule } from "../../core/rules.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../core/topology.ts";
import { type CheckpointLimits, defaultCheckpointLimits } from "../../edge/checkpoints/checkpoints.ts";
import type { LinkDriver } from "../../edge/link/open.ts";
import { defaultServiceLimits, type ServiceLimits } from "../../services/limits.ts";
import type { ClockFaults } from "../sim/clocks.ts";
import { Prng } from "../sim/prng.ts";
import type { DatagramFaults } from "./datagrams.ts";
import type { DiskFaults } from "./disk.ts";
import { drawFaults, type Fault } from "./fault.ts";
import { addressOf, type NetworkFaults } from "./network.ts";
import { type Burst, stretched } from "./stretch.ts";

export interface Work {
  /** Users of each kind. */
  readonly registers: number;
  readonly appenders: number;
  readonly listers: number;
  readonly watchers: number;
  readonly callers: number;
  /** Mean pause between two calls of one user. */
  readonly thinkMs: Millis;
  /** After which a user gives a call up. */
  readonly patienceMs: Millis;
  readonly keys: number;
  readonly valueBytes: number;
}

/** What stays of the world when it heals: everything, or a quorum and some others that never come back. */
export type Scar = "none" | "dead" | "cut";

export interface Plan {
  readonly seed: number;
  readonly without: ReadonlySet<Rule>;
  readonly topology: Topology;
  readonly limits: Limits;
  readonly serviceLimits: ServiceLimits;
  readonly durability: Durability;
  readonly segmentBytes: number;
  readonly checkpoints: CheckpointLimits;
  /** What carries messages between nodes. */
  readonly link: LinkDriver;
  /** What seals it: the real cipher, or one that costs next to nothing. */
  readonly sealing: "real" | "cheap";
  readonly network: NetworkFaults;
  readonly disk: DiskFaults;
  readonly clock: ClockFaults;
  readonly turnMs: Millis;
  readonly work: Work;
  /** When its users call. */
  readonly bursts: readonly Burst[];
  readonly faults: readonly Fault[];
  readonly safetyMs: Millis;
  readonly scar: Scar;
}

/** Of the seeds, this part has the real cipher; runs are the same event by event. */
const realSealing = 0.1;

export interface PlanOptions {
  readonly without?: readonly Rule[];
  /** How long faults last; default a few seconds, drawn. */
  readonly seconds?: number;
  /** So long in all, with users and most faults in bursts that take as long together as they do by default. */
  readonly longSeconds?: number;
  /** Default drawn. */
  readonly link?: LinkDriver;
  readonly aim?: (plan: Plan, prng: Prng) => Plan;
}

export function drawPlan(seed: number, options: PlanOptions = {}): Plan {
  const prng = new Prng(seed).split("world");
  const durability: Durability = prng.chance(0.85) ? "sync" : prng.chance(0.6) ? "async" : "memory";
  const topology = drawTopology(prng.split("topology"));
  const safetyMs = options.seconds === undefined ? prng.range(2_000, 6_000) : options.seconds * 1_000;
  const plan: Plan = {
    seed,
    without: new Set(options.without ?? []),
    topology,
    limits: drawLimits(prng.split("limits")),
    serviceLimits: drawServiceLimits(prng.split("service limits")),
    durability,
    segmentBytes: prng.pick([1 << 15, 1 << 16, 1 << 18]),
    checkpoints: drawCheckpoints(prng.split("checkpoints")),
    link: options.link ?? prng.split("link").pick(["h2", "udp", "auto"]),
    sealing: prng.split("sealing").chance(realSealing) ? "real" : "cheap",
    network: drawNetwork(prng.split("network")),
    disk: drawDisk(prng.split("disk")),
    clock: drawClock(prng.split("clock")),
    turnMs: prng.chance(0.1) ? 0 : prng.range(0.2, 3),
    work: drawWork(prng.split("work")),
    bursts: [{ from: 0, until: Infinity }],
    faults: drawFaults(prng.split("faults"), topology, durability, safetyMs),
    safetyMs,
    scar: prng.chance(0.5) ? "none" : prng.pick(["dead", "cut"]),
  };
  const aimed = options.aim === undefined ? plan : options.aim(plan, prng.split("aim"));
  return options.longSeconds === undefined ? aimed : stretched(aimed, prng.split("stretch"), options.longSeconds * 1_000);
}

/** `calm` half of the time. */
export function maybe(prng: Prng, troubled: () => number, calm: number): number {
  const value = troubled();
  return prng.chance(0.5) ? value : calm;
}

function drawTopology(prng: Prng): Topology {
  const count = prng.pick([3, 3, 3, 4, 5]);
  const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
  const merge = prng.chance(0.75) ? "ts" : "rr";
  const layout = prng.pick(["one", "two", "spanned"]);
  const group = (name: string, rest: object): NonNullable<TopologyInput["groups"]>[number] => ({
    name,
    acceptors: prng.sample(names, prng.chance(0.8) ? 3 : count),
    shape: prng.chance(0.5) ? "star" : "ring",
    ...rest,
  });
  const groups = layout === "one" ? [group("g1", { keys: [{ from: "" }] })] : [
    group("g1", { keys: [{ from: "", to: "m" }] }),
    group("g2", { keys: [{ from: "m" }] }),
    ...(layout === "spanned" ? [group("all", { spans: ["g1", "g2"] })] : []),
  ];
  return parseTopology({
    cluster: "world",
    merge,
    ...(merge === "rr" ? { turn: prng.pick([1, 2, 10]), skipRate: prng.pick([200, 1_000]), skipIntervalMs: prng.pick([20, 60]) } : {}),
    nodes: names.map((name, index) => ({ name, link: addressOf(index + 1) })),
    groups,
  });
}

/** Small limits find big bugs: each is shrunk on its own. */
function drawLimits(prng: Prng): Limits {
  const shrink = (small: () => number, usual: number): number => maybe(prng, small, usual);
  const windowEntries = shrink(() => prng.between(1, 8), defaultLimits.windowEntries);
  const entryBytes = shrink(() => prng.between(200, 2_000), defaultLimits.entryBytes);
  const heartbeatMs = prng.pick([10, 25, 40]);
  const heartbeatIdleMs = heartbeatMs * prng.pick([1, 3, 6]);
  return checkLimits({
    ...defaultLimits,
    windowEntries,
    windowBytes: Math.max(entryBytes, shrink(() => prng.between(500, 4_000), defaultLimits.windowBytes)),
    entryBytes,
    entryCommands: shrink(() => prng.between(1, 6), defaultLimits.entryCommands),
    batchBytes: shrink(() => prng.between(1, 1_000), defaultLimits.batchBytes),
    batchCommands: shrink(() => prng.between(1, 4), defaultLimits.batchCommands),
    suffixBytes: shrink(() => prng.between(0, 6_000), defaultLimits.suffixBytes),
    fetchBytes: shrink(() => prng.between(500, 4_000), defaultLimits.fetchBytes),
    aheadEntries: windowEntries + shrink(() => prng.between(0, 4), 256),
    heartbeatMs,
    heartbeatIdleMs,
    leaseMs: heartbeatIdleMs * 3 + prng.between(1, 500),
    electionMs: prng.pick([20, 60]),
    resendMs: prng.pick([100, 300]),
    clockAheadMicros: prng.pick([200_000, defaultLimits.clockAheadMicros]),
  });
}

function drawServiceLimits(prng: Prng): ServiceLimits {
  return {
    ...defaultServiceLimits,
    pageItems: maybe(prng, () => prng.between(1, 5), defaultServiceLimits.pageItems),
    streamCommands: maybe(prng, () => prng.between(1, 3), defaultServiceLimits.streamCommands),
    historyBytes: maybe(prng, () => prng.between(500, 8_000), defaultServiceLimits.historyBytes),
  };
}

function drawCheckpoints(prng: Prng): CheckpointLimits {
  const { everyBytes, everyMs, restMs } = defaultCheckpointLimits;
  const drawnBytes = maybe(prng, () => prng.pick([1_000, 10_000, 100_000]), everyBytes);
  return {
    ...defaultCheckpointLimits,
    everyBytes: drawnBytes,
    everyMs: maybe(prng, () => prng.pick([100, 700]), everyMs),
    restMs: drawnBytes === everyBytes ? restMs : 0,
    lookMs: prng.pick([20, 200]),
    answerMs: prng.pick([200, 2_000]),
  };
}

function drawNetwork(prng: Prng): NetworkFaults {
  return {
    delayMinMs: prng.pick([0.05, 0.2, 1, 10]),
    delayTypicalMs: prng.pick([0, 0.2, 1, 5]),
    loss: maybe(prng, () => prng.range(0, 0.1), 0),
    bytesPerMs: maybe(prng, () => prng.pick([100, 1_000]), 100_000),
    datagrams: drawDatagrams(prng.split("datagrams")),
  };
}

function drawDatagrams(prng: Prng): DatagramFaults {
  return {
    loss: maybe(prng, () => prng.range(0, 0.3), 0),
    duplicate: maybe(prng, () => prng.range(0, 0.5), 0),
    late: maybe(prng, () => prng.range(0, 0.2), 0),
    corrupt: maybe(prng, () => prng.range(0, 0.1), 0),
    bytesMax: prng.pick([1_200, 1_252, 1_472, 9_000]),
  };
}

function drawDisk(prng: Prng): DiskFaults {
  return {
    syncMinMs: prng.pick([0.05, 0.5, 4]),
    syncTypicalMs: prng.pick([0, 0.3, 3]),
    torn: prng.pick([0, 0.3]),
    whole: prng.pick([0, 0.3, 0.6]),
  };
}

function drawClock(prng: Prng): ClockFaults {
  return {
    offsetMs: maybe(prng, () => prng.pick([5, 150, 3_000]), 0),
    drift: maybe(prng, () => prng.pick([0.0001, 0.003, 0.05]), 0),
    // Steps are faults like any other here.
    stepMs: 0,
    stepEveryMs: Infinity,
  };
}

function drawWork(prng: Prng): Work {
  return {
    registers: prng.between(1, 4),
    appenders: prng.between(1, 2),
    listers: prng.between(0, 2),
    watchers: prng.between(0, 2),
    callers: prng.between(0, 2),
    thinkMs: prng.pick([5, 20, 60]),
    patienceMs: prng.pick([300, 1_000, 4_000]),
    keys: prng.pick([1, 2, 5]),
    valueBytes: maybe(prng, () => prng.pick([200, 3_000]), 16),
  };
}

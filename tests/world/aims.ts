/** Plans that look for one kind of trouble, where the general swarm would take too many seeds to find it. */
import { parseTopology } from "../../core/topology.ts";
import type { Prng } from "../sim/prng.ts";
import { drawFaults, type Fault, type FaultKind } from "./fault.ts";
import { addressOf } from "./network.ts";
import type { Plan } from "./plan.ts";

export type Aim = keyof typeof aims;

export const aims = {
  /** Power fails all the time, while disks are slow and tear what they are at. */
  power: (plan: Plan, prng: Prng): Plan => {
    const disk = { syncMinMs: prng.pick([0.5, 4]), syncTypicalMs: prng.pick([3, 20]), torn: 0.3, whole: prng.pick([0, 0.3]) };
    return befallen({ ...plan, disk, work: { ...plan.work, valueBytes: prng.pick([200, 3_000]) } }, prng, [
      "crash",
      "black-out",
      "slow-disk",
    ]);
  },
  /** Coordinators change all the time, by order, by silence and by death. */
  usurpers: (plan: Plan, prng: Prng): Plan => {
    const troubled = befallen(plan, prng, ["handover", "cut", "crash", "slow-path"]);
    // Stopped in order half of the time, so that nothing is under way when the next life begins.
    const stops = (): "stop" | "power" => prng.chance(0.5) ? "stop" : "power";
    return { ...troubled, faults: troubled.faults.map((fault) => fault.kind === "crash" ? { ...fault, how: stops() } : fault) };
  },
  /** Processes end and are back at once, with their users still waiting. */
  lives: (plan: Plan, prng: Prng): Plan => {
    const back = befallen({ ...plan, work: { ...plan.work, thinkMs: 5, patienceMs: 4_000 } }, prng, ["crash", "slow-path"]);
    return { ...back, faults: back.faults.map((fault) => fault.kind === "crash" ? { ...fault, how: "kill", downMs: 1 } : fault) };
  },
  /** Everybody goes down time and again from the first moment on, while the cluster is being founded. */
  founders: (plan: Plan, prng: Prng): Plan => {
    const slow = befallen({ ...plan, safetyMs: 5_000 }, prng, ["crash", "black-out", "cut"]);
    return { ...slow, safetyMs: 500, faults: slow.faults.map((fault) => ({ ...fault, at: fault.at / 10 })) };
  },
  /** Disks are lost and rot, and those who hold the same come and go meanwhile. */
  injuries: (plan: Plan, prng: Prng): Plan => befallen(plan, prng, ["wipe", "flip", "crash", "handover"]),
  /** Nobody has a disk, and one after the other ends. */
  forgetful: (plan: Plan, prng: Prng): Plan => ({
    ...plan,
    durability: "memory",
    faults: drawFaults(prng, plan.topology, "memory", plan.safetyMs, ["crash", "cut", "pause"]),
  }),
  /**
   * Everybody's clock is set back, and then everybody starts anew, over groups that are merged and have long pauses. Each has an
   * acceptor of its own, often the last to hear of the others: one that had the log of both would know by its stamps how late it was.
   */
  clocks: (plan: Plan, prng: Prng): Plan => {
    const work = { ...plan.work, registers: 1, appenders: 1, thinkMs: 60, callers: 2 };
    const apart = spanned(plan, 3, (names) => [[names[0]!], [names[1]!], [names[2]!]]);
    const dark = befallen({ ...apart, work, clock: { ...plan.clock, offsetMs: 3_000 } }, prng, ["black-out", "slow-path"]);
    const faults = dark.faults.flatMap((fault): Fault[] => {
      if (fault.kind !== "black-out") return [fault];
      const byMs = -prng.pick([300, 3_000, 3_600_000]);
      return [...dark.topology.nodes.map(({ id }): Fault => ({ at: fault.at, kind: "clock-step", target: id, byMs })), fault];
    });
    return { ...dark, faults };
  },
  /** Disks say that a sync has failed, while others are so slow that nobody waits for them. */
  failing: (plan: Plan, prng: Prng): Plan =>
    befallen({ ...plan, work: { ...plan.work, registers: 4, thinkMs: 5 } }, prng, ["failed-sync", "slow-disk"]),
  /** Two partitions on three nodes, of which each lags behind the others in one of them. */
  laggards: (plan: Plan, prng: Prng): Plan => {
    const work = { ...plan.work, registers: 4, watchers: 2, keys: 2, thinkMs: 5 };
    return befallen({ ...spanned(plan, 3), work }, prng, ["slow-path", "pause"]);
  },
} as const;

function befallen(plan: Plan, prng: Prng, often: readonly FaultKind[]): Plan {
  return { ...plan, durability: "sync", faults: drawFaults(prng, plan.topology, "sync", plan.safetyMs, often) };
}

/** `acceptors` of the two groups and of the one that spans them: by default the same for all, the second's in another order. */
function spanned(
  plan: Plan,
  most: number,
  acceptorsOf: (names: readonly string[]) => readonly (readonly string[])[] = (names) => [names, [...names].reverse(), names],
): Plan {
  const nodes = plan.topology.nodes.slice(0, most).map(({ name, id }) => ({ name, id, link: addressOf(id) }));
  const [first, second, both] = acceptorsOf(nodes.slice(0, 3).map(({ name }) => name));
  const topology = parseTopology({
    cluster: "world",
    nodes,
    groups: [
      { name: "g1", acceptors: first!, keys: [{ from: "", to: "m" }] },
      { name: "g2", acceptors: second!, keys: [{ from: "m" }] },
      { name: "all", acceptors: both!, spans: ["g1", "g2"] },
    ],
  });
  return { ...plan, topology };
}

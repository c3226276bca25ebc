/**
 * Plans that look for one kind of trouble. Some rules matter only when several rare things meet; here they
 * meet often. Each still draws from its seed, so that a search over seeds is a search and not a script.
 */
import { defaultLimits } from "../../core/limits.ts";
import { parseTopology } from "../../core/topology.ts";
import type { Plan } from "./plan.ts";
import type { Prng } from "./prng.ts";

export type Aim = "usurpers" | "eclipses" | "strangers" | "forgetters" | "laggards";

/**
 * Coordinators are made to give way all the time, on a network that loses and reorders, with wall clocks seconds
 * apart and learners that hear more than candidates do.
 */
function usurpers(plan: Plan, prng: Prng): Plan {
  const names = ["n1", "n2", "n3", "n4"];
  return {
    ...plan,
    topology: parseTopology({
      cluster: "sim",
      merge: "ts",
      nodes: names.map((name) => ({ name })),
      groups: ["g1", "g2"].map((name) => ({ name, acceptors: prng.shuffle(names.slice(0, 3)), shape: "star" as const })),
    }),
    durability: "sync",
    limits: {
      ...defaultLimits,
      heartbeatMs: 5,
      heartbeatIdleMs: 10,
      leaseMs: 40,
      electionMs: 10,
      resendMs: 40,
      entryCommands: prng.pick([1, 4]),
      batchCommands: prng.pick([1, 4]),
      pendingCommands: 24,
    },
    network: { delayMinMs: 0.1, delayTypicalMs: prng.pick([1, 4]), loss: prng.range(0.1, 0.4), duplicate: 0.05, inOrder: false },
    disk: { syncMinMs: 0.1, syncTypicalMs: prng.pick([0.2, 5]), stallMs: 50, stallChance: 0.02, keepTornTail: 0.5 },
    clock: { offsetMs: 3_000, drift: 0.0001, stepMs: 0, stepEveryMs: 1_000 },
    trouble: {
      partitionEveryMs: prng.range(60, 200),
      partitionLastsMs: prng.pick([30, 80]),
      holdEveryMs: prng.range(100, 300),
      crashEveryMs: Infinity,
      downMs: 10,
      pauseEveryMs: prng.pick([200, Infinity]),
      pauseMs: 50,
      handoverEveryMs: prng.range(30, 100),
      unreachableEveryMs: prng.range(50, 200),
      eclipseEveryMs: Infinity,
    },
    work: { ...plan.work, proposeEveryMs: 3, burst: prng.pick([1, 3]), demand: Infinity, confirmEveryMs: Infinity },
    turnMs: 0,
    safetyMs: 3_000,
    scar: "none",
  };
}

/**
 * Learners hear the old coordinator and not the new one, while the acceptors follow that. Little is proposed: of what waits to be decided
 * they would see that it does not come.
 */
function eclipses(plan: Plan, prng: Prng): Plan {
  const stormy = usurpers(plan, prng);
  return {
    ...stormy,
    network: { ...stormy.network, delayTypicalMs: 1, loss: prng.pick([0, 0.1]) },
    trouble: {
      ...stormy.trouble,
      partitionEveryMs: Infinity,
      partitionLastsMs: 60,
      holdEveryMs: Infinity,
      pauseEveryMs: Infinity,
      handoverEveryMs: Infinity,
      unreachableEveryMs: Infinity,
      eclipseEveryMs: prng.range(150, 300),
    },
    work: { ...stormy.work, proposeEveryMs: prng.pick([20, 60]), burst: 1 },
  };
}

/**
 * Candidates with slow clocks that have heard nothing for a while: heartbeats are rare and mostly lost, and coordinators
 * hand over to whoever. Only what the promises carry tells the next one how late it is.
 */
function strangers(plan: Plan, prng: Prng): Plan {
  const stormy = usurpers(plan, prng);
  return {
    ...stormy,
    limits: { ...stormy.limits, heartbeatMs: 40, heartbeatIdleMs: 40, leaseMs: 160, activeMs: 0, resendMs: 20 },
    network: { delayMinMs: 0.1, delayTypicalMs: 0.5, loss: prng.range(0.2, 0.5), duplicate: 0, inOrder: false },
    disk: { syncMinMs: 0, syncTypicalMs: 0.1, stallMs: 0, stallChance: 0, keepTornTail: 0 },
    trouble: {
      ...stormy.trouble,
      partitionEveryMs: Infinity,
      holdEveryMs: Infinity,
      pauseEveryMs: Infinity,
      unreachableEveryMs: Infinity,
      handoverEveryMs: prng.range(10, 40),
    },
    work: { ...stormy.work, proposeEveryMs: 20, burst: 1 },
    safetyMs: 2_000,
  };
}

/** Nodes without disks that crash all the time, while wall clocks are set back and forth; one node only learns. */
function forgetters(plan: Plan, prng: Prng): Plan {
  const stormy = usurpers(plan, prng);
  return {
    ...stormy,
    durability: "memory",
    network: { ...stormy.network, delayTypicalMs: prng.pick([0.5, 2]), loss: prng.pick([0, 0.1, 0.3]) },
    clock: { offsetMs: prng.pick([0, 3_000]), drift: 0.001, stepMs: 3_000, stepEveryMs: 100 },
    trouble: {
      ...stormy.trouble,
      partitionEveryMs: prng.range(200, 600),
      crashEveryMs: prng.range(30, 100),
      downMs: prng.pick([0.5, 5]),
      handoverEveryMs: prng.range(50, 300),
    },
  };
}

/** Nodes that are away for long while the others write checkpoints and forget everything behind them. */
function laggards(plan: Plan, prng: Prng): Plan {
  const stormy = usurpers(plan, prng);
  const names = ["n1", "n2", "n3", "n4", "n5"];
  const groups = ["g1", "g2"].map((name) => ({
    name,
    acceptors: prng.shuffle(names.slice(0, 3)),
    shape: prng.pick(["star", "ring"] as const),
  }));
  const learners = prng.pick([names, names.slice(1)]);
  return {
    ...stormy,
    durability: prng.pick(["sync", "sync", "memory"]),
    topology: parseTopology({
      cluster: "sim",
      merge: prng.pick(["ts", "rr"]),
      nodes: names.map((name) => ({ name })),
      groups: [
        ...groups.map((group) => ({ ...group, learners })),
        ...(prng.chance(0.5) ? [{ name: "g3", acceptors: names.slice(2), spans: ["g1", "g2"] }] : []),
      ],
    }),
    limits: {
      ...stormy.limits,
      landmarkEvery: prng.pick([2, 5]),
      retainBytes: prng.pick([0, 2_000]),
      suffixBytes: prng.pick([0, 500, 5_000]),
    },
    network: { ...stormy.network, delayTypicalMs: 0.5, loss: prng.pick([0, 0.05]) },
    trouble: {
      ...stormy.trouble,
      partitionEveryMs: prng.range(100, 400),
      partitionLastsMs: 200,
      crashEveryMs: prng.range(100, 400),
      downMs: prng.pick([50, 300]),
      handoverEveryMs: 200,
    },
    work: { ...stormy.work, subscriptionsPerNode: 1, resubscribeEveryMs: 200, confirmEveryMs: 50 },
    checkpoints: { everyMs: prng.pick([10, 40]), writeMs: prng.pick([1, 20]), fetchMs: prng.pick([1, 30]), rebase: prng.pick([0.2, 1]) },
    scar: prng.pick(["none", "dead"]),
  };
}

export const aims: Readonly<Record<Aim, (plan: Plan, prng: Prng) => Plan>> = { usurpers, eclipses, strangers, forgetters, laggards };

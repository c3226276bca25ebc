/**
 * A plan made long: a few seconds of users and faults, cut into bursts that lie minutes apart. Most of the time nothing happens but what
 * a cluster does by itself, and some faults befall it then.
 */
import type { Millis } from "../../core/ids.ts";
import type { Prng } from "../sim/prng.ts";
import type { Fault } from "./fault.ts";
import type { Plan } from "./plan.ts";

/** From one to the other users call. */
export interface Burst {
  readonly from: Millis;
  readonly until: Millis;
}

/** Of the faults, this part comes when nobody calls. */
const quietFaults = 0.2;
/** What nobody waits for need not be quick, and costs a simulated hour most: these are near the defaults. */
const heartbeatIdleMsMin = 200;
const checkpointLookMsMin = 1_000;
const checkpointEveryMsMin = 5_000;
/** Each skip keeps heartbeats quick for a while, and gives every replica something to make a checkpoint of. */
const skipIntervalMsMin = 600;

export function stretched(plan: Plan, prng: Prng, totalMs: Millis): Plan {
  const { limits, topology } = plan;
  const busyMs = plan.safetyMs;
  const cuts = Array.from({ length: prng.between(2, 7) }, () => prng.range(0, busyMs)).sort((a, b) => a - b);
  const weights = [...cuts, busyMs].map(() => prng.range(0.2, 1));
  const weight = weights.reduce((sum, one) => sum + one, 0);
  let beforeMs = 0;
  // Each burst is followed by a pause; the first begins with the world.
  const bursts = [...cuts, busyMs].map((end, index, ends) => {
    const from = (ends[index - 1] ?? 0) + beforeMs;
    const until = end + beforeMs;
    beforeMs += weights[index]! / weight * (totalMs - busyMs);
    return { busyUntil: end, from, until };
  });
  const moved = (fault: Fault): Fault => {
    if (prng.chance(quietFaults)) return { ...fault, at: prng.range(0, totalMs) };
    const { busyUntil, until } = bursts.find(({ busyUntil }) => fault.at < busyUntil) ?? bursts.at(-1)!;
    return { ...fault, at: until - (busyUntil - fault.at) };
  };
  const heartbeatIdleMs = Math.max(limits.heartbeatIdleMs, heartbeatIdleMsMin);
  const leaseMs = limits.leaseMs + 3 * (heartbeatIdleMs - limits.heartbeatIdleMs);
  return {
    ...plan,
    safetyMs: totalMs,
    bursts: bursts.map(({ from, until }) => ({ from, until })),
    faults: plan.faults.map(moved).sort((a, b) => a.at - b.at),
    limits: { ...limits, heartbeatIdleMs, leaseMs },
    checkpoints: {
      ...plan.checkpoints,
      lookMs: Math.max(plan.checkpoints.lookMs, checkpointLookMsMin),
      everyMs: Math.max(plan.checkpoints.everyMs, checkpointEveryMsMin),
    },
    topology: { ...plan.topology, skipIntervalMs: Math.max(topology.skipIntervalMs, skipIntervalMsMin) },
  };
}

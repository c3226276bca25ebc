/**
 * Places where the world may be unkind within what its contracts allow. Each is on in half of the seeds and then strikes
 * now and then. How often each did is counted over all runs of a process: one that never strikes tests nothing.
 */
import type { Prng } from "../sim/prng.ts";

/** Name → how likely where it is on. */
const points = {
  /** An alarm rings late. */
  "late-alarm": 0.01,
  /** A node comes round to its next turn late. */
  "late-turn": 0.01,
  /** What arrives is handed over in two pieces, cut anywhere. */
  "split-chunk": 0.2,
  /** What arrives waits and is handed over with what comes next. */
  "held-chunk": 0.1,
  /** A stream says it is full long before it is. */
  "early-full": 0.05,
  /** A connection breaks as soon as it is open. */
  "stillborn-stream": 0.05,
  /** The answer to a new stream takes its time. */
  "late-answer": 0.1,
  /** The system has no room for all the datagrams of one call. */
  "full-socket": 0.01,
  /** A socket reports that a datagram was refused. */
  "told-refused": 0.3,
  /** A sync takes as long as the worst disks take. */
  "slow-sync": 0.005,
  "slow-read": 0.02,
  /** Making a file takes so long that it is needed before. */
  "slow-preallocate": 0.3,
} as const;

export type Point = keyof typeof points;

const strikes = new Map<Point, number>((Object.keys(points) as Point[]).map((name) => [name, 0]));

export class Buggify {
  readonly #on = new Map<Point, Prng>();

  constructor(prng: Prng) {
    for (const name of Object.keys(points) as Point[]) {
      const own = prng.split(name);
      if (own.chance(0.5)) this.#on.set(name, own);
    }
  }

  /** Whether to be unkind here and now; then a number of 0 … 1 to be so by. */
  strikes(name: Point): number | null {
    const own = this.#on.get(name);
    if (own === undefined || !own.chance(points[name])) return null;
    strikes.set(name, strikes.get(name)! + 1);
    return own.unit();
  }
}

export type Strikes = Readonly<Partial<Record<Point, number>>>;

/** Counted since the last call. */
export function takeStrikes(): Strikes {
  const taken = Object.fromEntries(strikes);
  for (const name of strikes.keys()) strikes.set(name, 0);
  return taken;
}

/** Those of another process. */
export function addStrikes(others: Strikes): void {
  for (const [name, count] of Object.entries(others) as [Point, number][]) strikes.set(name, strikes.get(name)! + count);
}

/** A table for people, of all runs of this process and of those that worked for it. */
export function coverageLines(): string[] {
  return [...strikes].map(([name, count]) => `${count === 0 ? "NEVER" : String(count).padStart(8)} ${name}`);
}

export function neverStruck(): Point[] {
  return [...strikes].filter(([, count]) => count === 0).map(([name]) => name);
}

/**
 * What a node believes the time is: a monotonic clock that runs a little too fast or too slow and
 * starts anew with every process, and a wall clock that is off, drifts, and is stepped by seconds.
 */
import type { Micros, Millis, Now } from "../../core/ids.ts";
import type { Prng } from "./prng.ts";

export interface ClockFaults {
  /** Wall clocks start up to this far from the truth, either way. */
  readonly offsetMs: Millis;
  /** Monotonic and wall clocks run up to this much too fast or too slow. */
  readonly drift: number;
  /** A step of the wall clock moves it up to this far, either way; 0 for no steps. */
  readonly stepMs: Millis;
  /** Mean time between steps of one node's clock. */
  readonly stepEveryMs: Millis;
}

/** Where every wall clock would start if it were right: some day in 2025. */
export const wallStart: Micros = 40_000_000_000_000;

export class NodeClock {
  readonly #rate: number;
  readonly #wallRate: number;
  #wallOffset: Micros;
  /** True time at which the process's monotonic clock read 0. */
  #bornAt: Millis = 0;

  constructor(faults: ClockFaults, prng: Prng) {
    this.#rate = 1 + prng.range(-faults.drift, faults.drift);
    this.#wallRate = 1 + prng.range(-faults.drift, faults.drift);
    this.#wallOffset = Math.round(prng.range(-faults.offsetMs, faults.offsetMs) * 1_000);
  }

  /** A new process: its monotonic clock starts at a number of its own. */
  restart(trueTime: Millis, firstReading: Millis): void {
    this.#bornAt = trueTime - firstReading / this.#rate;
  }

  step(byMs: Millis): void {
    this.#wallOffset += Math.round(byMs * 1_000);
  }

  now(trueTime: Millis): Now {
    return {
      mono: (trueTime - this.#bornAt) * this.#rate,
      wall: wallStart + this.#wallOffset + Math.floor(trueTime * 1_000 * this.#wallRate),
    };
  }

  /** The true time at which this node's monotonic clock will read `mono`. */
  trueTimeOf(mono: Millis): Millis {
    return this.#bornAt + mono / this.#rate;
  }
}

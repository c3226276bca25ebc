/**
 * The node's hybrid logical clock (Kulkarni et al., 2014), in microseconds: never behind what was
 * heard, stamped or said before. What it says of itself outlives a restart by a durable ceiling.
 */
import type { Micros, Millis, Stamp } from "./ids.ts";

export class HybridClock {
  readonly #raw: boolean;
  /** The largest value given out or seen. */
  #last: Stamp = 0;
  #wall: Micros = 0;
  #mono: Millis = Infinity;
  /** No value above this may be stated yet. */
  #ceiling: Stamp;

  /** `raw` takes the rule "hybrid-clock" away; `durable` says that statements wait for a ceiling on disk. */
  constructor(options: { readonly raw: boolean; readonly durable: boolean }) {
    this.#raw = options.raw;
    this.#ceiling = options.durable ? 0 : Infinity;
  }

  get last(): Stamp {
    return Math.max(this.#last, this.#wall);
  }

  get ceiling(): Stamp {
    return this.#ceiling;
  }

  /**
   * While it is ahead of the wall clock (after a restart, or when the wall was set back) it runs at half speed: if it
   * stood still, what is stamped with a lead would wait for as long as the wall needs to catch up.
   */
  tick(wall: Micros, mono: Millis): void {
    if (this.#last > wall && mono > this.#mono) this.#last += Math.floor((mono - this.#mono) * 500);
    this.#mono = mono;
    this.#wall = wall;
  }

  /** The first of `count` consecutive values, above everything before. */
  next(count: number): Stamp {
    const first = this.#raw ? this.#wall : Math.max(this.#last + 1, this.#wall);
    this.#last = first + count - 1;
    return first;
  }

  see(value: Stamp): void {
    if (value > this.#last) this.#last = value;
  }

  /** A ceiling became durable. */
  raise(ceiling: Stamp): void {
    if (ceiling > this.#ceiling) this.#ceiling = ceiling;
  }

  /** After a restart: everything up to the restored ceiling may have been stated. */
  resumeAbove(ceiling: Stamp): void {
    this.see(ceiling);
    this.raise(ceiling);
  }
}

/** One group's view of the clock: a floor that statements push up and stamps stay above. */
export class GroupClock {
  readonly #clock: HybridClock;
  readonly #lead: Micros;
  readonly #raw: boolean;
  #floor: Stamp = 0;

  constructor(clock: HybridClock, lead: Micros, raw: boolean) {
    this.#clock = clock;
    this.#lead = lead;
    this.#raw = raw;
  }

  /**
   * A promise: an acceptor's later phase-1 replies carry at least this, a coordinator's later stamps
   * are above it. Held down to the durable ceiling, so that a restart cannot break it.
   */
  state(): Stamp {
    this.#floor = Math.max(this.#floor, this.#clock.next(1) + this.#lead);
    return Math.min(this.#floor, this.#clock.ceiling);
  }

  /** The first of `count` consecutive stamps above every statement. */
  stamp(count: number): Stamp {
    const now = this.#clock.next(count) + this.#lead;
    const first = this.#raw ? now : Math.max(now, this.#floor + 1);
    this.#floor = Math.max(this.#floor, first + count - 1);
    return first;
  }

  /** Nothing at or below will be stamped. */
  see(stamp: Stamp): void {
    if (this.#raw) return;
    if (stamp > this.#floor) this.#floor = stamp;
    this.#clock.see(stamp - this.#lead);
  }
}

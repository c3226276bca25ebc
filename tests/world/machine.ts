/**
 * One computer of the simulated world: a disk and a clock that stay, and one process after another (its lives). What a
 * life has under way ends with it; while the machine is paused everything that happens to it waits.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Checkpoints } from "../../edge/checkpoints/checkpoints.ts";
import type { RunningNode } from "../../edge/start_node.ts";
import type { Fetch } from "../../edge/runtime.ts";
import type { Services } from "../../services/services.ts";
import type { NodeClock } from "../sim/clocks.ts";
import type { Prng } from "../sim/prng.ts";
import type { SimDisk } from "./disk.ts";
import type { Loop } from "./loop.ts";

/** Something that will happen to a life, unless it ends before or nobody wants it any more. */
export interface Appointment {
  cancel(): void;
}

export class Life {
  readonly machine: Machine;
  readonly number: number;
  readonly prng: Prng;
  alive = true;
  /** It has been told to end, and is at it. */
  leaving = false;
  node: RunningNode | null = null;
  services: Services | null = null;
  checkpoints: Checkpoints | null = null;
  /** Of the link, while it listens. */
  listener: Fetch | null = null;
  readonly #endings = new Set<() => void>();

  constructor(machine: Machine, number: number, prng: Prng) {
    this.machine = machine;
    this.number = number;
    this.prng = prng;
  }

  get up(): boolean {
    return this.alive && this.services !== null;
  }

  after(delay: Millis, act: () => void): Appointment {
    return this.at(this.machine.loop.queue.now + delay, act);
  }

  /** In an event of its own, later if the machine is paused then. */
  at(time: Millis, act: () => void): Appointment {
    const { machine } = this;
    let wanted = true;
    const run = (): void => {
      if (!wanted || !this.alive) return;
      if (!machine.paused) return act();
      machine.postpone(() => {
        if (wanted && this.alive) act();
      });
    };
    const event = machine.loop.queue.at(time, run);
    return {
      cancel: () => {
        wanted = false;
        machine.loop.queue.cancel(event);
      },
    };
  }

  /** In the event that is running, or when the machine goes on. */
  now(act: () => void): void {
    if (!this.alive) return;
    if (!this.machine.paused) return act();
    this.machine.postpone(() => {
      if (this.alive) act();
    });
  }

  /** Returns a cancel. */
  onEnd(act: () => void): () => void {
    this.#endings.add(act);
    return () => this.#endings.delete(act);
  }

  end(): void {
    if (!this.alive) return;
    this.alive = false;
    this.listener = null;
    for (const act of this.#endings) act();
    this.#endings.clear();
  }
}

export class Machine {
  readonly id: NodeId;
  readonly loop: Loop;
  readonly clock: NodeClock;
  readonly disk: SimDisk;
  /** The process that runs, if one does. */
  life: Life | null = null;
  lives = 0;
  paused = false;
  /** False between a power loss and the next start. */
  powered = true;
  #resuming = false;
  readonly #postponed: (() => void)[] = [];
  readonly #prng: Prng;

  constructor(
    options: { readonly id: NodeId; readonly loop: Loop; readonly clock: NodeClock; readonly disk: SimDisk; readonly prng: Prng },
  ) {
    this.id = options.id;
    this.loop = options.loop;
    this.clock = options.clock;
    this.disk = options.disk;
    this.#prng = options.prng;
  }

  /** A new process. Its chance is its own, so that a life does not reshuffle the next. */
  begin(): Life {
    this.life?.end();
    this.lives++;
    this.powered = true;
    const life = new Life(this, this.lives, this.#prng.split(`life ${this.lives}`));
    this.clock.restart(this.loop.queue.now, life.prng.range(0, 10_000));
    this.life = life;
    return life;
  }

  /** The process is gone; what it said before may still be under way. */
  end(): void {
    this.life?.end();
    this.life = null;
    this.paused = false;
    this.#postponed.length = 0;
    this.disk.processEnded();
  }

  postpone(act: () => void): void {
    this.#postponed.push(act);
  }

  /** What has waited happens first, one event after another. */
  resume(): void {
    if (!this.paused || this.#resuming) return;
    this.#resuming = true;
    const next = (): void => {
      const act = this.#postponed.shift();
      if (act === undefined) {
        this.paused = false;
        this.#resuming = false;
        return;
      }
      act();
      this.loop.queue.after(0, next);
    };
    this.loop.queue.after(0, next);
  }
}

/**
 * Gives memory back after a burst. What a put leaves behind is garbage by the time it is answered, but
 * the collector waits for the heap to double, which on a store that holds its values in memory is a lot.
 * When the node has been quiet for a while a collection disturbs nobody.
 */
import type { Clock } from "./runtime.ts";

const quietMs = 1_000;
/** Less than this leaves too little behind to be worth it. */
const commandsMin = 2_048;

export class Quiet {
  readonly #clock: Clock;
  readonly #collect: () => void;
  /** Commands since the last collection, and when the alarm was set. */
  #commands = 0;
  #then = 0;
  #armed = false;
  #cancel: () => void = () => {};

  constructor(clock: Clock, collect: () => void) {
    this.#clock = clock;
    this.#collect = collect;
  }

  delivered(commands: number): void {
    this.#commands += commands;
    if (!this.#armed && this.#commands >= commandsMin) this.#arm();
  }

  close(): void {
    this.#cancel();
  }

  #arm(): void {
    this.#armed = true;
    this.#then = this.#commands;
    this.#cancel = this.#clock.wakeAt(this.#clock.now().mono + quietMs, () => this.#look());
  }

  #look(): void {
    if (this.#commands !== this.#then) return this.#arm();
    this.#armed = false;
    this.#commands = 0;
    this.#collect();
  }
}

/** Simulated distance: what is on its way arrives after so long, in order. For experiments on one machine. */
import type { Millis } from "../../core/ids.ts";
import type { Clock } from "../runtime.ts";

export class Distance<Item> {
  readonly #clock: Clock;
  readonly #delayMs: Millis;
  readonly #arrive: (items: readonly Item[]) => void;
  #onTheWay: { readonly due: Millis; readonly item: Item }[] = [];
  #cancel: () => void = () => {};

  constructor(clock: Clock, delayMs: Millis, arrive: (items: readonly Item[]) => void) {
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#arrive = arrive;
  }

  push(item: Item): void {
    this.#onTheWay.push({ due: this.#clock.now().mono + this.#delayMs, item });
    if (this.#onTheWay.length === 1) this.#await();
  }

  /** Forgets what is on its way; says how much that was. */
  clear(): number {
    const forgotten = this.#onTheWay.length;
    this.#cancel();
    this.#onTheWay = [];
    return forgotten;
  }

  #await(): void {
    this.#cancel = this.#clock.wakeAt(this.#onTheWay[0]!.due, () => {
      const now = this.#clock.now().mono;
      const later = this.#onTheWay.findIndex(({ due }) => due > now);
      const arrived = this.#onTheWay.splice(0, later < 0 ? this.#onTheWay.length : later);
      if (this.#onTheWay.length > 0) this.#await();
      this.#arrive(arrived.map(({ item }) => item));
    });
  }
}

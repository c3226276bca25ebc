/** Virtual time: events run in the order of (time, order of scheduling), and time jumps from one to the next. */
import { assert } from "../../core/assert.ts";
import type { Millis } from "../../core/ids.ts";

export interface Event {
  readonly time: Millis;
  readonly sequence: number;
  run: (() => void) | null;
}

export class EventQueue {
  /** True time in milliseconds since the run began. No node ever sees it. */
  now: Millis = 0;
  readonly #heap: Event[] = [];
  #scheduled = 0;

  get size(): number {
    return this.#heap.length;
  }

  at(time: Millis, run: () => void): Event {
    assert(!Number.isNaN(time), "Cannot schedule an event: its time is not a number");
    const event: Event = { time: time < this.now ? this.now : time, sequence: this.#scheduled++, run };
    this.#rise(event);
    return event;
  }

  after(delay: Millis, run: () => void): Event {
    return this.at(this.now + delay, run);
  }

  /** The event stays queued and does nothing. */
  cancel(event: Event | null): void {
    if (event !== null) event.run = null;
  }

  /** Runs the next event. False if there is none at or before `until`. */
  step(until: Millis): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.time > until) return false;
      this.#take();
      if (event.run === null) continue;
      this.now = event.time;
      event.run();
      return true;
    }
  }

  #rise(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #take(): void {
    const heap = this.#heap;
    const moved = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}

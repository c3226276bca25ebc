/**
 * Virtual time for code with promises. One event runs, then every promise job it left behind, then the next event: two
 * events never mix, so the order of everything is the order of the queue. While it runs nobody may look at a real clock.
 */
import { nextTick } from "node:process";
import type { Millis } from "../../core/ids.ts";
import { EventQueue } from "../sim/queue.ts";

/** What would make a run depend on the machine it runs on. */
const forbidden = ["setTimeout", "setInterval", "fetch"] as const;
/** After so many events the real loop has its turn: signals, and what a worker is told. */
const turnEvents = 1_000;

export class Loop {
  readonly queue = new EventQueue();
  events = 0;
  #failure: { readonly error: unknown } | null = null;

  /** Ends the run at once; the first failure is told. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Runs events up to `until`, or until `done`. Throws what an event threw, or what `fail` was given. */
  run(until: Millis, done: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      const release = guardClocks();
      const end = (settle: () => void): void => {
        release();
        settle();
      };
      const step = (): void => {
        if (this.#failure !== null) return end(() => reject(this.#failure!.error));
        try {
          if (done()) return end(resolve);
          if (!this.queue.step(until)) {
            if (until !== Infinity) this.queue.now = until;
            return end(resolve);
          }
          this.events++;
        } catch (error) {
          return end(() => reject(error));
        }
        if (this.events % turnEvents === 0) setImmediate(step);
        else behindJobs(step);
      };
      setImmediate(step);
    });
  }

  /** A pause of virtual time. */
  sleep(ms: Millis): Promise<void> {
    return new Promise((resolve) => this.queue.after(ms, resolve));
  }
}

/**
 * Behind all promise jobs, however long their chains, and without a turn of the real loop, which asks the system for news: ticks begin when
 * no job is left, and one that is asked for by a job waits for the others.
 */
function behindJobs(step: () => void): void {
  queueMicrotask(() => nextTick(step));
}

/**
 * Takes real time and chance away until the returned function is called, but for the real runtime itself: a timer that another test
 * of this process has left behind may ring meanwhile.
 */
function guardClocks(): () => void {
  const restore: (() => void)[] = [];
  const replace = (owner: object, name: string): void => {
    const original = Reflect.get(owner, name) as unknown;
    if (typeof original !== "function") return;
    Reflect.set(owner, name, (...args: unknown[]) => {
      if (new Error().stack?.includes("/edge/runtime/")) return Reflect.apply(original, owner, args) as unknown;
      throw new Error(`Cannot use ${name} in a simulated world: its time and chance come from the seed`);
    });
    restore.push(() => Reflect.set(owner, name, original));
  };
  for (const name of forbidden) replace(globalThis, name);
  replace(Date, "now");
  replace(performance, "now");
  replace(Math, "random");
  return () => {
    for (const undo of restore) undo();
  };
}

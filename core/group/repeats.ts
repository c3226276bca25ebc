/**
 * First occurrences in one group's log. A proposer that is not sure repeats a batch, and a new
 * coordinator cannot know all that an old one logged, so a batch may be decided twice: only the
 * first has effect. A function of the decided log, hence the same everywhere.
 */
import type { Entry } from "../entry.ts";
import type { Instance, Origin } from "../ids.ts";

class Seen {
  /** Every sequence up to here has occurred. */
  upTo = 0;
  /** Those above with a gap below. */
  readonly ahead = new Set<number>();

  has(sequence: number): boolean {
    return sequence <= this.upTo || this.ahead.has(sequence);
  }

  add(sequence: number): void {
    if (sequence !== this.upTo + 1) {
      this.ahead.add(sequence);
      return;
    }
    this.upTo = sequence;
    while (this.ahead.delete(this.upTo + 1)) this.upTo++;
  }
}

export class Repeats {
  readonly #seen = new Map<Origin, Seen>();
  /** Repeated batches by instance: rare, so all are kept. */
  readonly #repeated = new Map<Instance, ReadonlySet<number>>();

  /** Takes the next decided entry in. */
  learn(entry: Entry): void {
    let repeated: Set<number> | null = null;
    for (let index = 0; index < entry.batches.length; index++) {
      const batch = entry.batches[index]!;
      let seen = this.#seen.get(batch.origin);
      if (!seen) this.#seen.set(batch.origin, seen = new Seen());
      if (seen.has(batch.sequence)) (repeated ??= new Set()).add(index);
      else seen.add(batch.sequence);
    }
    if (repeated) this.#repeated.set(entry.instance, repeated);
  }

  has(origin: Origin, sequence: number): boolean {
    return this.#seen.get(origin)?.has(sequence) ?? false;
  }

  /** Indices of batches without effect; null for none. */
  at(instance: Instance): ReadonlySet<number> | null {
    return this.#repeated.get(instance) ?? null;
  }
}

/**
 * First occurrences in one group's log. A proposer that is not sure repeats a batch, and a new
 * coordinator cannot know all that an old one logged, so a batch may be decided twice: only the
 * first has effect. A function of the decided log, hence the same everywhere.
 */
import type { Entry } from "../entry.ts";
import type { Repetition, SeenBatches } from "../foundation.ts";
import type { Instance, Origin } from "../ids.ts";

/** Lives of proposers that are remembered: the ones heard of last. A life that ended that long ago sends nothing again. */
const originsMax = 1_024;
/** Batches above a gap: twice what a proposer can have under way, so that a gap this old is none that will be filled. */
const aheadMax = 131_072;

class Seen {
  /** Every sequence up to here has occurred. */
  upTo: number;
  /** Those above with a gap below. */
  readonly ahead: Set<number>;

  constructor(upTo = 0, ahead: Iterable<number> = []) {
    this.upTo = upTo;
    this.ahead = new Set(ahead);
  }

  has(sequence: number): boolean {
    return sequence <= this.upTo || this.ahead.has(sequence);
  }

  add(sequence: number): void {
    if (sequence !== this.upTo + 1) {
      this.ahead.add(sequence);
      if (this.ahead.size <= aheadMax) return;
      this.upTo = this.#smallestAhead() - 1;
    } else this.upTo = sequence;
    while (this.ahead.delete(this.upTo + 1)) this.upTo++;
  }

  /** As it was before these occurred for the first time. */
  without(sequences: ReadonlySet<number>): Seen {
    let upTo = this.upTo;
    for (const sequence of sequences) upTo = Math.min(upTo, sequence - 1);
    const before = new Seen(upTo, this.ahead);
    for (let sequence = upTo + 1; sequence <= this.upTo; sequence++) before.ahead.add(sequence);
    for (const sequence of sequences) before.ahead.delete(sequence);
    return before;
  }

  #smallestAhead(): number {
    let smallest = Infinity;
    for (const sequence of this.ahead) smallest = Math.min(smallest, sequence);
    return smallest;
  }
}

export class Repeats {
  /** By origin, the one heard of last at the end. */
  #seen = new Map<Origin, Seen>();
  #newest: Origin = 0;
  /** Repeated batches by instance, ascending: rare, so all above the trim point are kept. */
  #repeated = new Map<Instance, ReadonlySet<number>>();

  /** Takes the next decided entry in. */
  learn(entry: Entry): void {
    let repeated: Set<number> | null = null;
    for (let index = 0; index < entry.batches.length; index++) {
      const { origin, sequence } = entry.batches[index]!;
      const seen = this.#touch(origin);
      if (seen.has(sequence)) (repeated ??= new Set()).add(index);
      else seen.add(sequence);
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

  get repeated(): Repetition[] {
    return [...this.#repeated].map(([instance, batches]) => ({ instance, batches: [...batches] }));
  }

  /** Nobody asks about entries at or below any more. */
  trim(upTo: Instance): void {
    for (const instance of this.#repeated.keys()) {
      if (instance > upTo) return;
      this.#repeated.delete(instance);
    }
  }

  /** What had occurred before `entries`, which are the newest learned. */
  before(entries: readonly Entry[]): SeenBatches[] {
    const fresh = new Map<Origin, Set<number>>();
    for (const { instance, batches } of entries) {
      const repeated = this.at(instance);
      batches.forEach(({ origin, sequence }, index) => {
        if (repeated?.has(index)) return;
        const sequences = fresh.get(origin);
        if (sequences) sequences.add(sequence);
        else fresh.set(origin, new Set([sequence]));
      });
    }
    const found: SeenBatches[] = [];
    for (const [origin, seen] of this.#seen) {
      const { upTo, ahead } = fresh.has(origin) ? seen.without(fresh.get(origin)!) : seen;
      if (upTo > 0 || ahead.size > 0) found.push({ origin, upTo, ahead: [...ahead].sort((a, b) => a - b) });
    }
    return found;
  }

  restore(seen: readonly SeenBatches[], repeated: readonly Repetition[]): void {
    this.#seen = new Map(seen.map(({ origin, upTo, ahead }) => [origin, new Seen(upTo, ahead)]));
    this.#newest = seen.at(-1)?.origin ?? 0;
    this.#repeated = new Map(repeated.map(({ instance, batches }) => [instance, new Set(batches)]));
  }

  #touch(origin: Origin): Seen {
    let seen = this.#seen.get(origin);
    if (seen && origin === this.#newest) return seen;
    this.#newest = origin;
    this.#seen.delete(origin);
    this.#seen.set(origin, seen ??= new Seen());
    if (this.#seen.size > originsMax) this.#seen.delete(this.#seen.keys().next().value!);
    return seen;
  }
}

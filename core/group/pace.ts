/**
 * Is a coordinator's own disk the slow one? One entry at a time is watched: decided without our vote long before our own
 * record of it is durable, it says yes. A disk that all have to wait for, or a moment's hiccup, says no.
 */
import type { Instance, Lsn, Millis } from "../ids.ts";

/** A record is late that comes so long after the decision. */
const lateMs = 100;
/** And the disk slow, when for so long nothing but late ones came. */
const slowMs = 1_500;

interface Watched {
  readonly instance: Instance;
  readonly lsn: Lsn;
  readonly at: Millis;
  decidedAt: Millis;
}

export class Pace {
  #watched: Watched | null = null;
  /** Since when all that was watched was late. */
  #lateSince: Millis = Infinity;

  begin(): void {
    this.#watched = null;
    this.#lateSince = Infinity;
  }

  proposed(instance: Instance, lsn: Lsn, now: Millis): void {
    this.#watched ??= { instance, lsn, at: now, decidedAt: Infinity };
  }

  decided(instance: Instance, now: Millis): void {
    if (this.#watched && instance >= this.#watched.instance) this.#watched.decidedAt = Math.min(this.#watched.decidedAt, now);
  }

  persisted(upTo: Lsn, now: Millis): void {
    if (!this.#watched || this.#watched.lsn > upTo) return;
    this.#lateSince = this.#late(now) ? Math.min(this.#lateSince, this.#watched.at) : Infinity;
    this.#watched = null;
  }

  /** What is still on its way counts as soon as it is late. */
  slow(now: Millis): boolean {
    const since = this.#watched && this.#late(now) ? Math.min(this.#lateSince, this.#watched.at) : this.#lateSince;
    return now - since >= slowMs;
  }

  #late(now: Millis): boolean {
    return now - this.#watched!.decidedAt > lateMs;
  }
}

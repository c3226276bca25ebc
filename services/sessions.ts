/**
 * Exactly once: what became of the commands that carried a key, so that one that comes again is answered and not applied again.
 *
 * A replica has one such table for each group it hears, and a table is a function of that group's order alone: every replica that
 * hears the group has the same keys and forgets each at the same command. So all of them judge a repetition alike, also one with
 * parts for several of them: either all apply it or none does.
 */
import type { Order, Position } from "../core/position.ts";
import type { Hash } from "./hash.ts";
import type { Intake } from "./restore.ts";
import { SessionIntake, SessionItems } from "./session_items.ts";
import type { Items } from "./snapshot.ts";

/** A group remembers so many keys, the newest. */
export const sessionsMax = 100_000;
/** And forgets them after so long, in the order's own time: a day. */
const ageMicrosMax = 24 * 60 * 60 * 1_000_000;

export interface SessionLimits {
  readonly countMax: number;
  /** In majors of positions. */
  readonly ageMax: number;
}

/** Part of the replicated state: the same at every node, so nobody may choose them. */
export function sessionLimits(order: Order): SessionLimits {
  // Slots do not tell the time, stamps do.
  return { countMax: sessionsMax, ageMax: order.merge === "ts" ? ageMicrosMax : Infinity };
}

/** What became of one command. */
export interface Session {
  /** Of what was asked for; another request under the same key has another. */
  readonly fingerprint: string;
  readonly position: Position;
  /** As the machine wrote it; empty where the command had nothing for this replica. */
  readonly outcome: string;
}

export class Sessions {
  readonly #limits: SessionLimits;
  #sessions = new Map<string, Session>();
  /**
   * Keys and what became of them, oldest first, from `#oldest` on. A Map knows that order too, but walks over everything it has
   * deleted to tell. Only ever added to, so that a snapshot need only know where they began and ended.
   */
  #keys: string[] = [];
  #kept: Session[] = [];
  #oldest = 0;

  constructor(limits: SessionLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** What became of the command with this key; undefined if it is new at `position`. What is too old then is forgotten first. */
  find(key: string, position: Position): Session | undefined {
    while (this.#sessions.size > 0 && position.major - this.#first().position.major > this.#limits.ageMax) this.#forget();
    return this.#sessions.get(key);
  }

  /** For a key that `find` did not find; positions ascend. */
  keep(key: string, session: Session): void {
    if (this.#sessions.size >= this.#limits.countMax) this.#forget();
    this.#sessions.set(key, session);
    this.#keys.push(key);
    this.#kept.push(session);
  }

  /** As they are now, whatever is kept or forgotten from now on. */
  snapshot(): Items {
    return new SessionItems(this.#keys, this.#kept, this.#oldest);
  }

  /** Of a table at `position`. */
  restore(position: Position): Intake {
    return new SessionIntake(position, this.#limits.countMax, (sessions) => {
      this.#sessions = sessions;
      this.#keys = [...sessions.keys()];
      this.#kept = [...sessions.values()];
      this.#oldest = 0;
    });
  }

  addTo(hash: Hash): void {
    for (const [key, { fingerprint, position, outcome }] of this.#sessions) {
      hash.text(key).text(fingerprint).number(position.major).number(position.group).number(position.minor).text(outcome);
    }
  }

  #first(): Session {
    return this.#kept[this.#oldest]!;
  }

  #forget(): void {
    this.#sessions.delete(this.#keys[this.#oldest++]!);
    if (this.#oldest * 2 <= this.#keys.length) return;
    this.#keys = this.#keys.slice(this.#oldest);
    this.#kept = this.#kept.slice(this.#oldest);
    this.#oldest = 0;
  }
}

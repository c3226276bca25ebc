/** What a link tells its host, from the event loop and not from within a call; and an operator the same sentence only once. */
import type { Clock } from "../runtime.ts";
import type { LinkEvents } from "./link.ts";

/** Sentences remembered so as not to repeat them; strangers must not make it a burden. */
const noticesMax = 64;

export class Notices {
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #noticed = new Set<string>();
  #closed = false;

  constructor(clock: Clock, events: LinkEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Something strangers may bring about at will. */
  once(sentence: string): void {
    if (this.#noticed.has(sentence) || this.#noticed.size >= noticesMax) return;
    this.#noticed.add(sentence);
    this.tell(sentence);
  }

  /** Things have changed: what was told may be told again. */
  forget(): void {
    this.#noticed.clear();
  }

  tell(sentence: string): void {
    this.later(() => this.#events.onNotice(sentence));
  }

  later(call: () => void): void {
    this.#clock.soon(() => {
      if (!this.#closed) call();
    });
  }

  /** Nothing is told any more. */
  close(): void {
    this.#closed = true;
  }
}

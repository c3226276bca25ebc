/** Entries read back from the journal: numbers the requests and finds who asked. */
import type { Entry } from "./entry.ts";
import type { GroupId, Instance } from "./ids.ts";
import type { Outbox } from "./outbox.ts";

export class Reads {
  readonly #out: Outbox;
  readonly #waiting = new Map<number, (entries: readonly Entry[]) => void>();
  #next = 1;

  constructor(out: Outbox) {
    this.#out = out;
  }

  /** `done` gets consecutive entries from `from` on, maybe fewer than asked for; none means that they are gone. */
  ask(group: GroupId, from: Instance, to: Instance, bytesMax: number, done: (entries: readonly Entry[]) => void): void {
    const request = this.#next++;
    this.#waiting.set(request, done);
    this.#out.read({ request, group, from, to, bytesMax });
  }

  answer(request: number, entries: readonly Entry[]): void {
    const done = this.#waiting.get(request);
    this.#waiting.delete(request);
    done?.(entries);
  }
}

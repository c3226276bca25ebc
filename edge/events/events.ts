/** The newest events of a node, to be looked at and listened to: bounded, and gone when the process is. */
import type { Happening, NodeEvent } from "./event.ts";

export const eventsMax = 1_000;

export class Events {
  readonly #node: string;
  /** Sets the ids of this life apart from those of earlier ones. */
  readonly #life: string;
  #kept: NodeEvent[] = [];
  #count = 0;
  /** So far, by kind. */
  readonly counts = new Map<string, number>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();

  constructor(node: string, life: string = Date.now().toString(36)) {
    this.#node = node;
    this.#life = life;
  }

  /** Of the newest event; to go on from where there is none yet as well. */
  get last(): string {
    return `${this.#life}-${this.#count}`;
  }

  tell(happening: Happening): void {
    const { kind, ...facts } = happening;
    this.#count++;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const event = { id: this.last, at: new Date().toISOString(), node: this.#node, kind, ...facts } as NodeEvent;
    this.#kept.push(event);
    // Half at a time, so that it costs nothing on average.
    if (this.#kept.length >= 2 * eventsMax) this.#kept = this.#kept.slice(-eventsMax);
    for (const listener of this.#listeners) listener(event);
  }

  /** Those kept behind this one, oldest first; all of them if it is of another life or forgotten. */
  after(id: string | null): readonly NodeEvent[] {
    const kept = this.#kept.slice(-eventsMax);
    const [life, number] = (id ?? "").split("-");
    if (life !== this.#life) return kept;
    return kept.slice(Math.max(0, kept.length - Math.max(0, this.#count - Number(number))));
  }

  /** Called with each from now on, until the returned function is. */
  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Each behind this one as it happens, until the signal ends it. */
  async *follow(id: string | null, signal: AbortSignal): AsyncGenerator<NodeEvent> {
    let last = id;
    let wake = (): void => {};
    const unlisten = this.listen(() => wake());
    const stop = (): void => wake();
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        for (const event of this.after(last)) {
          yield event;
          last = event.id;
        }
        // What happened while the reader took its time was not waited for.
        if (this.after(last).length > 0) continue;
        last = this.last;
        await new Promise<void>((resolve) => wake = resolve);
      }
    } finally {
      unlisten();
      signal.removeEventListener("abort", stop);
    }
  }
}

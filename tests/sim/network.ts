/**
 * Carries messages as objects between nodes, and loses, repeats, delays, reorders and holds them
 * back. A path is one direction between two nodes, so a cut can be one-way.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import type { Prng } from "./prng.ts";
import type { EventQueue } from "./queue.ts";

export interface NetworkFaults {
  readonly delayMinMs: Millis;
  /** Typical delay on top of the minimum; the tail is long. */
  readonly delayTypicalMs: Millis;
  readonly loss: number;
  readonly duplicate: number;
  /** Messages of one path arrive in the order they were sent, as on a stream. */
  readonly inOrder: boolean;
}

export interface NetworkCounts {
  sent: number;
  delivered: number;
  lost: number;
  duplicated: number;
  cut: number;
}

interface Path {
  cut: boolean;
  heldUntil: Millis;
  lastArrival: Millis;
}

export class Network {
  faults: NetworkFaults;
  readonly counts: NetworkCounts = { sent: 0, delivered: 0, lost: 0, duplicated: 0, cut: 0 };
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #deliver: (from: NodeId, to: NodeId, message: Message) => void;
  readonly #paths = new Map<number, Path>();

  constructor(
    options: {
      queue: EventQueue;
      prng: Prng;
      faults: NetworkFaults;
      deliver: (from: NodeId, to: NodeId, message: Message) => void;
    },
  ) {
    this.#queue = options.queue;
    this.#prng = options.prng;
    this.faults = options.faults;
    this.#deliver = options.deliver;
  }

  send(from: NodeId, to: NodeId, message: Message): void {
    this.counts.sent++;
    this.#carry(from, to, message);
    if (this.#prng.chance(this.faults.duplicate)) {
      this.counts.duplicated++;
      this.#carry(from, to, message);
    }
  }

  /** Nothing passes from `from` to `to` any more, also nothing that is under way. */
  cut(from: NodeId, to: NodeId): void {
    this.#path(from, to).cut = true;
  }

  mend(from: NodeId, to: NodeId): void {
    this.#path(from, to).cut = false;
  }

  /** Everything sent on this path arrives after `until`, late but whole: what a stale coordinator's messages do. */
  hold(from: NodeId, to: NodeId, until: Millis): void {
    this.#path(from, to).heldUntil = until;
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#paths.get(from * 65_536 + to)?.cut ?? false;
  }

  mendAll(): void {
    for (const path of this.#paths.values()) {
      path.cut = false;
      path.heldUntil = 0;
      // What is held back already comes when it comes; nothing new waits for it.
      path.lastArrival = 0;
    }
  }

  #carry(from: NodeId, to: NodeId, message: Message): void {
    const path = this.#path(from, to);
    if (path.cut) return void this.counts.cut++;
    if (this.#prng.chance(this.faults.loss)) return void this.counts.lost++;
    const { delayMinMs, delayTypicalMs, inOrder } = this.faults;
    let arrival = Math.max(this.#queue.now, path.heldUntil) + delayMinMs + this.#prng.longTail(delayTypicalMs);
    if (inOrder) arrival = path.lastArrival = Math.max(arrival, path.lastArrival);
    this.#queue.at(arrival, () => {
      if (path.cut) return void this.counts.cut++;
      this.counts.delivered++;
      this.#deliver(from, to, message);
    });
  }

  #path(from: NodeId, to: NodeId): Path {
    const key = from * 65_536 + to;
    let path = this.#paths.get(key);
    if (path === undefined) this.#paths.set(key, path = { cut: false, heldUntil: 0, lastArrival: 0 });
    return path;
  }
}

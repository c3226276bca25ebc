/**
 * One direction of a network path, in virtual time and by a seed: distance, rate and queue, loss, duplicates, reordering,
 * damage, a largest datagram, and black-outs. It knows datagrams and nothing of what is in them.
 */
import type { Millis } from "../../core/ids.ts";
import type { Prng } from "../sim/prng.ts";
import type { EventQueue } from "../sim/queue.ts";

export interface Conditions {
  /** One way. */
  readonly delayMs: Millis;
  /** Bits per millisecond are kilobits per second: 10 Mbit/s is 1 250 bytes per millisecond. Infinity: no queue ever forms. */
  readonly bytesPerMs: number;
  /** Datagrams that wait for their turn; what comes on top is dropped. */
  readonly queue: number;
  readonly loss: number;
  /** Never more than so many lost in a row by `loss`. */
  readonly burstMax: number;
  readonly duplicate: number;
  /** This part comes up to `reorderMs` later, and is overtaken. */
  readonly reorder: number;
  readonly reorderMs: Millis;
  readonly corrupt: number;
  /** What is longer never comes through. */
  readonly bytesMax: number;
  /** Nothing leaves during the last `darkMs` of every `everyMs`. */
  readonly blackOut: { readonly everyMs: Millis; readonly darkMs: Millis } | null;
  /** Of the datagrams sent, counted from 1, these are lost. */
  readonly drop: readonly number[];
}

export const clear: Conditions = {
  delayMs: 15,
  bytesPerMs: 1_250,
  queue: 25,
  loss: 0,
  burstMax: Infinity,
  duplicate: 0,
  reorder: 0,
  reorderMs: 0,
  corrupt: 0,
  bytesMax: 1_472,
  blackOut: null,
  drop: [],
};

/** Of IP and UDP. */
const headerBytes = 28;

export class Path {
  readonly counts = { sent: 0, sentBytes: 0, lost: 0, overflowed: 0, tooLong: 0, corrupted: 0, duplicated: 0, arrived: 0, arrivedBytes: 0 };
  conditions: Conditions;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  #lostInARow = 0;
  /** When the datagrams that wait, and the one that is leaving, have left; in order. */
  readonly #leaving: Millis[] = [];

  constructor(queue: EventQueue, prng: Prng, conditions: Conditions) {
    this.#queue = queue;
    this.#prng = prng;
    this.conditions = conditions;
  }

  /** The bytes are the caller's again; `arrive` may be called never, once, or twice. */
  send(bytes: Uint8Array, arrive: (bytes: Uint8Array) => void): void {
    const { counts, conditions } = this;
    counts.sent++;
    counts.sentBytes += bytes.byteLength;
    if (bytes.byteLength > conditions.bytesMax) return void counts.tooLong++;
    if (this.#isLost()) return void counts.lost++;
    const left = this.#leave(bytes.byteLength + headerBytes);
    if (left === null) return void counts.overflowed++;
    const late = this.#prng.chance(conditions.reorder) ? this.#prng.range(0, conditions.reorderMs) : 0;
    const due = left + conditions.delayMs;
    const carried = this.#carried(bytes);
    this.#queue.at(due + late, () => this.#arrive(carried, arrive));
    if (!this.#prng.chance(conditions.duplicate)) return;
    counts.duplicated++;
    this.#queue.at(due + this.#prng.range(0, 10), () => this.#arrive(carried.slice(), arrive));
  }

  get dark(): boolean {
    const { blackOut } = this.conditions;
    return blackOut !== null && this.#queue.now % blackOut.everyMs >= blackOut.everyMs - blackOut.darkMs;
  }

  #isLost(): boolean {
    const { loss, burstMax, drop } = this.conditions;
    if (this.dark || drop.includes(this.counts.sent)) return true;
    const lost = this.#prng.chance(loss) && this.#lostInARow < burstMax;
    this.#lostInARow = lost ? this.#lostInARow + 1 : 0;
    return lost;
  }

  /** When the last bit has left; null if there is no room to wait. */
  #leave(bytes: number): Millis | null {
    const { now } = this.#queue;
    while (this.#leaving.length > 0 && this.#leaving[0]! <= now) this.#leaving.shift();
    if (this.#leaving.length > this.conditions.queue) return null;
    const left = Math.max(now, this.#leaving.at(-1) ?? 0) + bytes / this.conditions.bytesPerMs;
    if (left > now) this.#leaving.push(left);
    return left;
  }

  #carried(bytes: Uint8Array): Uint8Array {
    const carried = bytes.slice();
    if (carried.byteLength === 0 || !this.#prng.chance(this.conditions.corrupt)) return carried;
    this.counts.corrupted++;
    carried[this.#prng.int(carried.byteLength)]! ^= 1 << this.#prng.int(8);
    return carried;
  }

  #arrive(bytes: Uint8Array, arrive: (bytes: Uint8Array) => void): void {
    this.counts.arrived++;
    this.counts.arrivedBytes += bytes.byteLength;
    arrive(bytes);
  }
}

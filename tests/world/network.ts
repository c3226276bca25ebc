/**
 * The wires between machines as the links see them: connections that carry bytes in order. They are slow, break, go
 * silent in one direction, and hold back what a cut path was to carry until it is mended. A machine that lost its power
 * tells nobody; one whose process ended does.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { OutgoingStream, OutgoingStreamEvents } from "../../edge/runtime.ts";
import type { Prng } from "../sim/prng.ts";
import type { Buggify } from "./buggify.ts";
import { Connection } from "./connection.ts";
import { type DatagramFaults, Datagrams } from "./datagrams.ts";
import type { Loop } from "./loop.ts";
import type { Life, Machine } from "./machine.ts";
import type { Way } from "./way.ts";

export interface NetworkFaults {
  readonly delayMinMs: Millis;
  readonly delayTypicalMs: Millis;
  /** Of the pieces sent, this part has to be sent again by the transport, and everything behind it waits. */
  readonly loss: number;
  /** Per connection; for datagrams, per way. */
  readonly bytesPerMs: number;
  readonly datagrams: DatagramFaults;
}

/** A lost piece is sent again after about this long. */
const retransmitMs = 60;
export interface NetworkEvents {
  /** So many bytes have reached the other side. */
  onArrival(from: NodeId, to: NodeId, bytes: number): void;
}

export class Network {
  faults: NetworkFaults;
  readonly buggify: Buggify;
  readonly datagrams: Datagrams;
  readonly #loop: Loop;
  readonly #prng: Prng;
  readonly #events: NetworkEvents;
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #connections = new Set<Connection>();
  /** How many faults cut a path; ways through it that wait. */
  readonly #cuts = new Map<string, number>();
  readonly #extraMs = new Map<string, Millis>();
  readonly #waiting = new Map<string, Set<Way>>();

  constructor(
    options: {
      readonly loop: Loop;
      readonly prng: Prng;
      readonly faults: NetworkFaults;
      readonly machines: ReadonlyMap<NodeId, Machine>;
      readonly buggify: Buggify;
      readonly events: NetworkEvents;
    },
  ) {
    this.#loop = options.loop;
    this.#prng = options.prng;
    this.faults = options.faults;
    this.#machines = options.machines;
    this.#events = options.events;
    this.buggify = options.buggify;
    this.datagrams = new Datagrams(this, options.prng.split("datagrams"));
  }

  connect(life: Life, url: string, headers: Readonly<Record<string, string>>, events: OutgoingStreamEvents): OutgoingStream {
    const to = this.#machines.get(nodeOf(url))!;
    const connection = new Connection(this, life, to, { url, headers }, events);
    this.#connections.add(connection);
    return connection.stream;
  }

  cut(from: NodeId, to: NodeId): void {
    const path = `${from} ${to}`;
    this.#cuts.set(path, (this.#cuts.get(path) ?? 0) + 1);
  }

  mend(from: NodeId, to: NodeId): void {
    const path = `${from} ${to}`;
    const left = (this.#cuts.get(path) ?? 0) - 1;
    if (left > 0) return void this.#cuts.set(path, left);
    this.#cuts.delete(path);
    const waiting = this.#waiting.get(path);
    this.#waiting.delete(path);
    for (const way of waiting ?? []) way.goOn(this.delay(from, to));
  }

  mendAll(): void {
    this.#extraMs.clear();
    for (const path of [...this.#cuts.keys()]) {
      const [from, to] = path.split(" ").map(Number);
      while (this.#cuts.has(path)) this.mend(from!, to!);
    }
  }

  slow(from: NodeId, to: NodeId, byMs: Millis): void {
    const path = `${from} ${to}`;
    this.#extraMs.set(path, (this.#extraMs.get(path) ?? 0) + byMs);
  }

  /** Ends the connections between two machines; what was under way is lost. */
  breakBetween(a: NodeId, b: NodeId): void {
    for (const connection of [...this.#connections]) {
      if (connection.joins(a, b)) connection.reset();
    }
  }

  /** A process ended: its system says so to whoever is connected. Without power there is nobody to say it. */
  processEnded(machine: NodeId, silently: boolean): void {
    for (const connection of [...this.#connections]) {
      if (!connection.touches(machine)) continue;
      if (silently) connection.goSilent(machine);
      else connection.hangUp(machine);
    }
  }

  /** A machine is back: it knows nothing of the connections it had, and says so to whoever still sends. */
  restarted(machine: NodeId): void {
    for (const connection of [...this.#connections]) {
      if (connection.silentAt === machine) connection.hangUp(machine);
    }
  }

  /** Of one piece; draws. */
  delay(from: NodeId, to: NodeId): Millis {
    const { loss } = this.faults;
    const again = loss > 0 && this.#prng.chance(loss) ? retransmitMs + this.#prng.longTail(retransmitMs) : 0;
    return again + this.travel(this.#prng, from, to);
  }

  /** Of what is not sent again by anybody here. */
  travel(prng: Prng, from: NodeId, to: NodeId): Millis {
    const { delayMinMs, delayTypicalMs } = this.faults;
    return delayMinMs + prng.longTail(delayTypicalMs) + (this.#extraMs.get(`${from} ${to}`) ?? 0);
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cuts.has(`${from} ${to}`);
  }

  powered(node: NodeId): boolean {
    return this.#machines.get(node)?.powered ?? false;
  }

  get loop(): Loop {
    return this.#loop;
  }

  /** False: the path is cut, and the way goes on when it is mended. */
  passes(way: Way): boolean {
    const path = `${way.from} ${way.to}`;
    if (!this.#cuts.has(path)) return true;
    const waiting = this.#waiting.get(path) ?? new Set();
    this.#waiting.set(path, waiting.add(way));
    return false;
  }

  arrived(from: NodeId, to: NodeId, bytes: number): void {
    this.#events.onArrival(from, to, bytes);
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }
}

/** `http://10.0.0.7:4000/…` is node 7. */
function nodeOf(url: string): NodeId {
  return Number(/^http:\/\/10\.0\.0\.(\d+):/.exec(url)![1]);
}

export function addressOf(node: NodeId): string {
  return `10.0.0.${node}:4000`;
}

/**
 * Datagrams between machines: each for itself, and none of them promised. They get lost, one by one and in bursts, come
 * twice, late, or damaged, and vanish where the path is cut, too narrow, or has too much to carry.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Datagram, DatagramEvents, DatagramSocket } from "../../edge/runtime.ts";
import type { Prng } from "../sim/prng.ts";
import type { Life } from "./machine.ts";
import type { Network } from "./network.ts";

export interface DatagramFaults {
  readonly loss: number;
  readonly duplicate: number;
  /** Of the datagrams, this part comes so much later that others overtake it. */
  readonly late: number;
  readonly corrupt: number;
  /** What is longer than this never comes through. */
  readonly bytesMax: number;
}

export const harmless: DatagramFaults = { loss: 0, duplicate: 0, late: 0, corrupt: 0, bytesMax: 1_472 };

const lateMs = 20;
/** What a path holds back for want of room, as time; the rest is dropped. */
const queueMs = 100;
/** What a paused process finds when it goes on. */
const socketDatagrams = 200;

interface Bound {
  readonly life: Life;
  readonly host: string;
  readonly port: number;
  readonly events: DatagramEvents;
  /** Arrived while the process was paused. */
  waiting: number;
}

export class Datagrams {
  readonly #network: Network;
  readonly #prng: Prng;
  readonly #sockets = new Map<string, Bound>();
  /** By way: until when it is busy with what it has been given, and when the last of that arrives. */
  readonly #busy = new Map<string, { until: Millis; lastDue: Millis }>();

  constructor(network: Network, prng: Prng) {
    this.#network = network;
    this.#prng = prng;
  }

  open(life: Life, host: string, port: number, events: DatagramEvents): DatagramSocket {
    const address = `${host}:${port}`;
    if (this.#sockets.get(address)?.life.alive) throw new CarillonError("config", `Cannot listen on ${address}: the address is in use`);
    const bound: Bound = { life, host, port, events, waiting: 0 };
    this.#sockets.set(address, bound);
    const close = (): void => {
      if (this.#sockets.get(address) === bound) this.#sockets.delete(address);
    };
    life.onEnd(close);
    return {
      host,
      port,
      datagramBytesMax: 65_507,
      send: (datagrams) => this.#send(bound, datagrams),
      close: () => Promise.resolve(close()),
    };
  }

  #send(from: Bound, datagrams: readonly Datagram[]): void {
    // The system has room for so many of them; callers do not learn of it.
    const full = this.#network.buggify.strikes("full-socket");
    const taken = full === null ? datagrams.length : Math.floor(full * datagrams.length);
    for (const datagram of datagrams.slice(0, taken)) this.#carry(from, datagram);
  }

  #carry(from: Bound, { host, port, bytes }: Datagram): void {
    const { faults, loop: { queue } } = this.#network;
    const { loss, duplicate, late, corrupt, bytesMax } = faults.datagrams;
    const to = nodeAt(host);
    if (to === null || bytes.byteLength > bytesMax || this.#prng.chance(loss)) return;
    const way = this.#way(from.life.machine.id, to);
    const leaves = Math.max(queue.now, way.until) + bytes.byteLength / faults.bytesPerMs;
    if (leaves - queue.now > queueMs) return;
    way.until = leaves;
    const due = Math.max(leaves + this.#network.travel(this.#prng, from.life.machine.id, to), way.lastDue);
    way.lastDue = due;
    const carried = this.#prng.chance(corrupt) ? this.#damaged(bytes) : bytes.slice();
    const lateBy = this.#prng.chance(late) ? this.#prng.longTail(lateMs) : 0;
    queue.at(due + lateBy, () => this.#arrive(from, to, `${host}:${port}`, carried));
    if (this.#prng.chance(duplicate)) {
      queue.at(due + this.#prng.longTail(lateMs), () => this.#arrive(from, to, `${host}:${port}`, carried.slice()));
    }
  }

  #arrive(from: Bound, to: NodeId, address: string, bytes: Uint8Array): void {
    const sender = from.life.machine.id;
    if (this.#network.isCut(sender, to)) return;
    const socket = this.#sockets.get(address);
    if (socket === undefined) return this.#refuse(from, sender, to, address);
    const { life } = socket;
    if (life.machine.paused && ++socket.waiting > socketDatagrams) return;
    this.#network.arrived(sender, to, bytes.byteLength);
    life.now(() => {
      socket.waiting = 0;
      if (this.#sockets.get(address) === socket) socket.events.onDatagram({ host: from.host, port: from.port, bytes });
    });
  }

  /** Nobody is there: the machine says so, if it is on, and the sender's system passes that on when it feels like it. */
  #refuse(from: Bound, sender: NodeId, to: NodeId, address: string): void {
    if (!this.#network.powered(to) || this.#network.isCut(to, sender)) return;
    if (this.#network.buggify.strikes("told-refused") === null) return;
    from.life.after(this.#network.travel(this.#prng, to, sender), () => {
      if (this.#sockets.get(`${from.host}:${from.port}`) === from) from.events.onTrouble(`connection refused by ${address}`);
    });
  }

  /** A bit is wrong, or the end is missing. */
  #damaged(bytes: Uint8Array): Uint8Array {
    if (bytes.byteLength === 0 || this.#prng.chance(0.2)) return bytes.slice(0, this.#prng.int(bytes.byteLength + 1));
    const copy = bytes.slice();
    copy[this.#prng.int(copy.byteLength)]! ^= 1 << this.#prng.int(8);
    return copy;
  }

  #way(from: NodeId, to: NodeId): { until: Millis; lastDue: Millis } {
    const key = `${from} ${to}`;
    const way = this.#busy.get(key) ?? { until: 0, lastDue: 0 };
    this.#busy.set(key, way);
    return way;
  }
}

/** 10.0.0.7 is node 7; null for an address that is nobody's. */
function nodeAt(host: string): NodeId | null {
  const match = /^10\.0\.0\.(\d+)$/.exec(host);
  return match === null ? null : Number(match[1]);
}

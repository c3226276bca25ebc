/**
 * Hosts with paths between them, and what drives the sans-IO parties behind the hosts: each is given what arrives, asked for
 * what it has to send, and woken when it wants to be, a little late, as real timers are. A host may get another address now
 * and then, as behind a NAT: what is sent to the old one goes astray.
 */
import { assert } from "../../core/assert.ts";
import type { Millis } from "../../core/ids.ts";
import type { Datagram } from "../../edge/runtime.ts";
import { Prng } from "../sim/prng.ts";
import { type Event, EventQueue } from "../sim/queue.ts";
import { clear, type Conditions, Path } from "./path.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What an endpoint and a connection have in common. */
export interface Party {
  receive(bytes: Uint8Array, from: Address, now: Millis): void;
  take(now: Millis): Datagram | null;
  /** Infinity: only when something happens. */
  readonly wakeAt: Millis;
  wake(now: Millis): void;
}

/** Timers ring on a grid like this. */
const grainMs = 1;
/** Of one party in one instant: more is a party that never comes to an end. */
const turnDatagramsMax = 100_000;

export interface Host {
  readonly name: string;
  /** As others see it now. */
  address: Address;
  party: Party | null;
  /** Sees what the host sends. */
  onSend: (datagram: Datagram) => void;
  /** Sees what arrives, before the party does. */
  onArrive: (bytes: Uint8Array, from: Address) => void;
}

export class Net {
  readonly queue = new EventQueue();
  readonly prng: Prng;
  /** Datagrams sent to an address that nobody has any more, or never had. */
  astray = 0;
  readonly #hosts: Host[] = [];
  readonly #paths = new Map<string, Path>();
  readonly #alarms = new Map<Host, Event>();

  constructor(seed: number) {
    this.prng = new Prng(seed);
  }

  get now(): Millis {
    return this.queue.now;
  }

  host(name: string): Host {
    const address = { host: `10.0.0.${this.#hosts.length + 1}`, port: 4000 };
    const host: Host = { name, address, party: null, onSend: () => {}, onArrive: () => {} };
    this.#hosts.push(host);
    return host;
  }

  /** Both ways between two hosts; where nothing is said, paths are clear. */
  join(a: Host, b: Host, there: Partial<Conditions>, back: Partial<Conditions> = there): { readonly there: Path; readonly back: Path } {
    const pair = { there: this.#path(a, b), back: this.#path(b, a) };
    pair.there.conditions = { ...clear, ...there };
    pair.back.conditions = { ...clear, ...back };
    return pair;
  }

  /** From now on the host has this address. */
  rebind(host: Host, address: Partial<Address>): void {
    host.address = { ...host.address, ...address };
  }

  /** From any address, to be there at once: as who can write to the wire may do. */
  inject(bytes: Uint8Array, from: Address, to: Host): void {
    this.#arrive(to.address, bytes, from);
  }

  /** Something has been asked of the host's party: it sends what that gives, and is woken when it wants to be. */
  turn(host: Host): void {
    const { party } = host;
    if (party === null) return;
    for (let sent = 0;; sent++) {
      assert(sent < turnDatagramsMax, `Cannot go on: ${host.name} sends without end`);
      const datagram = party.take(this.now);
      if (datagram === null) break;
      this.#send(host, datagram);
    }
    this.queue.cancel(this.#alarms.get(host) ?? null);
    if (party.wakeAt === Infinity) return;
    const due = Math.max(Math.ceil(party.wakeAt / grainMs) * grainMs, this.now);
    const ring = (): void => {
      if (host.party !== party) return;
      party.wake(this.now);
      this.turn(host);
    };
    this.#alarms.set(host, this.queue.at(due, ring));
  }

  /** Goes on until `until`, or until `done` says so after an event. */
  run(until: Millis, done: () => boolean = () => false): boolean {
    for (;;) {
      if (done()) return true;
      if (this.queue.step(until)) continue;
      this.queue.now = Math.max(this.queue.now, until);
      return done();
    }
  }

  #send(from: Host, datagram: Datagram): void {
    from.onSend(datagram);
    const { address } = from;
    const to = { host: datagram.host, port: datagram.port };
    const receiver = this.#at(to);
    if (receiver === null) return void this.astray++;
    this.#path(from, receiver).send(datagram.bytes, (bytes) => this.#arrive(to, bytes, address));
  }

  #arrive(to: Address, bytes: Uint8Array, from: Address): void {
    const host = this.#at(to);
    if (host === null || host.party === null) return void this.astray++;
    host.onArrive(bytes, from);
    host.party.receive(bytes, from, this.now);
    this.turn(host);
  }

  #at({ host, port }: Address): Host | null {
    return this.#hosts.find(({ address }) => address.host === host && address.port === port) ?? null;
  }

  #path(from: Host, to: Host): Path {
    const key = `${from.name} ${to.name}`;
    const path = this.#paths.get(key) ?? new Path(this.queue, this.prng.split(key), clear);
    this.#paths.set(key, path);
    return path;
  }
}

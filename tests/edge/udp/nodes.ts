/** Endpoints of whole nodes on simulated paths, and what their tests ask of them. */
import { runtime } from "#runtime";
import { assert } from "../../../core/assert.ts";
import type { NodeId } from "../../../core/ids.ts";
import { type Identity, type KeyPair, Roster } from "../../../edge/link/identity.ts";
import type { Connection } from "../../../edge/link/udp/connection.ts";
import { Endpoint } from "../../../edge/link/udp/endpoint.ts";
import type { Cryptography, Datagram } from "../../../edge/runtime.ts";
import { Random } from "../../fuzz/random.ts";
import { type Address, type Host, Net } from "../../wire/net.ts";

export const delayMs = 15;
const text = new TextEncoder();
const startWall = 60_000_000_000_000;

export function keyPair(seed: number): KeyPair {
  const privateKey = new Random(seed).bytes(32);
  return { privateKey, publicKey: runtime.cryptography.publicKey(privateKey) };
}

export interface NodeOptions {
  readonly cluster?: string;
  readonly keys?: readonly KeyPair[];
  readonly listed?: ReadonlyMap<NodeId, readonly Uint8Array[]>;
  /** How far the wall clock is off. */
  readonly skewMicros?: number;
}

/** Nodes 1 … count, of which each lists all. */
export class Cluster {
  readonly net: Net;
  readonly keys: ReadonlyMap<NodeId, KeyPair>;
  readonly listed: ReadonlyMap<NodeId, readonly Uint8Array[]>;
  #seed: number;

  constructor(seed = 1, count = 3) {
    this.net = new Net(seed);
    this.#seed = seed * 1_000;
    this.keys = new Map(Array.from({ length: count }, (_, index) => [index + 1, keyPair(index + 1)]));
    this.listed = new Map([...this.keys].map(([node, { publicKey }]) => [node, [publicKey]]));
  }

  node(id: NodeId, options: NodeOptions = {}): Node {
    return new Node(this, this.net.host(`n${id}`), id, ++this.#seed, options);
  }

  /** Everything that is to happen in so many milliseconds. */
  pass(ms: number): void {
    this.net.run(this.net.now + ms);
  }
}

export class Node {
  readonly id: NodeId;
  readonly host: Host;
  readonly identity: Identity;
  readonly endpoint: Endpoint;
  /** What it was told, with the time. */
  readonly log: string[] = [];
  /** What came in streams. */
  readonly heard: string[] = [];
  readonly sent: Datagram[] = [];
  readonly arrived: Datagram[] = [];
  /** Secrets agreed on. */
  agreements = 0;
  readonly #cluster: Cluster;

  constructor(cluster: Cluster, host: Host, id: NodeId, seed: number, options: NodeOptions) {
    const { net, keys, listed } = cluster;
    const random = new Random(seed);
    this.id = id;
    this.host = host;
    this.#cluster = cluster;
    this.identity = {
      self: id,
      cluster: options.cluster ?? "test",
      roster: new Roster(options.listed ?? listed),
      keys: options.keys ?? [keys.get(id)!],
    };
    const cryptography: Cryptography = {
      ...runtime.cryptography,
      agree: (...pair) => {
        this.agreements++;
        return runtime.cryptography.agree(...pair);
      },
    };
    const log = (what: string): void => void this.log.push(`${Math.round(net.now)} ${what}`);
    this.endpoint = new Endpoint({
      identity: this.identity,
      cryptography,
      random: (bytes) => {
        assert(bytes % 4 === 0, `Cannot make ${bytes} random bytes: machines give them by four`);
        return random.bytes(bytes);
      },
      now: () => net.now,
      wall: () => startWall + Math.floor(net.now * 1_000) + (options.skewMicros ?? 0),
      datagramBytesMax: 1_472,
      events: {
        onConnected: (peer) => {
          log(`connected ${peer}`);
          return {
            onStream: (_, bytes) => this.heard.push(new TextDecoder().decode(bytes)),
            onDatagram: (bytes) => this.heard.push(`datagram ${new TextDecoder().decode(bytes)}`),
            onWritable: () => {},
          };
        },
        onClosed: (peer, reason) => log(`closed ${peer}: ${reason}`),
        onNotice: (sentence) => log(`notice ${sentence}`),
      },
    });
    const { endpoint } = this;
    host.onSend = (datagram) => this.sent.push({ ...datagram, bytes: datagram.bytes.slice() });
    host.onArrive = (bytes, from) => this.arrived.push({ ...from, bytes: bytes.slice() });
    host.party = {
      receive: (bytes, from, now) => endpoint.receive({ ...from, bytes }, now),
      take: (now) => endpoint.take(now),
      get wakeAt() {
        return endpoint.wakeAt;
      },
      wake: (now) => endpoint.wake(now),
    };
  }

  get address(): Address {
    return this.host.address;
  }

  connection(peer: Node): Connection | null {
    return this.endpoint.connectionOf(peer.id);
  }

  connect(peer: Node): void {
    this.endpoint.connect(peer.id, peer.address, this.#cluster.net.now);
    this.#cluster.net.turn(this.host);
  }

  /** It has dialled the peer, and will try again later. */
  knows(peer: Node): void {
    this.endpoint.connect(peer.id, peer.address, this.#cluster.net.now);
    this.endpoint.disconnect(peer.id);
  }

  say(peer: Node, what: string): void {
    this.connection(peer)!.write(0, text.encode(what));
    this.#cluster.net.turn(this.host);
  }

  /** Without a word to anybody, and again from nothing: the address and the keys are what is left. */
  restart(options: NodeOptions = {}): Node {
    return new Node(this.#cluster, this.host, this.id, this.sent.length + this.id * 7_919, options);
  }

  /** What it sends in answer to a datagram from there, and only to that. */
  answers(bytes: Uint8Array, from: Address): readonly Uint8Array[] {
    const { now } = this.#cluster.net;
    this.endpoint.receive({ ...from, bytes }, now);
    const answers: Uint8Array[] = [];
    for (let next = this.endpoint.take(now); next !== null; next = this.endpoint.take(now)) {
      if (next.host === from.host && next.port === from.port) answers.push(next.bytes);
    }
    return answers;
  }
}

/** The bytes of a datagram that looks like `bytes`, with one byte changed. */
export function altered(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 0x55;
  return copy;
}

/** Nodes of a cluster as their endpoints are: each with a key the others list, on hosts of a simulated network. */
import { runtime } from "#runtime";
import type { Millis, NodeId } from "../../core/ids.ts";
import { type KeyPair, Roster } from "../../edge/link/identity.ts";
import type { Connection } from "../../edge/link/udp/connection.ts";
import { Endpoint } from "../../edge/link/udp/endpoint.ts";
import type { Datagram } from "../../edge/runtime.ts";
import type { Prng } from "../sim/prng.ts";
import type { Address, Host, Net, Party } from "./net.ts";

const { cryptography } = runtime;
/** What clocks of nodes say when a net begins. */
const wallAtBeginning = 60_000_000_000_000;
/** How long whoever wants a connection waits before it tries again. */
const againMs = 50;

/** Keys of nodes by number, the same for all who are listed. */
export class Cluster {
  readonly roster: Roster;
  readonly name: string;
  readonly #keys = new Map<NodeId, KeyPair>();

  constructor(prng: Prng, nodes: readonly NodeId[], name = "wire") {
    this.name = name;
    for (const node of nodes) this.#keys.set(node, keyPair(prng.split(`key ${node}`)));
    this.roster = new Roster(new Map([...this.#keys].map(([node, { publicKey }]) => [node, [publicKey]])));
  }

  keyOf(node: NodeId): KeyPair {
    return this.#keys.get(node)!;
  }
}

export function keyPair(prng: Prng): KeyPair {
  const privateKey = Uint8Array.from({ length: 32 }, () => prng.int(256));
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
}

export class Node implements Party {
  readonly self: NodeId;
  readonly host: Host;
  endpoint: Endpoint;
  /** Bytes of streams that have come, by peer. */
  readonly received = new Map<NodeId, number>();
  /** Connections there have been. */
  connected = 0;
  onConnected: (peer: NodeId, connection: Connection) => void = () => {};
  readonly #net: Net;
  readonly #cluster: Cluster;
  readonly #keys: readonly KeyPair[];
  /** Peers to be connected to, for as long as there is no connection. */
  readonly #wanted = new Map<NodeId, Address>();
  #lives = 0;
  /** What its clock says besides the time of the net. */
  #wallMs = 0;

  constructor(net: Net, host: Host, cluster: Cluster, self: NodeId) {
    this.#net = net;
    this.#cluster = cluster;
    this.#keys = [cluster.keyOf(self)];
    this.self = self;
    this.host = host;
    this.endpoint = this.#begin();
    host.party = this;
  }

  /** Everything this node knew of its connections is gone, and its clock says this much less. */
  restart(clockBackMs: Millis = 0): void {
    this.#wallMs -= clockBackMs;
    this.endpoint = this.#begin();
    for (const peer of this.#wanted.keys()) this.#connect(peer);
  }

  connect(peer: NodeId, address: Address): void {
    this.#wanted.set(peer, address);
    this.#connect(peer);
  }

  write(peer: NodeId, stream: number, bytes: Uint8Array): void {
    this.endpoint.connectionOf(peer)?.write(stream, bytes);
    this.#net.turn(this.host);
  }

  receive(bytes: Uint8Array, { host, port }: Address, now: Millis): void {
    this.endpoint.receive({ host, port, bytes }, now);
  }

  take(now: Millis): Datagram | null {
    return this.endpoint.take(now);
  }

  get wakeAt(): Millis {
    return this.endpoint.wakeAt;
  }

  wake(now: Millis): void {
    this.endpoint.wake(now);
  }

  #connect(peer: NodeId): void {
    this.endpoint.connect(peer, this.#wanted.get(peer)!, this.#net.now);
    this.#net.turn(this.host);
  }

  #begin(): Endpoint {
    const prng = this.#net.prng.split(`node ${this.self} life ${++this.#lives} at ${this.host.name}`);
    const endpoint: Endpoint = new Endpoint({
      identity: { self: this.self, cluster: this.#cluster.name, roster: this.#cluster.roster, keys: this.#keys },
      cryptography,
      random: (bytes) => Uint8Array.from({ length: bytes }, () => prng.int(256)),
      now: () => this.#net.now,
      wall: () => wallAtBeginning + Math.round((this.#wallMs + this.#net.now) * 1_000),
      datagramBytesMax: 1_472,
      events: {
        onConnected: (peer, connection) => {
          this.connected++;
          this.onConnected(peer, connection);
          return {
            onStream: (_stream, bytes) => this.received.set(peer, (this.received.get(peer) ?? 0) + bytes.byteLength),
            onDatagram: () => {},
            onWritable: () => {},
          };
        },
        onClosed: (peer) => {
          if (!this.#wanted.has(peer)) return;
          this.#net.queue.after(againMs, () => {
            if (this.endpoint === endpoint && endpoint.connectionOf(peer) === null) this.#connect(peer);
          });
        },
        onNotice: () => {},
      },
    });
    return endpoint;
  }
}

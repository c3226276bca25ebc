/** Two connections with real packets, one virtual path each way, and users that write and check what comes. */
import { createHash } from "node:crypto";
import { runtime } from "#runtime";
import { Connection, type ConnectionEvents } from "../../../edge/link/udp/connection.ts";
import { Packets } from "../../../edge/link/udp/packet.ts";
import type { PacketProtection } from "../../../edge/link/udp/protection.ts";
import type { TraceEvent } from "../../../edge/link/udp/trace.ts";
import type { Prng } from "../../sim/prng.ts";
import { type Host, Net } from "../../wire/net.ts";
import type { Conditions, Path } from "../../wire/path.ts";

const there = new Uint8Array(32).fill(1);
const back = new Uint8Array(32).fill(2);
const idA = new Uint8Array(8).fill(0xa0);
const idB = new Uint8Array(8).fill(0xb0);

/** Both ends of packet protection under the same keys. */
export function protections(): { readonly a: PacketProtection; readonly b: PacketProtection } {
  const { cryptography } = runtime;
  return {
    a: new Packets(cryptography, { send: there, receive: back }, idB),
    b: new Packets(cryptography, { send: back, receive: there }, idA),
  };
}

export interface PairOptions {
  readonly seed: number;
  readonly there?: Partial<Conditions>;
  readonly back?: Partial<Conditions>;
  readonly mtuMax?: number;
  readonly trace?: (event: TraceEvent) => void;
}

export class End {
  readonly host: Host;
  readonly connection: Connection;
  readonly protection: PacketProtection;
  readonly datagrams: Uint8Array[] = [];
  readonly closed: { readonly reason: string; readonly byPeer: boolean }[] = [];
  receivedBytes = 0;
  /** To be sent, of all streams. */
  askedBytes = 0;
  readonly #net: Net;
  readonly #prng: Prng;
  readonly #received = new Map<number, { readonly hash: ReturnType<typeof createHash>; bytes: number }>();
  readonly #written = new Map<number, { readonly hash: ReturnType<typeof createHash>; bytes: number; left: number }>();

  constructor(net: Net, host: Host, peer: Host, role: "initiator" | "responder", protection: PacketProtection, options: PairOptions) {
    this.#net = net;
    this.host = host;
    this.protection = protection;
    this.#prng = net.prng.split(role);
    const events: ConnectionEvents = {
      onStream: (stream, bytes) => {
        const received = this.#received.get(stream) ?? { hash: createHash("sha256"), bytes: 0 };
        this.#received.set(stream, received);
        received.hash.update(bytes);
        received.bytes += bytes.byteLength;
        this.receivedBytes += bytes.byteLength;
      },
      onDatagram: (bytes) => void this.datagrams.push(bytes),
      onWritable: (stream) => this.#pour(stream),
      onClosed: (reason, byPeer) => void this.closed.push({ reason, byPeer }),
    };
    const { random, mtuMax = 1_452, trace } = { random: () => this.#prng.next() >>> 0, ...options };
    this.connection = new Connection({
      role,
      protection,
      address: peer.address,
      validated: role === "initiator",
      mtuMax,
      random,
      now: net.now,
      events,
      ...(role === "initiator" ? { trace } : {}),
    });
    host.party = this.connection;
  }

  /** Writes random bytes, as fast as the connection takes them. */
  send(stream: number, bytes: number): void {
    const written = this.#written.get(stream) ?? { hash: createHash("sha256"), bytes: 0, left: 0 };
    this.#written.set(stream, written);
    const idle = written.left === 0;
    written.left += bytes;
    this.askedBytes += bytes;
    if (idle) this.#pour(stream);
    this.turn();
  }

  turn(): void {
    this.#net.turn(this.host);
  }

  /** Bytes and hashes of each stream. */
  get written(): readonly string[] {
    return digests(this.#written);
  }

  get received(): readonly string[] {
    return digests(this.#received);
  }

  #pour(stream: number): void {
    const written = this.#written.get(stream)!;
    while (written.left > 0) {
      const bytes = new Uint8Array(Math.min(written.left, 1 + this.#prng.int(60_000)));
      for (let at = 0; at < bytes.length; at += 97) bytes[at] = this.#prng.next();
      written.left -= bytes.length;
      written.bytes += bytes.length;
      written.hash.update(bytes);
      if (!this.connection.write(stream, bytes)) return;
    }
  }
}

function digests(streams: ReadonlyMap<number, { readonly hash: ReturnType<typeof createHash>; readonly bytes: number }>): string[] {
  return [...streams].sort(([a], [b]) => a - b).map(([stream, { hash, bytes }]) => `${stream} ${bytes} ${hash.copy().digest("hex")}`);
}

export class Pair {
  readonly net: Net;
  readonly a: End;
  readonly b: End;
  readonly paths: { readonly there: Path; readonly back: Path };

  constructor(options: PairOptions) {
    this.net = new Net(options.seed);
    const a = this.net.host("a");
    const b = this.net.host("b");
    this.paths = this.net.join(a, b, options.there ?? {}, options.back ?? options.there ?? {});
    const ends = protections();
    this.a = new End(this.net, a, b, "initiator", ends.a, options);
    this.b = new End(this.net, b, a, "responder", ends.b, options);
    this.a.turn();
  }

  /** Until all that was written has come, both ways. */
  finish(until: number): boolean {
    return this.net.run(until, () => this.b.receivedBytes >= this.a.askedBytes && this.a.receivedBytes >= this.b.askedBytes);
  }
}

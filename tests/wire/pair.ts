/** Two ends of one connection across a path, as they are once a handshake has given them keys. */
import { runtime } from "#runtime";
import type { Millis } from "../../core/ids.ts";
import type { Datagram } from "../../edge/runtime.ts";
import type { Congestion } from "../../edge/link/udp/congestion.ts";
import { Connection } from "../../edge/link/udp/connection.ts";
import { Packets } from "../../edge/link/udp/packet.ts";
import type { Prng } from "../sim/prng.ts";
import type { Address, Host, Net, Party } from "./net.ts";
import type { Conditions, Path } from "./path.ts";

const { cryptography } = runtime;

export class End implements Party {
  readonly host: Host;
  readonly connection: Connection;
  readonly protection: Packets;
  onStream: (stream: number, bytes: Uint8Array) => void = () => {};
  onDatagram: (bytes: Uint8Array) => void = () => {};
  onWritable: (stream: number) => void = () => {};
  closed: { readonly reason: string; readonly byPeer: boolean } | null = null;

  constructor(
    host: Host,
    options: {
      readonly role: "initiator" | "responder";
      readonly protection: Packets;
      readonly address: Address;
      readonly mtuMax: number;
      readonly prng: Prng;
      readonly now: Millis;
      readonly congestion?: NewCongestion;
    },
  ) {
    const { role, protection, address, mtuMax, prng, now, congestion } = options;
    this.host = host;
    this.protection = protection;
    this.connection = new Connection({
      role,
      protection,
      address,
      validated: true,
      mtuMax,
      random: () => prng.next(),
      now,
      ...(congestion === undefined ? {} : { congestion }),
      events: {
        onStream: (stream, bytes) => this.onStream(stream, bytes),
        onDatagram: (bytes) => this.onDatagram(bytes),
        onWritable: (stream) => this.onWritable(stream),
        onClosed: (reason, byPeer) => {
          this.closed = { reason, byPeer };
        },
      },
    });
    host.party = this;
  }

  receive(bytes: Uint8Array, from: Address, now: Millis): void {
    this.connection.receive(bytes, from, now);
  }

  take(now: Millis): Datagram | null {
    return this.connection.take(now);
  }

  get wakeAt(): Millis {
    return this.connection.wakeAt;
  }

  wake(now: Millis): void {
    this.connection.wake(now);
  }
}

export interface Pair {
  readonly net: Net;
  readonly a: End;
  readonly b: End;
  readonly there: Path;
  readonly back: Path;
}

type NewCongestion = (packetBytes: number) => Congestion;

export function pair(net: Net, there: Partial<Conditions>, back: Partial<Conditions> = there, congestion?: NewCongestion): Pair {
  const [left, right] = [net.host("a"), net.host("b")];
  const paths = net.join(left, right, there, back);
  const secret = (name: string): Uint8Array => {
    const prng = net.prng.split(name);
    return Uint8Array.from({ length: 32 }, () => prng.int(256));
  };
  const [one, other] = [secret("there"), secret("back")];
  const end = (host: Host, peer: Host, role: "initiator" | "responder", send: Uint8Array, receive: Uint8Array): End =>
    new End(host, {
      role,
      protection: new Packets(cryptography, { send, receive }, secret(`id ${role}`).slice(0, 8)),
      address: peer.address,
      mtuMax: 1_452,
      prng: net.prng.split(`random ${role}`),
      now: net.now,
      ...(congestion === undefined ? {} : { congestion }),
    });
  const a = end(left, right, "initiator", one, other);
  const b = end(right, left, "responder", other, one);
  return { net, a, b, ...paths };
}

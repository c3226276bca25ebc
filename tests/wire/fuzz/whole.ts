/** The parsers in their places: what a connection makes of any frames its peer may send, and an endpoint of any datagram. */
import { runtime } from "#runtime";
import { Roster } from "../../../edge/link/identity.ts";
import { Connection } from "../../../edge/link/udp/connection.ts";
import { Endpoint } from "../../../edge/link/udp/endpoint.ts";
import { macBytes } from "../../../edge/link/udp/messages.ts";
import { Packets } from "../../../edge/link/udp/packet.ts";
import type { Random } from "../../fuzz/random.ts";
import { framesTarget } from "./frames.ts";
import type { Target } from "./target.ts";

const { cryptography } = runtime;
const here = { host: "10.0.0.1", port: 1 };
const there = { host: "10.0.0.2", port: 2 };
/** For one packet that came: path, acknowledgement, credit, and what is sent again. */
const answersMax = 64;

/** Frames after decryption: the connection goes on, or ends; it never throws, and never answers without end. */
export function connectionTarget(random: Random): Target {
  const frames = framesTarget();
  const begin = () => {
    const [one, other, id] = [random.bytes(32), random.bytes(32), random.bytes(8)];
    const peer = new Packets(cryptography, { send: one, receive: other }, id);
    const connection = new Connection({
      role: "responder",
      protection: new Packets(cryptography, { send: other, receive: one }, id),
      address: there,
      validated: true,
      mtuMax: 1_452,
      random: () => random.u32(),
      now: 0,
      events: { onStream: () => {}, onDatagram: () => {}, onWritable: () => {}, onClosed: () => {} },
    });
    for (const stream of [0, 2, 3]) connection.write(stream, new Uint8Array(5_000));
    return { peer, connection, next: 0, now: 0 };
  };
  let state = begin();
  return {
    name: "connection",
    cost: 10,
    keyed: false,
    make: (own) => frames.make(own),
    check: (payload) => {
      if (payload.byteLength > 1_400) return false;
      if (state.connection.closed !== null || state.next > 5_000) state = begin();
      const { connection, peer } = state;
      state.now += 2;
      connection.receive(peer.seal(state.next++, payload), random.chance(0.95) ? there : here, state.now);
      if (connection.wakeAt <= state.now) connection.wake(state.now);
      for (let answers = 0; connection.take(state.now) !== null; answers++) {
        if (answers === answersMax) throw new Error(`it sends more than ${answersMax} packets for one`);
      }
      if (Number.isNaN(connection.wakeAt)) throw new Error("it cannot say when to wake it");
      return connection.closed === null;
    },
  };
}

/** Without the second MAC, which nobody looks at when there is no load. */
function toldIn(init: Uint8Array): string {
  return Buffer.from(init.subarray(0, -macBytes)).toString("hex");
}

/** Datagrams of strangers: only a handshake that a member wrote is answered, with less than it has. */
export function endpointTarget(random: Random): Target {
  const keys = [1, 2].map((node) => {
    const privateKey = random.bytes(32);
    return [node, { privateKey, publicKey: cryptography.publicKey(privateKey) }] as const;
  });
  const roster = new Roster(new Map(keys.map(([node, { publicKey }]) => [node, [publicKey]])));
  let now = 0;
  const endpointOf = (self: number): Endpoint =>
    new Endpoint({
      identity: { self, cluster: "fuzz", roster, keys: [keys[self - 1]![1]] },
      cryptography,
      random: (bytes) => random.bytes(bytes),
      now: () => now,
      wall: () => 1_000_000 + now * 1_000,
      datagramBytesMax: 1_472,
      events: {
        onConnected: () => ({ onStream: () => {}, onDatagram: () => {}, onWritable: () => {} }),
        onClosed: () => {},
        onNotice: () => {},
      },
    });
  const node = endpointOf(2);
  const written = new Set<string>();
  return {
    name: "endpoint",
    cost: 50,
    keyed: true,
    make: () => {
      const member = endpointOf(1);
      member.connect(2, there, now);
      const { bytes } = member.take(now)!;
      written.add(toldIn(bytes));
      return bytes;
    },
    check: (bytes) => {
      // The next one finds nothing of the last used up.
      now += 1_000;
      node.wake(now);
      node.receive({ ...here, bytes }, now);
      const reply = node.take(now);
      if (node.size.connections > 0) throw new Error("it has made a connection of it");
      if (reply === null) return false;
      if (reply.bytes.byteLength >= bytes.byteLength) throw new Error("it answers with as much as it got");
      if (node.take(now) !== null) throw new Error("it answers more than once");
      const isReset = (bytes[0]! & 0x80) === 0;
      if (!isReset && !written.has(toldIn(bytes))) throw new Error("it answers what nobody wrote");
      return true;
    },
  };
}

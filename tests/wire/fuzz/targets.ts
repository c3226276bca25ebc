/** The parsers that strangers and peers can reach, each with valid inputs and what must hold of an input that is accepted. */
import { runtime } from "#runtime";
import type { KeyPair } from "../../../edge/link/identity.ts";
import { Handshake } from "../../../edge/link/noise/handshake.ts";
import { Packets } from "../../../edge/link/udp/packet.ts";
import type { Random } from "../../fuzz/random.ts";
import { framesTarget } from "./frames.ts";
import type { Target } from "./target.ts";
import { connectionTarget, endpointTarget } from "./whole.ts";

const { cryptography } = runtime;
const packetsMax = 20_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function keyPair(random: Random): KeyPair {
  const privateKey = random.bytes(32);
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
}

/** Before decryption: only what the peer has sealed is opened, and only once. */
export function packetTarget(random: Random): Target {
  const id = random.bytes(8);
  const begin = () => {
    const [one, other] = [random.bytes(32), random.bytes(32)];
    const peer = new Packets(cryptography, { send: one, receive: other }, id);
    const us = new Packets(cryptography, { send: other, receive: one }, id);
    return { peer, us, next: 0, sealed: new Set<string>() };
  };
  let connection = begin();
  return {
    name: "packet",
    cost: 2,
    keyed: true,
    make: (own) => {
      // What has been sealed is remembered, and must not be for ever.
      if (connection.next === packetsMax) connection = begin();
      const packet = connection.peer.seal(connection.next++, own.bytes(own.below(60)));
      connection.sealed.add(hex(packet));
      return packet;
    },
    check: (bytes) => {
      const { us, sealed } = connection;
      const opened = us.open(bytes);
      if (opened === null) return false;
      if (!sealed.delete(hex(bytes))) throw new Error("opened what was never sealed, or a second time");
      if (opened.payload.byteLength + us.overheadBytes !== bytes.byteLength) throw new Error("the payload has another length");
      return true;
    },
  };
}

/** The first message of a handshake: read only if the initiator wrote it, byte for byte. */
export function handshakeTarget(random: Random): Target {
  const [initiator, responder] = [keyPair(random), keyPair(random)];
  const prologue = random.bytes(20);
  const written = new Map<string, string>();
  const begin = (role: "initiator" | "responder", own: Random): Handshake =>
    new Handshake({
      cryptography,
      role,
      prologue,
      own: role === "initiator" ? initiator : responder,
      ephemeral: own.bytes(32),
      ...(role === "initiator" ? { remote: responder.publicKey } : {}),
    });
  return {
    name: "handshake",
    cost: 100,
    keyed: true,
    make: (own) => {
      const payload = own.bytes(own.below(40));
      const message = begin("initiator", own).write(payload)!;
      if (written.size < 1_000) written.set(hex(message), hex(payload));
      return message;
    },
    check: (bytes) => {
      const payload = begin("responder", random).read(bytes);
      if (payload === null) return false;
      const expected = written.get(hex(bytes));
      if (expected === undefined ? written.size < 1_000 : expected !== hex(payload)) throw new Error("read what nobody wrote");
      return true;
    },
  };
}

export const targets: readonly ((random: Random) => Target)[] = [
  framesTarget,
  packetTarget,
  handshakeTarget,
  connectionTarget,
  endpointTarget,
];

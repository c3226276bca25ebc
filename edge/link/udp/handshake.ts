/**
 * What two nodes tell each other in a handshake, and what they have when it is done. Both messages are Noise IK; what they
 * take for granted alike is in the prologue, what they tell is sealed in the payloads.
 */
import type { Micros, Millis, NodeId } from "../../../core/ids.ts";
import { DecodeError, Reader, Writer } from "../../codec/bytes.ts";
import type { Cryptography } from "../../runtime.ts";
import { holds, type Identity, ownKeys } from "../identity.ts";
import type { Keys } from "../noise/handshake.ts";
import type { Address } from "./paths.ts";
import { connectionIdBytes } from "./keys.ts";
import { initBytes, initOverheadBytes, macBytes, protocolVersion } from "./messages.ts";

export const instanceBytes = 8;
export const resetTokenBytes = 16;
/** An ephemeral key, a sealed key, and the tag of the payload. */
const noiseOverheadBytes: number = 32 + (32 + 16) + 16;
/** What the payload of an INIT is filled up to: all of a packet of the smallest size is used, and all of it is sealed. */
const initPayloadBytes: number = initBytes - initOverheadBytes - noiseOverheadBytes;
/** No datagram that carries a connection is smaller. */
const datagramBytesMin = 1_200;

/** What each side says of itself. */
interface Side {
  /** Of its process, random: tells a node that has started again from one that has not. */
  readonly instance: Uint8Array;
  /** Ends a datagram that tells the other side that this one has forgotten the connection. */
  readonly resetToken: Uint8Array;
  /** The longest datagram it can receive. */
  readonly datagramBytesMax: number;
}

export interface InitPayload extends Side {
  /** Rises with every INIT of a key: one that does not is a replay. */
  readonly timestamp: Micros;
  /** The timestamp of the responder's own newest INIT that made a connection; 0 for none. What is newer crosses this one. */
  readonly seen: Micros;
  /** The response is authenticated with it. */
  readonly responseKey: Uint8Array;
}

export interface ResponsePayload extends Side {
  readonly connectionId: Uint8Array;
}

/** A handshake that is done on one side. */
export interface Agreement {
  readonly peer: NodeId;
  /** The public keys it rests on. */
  readonly own: Uint8Array;
  readonly remote: Uint8Array;
  readonly role: "initiator" | "responder";
  readonly keys: Keys;
  readonly address: Address;
  /** A round trip took no longer; Infinity for the responder, who does not know. */
  readonly tripMs: Millis;
  readonly connectionId: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  /** What the peer said of itself. */
  readonly side: Side;
  /** Of the INIT, whoever sent it. */
  readonly timestamp: Micros;
  readonly seen: Micros;
}

/** False once a key that it rests on is not to be used any more. */
export function stands({ peer, role, own, remote }: Agreement, identity: Identity): boolean {
  return identity.roster.nodeOf(remote) === peer && holds(role === "initiator" ? ownKeys(identity) : identity.keys, own);
}

/**
 * `from` is the initiator, and so is whose connection id it is: INIT says both in the open, and whoever knows the responder's public key could
 * else say something different on the way, be agreed with, and have the INIT itself taken for a replay.
 */
export function prologue(cluster: string, from: NodeId, to: NodeId, connectionId: Uint8Array): Uint8Array {
  const writer = new Writer(64);
  writer.utf8("carillon udp");
  writer.u8(protocolVersion);
  writer.utf8(cluster);
  writer.u16(from);
  writer.u16(to);
  writer.bytes(connectionId);
  return writer.copy();
}

export function encodeInit(payload: InitPayload): Uint8Array {
  const writer = new Writer(initPayloadBytes);
  writer.u53(payload.timestamp);
  writer.u53(payload.seen);
  writer.bytes(payload.responseKey);
  writeSide(writer, payload);
  writer.skip(initPayloadBytes - writer.length);
  return writer.copy();
}

/** Null for what is none. What follows what is known here is left to later versions. */
export function decodeInit(bytes: Uint8Array): InitPayload | null {
  return decoded(bytes, (reader) => {
    const [timestamp, seen, responseKey] = [reader.u53(), reader.u53(), reader.bytes(macBytes)];
    return { timestamp, seen, responseKey, ...readSide(reader) };
  });
}

export function encodeResponse(payload: ResponsePayload): Uint8Array {
  const writer = new Writer(64);
  writer.bytes(payload.connectionId);
  writeSide(writer, payload);
  return writer.copy();
}

export function decodeResponse(bytes: Uint8Array): ResponsePayload | null {
  return decoded(bytes, (reader) => ({ connectionId: reader.bytes(connectionIdBytes), ...readSide(reader) }));
}

/**
 * Whether a connection takes the place of the one its two nodes have. Both of them must say the same, each when it comes to
 * know of it: else each would wait for the other on another one.
 */
export function replaces(self: NodeId, next: Agreement, current: Agreement, { sameBytes }: Cryptography): boolean {
  // A peer that has started again knows nothing of the current one.
  if (!sameBytes(next.side.instance, current.side.instance)) return true;
  if (next.role === current.role) return next.timestamp > current.timestamp;
  // Begun by one after it had, and had given up, the other: it is the newer.
  if (next.seen >= current.timestamp) return true;
  // They crossed: the lower node's stays.
  return (self < next.peer) === (next.role === "initiator");
}

function writeSide(writer: Writer, { instance, resetToken, datagramBytesMax }: Side): void {
  writer.bytes(instance);
  writer.bytes(resetToken);
  writer.u16(Math.min(datagramBytesMax, 0xffff));
}

function readSide(reader: Reader): Side {
  const [instance, resetToken] = [reader.bytes(instanceBytes), reader.bytes(resetTokenBytes)];
  return { instance, resetToken, datagramBytesMax: Math.max(datagramBytesMin, reader.u16()) };
}

function decoded<Payload>(bytes: Uint8Array, read: (reader: Reader) => Payload): Payload | null {
  try {
    return read(new Reader(bytes));
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

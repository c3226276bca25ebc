/**
 * Resets: how a node that has started again tells its peers that it has forgotten their connections. One looks like a packet
 * and ends with a token that only the node itself could make and only the peer knows, so that nobody else can end a connection.
 */
import type { Cryptography } from "../../runtime.ts";
import { joined } from "../noise/symmetric.ts";
import { resetTokenBytes } from "./handshake.ts";
import { connectionIdBytes } from "./keys.ts";

const resetBytesMax = 40;
const resetBytesMin: number = 1 + connectionIdBytes + resetTokenBytes;

export class Resets {
  readonly #cryptography: Cryptography;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #secret: Uint8Array;

  /** The node's key outlives its process: tokens are the same before and after. */
  constructor(cryptography: Cryptography, random: (bytes: number) => Uint8Array, privateKey: Uint8Array) {
    this.#cryptography = cryptography;
    this.#random = random;
    this.#secret = cryptography.hmacSha256(privateKey, new TextEncoder().encode("carillon udp reset"));
  }

  /** Of a connection with this id of ours. */
  token(connectionId: Uint8Array): Uint8Array {
    return this.#cryptography.hmacSha256(this.#secret, connectionId).slice(0, resetTokenBytes);
  }

  /** What a packet with an id that says nothing to us is answered with; shorter, so that two nodes cannot go on for ever. */
  answer(packet: Uint8Array, connectionId: Uint8Array): Uint8Array | null {
    const length = Math.min(resetBytesMax, packet.byteLength - 1);
    if (length < resetBytesMin) return null;
    const noise = this.#random(resetBytesMax - resetTokenBytes).slice(0, length - resetTokenBytes);
    noise[0] = noise[0]! & 0x3f | 0x40;
    return joined(noise, this.token(connectionId));
  }

  /** Whether a packet tells that a connection with this token is forgotten. */
  ends(packet: Uint8Array, token: Uint8Array): boolean {
    return packet.byteLength >= resetBytesMin && this.#cryptography.sameBytes(packet.subarray(-resetTokenBytes), token);
  }
}

/**
 * A connection we begin: INIT, sent again until there is an answer. While keys are being replaced only one pair of old and new
 * may do: all are tried in turn, each with a handshake of its own, and the first answer decides.
 */
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { Cryptography, Datagram } from "../../runtime.ts";
import { type Identity, type KeyPair, ownKeys } from "../identity.ts";
import { Handshake } from "../noise/handshake.ts";
import type { Address } from "./paths.ts";
import { type Agreement, decodeResponse, encodeInit, type InitPayload, prologue } from "./handshake.ts";
import { connectionIdBytes } from "./keys.ts";
import { type HandshakeMessage, hasResponseMac, macBytes, macKey, readCookie, withCookie, writeInit } from "./messages.ts";

export const attemptMs = 10_000;
const resendFirstMs = 100;
const resendLastMs = 500;
/** INITs with one pair of keys before the next is tried. */
const sendsPerPair = 3;
/** Cookies that one INIT is sent again for at once; whoever asks for more has to wait. */
const cookiesMax = 4;
const yieldMs = 1_000;

export interface AttemptOptions {
  readonly identity: Identity;
  readonly cryptography: Cryptography;
  readonly random: (bytes: number) => Uint8Array;
  readonly peer: NodeId;
  readonly address: Address;
  readonly now: Millis;
  /** What an INIT says of us, with a timestamp of its own each time. */
  readonly say: (connectionId: Uint8Array) => Omit<InitPayload, "responseKey">;
}

interface Pair {
  readonly own: KeyPair;
  readonly remote: Uint8Array;
}

/** One handshake with one pair of keys. */
interface Try extends Pair {
  readonly macKey: Uint8Array;
  readonly handshake: Handshake;
  readonly connectionId: Uint8Array;
  readonly payload: InitPayload;
  readonly begunAt: Millis;
  bytes: Uint8Array;
  cookies: number;
  /** A response has been read, well or badly: it is of no use any more. */
  spent: boolean;
}

export class Attempt {
  readonly peer: NodeId;
  readonly address: Address;
  readonly #options: AttemptOptions;
  readonly #pairs: readonly Pair[];
  /** For each of the pairs, once its turn has come. */
  readonly #tries: (Try | null)[] = [];
  readonly #until: Millis;
  #sends = 0;
  #nextAt: Millis;
  /** No answer is taken before. */
  #yieldUntil: Millis = Number.NEGATIVE_INFINITY;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.address = options.address;
    const theirs = options.identity.roster.keysOf(options.peer);
    this.#pairs = ownKeys(options.identity).flatMap((own) => theirs.map((remote) => ({ own, remote })));
    this.#nextAt = options.now;
    this.#until = this.#pairs.length === 0 ? options.now : options.now + attemptMs;
  }

  /** Why nothing has come of it; null while something may. */
  failure(now: Millis): string | null {
    if (this.#pairs.length === 0) return "no key is listed for it";
    return now < this.#until ? null : `no answer within ${attemptMs} ms`;
  }

  get wakeAt(): Millis {
    return Math.min(this.#nextAt, this.#until);
  }

  /** Whether it is one of our INITs that is answered. */
  asks(connectionId: Uint8Array): boolean {
    return this.#find(connectionId) !== null;
  }

  /** The peer's own attempt is on its way and comes first. Ours goes on if nothing has become of that. */
  yield(now: Millis): void {
    this.#yieldUntil = now + yieldMs;
    this.#nextAt = Math.max(this.#nextAt, this.#yieldUntil);
  }

  take(now: Millis): Datagram | null {
    if (now < this.#nextAt || this.failure(now) !== null) return null;
    const index = Math.floor(this.#sends / sendsPerPair) % this.#pairs.length;
    if (this.#tries[index] === undefined) this.#tries[index] = this.#begin(this.#pairs[index]!, now);
    this.#nextAt = now + Math.min(resendLastMs, resendFirstMs * 2 ** this.#sends);
    this.#sends++;
    const made = this.#tries[index];
    return made === null || made === undefined ? null : { ...this.address, bytes: made.bytes };
  }

  /** The INIT is sent again at once, with the cookie. */
  onCookie(message: HandshakeMessage & { kind: "cookie" }, now: Millis): void {
    const { cryptography } = this.#options;
    const asked = this.#find(message.connectionId);
    if (asked === null || asked.cookies >= cookiesMax) return;
    const macAt = asked.bytes.byteLength - 2 * macBytes;
    const cookie = readCookie(cryptography, asked.macKey, asked.bytes.subarray(macAt, macAt + macBytes), message);
    if (cookie === null) return;
    asked.cookies++;
    asked.bytes = withCookie(cryptography, asked.bytes, cookie);
    this.#nextAt = now;
  }

  /** Null for what is no answer to us. */
  onResponse(message: HandshakeMessage & { kind: "response" }, now: Millis): Agreement | null {
    const asked = this.#find(message.connectionId);
    if (asked === null || asked.spent || now < this.#yieldUntil) return null;
    if (!hasResponseMac(this.#options.cryptography, asked.payload.responseKey, message.bytes)) return null;
    asked.spent = true;
    const said = asked.handshake.read(message.noise);
    const response = said === null ? null : decodeResponse(said);
    if (response === null) return null;
    return {
      peer: this.peer,
      own: asked.own.publicKey,
      remote: asked.remote,
      role: "initiator",
      keys: asked.handshake.split(),
      // Where INIT was received, whatever it is that the answer seems to come from.
      address: this.address,
      tripMs: now - asked.begunAt,
      connectionId: asked.connectionId,
      peerConnectionId: response.connectionId,
      side: response,
      timestamp: asked.payload.timestamp,
      seen: asked.payload.seen,
    };
  }

  #find(connectionId: Uint8Array): Try | null {
    const { sameBytes } = this.#options.cryptography;
    return this.#tries.find((made) => made !== null && sameBytes(made.connectionId, connectionId)) ?? null;
  }

  /** Null for a key that no node can have. */
  #begin({ own, remote }: Pair, now: Millis): Try | null {
    const { identity, cryptography, random, say } = this.#options;
    const connectionId = random(connectionIdBytes);
    const handshake = new Handshake({
      cryptography,
      role: "initiator",
      prologue: prologue(identity.cluster, identity.self, this.peer, connectionId),
      own,
      ephemeral: random(32),
      remote,
    });
    const payload: InitPayload = { ...say(connectionId), responseKey: random(macBytes) };
    const noise = handshake.write(encodeInit(payload));
    const key = macKey(cryptography, remote);
    if (noise === null) return null;
    const bytes = writeInit(cryptography, key, { connectionId, from: identity.self, noise });
    return { own, remote, macKey: key, handshake, connectionId, payload, begunAt: now, bytes, cookies: 0, spent: false };
  }
}

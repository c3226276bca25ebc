/**
 * Connections that peers begin: what an INIT is answered with. The cheapest refusals come first, and nothing is kept but for
 * members. What has been agreed waits here until the peer shows, with a first packet, that it has the keys as well: an INIT
 * that somebody recorded gets no further.
 */
import type { Micros, Millis } from "../../../core/ids.ts";
import type { Cryptography } from "../../runtime.ts";
import { type Identity, type KeyPair, keyText } from "../identity.ts";
import { Handshake } from "../noise/handshake.ts";
import { sameAddress } from "./address.ts";
import { Cookies } from "./cookies.ts";
import type { Counts } from "./counts.ts";
import { type Agreement, decodeInit, encodeResponse, prologue, type ResponsePayload } from "./handshake.ts";
import type { Limits } from "./limits.ts";
import { type HandshakeMessage, hasFirstMac, macKey, protocolVersion, writeCookie, writeResponse, writeVersion } from "./messages.ts";
import { Packets } from "./packet.ts";
import type { Address } from "./paths.ts";

type Init = HandshakeMessage & { kind: "init" };

export const confirmWithinMs = 10_000;
/** Handshakes of one peer that wait: one for each of its keys that it might be trying, and more than it needs. */
const waitingPerPeerMax = 3;
const cookieNonceBytes = 16;

export interface ResponderOptions {
  readonly identity: Identity;
  readonly cryptography: Cryptography;
  readonly random: (bytes: number) => Uint8Array;
  readonly now: Millis;
  readonly limits: Limits;
  readonly counts: Counts;
  /** A new connection of ours, and what we say of it. */
  readonly say: () => ResponsePayload;
  readonly onNotice: (sentence: string) => void;
}

/** Agreed, but not shown by the peer. */
export interface Waiting {
  readonly agreement: Agreement;
  readonly protection: Packets;
  /** Of the INIT; it is answered the same when it comes again. */
  readonly mac1: Uint8Array;
  readonly response: Uint8Array;
  readonly until: Millis;
}

export interface Answer {
  readonly bytes: Uint8Array;
  /** Set for a handshake that is new. */
  readonly agreement?: Agreement;
}

export class Responder {
  readonly #options: ResponderOptions;
  readonly #cookies: Cookies;
  /** For each key we hold, which may change: what INITs to it are authenticated with. */
  readonly #macKeys = new WeakMap<Uint8Array, Uint8Array>();
  /** The newest timestamp of each key, in this life of the node. */
  readonly #newest = new Map<string, Micros>();
  /** Oldest first. */
  #waiting: readonly Waiting[] = [];

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#cookies = new Cookies(options.cryptography, options.random, options.now);
  }

  get size(): number {
    return this.#waiting.length;
  }

  get wakeAt(): Millis {
    return this.#waiting[0]?.until ?? Number.POSITIVE_INFINITY;
  }

  /** What goes back to where the INIT came from; null for nothing. */
  answer(init: Init, from: Address, now: Millis): Answer | null {
    const { identity, cryptography, limits, counts } = this.#options;
    const held = identity.keys.find(({ publicKey }) => hasFirstMac(cryptography, this.#macKey(publicKey), init.bytes));
    if (held === undefined) {
      counts.datagramsIgnored++;
      return null;
    }
    if (init.version !== protocolVersion) {
      this.#tell(
        `Cannot speak version ${init.version} of the UDP link with ${from.host}: this node speaks version ${protocolVersion}`,
        now,
      );
      return this.#withoutState(from, now, () => writeVersion(init.connectionId));
    }
    const known = this.#waiting.find(({ mac1 }) => cryptography.sameBytes(mac1, init.mac1));
    if (known !== undefined) return sameAddress(known.agreement.address, from) ? { bytes: known.response } : this.#refuse();
    if (limits.isLoaded(now) && !this.#cookies.accepts(init.bytes, from, now)) {
      const cookie = this.#cookies.issue(from, now);
      const nonce = this.#options.random(cookieNonceBytes);
      return this.#withoutState(from, now, () => writeCookie(cryptography, this.#macKey(held.publicKey), init, { nonce, cookie }));
    }
    const isPeer = init.from !== identity.self && identity.roster.keysOf(init.from).length > 0;
    if (!isPeer || !limits.mayAgree(from, now)) return this.#refuse();
    return this.#agree(init, held, from, now) ?? this.#refuse();
  }

  find(connectionId: Uint8Array): Waiting | null {
    const { sameBytes } = this.#options.cryptography;
    return this.#waiting.find(({ agreement }) => sameBytes(agreement.connectionId, connectionId)) ?? null;
  }

  /** It has been shown, and makes what the peer began before needless. */
  confirmed({ peer, timestamp }: Agreement): void {
    this.drop(({ agreement }) => agreement.peer === peer && agreement.timestamp <= timestamp);
  }

  drop(which: (waiting: Waiting) => boolean): void {
    this.#waiting = this.#waiting.filter((waiting) => !which(waiting));
  }

  #withoutState(from: Address, now: Millis, write: () => Uint8Array): Answer | null {
    const { limits, counts } = this.#options;
    if (!limits.mayReply(from, now)) return this.#refuse();
    counts.replies++;
    return { bytes: write() };
  }

  #tell(sentence: string, now: Millis): void {
    if (this.#options.limits.mayTell(now)) this.#options.onNotice(sentence);
  }

  #refuse(): null {
    this.#options.counts.handshakesRefused++;
    return null;
  }

  #agree(init: Init, own: KeyPair, from: Address, now: Millis): Answer | null {
    const { identity, cryptography, random, limits, counts, say } = this.#options;
    const { roster, cluster, self } = identity;
    let isKnown = false;
    const handshake = new Handshake({
      cryptography,
      role: "responder",
      prologue: prologue(cluster, init.from, self, init.connectionId),
      own,
      ephemeral: random(32),
      knows: (key) => isKnown = roster.nodeOf(key) === init.from,
    });
    counts.agreements++;
    const said = handshake.read(init.noise);
    const { remote } = handshake;
    if (said === null || remote === null) {
      // Who has our key and cannot speak to us: the two may have been told different things.
      if (!isKnown) {
        this.#tell(`Cannot accept a link from ${from.host}: its key or its cluster is not that of node ${init.from} here`, now);
      }
      return null;
    }
    const payload = decodeInit(said);
    const name = keyText(remote);
    if (payload === null || payload.timestamp <= (this.#newest.get(name) ?? -1)) return null;
    // Asked only now: what somebody recorded must not use up what the peer may do.
    if (!limits.mayAgreeWith(init.from, now)) return null;
    this.#newest.set(name, payload.timestamp);
    const response = say();
    const noise = handshake.write(encodeResponse(response));
    if (noise === null) return null;
    const agreement: Agreement = {
      peer: init.from,
      own: own.publicKey,
      remote,
      role: "responder",
      keys: handshake.split(),
      address: from,
      tripMs: Number.POSITIVE_INFINITY,
      connectionId: response.connectionId,
      peerConnectionId: init.connectionId.slice(),
      side: payload,
      timestamp: payload.timestamp,
      seen: payload.seen,
    };
    const bytes = writeResponse(cryptography, payload.responseKey, init.connectionId, noise);
    this.#keep({
      agreement,
      protection: new Packets(cryptography, agreement.keys, agreement.peerConnectionId),
      mac1: init.mac1.slice(),
      response: bytes,
      until: now + confirmWithinMs,
    });
    return { bytes, agreement };
  }

  #macKey(publicKey: Uint8Array): Uint8Array {
    const known = this.#macKeys.get(publicKey) ?? macKey(this.#options.cryptography, publicKey);
    this.#macKeys.set(publicKey, known);
    return known;
  }

  #keep(waiting: Waiting): void {
    const { peer } = waiting.agreement;
    const oldest = this.#waiting.filter(({ agreement }) => agreement.peer === peer).at(-waitingPerPeerMax);
    this.#waiting = [...this.#waiting.filter((other) => other !== oldest), waiting];
  }
}

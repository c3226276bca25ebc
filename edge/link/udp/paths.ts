/**
 * Where the peer is: RFC 9000 section 9. A new address is believed only after it has answered a challenge; until then the old one is
 * kept, and the new one gets at most three times what it sent.
 */
import type { Millis } from "../../../core/ids.ts";
import type { PathToken } from "./frames.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

const triesMax = 3;
const amplification = 3;
/** Between two challenges of different addresses. */
const pauseMs = 200;

interface Candidate {
  readonly address: Address;
  readonly token: PathToken;
  receivedBytes: number;
  sentBytes: number;
  tries: number;
}

export class Paths {
  address: Address;
  /** False until the first packet of the connection has come from there: nothing is sent to an address that somebody else may own. */
  validated: boolean;
  /** When the challenge is due; Infinity without one. */
  challengeAt: Millis = Infinity;
  #candidate: Candidate | null = null;
  #startedAt: Millis = -Infinity;
  /** The newest challenge of the peer, and where it came from. */
  #answer: { readonly to: Address; readonly token: PathToken } | null = null;
  readonly #random: () => number;

  constructor(address: Address, validated: boolean, random: () => number) {
    this.address = address;
    this.validated = validated;
    this.#random = random;
  }

  /** A packet of the peer came from there; only the newest one says where it is now. */
  heard(from: Address, bytes: number, newest: boolean, now: Millis): void {
    if (same(from, this.address)) {
      this.validated = true;
      return;
    }
    const candidate = this.#candidate;
    if (candidate !== null && same(from, candidate.address)) {
      candidate.receivedBytes += bytes;
      return;
    }
    if (!newest || candidate !== null || now < this.#startedAt + pauseMs) return;
    this.#startedAt = now;
    this.#candidate = {
      address: from,
      token: { a: this.#random(), b: this.#random() },
      receivedBytes: bytes,
      sentBytes: 0,
      tries: 0,
    };
    this.challengeAt = now;
  }

  challenged(token: PathToken, from: Address): void {
    this.#answer = { to: from, token };
  }

  /** An answer of so many bytes to the peer's challenge, if one is owed. No longer than the packet that asked for it. */
  takeAnswer(bytes: number): { readonly to: Address; readonly token: PathToken } | null {
    const answer = this.#answer;
    this.#answer = null;
    // What goes to an address that is not proved counts, whatever it is.
    if (answer !== null && this.#candidate !== null && same(answer.to, this.#candidate.address)) this.#candidate.sentBytes += bytes;
    return answer;
  }

  get owesAnswer(): boolean {
    return this.#answer !== null;
  }

  /** The challenge, if it is due and `bytes` may go there. */
  takeChallenge(bytes: number, retryMs: Millis, now: Millis): { readonly to: Address; readonly token: PathToken } | null {
    const candidate = this.#candidate;
    if (candidate === null || now < this.challengeAt) return null;
    if (candidate.tries === triesMax) {
      this.#forget();
      return null;
    }
    this.challengeAt = now + retryMs * 2 ** candidate.tries;
    candidate.tries += 1;
    if (candidate.sentBytes + bytes > candidate.receivedBytes * amplification) return null;
    candidate.sentBytes += bytes;
    return { to: candidate.address, token: candidate.token };
  }

  /** Null for an answer to no challenge of ours; else whether the new path is another host's (a port alone is a router's whim). */
  answered(token: PathToken): { readonly otherHost: boolean } | null {
    const candidate = this.#candidate;
    if (candidate === null || token.a !== candidate.token.a || token.b !== candidate.token.b) return null;
    const otherHost = candidate.address.host !== this.address.host;
    this.address = candidate.address;
    this.#forget();
    return { otherHost };
  }

  #forget(): void {
    this.#candidate = null;
    this.challengeAt = Infinity;
  }
}

function same(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}

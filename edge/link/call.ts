/**
 * How a stream begins: a Noise handshake in the headers of its request and of the answer. Both sides then know whom they talk to,
 * and have keys for what follows that nobody else has. What the stream claims to be is bound into the handshake, and so is the word
 * the receiver wants it to begin with (nonces.ts).
 */
import type { NodeId } from "../../core/ids.ts";
import type { Runtime } from "../runtime.ts";
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import { holds, type Identity, type KeyPair, keyText, ownKeys } from "./identity.ts";
import type { Lane } from "./link.ts";
import { randomBytes } from "./node_key.ts";
import { Handshake, type Keys } from "./noise/handshake.ts";
import { Sealer } from "./records.ts";

export const headerNames = {
  from: "carillon-from",
  lane: "carillon-lane",
  nonce: "carillon-nonce",
  handshake: "carillon-handshake",
} as const;

/** What a stream says of itself. */
export interface Claim {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly lane: Lane;
}

const nothing: Uint8Array = new Uint8Array(0);
/** Message 1 has 96 bytes; nobody needs a longer one read. */
const messageTextMax = 200;

/** The initiator's side of one stream after another in one lane. */
export class Caller {
  readonly url: string;
  readonly #runtime: Runtime;
  readonly #identity: Identity;
  readonly #claim: Claim;
  /** Our key and theirs in the latest attempt; null before the first. */
  #pair: { readonly own: KeyPair; readonly remote: Uint8Array } | null = null;
  #handshake: Handshake | null = null;
  #refusals = 0;

  constructor(runtime: Runtime, identity: Identity, call: { readonly to: NodeId; readonly lane: Lane; readonly url: string }) {
    this.#runtime = runtime;
    this.#identity = identity;
    this.#claim = { from: identity.self, to: call.to, lane: call.lane };
    this.url = call.url;
  }

  /** To ask for a nonce (`null`), or to begin with one. Null while no key of the peer's is listed. */
  headers(nonce: string | null): Readonly<Record<string, string>> | null {
    const { cryptography, entropy } = this.#runtime;
    const { from, to, lane } = this.#claim;
    const own = ownKeys(this.#identity);
    const theirs = this.#identity.roster.keysOf(to);
    if (theirs.length === 0) return null;
    const said = { [headerNames.from]: String(from), [headerNames.lane]: String(lane), "content-type": "application/octet-stream" };
    if (nonce === null) return said;
    // While keys are being replaced only one pair of old and new may do.
    const nth = this.#refusals % (own.length * theirs.length);
    const pair = { own: own[Math.floor(nth / theirs.length)]!, remote: theirs[nth % theirs.length]! };
    this.#pair = pair;
    this.#handshake = new Handshake({
      cryptography,
      role: "initiator",
      prologue: prologue(this.#identity, this.#claim, nonce),
      ephemeral: randomBytes(32, entropy),
      ...pair,
    });
    const message = this.#handshake.write(nothing);
    return message === null ? null : { ...said, [headerNames.nonce]: nonce, [headerNames.handshake]: toBase64Url(message) };
  }

  /** Whoever answered 200: how to talk to it, if it is the peer; else null. */
  accept(header: (name: string) => string | null): Sealer | null {
    const message = fromBase64Url(header(headerNames.handshake) ?? "");
    const handshake = this.#handshake;
    this.#handshake = null;
    if (message === null || handshake === null || handshake.read(message) === null) return null;
    return new Sealer(this.#runtime.cryptography, handshake.split().send);
  }

  /** The peer did not know our key, or did not have the one we meant: the next attempt is made with others, if there are any. */
  refused(): void {
    this.#refusals++;
  }

  /** False once a key that the latest attempt rests on is not to be used any more. */
  get stands(): boolean {
    if (this.#pair === null) return true;
    const { own, remote } = this.#pair;
    return holds(ownKeys(this.#identity), own.publicKey) && this.#identity.roster.nodeOf(remote) === this.#claim.to;
  }
}

/** A stream whose sender proved to be who it says, as far as one message can: a message may have been kept back by somebody. */
export interface Answered {
  readonly own: KeyPair;
  readonly remote: Uint8Array;
  readonly keys: Keys;
  readonly headers: Readonly<Record<string, string>>;
}

/** The responder's side. What is refused comes with a sentence for our operator, and nothing for the sender. */
export function answerCall(
  { runtime, identity }: { readonly runtime: Runtime; readonly identity: Identity },
  claim: Claim,
  { nonce, message }: { readonly nonce: string; readonly message: string },
): Answered | { readonly refusal: string } {
  const bytes = message.length > messageTextMax ? null : fromBase64Url(message);
  if (bytes === null) return { refusal: "its handshake is garbled" };
  let stranger: Uint8Array | null = null;
  for (const own of identity.keys) {
    const handshake = new Handshake({
      cryptography: runtime.cryptography,
      role: "responder",
      prologue: prologue(identity, claim, nonce),
      own,
      ephemeral: randomBytes(32, runtime.entropy),
      knows: (publicKey) => {
        if (identity.roster.nodeOf(publicKey) === claim.from) return true;
        stranger = publicKey;
        return false;
      },
    });
    if (handshake.read(bytes) === null) {
      if (stranger !== null) break;
      continue;
    }
    const answer = handshake.write(nothing);
    if (answer === null) break;
    return { own, remote: handshake.remote!, keys: handshake.split(), headers: { [headerNames.handshake]: toBase64Url(answer) } };
  }
  return {
    refusal: stranger === null
      ? "it means another node, a key we do not have, or another cluster"
      : `its key ${keyText(stranger)} is not listed for it`,
  };
}

/** Names have no spaces (parseTopology), so the parts cannot run into each other. */
function prologue({ cluster }: Identity, { from, to, lane }: Claim, nonce: string): Uint8Array {
  return new TextEncoder().encode(`carillon link http2 1 ${cluster} ${from} ${to} ${lane} ${nonce}`);
}

/**
 * First contact: a Noise handshake between a token and whatever key the other node is known by, in which both say their lasting
 * keys. A code in front shows that the sender knows the cluster's file, so that strangers make nobody compute a key agreement.
 *
 * One message of an initiator proves too little: who has stolen the *responder's* key could make it up. So a greeting is answered
 * with a word, sealed for whoever has the token, and counts when it comes again with it. Nothing is kept for the word meanwhile.
 */
import type { NodeId } from "../../../core/ids.ts";
import type { Cryptography } from "../../runtime.ts";
import { fromBase64Url, toBase64Url } from "../base64url.ts";
import type { KeyPair } from "../identity.ts";
import { Handshake } from "../noise/handshake.ts";
import { joined } from "../noise/symmetric.ts";

export const joinPath = "/link/v1/join";
/** Status of an answer to a greeting that is to come again, with the word that is in the answer. */
export const again = 202;

const keyBytes = 32;
const codeBytes = 16;
const wordBytes = 16;
const messageBytes = 96 + keyBytes + wordBytes;
/** Of a greeting that comes for the first time. */
const noWord: Uint8Array = new Uint8Array(wordBytes);
const text: TextEncoder = new TextEncoder();

/** Who greets whom. */
export interface Greeting {
  readonly cluster: string;
  readonly from: NodeId;
  readonly to: NodeId;
}

export interface GreeterOptions {
  readonly cryptography: Cryptography;
  readonly greeting: Greeting;
  readonly token: KeyPair;
  /** The key that the other is known by, or the public key of its token. */
  readonly remote: Uint8Array;
  /** Ours, for the other to know. */
  readonly lasting: Uint8Array;
  /** From the answer before; null in the first greeting. */
  readonly word: Uint8Array | null;
  readonly ephemeral: Uint8Array;
}

/** What the answer to a greeting says. */
export interface Heard {
  readonly key: Uint8Array;
  readonly word: Uint8Array;
}

/** The side that joins. */
export class Greeter {
  /** What goes in the request; null for a remote key that no honest node has. */
  readonly said: string | null;
  readonly #handshake: Handshake;

  constructor({ cryptography, greeting, token, remote, lasting, word, ephemeral }: GreeterOptions) {
    this.#handshake = new Handshake({ cryptography, role: "initiator", prologue: prologue(greeting), own: token, ephemeral, remote });
    const message = this.#handshake.write(joined(lasting, word ?? noWord));
    this.said = message === null ? null : toBase64Url(joined(codeOf(cryptography, message, token.publicKey, remote), message));
  }

  /** Null if whoever answered is not the other. Once. */
  hear(answer: string): Heard | null {
    const message = fromBase64Url(answer);
    return heardIn(message === null ? null : this.#handshake.read(message));
  }
}

/** What arrived, cut in two; null for what is no greeting, whatever it is. */
export function parseGreeting(said: string): { readonly code: Uint8Array; readonly message: Uint8Array } | null {
  if (said.length !== Math.ceil((codeBytes + messageBytes) * 4 / 3)) return null;
  const bytes = fromBase64Url(said);
  return bytes === null ? null : { code: bytes.subarray(0, codeBytes), message: bytes.subarray(codeBytes) };
}

/** Which of our keys the greeting means; null for one that was made without knowing one of them and the token's. A few hashes. */
export function keyMeant(
  cryptography: Cryptography,
  { code, message }: { readonly code: Uint8Array; readonly message: Uint8Array },
  token: Uint8Array,
  own: readonly KeyPair[],
): KeyPair | null {
  return own.find(({ publicKey }) => cryptography.sameBytes(codeOf(cryptography, message, token, publicKey), code)) ?? null;
}

/** The side that is greeted: the other's lasting key, and what to answer. Null unless it seems to be the token that greets. */
export function answerGreeting(
  { cryptography, greeting, own, token, lasting, wordFor, ephemeral }: {
    readonly cryptography: Cryptography;
    readonly greeting: Greeting;
    readonly own: KeyPair;
    readonly token: Uint8Array;
    readonly lasting: Uint8Array;
    /** The same for the same key, and for nobody else to guess. */
    readonly wordFor: (key: Uint8Array) => Uint8Array;
    readonly ephemeral: Uint8Array;
  },
  message: Uint8Array,
): { readonly key: Uint8Array; readonly isProved: boolean; readonly answer: string } | null {
  const knows = (key: Uint8Array): boolean => cryptography.sameBytes(key, token);
  const handshake = new Handshake({ cryptography, role: "responder", prologue: prologue(greeting), own, ephemeral, knows });
  const heard = heardIn(handshake.read(message));
  if (heard === null) return null;
  const word = wordFor(heard.key).subarray(0, wordBytes);
  const answer = handshake.write(joined(lasting, word));
  return answer === null ? null : { key: heard.key, isProved: cryptography.sameBytes(heard.word, word), answer: toBase64Url(answer) };
}

/** Both messages say the same two things. */
function heardIn(payload: Uint8Array | null): Heard | null {
  if (payload?.byteLength !== keyBytes + wordBytes) return null;
  return { key: payload.slice(0, keyBytes), word: payload.slice(keyBytes) };
}

/** Names have no spaces (parseTopology), so the parts cannot run into each other. */
function prologue({ cluster, from, to }: Greeting): Uint8Array {
  return text.encode(`carillon join 1 ${cluster} ${from} ${to}`);
}

function codeOf({ sha256, hmacSha256 }: Cryptography, message: Uint8Array, token: Uint8Array, remote: Uint8Array): Uint8Array {
  return hmacSha256(sha256(joined(text.encode("carillon join 1 code"), token, remote)), message).subarray(0, codeBytes);
}

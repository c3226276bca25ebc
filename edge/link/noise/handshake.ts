/**
 * The Noise handshake nodes use (revision 34 of the specification): `IK`, with 25519, AESGCM and SHA256. The initiator knows
 * the responder's key; two messages. Pure: randomness is the caller's.
 */
import { assert } from "../../../core/assert.ts";
import type { Cryptography } from "../../runtime.ts";
import type { KeyPair } from "../identity.ts";
import { tagBytes } from "./cipher.ts";
import { joined, Symmetric } from "./symmetric.ts";

/** One's own key of this handshake, one's own lasting key, and the four secrets that keys of both sides make. */
type Token = "e" | "s" | "ee" | "es" | "se" | "ss";

const messages: readonly (readonly Token[])[] = [["e", "es", "s", "ss"], ["e", "ee", "se"]];
const keyBytes = 32;
export const handshakeBytesMax = 65_535;

export interface HandshakeOptions {
  readonly cryptography: Cryptography;
  readonly role: "initiator" | "responder";
  /** What both sides must take for granted alike; a handshake fails between sides that do not. */
  readonly prologue: Uint8Array;
  readonly own: KeyPair;
  /** A private key of 32 random bytes, for this handshake and no other. */
  readonly ephemeral: Uint8Array;
  /** The responder's lasting key; for an initiator, and nobody else. */
  readonly remote?: Uint8Array;
  /** Asked as soon as the other's lasting key is known, before anything costly is done for it; no is a failure. */
  readonly knows?: (publicKey: Uint8Array) => boolean;
}

/** What a finished handshake leaves: a key for each direction, and a hash that only these two sides of this handshake have. */
export interface Keys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
  readonly hash: Uint8Array;
}

/** Sides take turns to `write` and `read`. After a failure, told by null, it is of no use any more. */
export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #symmetric: Symmetric;
  readonly #ephemeral: KeyPair;
  #remote: Uint8Array | null;
  #remoteEphemeral: Uint8Array | null = null;
  /** Messages behind us; the initiator writes those with an even number. */
  #turn = 0;
  #failed = false;

  constructor(options: HandshakeOptions) {
    const { cryptography, role, prologue, own, ephemeral, remote } = options;
    const isTold = role === "initiator";
    assert(
      (remote !== undefined) === isTold,
      `Cannot begin as ${role}: the other's key is ${isTold ? "needed" : "not to be told"}`,
    );
    this.#options = options;
    this.#remote = remote ?? null;
    this.#ephemeral = { privateKey: ephemeral, publicKey: cryptography.publicKey(ephemeral) };
    this.#symmetric = new Symmetric(cryptography, "Noise_IK_25519_AESGCM_SHA256");
    this.#symmetric.mixHash(prologue);
    this.#symmetric.mixHash(remote ?? own.publicKey);
  }

  /** The other's lasting key once it has been told; its possession is proved with the last message we read. */
  get remote(): Uint8Array | null {
    return this.#remote;
  }

  get isDone(): boolean {
    return this.#turn === messages.length;
  }

  /** The next message with `payload` inside; null if the other's keys are none that an honest side has. */
  write(payload: Uint8Array): Uint8Array | null {
    const parts: Uint8Array[] = [];
    for (const token of this.#begin("initiator")) {
      if (token === "e") parts.push(this.#sayEphemeral());
      else if (token === "s") parts.push(this.#symmetric.sealAndHash(this.#options.own.publicKey));
      else if (!this.#agree(token)) return this.#fail();
    }
    parts.push(this.#symmetric.sealAndHash(payload));
    const message = joined(...parts);
    assert(message.byteLength <= handshakeBytesMax, `Cannot say ${payload.byteLength} bytes in a handshake: the message is too long`);
    return message;
  }

  /** The payload; null for a message that is damaged, forged, of another conversation or from somebody we do not know. */
  read(message: Uint8Array): Uint8Array | null {
    let at = 0;
    const tokens = this.#begin("responder");
    if (message.byteLength > handshakeBytesMax) return this.#fail();
    for (const token of tokens) {
      if (token === "e" || token === "s") {
        const length = keyBytes + (token === "s" ? tagBytes : 0);
        if (message.byteLength - at < length) return this.#fail();
        const said = message.subarray(at, at += length);
        if (!(token === "e" ? this.#hearEphemeral(said) : this.#hearStatic(said))) return this.#fail();
      } else if (!this.#agree(token)) return this.#fail();
    }
    return this.#symmetric.openAndHash(message.subarray(at)) ?? this.#fail();
  }

  /** Once it is done. */
  split(): Keys {
    assert(this.isDone && !this.#failed, "Cannot split: the handshake is not done");
    const [first, second] = this.#symmetric.split();
    const hash = this.#symmetric.hash;
    return this.#options.role === "initiator" ? { send: first, receive: second, hash } : { send: second, receive: first, hash };
  }

  /** `even`: who says the messages with an even number if it is our turn to do this. */
  #begin(even: "initiator" | "responder"): readonly Token[] {
    assert(!this.#failed && !this.isDone, "Cannot go on: the handshake has failed or is done");
    assert((this.#turn % 2 === 0) === (this.#options.role === even), "Cannot go on: it is the other side's turn");
    return messages[this.#turn++]!;
  }

  #fail(): null {
    this.#failed = true;
    return null;
  }

  #sayEphemeral(): Uint8Array {
    this.#symmetric.mixHash(this.#ephemeral.publicKey);
    return this.#ephemeral.publicKey;
  }

  #hearEphemeral(said: Uint8Array): boolean {
    this.#remoteEphemeral = said.slice();
    this.#symmetric.mixHash(said);
    return true;
  }

  #hearStatic(said: Uint8Array): boolean {
    this.#remote = this.#symmetric.openAndHash(said);
    return this.#remote !== null && (this.#options.knows?.(this.#remote) ?? true);
  }

  /** The token's first letter is the initiator's key, its second the responder's. */
  #agree(token: "ee" | "es" | "se" | "ss"): boolean {
    const { cryptography, role, own } = this.#options;
    const [ours, theirs] = role === "initiator" ? [token[0], token[1]] : [token[1], token[0]];
    const secret = cryptography.agree(
      (ours === "e" ? this.#ephemeral : own).privateKey,
      (theirs === "e" ? this.#remoteEphemeral : this.#remote)!,
    );
    if (secret !== null) this.#symmetric.mixKey(secret);
    return secret !== null;
  }
}

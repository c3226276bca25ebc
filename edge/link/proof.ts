/**
 * Proof of the cluster secret without showing it: the server hands out a nonce, the client answers with
 * a keyed hash over the nonce and everything the stream claims to be. The server keeps nothing for a
 * nonce it hands out (anybody may ask for them); only spent ones are remembered, until they expire.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Runtime } from "../runtime.ts";
import type { Lane } from "./link.ts";

/** What a stream says of itself; all of it is under the proof. */
export interface Claim {
  readonly cluster: string;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly lane: Lane;
}

/** Characters of a cluster secret: one that can be guessed is none. */
export const secretLengthMin = 16;
export const nonceLifeMs = 10_000;
/** Streams opened within a nonce's life; far above what a cluster needs. */
const spentMax = 4_096;
const macHex = 32;

const text: TextEncoder = new TextEncoder();

export class Secret {
  readonly #runtime: Runtime;
  readonly #key: Uint8Array;

  constructor(runtime: Runtime, secret: string) {
    this.#runtime = runtime;
    this.#key = text.encode(secret);
  }

  proof(claim: Claim, nonce: string): string {
    // Names have no spaces (parseTopology), so the parts cannot run into each other.
    const said = `carillon link 1 ${claim.cluster} ${claim.from} ${claim.to} ${claim.lane} ${nonce}`;
    return hex(this.#runtime.hmacSha256(this.#key, text.encode(said)));
  }

  proves(claim: Claim, nonce: string, proof: string): boolean {
    return this.#runtime.sameBytes(text.encode(this.proof(claim, nonce)), text.encode(proof));
  }
}

export class Nonces {
  readonly #runtime: Runtime;
  readonly #key: Uint8Array;
  /** Nonce → when it would have expired anyway; in the order they were spent. */
  readonly #spent = new Map<string, Millis>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#key = new Uint8Array(Uint32Array.from({ length: 8 }, () => runtime.entropy()).buffer);
  }

  issue(): string {
    const expires = Math.ceil(this.#now() + nonceLifeMs).toString(16).padStart(14, "0");
    const random = Array.from({ length: 4 }, () => this.#runtime.entropy().toString(16).padStart(8, "0")).join("");
    return this.#signed(expires + random);
  }

  /** True once per nonce, within its life. To be asked after the proof, so that only peers make us remember anything. */
  spend(nonce: string): boolean {
    if (!/^[0-9a-f]{78}$/.test(nonce)) return false;
    if (!this.#runtime.sameBytes(text.encode(this.#signed(nonce.slice(0, -macHex))), text.encode(nonce))) return false;
    const now = this.#now();
    const expires = parseInt(nonce.slice(0, 14), 16);
    this.#forget(now);
    if (expires < now || this.#spent.has(nonce) || this.#spent.size >= spentMax) return false;
    this.#spent.set(nonce, expires);
    return true;
  }

  #signed(body: string): string {
    return body + hex(this.#runtime.hmacSha256(this.#key, text.encode(body))).slice(0, macHex);
  }

  #forget(now: Millis): void {
    for (const [nonce, expires] of this.#spent) {
      if (expires < now) this.#spent.delete(nonce);
    }
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

function hex(bytes: Uint8Array): string {
  let digits = "";
  for (const byte of bytes) digits += byte.toString(16).padStart(2, "0");
  return digits;
}

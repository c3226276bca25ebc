/**
 * Words to begin a stream with, each good once and for a while: a request that is played again begins with one that is spent.
 * Nothing is kept for a word that is handed out (anybody may ask for them); only spent ones are remembered, until they expire.
 */
import type { Millis } from "../../core/ids.ts";
import type { Runtime } from "../runtime.ts";

export const nonceLifeMs = 10_000;
/** Streams opened within a nonce's life; far above what a cluster needs. */
const spentMax = 4_096;
const macHex = 32;

const text: TextEncoder = new TextEncoder();

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

  /** Ours, not expired and not spent. Cheap: to be asked before anything that is not. */
  isGood(nonce: string): boolean {
    if (!/^[0-9a-f]{78}$/.test(nonce)) return false;
    if (!this.#runtime.cryptography.sameBytes(text.encode(this.#signed(nonce.slice(0, -macHex))), text.encode(nonce))) return false;
    this.#forget();
    return expiry(nonce) >= this.#now() && !this.#spent.has(nonce) && this.#spent.size < spentMax;
  }

  /** One that is good. Only for a peer that has proved to be one, so that nobody else makes us remember anything. */
  spend(nonce: string): void {
    this.#spent.set(nonce, expiry(nonce));
  }

  #signed(body: string): string {
    return body + hex(this.#runtime.cryptography.hmacSha256(this.#key, text.encode(body))).slice(0, macHex);
  }

  #forget(): void {
    const now = this.#now();
    for (const [nonce, expires] of this.#spent) {
      if (expires >= now) return;
      this.#spent.delete(nonce);
    }
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

function expiry(nonce: string): Millis {
  return parseInt(nonce.slice(0, 14), 16);
}

function hex(bytes: Uint8Array): string {
  let digits = "";
  for (const byte of bytes) digits += byte.toString(16).padStart(2, "0");
  return digits;
}

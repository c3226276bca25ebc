/**
 * Cookies show that somebody receives what is sent to their address. They are made from the address and a secret that
 * nobody else has and that changes, so that nothing is kept for one that is handed out.
 */
import type { Millis } from "../../../core/ids.ts";
import type { Cryptography } from "../../runtime.ts";
import type { Address } from "./paths.ts";
import { macBytes, showsCookie } from "./messages.ts";

/** A secret is current for the first half of its life. */
export const cookieLifeMs = 120_000;
const currentMs: number = cookieLifeMs / 2;
const secretBytes = 32;

export class Cookies {
  readonly #cryptography: Cryptography;
  readonly #random: (bytes: number) => Uint8Array;
  #current: Uint8Array;
  #since: Millis;
  /** The secret before; good until then. */
  #before: Uint8Array;
  #beforeUntil: Millis = Number.NEGATIVE_INFINITY;

  constructor(cryptography: Cryptography, random: (bytes: number) => Uint8Array, now: Millis) {
    this.#cryptography = cryptography;
    this.#random = random;
    this.#current = this.#before = random(secretBytes);
    this.#since = now;
  }

  issue(address: Address, now: Millis): Uint8Array {
    this.#renew(now);
    return this.#cookie(this.#current, address);
  }

  /** Whether the INIT shows a cookie that was issued to this address and is still good. */
  accepts(init: Uint8Array, address: Address, now: Millis): boolean {
    this.#renew(now);
    const shows = (secret: Uint8Array): boolean => showsCookie(this.#cryptography, init, this.#cookie(secret, address));
    return shows(this.#current) || (now < this.#beforeUntil && shows(this.#before));
  }

  #renew(now: Millis): void {
    if (now < this.#since + currentMs) return;
    this.#before = this.#current;
    this.#beforeUntil = this.#since + cookieLifeMs;
    this.#current = this.#random(secretBytes);
    this.#since = now;
  }

  #cookie(secret: Uint8Array, { host, port }: Address): Uint8Array {
    return this.#cryptography.hmacSha256(secret, new TextEncoder().encode(`${host} ${port}`)).subarray(0, macBytes);
  }
}

/** When a key has sealed enough: far below what AES-GCM bears (RFC 9001 section 6.6), so that little is lost with a key that gets out. */
import type { Millis } from "../../../core/ids.ts";
import type { PacketProtection } from "./protection.ts";

export const packetsPerKeyMax = 2 ** 20;
export const bytesPerKeyMax = 2 ** 30;
export const keyMsMax = 120_000;

export class KeyAge {
  #packets = 0;
  #bytes = 0;
  #since: Millis;

  constructor(now: Millis) {
    this.#since = now;
  }

  /** Before a packet is sealed. True if it goes out under a new key. */
  renew(protection: PacketProtection, now: Millis): boolean {
    const old = this.#packets >= packetsPerKeyMax || this.#bytes >= bytesPerKeyMax || now - this.#since >= keyMsMax;
    // Refused while the peer has not shown that it has the current key.
    if (!old || !protection.update()) return false;
    this.#packets = 0;
    this.#bytes = 0;
    this.#since = now;
    return true;
  }

  sealed(bytes: number): void {
    this.#packets += 1;
    this.#bytes += bytes;
  }
}

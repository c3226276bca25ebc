/**
 * Which packets have come, and when to say so: at once when one is missing or out of order or the peer asks (RFC 9000 section
 * 13.2.1), else after ten packets or 5 ms, since each acknowledgement costs both sides a packet. Datagrams alone wait for what leaves
 * anyway: nobody sends them again, and what two idle nodes have to tell each other would cost twice as much.
 */
import type { Millis } from "../../../core/ids.ts";
import { ackRangesMax, type Asks } from "./frames.ts";
import { Ranges } from "./ranges.ts";

export const ackDelayMsMax = 5;
export const packetsPerAckMax = 10;
/** How long datagrams wait if nothing leaves: longer than it takes idle nodes to say something. */
export const datagramAckDelayMsMax = 500;
/** While the peer's window is still small it grows by our acknowledgements, so that they come sooner. */
const earlyPackets = 100;
const packetsPerEarlyAck = 2;

export class Acks {
  readonly ranges: Ranges = new Ranges();
  /** When an acknowledgement has to leave; Infinity if nobody waits for one. */
  dueAt: Millis = Infinity;
  /** Something came in since the last acknowledgement, so that one is worth its bytes in a packet that leaves anyway. */
  fresh = false;
  #largest = -1;
  #largestAt: Millis = 0;
  #waiting = 0;
  #early = 0;

  get largest(): number {
    return this.#largest;
  }

  /** `hurried`: the peer asks for an acknowledgement at once. */
  received(number: number, asks: Asks, hurried: boolean, now: Millis): void {
    const next = number === this.#largest + 1;
    this.ranges.add(number, number + 1);
    if (this.ranges.count > ackRangesMax) {
      // The oldest gaps are given up: what they miss has been declared lost long ago.
      this.ranges.starts.shift();
      this.ranges.ends.shift();
    }
    if (number > this.#largest) {
      this.#largest = number;
      this.#largestAt = now;
    }
    this.fresh = true;
    if (asks === "nothing") return;
    this.#waiting += 1;
    if (this.#early < earlyPackets) this.#early += 1;
    const enough = this.#waiting >= (this.#early < earlyPackets ? packetsPerEarlyAck : packetsPerAckMax);
    const delayMs = asks === "soon" ? ackDelayMsMax : datagramAckDelayMsMax;
    this.dueAt = !next || enough || hurried ? now : Math.min(this.dueAt, now + delayMs);
  }

  /** How long the newest packet has waited for the acknowledgement that is written now. */
  delayMs(now: Millis): Millis {
    return now - this.#largestAt;
  }

  sent(): void {
    this.dueAt = Infinity;
    this.fresh = false;
    this.#waiting = 0;
  }

  /** The peer has our acknowledgement of everything up to `largest` and need not hear it again (RFC 9000 section 13.2.4). */
  confirmed(largest: number): void {
    this.ranges.remove(0, Math.min(largest, this.#largest));
  }
}

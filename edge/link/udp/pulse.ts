/** Whether a connection does what it is for: looked at now and then, from what it counts. */
import type { Millis } from "../../../core/ids.ts";
import type { ConnectionStats } from "./connection.ts";

/** So many packets in vain, for so long: nothing comes through any more. The last packet of a talk is an acknowledgement, and not answered. */
const unansweredMin = 3;
const silentMs = 1_000;
const silentRtts = 3;
/** Loss is averaged over about so many packets. */
const memoryPackets = 2_000;

export class Pulse {
  silent = false;
  /** When a packet had come, or none was to. */
  heardAt: Millis;
  /** Null before the first answer. */
  rttMs: Millis | null = null;
  /** The shortest so far: what the way takes when nobody is busy. Infinity before the first answer. */
  rttMinMs: Millis = Infinity;
  mtuBytes = 0;
  /** Of the packets sent lately. */
  lossRatio = 0;
  #received = 0;
  #sentWhenHeard = 0;
  #sent = 0;
  #lost = 0;

  constructor(now: Millis) {
    this.heardAt = now;
  }

  feel({ receivedPackets, sentPackets, lostPackets, rttMs, rttMinMs, mtuBytes }: ConnectionStats, now: Millis): void {
    this.rttMinMs = rttMinMs;
    this.mtuBytes = mtuBytes;
    if (rttMinMs !== Infinity) this.rttMs = rttMs;
    const sent = sentPackets - this.#sent;
    if (sent > 0) {
      const weight = sent / (sent + memoryPackets);
      this.lossRatio += (Math.min(1, (lostPackets - this.#lost) / sent) - this.lossRatio) * weight;
    }
    [this.#sent, this.#lost] = [sentPackets, lostPackets];
    if (receivedPackets !== this.#received) {
      this.#received = receivedPackets;
      this.#sentWhenHeard = sentPackets;
    }
    const unanswered = sentPackets - this.#sentWhenHeard;
    if (unanswered <= 1) this.heardAt = now;
    this.silent = unanswered >= unansweredMin && now - this.heardAt >= Math.max(silentMs, silentRtts * (this.rttMs ?? 0));
  }
}

/**
 * What has been sent and what became of it: RFC 9002. Acknowledged, lost by three newer packets or by time (9/8 of a round trip), or
 * asked after by a probe when nothing comes back.
 */
import type { Millis } from "../../../core/ids.ts";
import { ackDelayMsMax } from "./acks.ts";
import type { AckFrame } from "./frames.ts";
import { granularityMs, Rtt } from "./rtt.ts";
import type { Congestion } from "./congestion.ts";
import { Overtaken } from "./overtaken.ts";
import type { Piece } from "./send_stream.ts";

const persistentProbes = 3;
/** Backed off this far, probing is cheap enough: a path that is back is noticed within half a second. */
const backoffMsMax = 350;
/** Honest peers acknowledge each of our packets once; more than this beyond it is a flood. */
const uselessAcksMax = 1_000;
const skippedKept = 16;

export interface SentPacket {
  readonly number: number;
  readonly sentAt: Millis;
  readonly bytes: number;
  /** It has to be acknowledged, and counts as in flight until it is. */
  readonly eliciting: boolean;
  /** It holds datagrams alone: nothing is to be sent again, its acknowledgement may come late, and no probe asks for it. */
  readonly patient: boolean;
  /** The largest number in the acknowledgement it carries; −1 without one. */
  readonly ackLargest: number;
  readonly pieces: readonly Piece[];
  /** Streams whose credit it tells; −1 for the connection's. */
  readonly windows: readonly number[];
  /** The size it finds out about, or 0. Such a packet is not in flight for congestion: it may be lost for its size alone. */
  readonly probeBytes: number;
}

export interface RecoveryEvents {
  onAcked(packet: SentPacket): void;
  onLost(packet: SentPacket): void;
  /** Send so many packets now, whatever the window. */
  onProbe(packets: number): void;
}

/** In the place of a number that was left out on purpose: whoever acknowledges it has not received it. */
type Slot = SentPacket | null | "skipped";

export class Recovery {
  rtt: Rtt = new Rtt();
  congestion: Congestion;
  inFlightBytes = 0;
  probes = 0;
  lostPackets = 0;
  probeTimeouts = 0;
  readonly #events: RecoveryEvents;
  /** Slot of packet `#base + i`; the first is never null. */
  #slots: Slot[] = [];
  #head = 0;
  #base = 0;
  #next = 0;
  #eliciting = 0;
  /** Those of them that are not patient. */
  #awaited = 0;
  readonly #skipped: number[] = [];
  #largestAcked = -1;
  #lastAwaitedAt: Millis = 0;
  #lossAt: Millis = Infinity;
  #acks = 0;
  #overtaken: Overtaken = new Overtaken();

  constructor(congestion: Congestion, events: RecoveryEvents) {
    this.congestion = congestion;
    this.#events = events;
  }

  get next(): number {
    return this.#next;
  }

  /** Packets that wait for their acknowledgement. */
  get outstanding(): number {
    return this.#eliciting;
  }

  get timerAt(): Millis {
    if (this.#lossAt !== Infinity) return this.#lossAt;
    if (this.#awaited === 0) return Infinity;
    const { probeMs } = this.rtt;
    return this.#lastAwaitedAt + Math.min(probeMs * 2 ** this.probes, Math.max(probeMs, backoffMsMax));
  }

  skip(): void {
    this.#slots.push("skipped");
    this.#skipped.push(this.#next);
    if (this.#skipped.length > skippedKept) this.#skipped.shift();
    this.#next += 1;
  }

  sent(packet: SentPacket): void {
    this.#slots.push(packet);
    this.#next += 1;
    if (!packet.eliciting) return;
    this.#eliciting += 1;
    if (!packet.patient) {
      this.#awaited += 1;
      this.#lastAwaitedAt = packet.sentAt;
    }
    if (packet.probeBytes > 0) return;
    this.inFlightBytes += packet.bytes;
    this.congestion.sent(packet.number);
  }

  /** Null, or why the peer is not to be trusted any more. */
  onAck(frame: AckFrame, now: Millis): string | null {
    if (frame.largest >= this.#next) return `the peer acknowledges packet ${frame.largest}, which was never sent`;
    this.#acks += 1;
    if (this.#acks > 2 * this.#next + uselessAcksMax) return "the peer floods us with acknowledgements";
    const inFlightBefore = this.inFlightBytes;
    let newest: SentPacket | null = null;
    let bytes = 0;
    let count = 0;
    for (let range = 0; range < frame.ranges.length; range += 2) {
      const first = frame.ranges[range]!;
      const last = frame.ranges[range + 1]!;
      for (const number of this.#skipped) {
        if (number >= first && number <= last) return `the peer acknowledges packet ${number}, which was left out`;
      }
      for (let number = Math.max(first, this.#base); number <= last; number += 1) {
        const packet = this.#take(number);
        if (packet === null) continue;
        if (packet.eliciting) count += 1;
        if (newest === null || number > newest.number) newest = packet;
        if (packet.eliciting && packet.probeBytes === 0) bytes += packet.bytes;
        this.#events.onAcked(packet);
      }
    }
    if (this.#overtaken.acknowledged(frame, this.#largestAcked, this.rtt.tripMs, now)) this.congestion.undo();
    if (newest === null) return null;
    this.#largestAcked = Math.max(this.#largestAcked, frame.largest);
    // What need not be acknowledged waits until the peer has something else to say: after a lost acknowledgement that may be seconds.
    const inTime = newest.eliciting || frame.delayMs <= ackDelayMsMax;
    if (newest.number === frame.largest && count > 0 && inTime) this.#measure(newest, frame.delayMs, now);
    if (count > 0) this.probes = 0;
    this.#detect(now);
    if (bytes > 0 && newest.sentAt > this.congestion.recoveringSince) {
      const limited = inFlightBefore < this.congestion.windowBytes / 2;
      const { latestMs, smoothedMs } = this.rtt;
      this.congestion.acked({ bytes, largest: newest.number, latestMs, smoothedMs, limited }, now);
    }
    return null;
  }

  onTimer(now: Millis): void {
    if (this.#lossAt !== Infinity) {
      if (now >= this.#lossAt) this.#detect(now);
      return;
    }
    if (now < this.timerAt) return;
    this.probes += 1;
    this.probeTimeouts += 1;
    // The next one is counted from now even if nothing can be sent.
    this.#lastAwaitedAt = now;
    this.#events.onProbe(this.probes === 1 ? 1 : 2);
  }

  /** Oldest packets without an answer, for a probe to repeat. */
  *unanswered(): Iterable<SentPacket> {
    for (let at = this.#head; at < this.#slots.length; at += 1) {
      const packet = this.#slots[at]!;
      if (packet !== null && packet !== "skipped" && packet.eliciting) yield packet;
    }
  }

  /** Another path: nothing of what was measured holds, and what is under way went where nobody may be any more. */
  moved(congestion: Congestion): void {
    this.congestion = congestion;
    this.rtt = new Rtt();
    this.#overtaken = new Overtaken();
    this.probes = 0;
    this.#lossAt = Infinity;
    for (let number = this.#base; number < this.#next; number += 1) {
      const packet = this.#take(number);
      if (packet?.eliciting) this.#events.onLost(packet);
    }
    this.#advance();
  }

  /** The path may be the same, but it has answered: no more waiting. */
  revive(now: Millis): void {
    if (this.probes === 0) return;
    this.probes = 0;
    this.#lastAwaitedAt = now;
  }

  /** Takes a packet out, if it is there. */
  #take(number: number): SentPacket | null {
    const at = this.#head + number - this.#base;
    const packet = this.#slots[at] ?? null;
    if (packet === null || packet === "skipped") return null;
    this.#slots[at] = null;
    if (packet.eliciting) {
      this.#eliciting -= 1;
      if (!packet.patient) this.#awaited -= 1;
      if (packet.probeBytes === 0) this.inFlightBytes -= packet.bytes;
    }
    return packet;
  }

  /** The peer let a patient packet wait as it should, so that all of that is none of the path's. */
  #measure({ sentAt, patient }: SentPacket, delayMs: Millis, now: Millis): void {
    const waitedMs = patient ? Math.max(0, delayMs - ackDelayMsMax) : 0;
    this.rtt.measure(Math.max(0, now - sentAt - waitedMs), delayMs - waitedMs, now);
  }

  /** What is lost by now, and when to look again (RFC 9002 section 6.1). */
  #detect(now: Millis): void {
    this.#lossAt = Infinity;
    const { rtt } = this;
    const waitMs = Math.max(this.#overtaken.trips * rtt.tripMs, granularityMs);
    const { recoveringSince } = this.congestion;
    let newestLost: SentPacket | null = null;
    // A run of losses with nothing acknowledged in between.
    let run: SentPacket | null = null;
    let longestMs = 0;
    for (let number = this.#base; number < this.#largestAcked; number += 1) {
      const packet = this.#slots[this.#head + number - this.#base]!;
      if (packet === null) run = null;
      if (packet === null || packet === "skipped") continue;
      const lostAt = packet.sentAt + waitMs;
      if (number > this.#largestAcked - this.#overtaken.packets && lostAt > now) {
        this.#lossAt = Math.min(this.#lossAt, lostAt);
        continue;
      }
      this.#take(number);
      if (!packet.eliciting) continue;
      this.lostPackets += packet.probeBytes > 0 ? 0 : 1;
      this.#events.onLost(packet);
      if (packet.probeBytes > 0) continue;
      const first: boolean = packet.sentAt > recoveringSince && (newestLost === null || newestLost.sentAt <= recoveringSince);
      this.#overtaken.lost(number, packet.sentAt, first);
      newestLost = packet;
      // A heartbeat now and then is no run: nobody has tried in between.
      if (packet.patient || packet.sentAt <= rtt.measuredSince) continue;
      run ??= packet;
      longestMs = Math.max(longestMs, packet.sentAt - run.sentAt);
    }
    this.#advance();
    if (newestLost === null) return;
    this.congestion.lost(newestLost.sentAt, now);
    if (longestMs > rtt.probeMs * persistentProbes) {
      this.congestion.collapse();
      rtt.minMs = rtt.latestMs;
    }
  }

  #advance(): void {
    let head = this.#head;
    while (head < this.#slots.length) {
      const slot = this.#slots[head]!;
      if (slot !== null && slot !== "skipped") break;
      head += 1;
    }
    this.#base += head - this.#head;
    this.#head = head;
    if (head > 256 && head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(head);
      this.#head = 0;
    }
  }
}

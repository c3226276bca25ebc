/**
 * Makes packets: decides what may leave now and fills it by priority: path, acknowledgement, datagrams, streams. Everything that
 * leaves is recorded in recovery under its number.
 */
import type { Millis } from "../../../core/ids.ts";
import type { Datagram } from "../../runtime.ts";
import type { Acks } from "./acks.ts";
import type { Datagrams } from "./datagrams.ts";
import { FrameWriter, pathFrameBytes, varintBytes } from "./frames.ts";
import { KeyAge } from "./key_age.ts";
import { basePacketBytes, type Mtu } from "./mtu.ts";
import type { Pacer } from "./pacer.ts";
import type { Address, Paths } from "./paths.ts";
import type { PacketProtection } from "./protection.ts";
import type { Recovery } from "./recovery.ts";
import type { Piece } from "./send_stream.ts";
import type { Streams } from "./streams.ts";
import type { TraceEvent } from "./trace.ts";
import type { Twice } from "./twice.ts";

/** Whoever only acknowledges is never acknowledged, and would keep all it sent in mind: now and then it asks for it. */
const acksOnlyMax = 32;
/** A window of fewer packets than this must not wait for the tenth to be acknowledged. */
const smallWindowPackets = 40;
const pingBytes = 1;
const skipPacketsMin = 64;
const skipPacketsSpread = 1_024;
/** Heartbeats and votes may leave into a full window, up to this rate: 64 kbit/s. */
const exemptBytesPerMs = 8;
const exemptBytesMax = 8_192;

export interface Parts {
  readonly protection: PacketProtection;
  readonly acks: Acks;
  readonly recovery: Recovery;
  readonly streams: Streams;
  readonly twice: Twice;
  readonly datagrams: Datagrams;
  readonly mtu: Mtu;
  readonly paths: Paths;
  readonly pacer: Pacer;
}

export class Outgoing {
  packets = 0;
  bytes = 0;
  /** The peer is to be asked whether it is there. */
  ping = false;
  /** Packets to send whatever the window. */
  probes = 0;
  lastElicitingAt: Millis;
  /** When the pacer lets the next packet go; Infinity if it is not what we wait for. */
  pacedAt: Millis = Infinity;
  readonly #parts: Parts;
  readonly #writer: FrameWriter;
  readonly #random: () => number;
  readonly #trace: ((event: TraceEvent) => void) | undefined;
  readonly #keyAge: KeyAge;
  #acksOnly = 0;
  #untilSkip: number;
  #exemptBytes = exemptBytesMax;
  #exemptAt: Millis;

  constructor(parts: Parts, packetBytesMax: number, random: () => number, now: Millis, trace?: (event: TraceEvent) => void) {
    this.#parts = parts;
    this.#writer = new FrameWriter(Math.max(packetBytesMax, basePacketBytes));
    this.#random = random;
    this.#trace = trace;
    this.#keyAge = new KeyAge(now);
    this.#untilSkip = this.#packetsUntilSkip();
    this.lastElicitingAt = now;
    this.#exemptAt = now;
  }

  /** Longest datagram that fits into a packet of its own. */
  get datagramBytesMax(): number {
    const room = this.#roomMax - 1;
    return room - varintBytes(room);
  }

  get #roomMax(): number {
    return this.#parts.mtu.bytes - this.#parts.protection.overheadBytes;
  }

  take(now: Millis): Datagram | null {
    const { acks, mtu, paths, recovery, streams, twice } = this.#parts;
    this.pacedAt = Infinity;
    if (!paths.validated) return null;
    const path = this.#takePath(now);
    if (path !== null) return path;
    if (this.probes > 0) {
      this.probes -= 1;
      this.ping = true;
      return this.#fill(true, now);
    }
    streams.lost(twice.take(streams.ready, now), none);
    if (this.#mayFill(now)) {
      const packet = this.#fill(true, now);
      if (packet !== null) return packet;
    }
    if (this.ping || acks.dueAt <= now || this.#exempt(now)) return this.#fill(false, now);
    if (mtu.probeAt <= now && recovery.rtt.measuredSince !== Infinity) return this.#probeMtu(now);
    return null;
  }

  close(reason: string, now: Millis): Datagram {
    this.#writer.begin(basePacketBytes - this.#parts.protection.overheadBytes);
    this.#writer.close(reason);
    return this.#seal({ eliciting: false, now });
  }

  /** There is something to send, and window and pacer let it. */
  #mayFill(now: Millis): boolean {
    const { streams, datagrams, recovery, mtu, pacer } = this.#parts;
    if (!streams.ready && !datagrams.waiting) return false;
    const { congestion, rtt } = recovery;
    if (recovery.inFlightBytes + mtu.bytes > congestion.windowBytes) return false;
    const nextAt = pacer.nextAt(congestion, rtt.smoothedMs, mtu.bytes, now);
    if (nextAt <= now) return true;
    this.pacedAt = nextAt;
    return false;
  }

  /** A datagram may leave though the window is full or the pacer waits. */
  #exempt(now: Millis): boolean {
    if (!this.#parts.datagrams.waiting) return false;
    this.#exemptBytes = Math.min(exemptBytesMax, this.#exemptBytes + (now - this.#exemptAt) * exemptBytesPerMs);
    this.#exemptAt = now;
    const next = this.#parts.datagrams.peek(now);
    if (next === null || next.byteLength > this.#exemptBytes) return false;
    this.#exemptBytes -= next.byteLength;
    return true;
  }

  #fill(all: boolean, now: Millis): Datagram | null {
    const { acks, streams } = this.#parts;
    const writer = this.#writer;
    const mayHurry = all && !this.ping && this.#fillsWindow(this.#parts.mtu.bytes);
    writer.begin(mayHurry ? this.#roomMax - pingBytes : this.#roomMax);
    let ackLargest = -1;
    if (acks.fresh) {
      ackLargest = acks.largest;
      writer.ack(acks.ranges, acks.delayMs(now));
      acks.sent();
    }
    const before = writer.length;
    if (this.ping) writer.ping();
    const beforeDatagrams = writer.length;
    const pieces: Piece[] = [];
    const windows: number[] = [];
    this.#fillDatagrams(all, now);
    const datagramsBytes = writer.length - beforeDatagrams;
    if (all) streams.fill(writer, pieces, windows);
    if (mayHurry && writer.length > before && this.#fillsWindow(writer.length + this.#parts.protection.overheadBytes)) writer.ping();
    let eliciting = writer.length > before;
    if (!eliciting && this.#acksOnly >= acksOnlyMax) {
      writer.ping();
      eliciting = true;
    }
    if (writer.length === 0) return null;
    const patient = datagramsBytes > 0 && datagramsBytes === writer.length - before;
    this.ping = false;
    this.#acksOnly = eliciting ? 0 : this.#acksOnly + 1;
    const packet = this.#seal({ eliciting, patient, ackLargest, pieces, windows, now });
    streams.notify();
    return packet;
  }

  #fillDatagrams(all: boolean, now: Millis): void {
    const { datagrams } = this.#parts;
    for (let next = datagrams.peek(now); next !== null; next = datagrams.peek(now)) {
      if (next.byteLength > this.datagramBytesMax) {
        // It was short enough when it came; since then packets have become shorter.
        datagrams.shift();
        datagrams.dropped += 1;
        continue;
      }
      if (1 + varintBytes(next.byteLength) + next.byteLength > this.#writer.room) return;
      this.#writer.datagram(next);
      datagrams.shift();
      if (!all) return;
    }
  }

  /** After a packet of `bytes` nothing may leave before something is acknowledged, which should not wait for the tenth then. */
  #fillsWindow(bytes: number): boolean {
    const { recovery, mtu } = this.#parts;
    const { windowBytes } = recovery.congestion;
    return windowBytes < smallWindowPackets * mtu.bytes && recovery.inFlightBytes + bytes + mtu.bytes > windowBytes;
  }

  #takePath(now: Millis): Datagram | null {
    const { paths, recovery, protection } = this.#parts;
    const packetBytes = protection.overheadBytes + pathFrameBytes;
    const answer = paths.takeAnswer(packetBytes);
    const challenge = answer === null ? paths.takeChallenge(packetBytes, recovery.rtt.probeMs, now) : null;
    if (answer === null && challenge === null) return null;
    this.#writer.begin(pathFrameBytes);
    if (answer !== null) this.#writer.answer(answer.token);
    if (challenge !== null) this.#writer.challenge(challenge.token);
    return this.#seal({ to: (answer ?? challenge)!.to, eliciting: true, now });
  }

  #probeMtu(now: Millis): Datagram {
    const { mtu, protection } = this.#parts;
    const probeBytes = mtu.probeBytes;
    this.#writer.begin(probeBytes - protection.overheadBytes);
    this.#writer.ping();
    this.#writer.pad();
    mtu.probed(probeBytes);
    return this.#seal({ eliciting: true, probeBytes, now });
  }

  #seal(packet: {
    readonly now: Millis;
    readonly eliciting: boolean;
    readonly patient?: boolean;
    readonly to?: Address;
    readonly ackLargest?: number;
    readonly pieces?: readonly Piece[];
    readonly windows?: readonly number[];
    readonly probeBytes?: number;
  }): Datagram {
    const { protection, recovery, pacer, paths, twice, mtu } = this.#parts;
    const { now, eliciting, patient = false, to = paths.address, ackLargest = -1, pieces = none, windows = none, probeBytes = 0 } = packet;
    this.#untilSkip -= 1;
    if (this.#untilSkip <= 0) {
      recovery.skip();
      this.#untilSkip = this.#packetsUntilSkip();
    }
    if (this.#keyAge.renew(protection, now)) this.#trace?.({ kind: "key_updated", at: now });
    const number = recovery.next;
    const bytes = protection.seal(number, this.#writer.view());
    this.#keyAge.sealed(bytes.byteLength);
    recovery.sent({ number, sentAt: now, bytes: bytes.byteLength, eliciting, patient, ackLargest, pieces, windows, probeBytes });
    twice.sent(pieces, mtu.bytes, recovery.rtt.smoothedMs, now);
    if (eliciting) this.lastElicitingAt = now;
    if (eliciting && probeBytes === 0) pacer.sent(bytes.byteLength);
    this.packets += 1;
    this.bytes += bytes.byteLength;
    this.#trace?.({
      kind: "packet_sent",
      at: now,
      number,
      bytes: bytes.byteLength,
      eliciting,
      streams: pieces.map(({ stream, start, end }) => ({ stream: stream.id, offset: start, length: end - start })),
      ackLargest,
      mtuProbe: probeBytes > 0,
    });
    return { host: to.host, port: to.port, bytes };
  }

  #packetsUntilSkip(): number {
    return skipPacketsMin + (this.#random() % skipPacketsSpread);
  }
}

const none: readonly never[] = [];

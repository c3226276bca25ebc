/**
 * A connection after its handshake: ordered streams and datagrams over packets that may be lost, repeated, reordered, damaged or
 * come from elsewhere. Pure: after each call, `take` until it gives nothing, and come back at `wakeAt`. Modelled on QUIC (RFC 9000,
 * 9002, 9221).
 */
import type { Millis } from "../../../core/ids.ts";
import { DecodeError } from "../../codec/bytes.ts";
import type { Datagram } from "../../runtime.ts";
import { Acks } from "./acks.ts";
import type { Congestion } from "./congestion.ts";
import { Cubic } from "./cubic.ts";
import { type DatagramOptions, Datagrams } from "./datagrams.ts";
import { type FrameSink, readFrames } from "./frames.ts";
import { basePacketBytes, Mtu } from "./mtu.ts";
import { Outgoing } from "./outgoing.ts";
import { Pacer } from "./pacer.ts";
import { type Address, Paths } from "./paths.ts";
import type { PacketProtection } from "./protection.ts";
import { Recovery, type SentPacket } from "./recovery.ts";
import { type StreamEvents, Streams } from "./streams.ts";
import type { TraceEvent } from "./trace.ts";
import { Twice } from "./twice.ts";

export type { Address };

/** Called from `receive`, `wake` and `close`, and `onWritable` from `take`. */
export interface ConnectionEvents extends StreamEvents {
  /** In order, without gaps; a view of the packet, the receiver's to keep. */
  onStream(stream: number, bytes: Uint8Array): void;
  onDatagram(bytes: Uint8Array): void;
  /** The stream may be written on again. */
  onWritable(stream: number): void;
  /** Exactly once. There may still be a packet to `take`: it tells the peer. */
  onClosed(reason: string, byPeer: boolean): void;
}

export interface ConnectionOptions {
  readonly role: "initiator" | "responder";
  readonly protection: PacketProtection;
  readonly address: Address;
  /** The peer has proved that it is at `address`. */
  readonly validated: boolean;
  /** Longest packet to try: a UDP payload. */
  readonly mtuMax: number;
  /** 32 random bits, good enough for keys. */
  readonly random: () => number;
  readonly now: Millis;
  /** A round trip took no longer than this; default unknown. */
  readonly tripMs?: Millis;
  readonly events: ConnectionEvents;
  /** Made for each path, for packets of so many bytes; default CUBIC. */
  readonly congestion?: (packetBytes: number) => Congestion;
  readonly trace?: ((event: TraceEvent) => void) | undefined;
}

export interface ConnectionStats {
  readonly rttMs: Millis;
  /** Infinity before the first sample. */
  readonly rttMinMs: Millis;
  /** Part of the packets sent that were lost. */
  readonly lossRate: number;
  readonly lostPackets: number;
  /** Packets whose content was sent again, or is to be. */
  readonly retransmittedPackets: number;
  readonly retransmittedBytes: number;
  readonly mtuBytes: number;
  /** The shortest packet that was found not to get through; null if none was. */
  readonly stuckBytes: number | null;
  readonly windowBytes: number;
  readonly inFlightBytes: number;
  /** Written and not acknowledged. */
  readonly queuedBytes: number;
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly droppedDatagrams: number;
  readonly probeTimeouts: number;
}

/** Nothing heard for so long ends a connection; the peer is asked well before. */
export const idleMs = 10_000;
export const keepAliveMs = 2_500;
/** A peer that has said nothing yet, so many probes and so long after the connection was made, takes our packets for a stranger's. */
const unheardProbesMax = 4;
const unheardMsMin = 1_000;
const failuresMax = 1_000_000;
/** A CLOSE may be lost: so many more packets of the peer are answered with it. */
const closeAnswersMax = 3;

export class Connection {
  readonly #protection: PacketProtection;
  readonly #events: ConnectionEvents;
  readonly #trace: ((event: TraceEvent) => void) | undefined;
  readonly #congestion: (packetBytes: number) => Congestion;
  readonly #acks: Acks = new Acks();
  readonly #recovery: Recovery;
  readonly #streams: Streams;
  readonly #datagrams: Datagrams = new Datagrams();
  readonly #twice: Twice = new Twice();
  readonly #mtu: Mtu;
  readonly #paths: Paths;
  readonly #outgoing: Outgoing;
  readonly #sink: FrameSink;
  #closed: string | null = null;
  #closesOwed = 0;
  #closesLeft = closeAnswersMax;
  #heardAt: Millis;
  #receivedPackets = 0;
  #retransmittedPackets = 0;
  #receivedBytes = 0;
  /** Of the packet that is read now. */
  #now: Millis;
  #from: Address;
  #refused = false;
  #hurried = false;

  constructor(options: ConnectionOptions) {
    const { protection, events, trace, random, now, congestion = (packetBytes) => new Cubic(packetBytes) } = options;
    this.#protection = protection;
    this.#events = events;
    this.#trace = trace;
    this.#now = now;
    this.#heardAt = now;
    this.#from = options.address;
    this.#streams = new Streams(events);
    this.#mtu = new Mtu(options.mtuMax, now);
    this.#paths = new Paths(options.address, options.validated, random);
    this.#congestion = congestion;
    this.#recovery = new Recovery(congestion(basePacketBytes), {
      onAcked: (packet) => {
        this.#streams.acked(packet.pieces);
        if (packet.ackLargest >= 0) this.#acks.confirmed(packet.ackLargest);
        if (packet.probeBytes === 0) this.#mtu.acked(packet.bytes, packet.number);
        else this.#resized(() => this.#mtu.probeAcked(packet.probeBytes, this.#now));
      },
      onLost: (packet) => {
        this.#trace?.({ kind: "packet_lost", at: this.#now, number: packet.number, bytes: packet.bytes });
        this.#sayAgain(packet);
        if (packet.probeBytes > 0) this.#mtu.probeLost(packet.probeBytes, this.#now);
        else this.#resized(() => this.#mtu.lost(packet.bytes, packet.number, this.#now));
      },
      onProbe: (packets) => this.#probe(packets),
    });
    if (options.tripMs !== undefined) this.#recovery.rtt.expect(options.tripMs);
    this.#outgoing = new Outgoing(
      {
        protection,
        acks: this.#acks,
        recovery: this.#recovery,
        streams: this.#streams,
        twice: this.#twice,
        datagrams: this.#datagrams,
        mtu: this.#mtu,
        paths: this.#paths,
        pacer: new Pacer(),
      },
      options.mtuMax,
      random,
      now,
      trace,
    );
    this.#sink = this.#makeSink();
    // The responder sends nothing before it hears that we have the keys, and both want to know the round trip.
    this.#outgoing.ping = options.role === "initiator";
  }

  get address(): Address {
    return this.#paths.address;
  }

  /** Why it has ended; null while it has not. */
  get closed(): string | null {
    return this.#closed;
  }

  get datagramBytesMax(): number {
    return this.#outgoing.datagramBytesMax;
  }

  /** False: the packet could not be opened, and has changed nothing. */
  receive(packet: Uint8Array, from: Address, now: Millis): boolean {
    const opened = this.#protection.open(packet);
    if (opened === null) {
      this.#trace?.({ kind: "packet_dropped", at: now, bytes: packet.byteLength });
      if (this.#protection.failures >= failuresMax) this.#end("too many packets could not be opened", false, now);
      return false;
    }
    if (this.#closed !== null) {
      if (this.#closesLeft > 0) {
        this.#closesLeft -= 1;
        this.#closesOwed = 1;
      }
      return true;
    }
    const { packetNumber, payload } = opened;
    this.#now = now;
    this.#heardAt = now;
    this.#from = from;
    this.#refused = false;
    this.#hurried = false;
    this.#receivedPackets += 1;
    this.#receivedBytes += packet.byteLength;
    this.#trace?.({ kind: "packet_received", at: now, number: packetNumber, bytes: packet.byteLength });
    this.#paths.heard(from, packet.byteLength, packetNumber > this.#acks.largest, now);
    try {
      const asks = readFrames(payload, this.#sink);
      // What found no room is as good as lost.
      if (!this.#refused) this.#acks.received(packetNumber, asks, this.#hurried, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end(`a packet of the peer makes no sense: ${error.message}`, false, now);
    }
    return true;
  }

  /** False: above the high-water mark. The bytes are kept, as they are, until the peer has them; `onWritable` says when to go on. */
  write(stream: number, bytes: Uint8Array): boolean {
    if (this.#closed !== null) return false;
    return this.#streams.write(stream, bytes);
  }

  /** Whether what orders is to be said twice from now on. */
  sayTwice(on: boolean): void {
    this.#twice.on = on;
  }

  /** False: longer than fits into a packet now, or the queue is full. */
  datagram(bytes: Uint8Array, options: DatagramOptions = {}): boolean {
    if (this.#closed !== null || bytes.byteLength > this.datagramBytesMax) return false;
    return this.#datagrams.push(bytes, options);
  }

  /** The next packet to send; null if there is none now. */
  take(now: Millis): Datagram | null {
    if (this.#closed === null) return this.#outgoing.take(now);
    if (this.#closesOwed === 0 || !this.#paths.validated) return null;
    this.#closesOwed = 0;
    return this.#outgoing.close(this.#closed, now);
  }

  get wakeAt(): Millis {
    if (this.#closed !== null) return Infinity;
    const idleAt = this.#heardAt + idleMs;
    if (!this.#paths.validated) return idleAt;
    const probeAt = this.#recovery.rtt.measuredSince === Infinity ? Infinity : this.#mtu.probeAt;
    return Math.min(
      idleAt,
      this.#keepAliveAt,
      this.#recovery.timerAt,
      this.#acks.dueAt,
      this.#twice.dueAt,
      this.#outgoing.pacedAt,
      this.#paths.challengeAt,
      probeAt,
    );
  }

  wake(now: Millis): void {
    if (this.#closed !== null) return;
    this.#now = now;
    if (now >= this.#heardAt + idleMs) {
      this.#end("nothing was heard for too long", false, now);
      // Nobody is there to be told.
      this.#closesOwed = 0;
      return;
    }
    if (!this.#paths.validated) return;
    this.#recovery.onTimer(now);
    if (this.#receivedPackets === 0 && this.#recovery.probes >= unheardProbesMax && now >= this.#heardAt + unheardMsMin) {
      return this.#end("the peer does not answer: it may know this node by another address", false, now);
    }
    if (now >= this.#keepAliveAt) this.#outgoing.ping = true;
  }

  close(reason: string): void {
    this.#end(reason, false, this.#now);
  }

  stats(): ConnectionStats {
    const { rtt, congestion, lostPackets, inFlightBytes, probeTimeouts } = this.#recovery;
    const { packets, bytes } = this.#outgoing;
    return {
      rttMs: rtt.smoothedMs,
      rttMinMs: rtt.minMs,
      lossRate: packets === 0 ? 0 : lostPackets / packets,
      lostPackets,
      retransmittedPackets: this.#retransmittedPackets,
      retransmittedBytes: this.#streams.retransmittedBytes,
      mtuBytes: this.#mtu.bytes,
      stuckBytes: this.#mtu.stuckBytes,
      windowBytes: congestion.windowBytes,
      inFlightBytes,
      queuedBytes: this.#streams.unackedBytes,
      sentPackets: packets,
      sentBytes: bytes,
      receivedPackets: this.#receivedPackets,
      receivedBytes: this.#receivedBytes,
      droppedDatagrams: this.#datagrams.dropped,
      probeTimeouts,
    };
  }

  get #keepAliveAt(): Millis {
    return Math.max(this.#heardAt, this.#outgoing.lastElicitingAt) + keepAliveMs;
  }

  #makeSink(): FrameSink {
    return {
      onPing: () => void (this.#hurried = true),
      onAck: (frame) => {
        const broken = this.#recovery.onAck(frame, this.#now);
        if (broken !== null) return this.#end(broken, false, this.#now);
        if (this.#trace === undefined) return;
        const { rtt, congestion, inFlightBytes, probes } = this.#recovery;
        this.#trace({
          kind: "metrics_updated",
          at: this.#now,
          smoothedRttMs: rtt.smoothedMs,
          minRttMs: rtt.minMs,
          windowBytes: congestion.windowBytes,
          inFlightBytes,
          probes,
        });
      },
      onDatagram: (bytes) => {
        if (this.#closed === null) this.#events.onDatagram(bytes);
      },
      onStream: (stream, offset, bytes) => {
        if (this.#closed !== null) return;
        const broken = this.#streams.receive(stream, offset, bytes);
        if (broken === "full") this.#refused = true;
        else if (broken !== null) this.#end(broken, false, this.#now);
      },
      onStreamWindow: (stream, limit) => this.#streams.onStreamWindow(stream, limit),
      onConnectionWindow: (limit) => this.#streams.onConnectionWindow(limit),
      onChallenge: (token) => this.#paths.challenged(token, this.#from),
      onAnswer: (token) => this.#moved(this.#paths.answered(token)),
      onClose: (reason) => this.#end(reason, true, this.#now),
    };
  }

  /** The peer is reached elsewhere from now on, or answered a challenge that is forgotten. */
  #moved(path: { readonly otherHost: boolean } | null): void {
    if (path === null) return;
    const { host, port } = this.#paths.address;
    this.#trace?.({ kind: "migration_state_updated", at: this.#now, host, port });
    if (!path.otherHost) return this.#recovery.revive(this.#now);
    this.#recovery.moved(this.#congestion(basePacketBytes));
    this.#mtu.reset(this.#now);
  }

  /** Nothing comes back: the oldest of what is out is said again. */
  #probe(packets: number): void {
    this.#resized(() => this.#mtu.unanswered(this.#recovery.probes, this.#now));
    this.#outgoing.probes = packets;
    for (const packet of this.#recovery.unanswered()) {
      if (packet.pieces.length === 0 && packet.windows.length === 0) continue;
      this.#sayAgain(packet);
      if (--packets === 0) return;
    }
  }

  #sayAgain({ pieces, windows }: SentPacket): void {
    if (pieces.length > 0) this.#retransmittedPackets += 1;
    this.#streams.lost(pieces, windows);
  }

  #resized(change: () => unknown): void {
    const before = this.#mtu.bytes;
    change();
    const { bytes } = this.#mtu;
    if (bytes === before) return;
    this.#recovery.congestion.resize(bytes);
    this.#trace?.({ kind: "mtu_updated", at: this.#now, bytes });
  }

  #end(reason: string, byPeer: boolean, now: Millis): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#closesOwed = byPeer ? 0 : 1;
    if (byPeer) this.#closesLeft = 0;
    this.#trace?.({ kind: "connection_closed", at: now, reason, byPeer });
    this.#events.onClosed(reason, byPeer);
  }
}

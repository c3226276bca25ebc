/**
 * Towards one peer over UDP: what waits to leave in its lanes, the connection there is, and how it is made again. Nothing is
 * resumed after a break: the protocol sends again what matters.
 */
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { Clock } from "../../runtime.ts";
import type { Backoff } from "../backoff.ts";
import type { Lane, PeerStats, UdpPath } from "../link.ts";
import { Queue, queueBytesMaxOf } from "../queue.ts";
import { Standing } from "../standing.ts";
import type { Address, Connection, ConnectionStats } from "./connection.ts";
import { Pulse } from "./pulse.ts";
import { isWorthRepeating } from "./words.ts";

/** A peer at the other end of the world answers sooner. */
const answerMs = 3_000;

export interface UdpPeerOptions {
  readonly peer: NodeId;
  /** For sentences. */
  readonly name: string;
  /** `host:port`; the host may be a name. */
  readonly address: string;
  readonly clock: Clock;
  readonly backoff: Backoff;
  resolve(host: string): Promise<string | null>;
  /** Begins a handshake; `opened` or `broken` is to be called when it is over. */
  connect(to: Address): void;
  disconnect(): void;
  /** Something waits to leave. */
  onReady(): void;
  onUnreachable(): void;
  onNotice(sentence: string): void;
}

interface Waiting {
  readonly lane: Lane;
  readonly queue: Queue;
  /** The connection takes no more of this lane for now. */
  full: boolean;
}

export class UdpPeer {
  readonly address: string;
  readonly #options: UdpPeerOptions;
  readonly #standing: Standing;
  readonly #lanes = new Map<Lane, Waiting>();
  /** Lanes with something to leave that are not full. */
  readonly #ready = new Set<Waiting>();
  readonly #counts = { sent: 0, sentBytes: 0, dropped: 0, reconnects: 0 };
  #received = 0;
  #receivedBytes = 0;

  #state: "waiting" | "connecting" | "open" | "closed" = "connecting";
  #connection: Connection | null = null;
  #pulse: Pulse | null = null;
  #openSince: Millis | null = null;
  #failure = "";
  #cancelAlarm: () => void = () => {};

  constructor(options: UdpPeerOptions) {
    this.#options = options;
    this.address = options.address;
    this.#standing = new Standing(`node ${options.name} at ${options.address} over UDP`, (sentence) => options.onNotice(sentence));
    this.#connect();
  }

  /** The connection that carries; null while there is none. */
  get connection(): Connection | null {
    return this.#connection;
  }

  /** Null also while the peer does not answer over the connection there is. */
  get openSince(): Millis | null {
    return this.#pulse?.silent ? null : this.#openSince;
  }

  /** Why there is no connection, or none that works; empty while nothing has failed. */
  get failure(): string {
    return this.#failure;
  }

  /** What is known of the connection there is; null while there is none. */
  get pulse(): Pulse | null {
    return this.#pulse;
  }

  /** What is small and urgent is to be said twice. */
  get isLossy(): boolean {
    return this.#pulse !== null && isWorthRepeating(this.#pulse);
  }

  send(lane: Lane, frame: Uint8Array): void {
    if (this.#state === "waiting" || this.#state === "closed") return this.drop();
    const waiting = this.#lane(lane);
    if (!waiting.queue.push(frame)) return this.drop();
    if (this.#state !== "open" || waiting.full) return;
    this.#ready.add(waiting);
    this.#options.onReady();
  }

  /** The newest of a kind, in no order and only once. False: it has to go in a lane. */
  sendDatagram(bytes: Uint8Array, key: string, expiresAt: Millis): boolean {
    if (this.#connection === null || !this.#connection.datagram(bytes, { key, expiresAt })) return false;
    this.#counts.sent++;
    this.#counts.sentBytes += bytes.byteLength;
    this.#options.onReady();
    return true;
  }

  drop(): void {
    this.#counts.dropped++;
  }

  received(bytes: number): void {
    this.#received++;
    this.#receivedBytes += bytes;
  }

  /** Hands what waits to the connection, as far as it takes it. */
  flush(): void {
    for (const waiting of this.#ready) {
      while (!waiting.full) {
        const next = waiting.queue.take();
        if (next === null) break;
        this.#counts.sent += next.frames;
        this.#counts.sentBytes += next.bytes.byteLength;
        waiting.full = !this.#connection!.write(waiting.lane, next.bytes);
      }
    }
    this.#ready.clear();
  }

  writable(lane: Lane): void {
    const waiting = this.#lanes.get(lane);
    if (waiting === undefined || !waiting.full) return;
    waiting.full = false;
    this.#ready.add(waiting);
    this.#options.onReady();
  }

  /** To be called a few times a second; true if the peer has stopped answering, or answers again. */
  check(): boolean {
    if (this.#pulse === null) return false;
    const wasSilent = this.#pulse.silent;
    this.#pulse.feel(this.#connection!.stats(), this.#now());
    this.#connection!.sayTwice(this.isLossy);
    if (this.#pulse.silent === wasSilent) return false;
    if (wasSilent) {
      this.#openSince = this.#now();
      this.#failure = "";
    } else {
      this.#failure = "it does not answer any more";
      this.#options.onUnreachable();
    }
    return true;
  }

  /** There is a connection, whoever began it; it takes the place of one there was. */
  opened(connection: Connection): void {
    if (this.#state === "closed") return;
    // Nodes that begin at the same moment may make two, of which one goes; later ones take the place of one that was lost.
    if (this.#openSince !== null && this.#now() - this.#openSince >= answerMs) this.#counts.reconnects++;
    this.#cancelAlarm();
    this.#state = "open";
    this.#connection = connection;
    this.#pulse = new Pulse(this.#now());
    this.#openSince = this.#now();
    this.#failure = "";
    this.#standing.works();
    for (const waiting of this.#lanes.values()) {
      waiting.full = false;
      this.#ready.add(waiting);
    }
    this.#options.onReady();
  }

  broken(reason: string): void {
    if (this.#state === "waiting" || this.#state === "closed") return;
    const wasOpen = this.#state === "open";
    const wasSilent = this.#pulse?.silent ?? false;
    const lastedMs = this.#openSince === null ? 0 : this.#now() - this.#openSince;
    this.#end();
    this.#state = "waiting";
    this.#failure = reason;
    this.#standing.fails(reason, this.#now());
    this.#cancelAlarm = this.#options.clock.wakeAt(this.#now() + this.#options.backoff.waitMs(lastedMs), () => this.#connect());
    if (!wasOpen) return;
    this.#counts.reconnects++;
    if (!wasSilent) this.#options.onUnreachable();
  }

  close(): void {
    this.#end();
    this.#state = "closed";
    this.#options.disconnect();
  }

  stats(): PeerStats {
    const stats = this.#connection?.stats() ?? null;
    let queuedBytes = 0;
    for (const { queue } of this.#lanes.values()) queuedBytes += queue.bytes;
    return {
      peer: this.#options.peer,
      driver: "udp",
      reason: "as configured",
      rttMs: this.#pulse?.rttMs ?? null,
      lossRatio: this.#pulse?.lossRatio ?? null,
      mtuBytes: stats?.mtuBytes ?? null,
      congestionWindowBytes: stats?.windowBytes ?? null,
      retransmitted: stats?.retransmittedPackets ?? null,
      lost: stats?.lostPackets ?? null,
      ...this.#counts,
      received: this.#received,
      receivedBytes: this.#receivedBytes,
      queuedBytes,
      connectedSince: this.openSince,
      udp: this.#path(stats),
    };
  }

  #path(stats: ConnectionStats | null): UdpPath {
    const state = this.openSince !== null ? "open" : this.#failure === "" ? "trying" : "failing";
    const failing = state === "failing";
    return {
      state,
      failure: failing ? this.#failure : null,
      failingSince: failing ? this.#standing.failingSince ?? this.#pulse?.heardAt ?? null : null,
      passedBytes: stats?.mtuBytes ?? null,
      stuckBytes: stats?.stuckBytes ?? null,
    };
  }

  /** Looks the name up each time: a peer that does not answer may have moved. */
  #connect(): void {
    this.#state = "connecting";
    this.#cancelAlarm = this.#options.clock.wakeAt(this.#now() + answerMs, () => {
      this.broken("it does not answer");
      this.#options.disconnect();
    });
    const { host, port } = parted(this.address);
    void this.#options.resolve(host).then((found) => {
      if (this.#state !== "connecting") return;
      if (found === null) this.broken(`no host "${host}" is known`);
      else this.#options.connect({ host: found, port });
    });
  }

  /** Drops what waited for the connection. */
  #end(): void {
    this.#cancelAlarm();
    this.#connection = null;
    this.#pulse = null;
    this.#openSince = null;
    this.#ready.clear();
    for (const waiting of this.#lanes.values()) {
      this.#counts.dropped += waiting.queue.clear();
      waiting.full = false;
    }
  }

  #lane(lane: Lane): Waiting {
    const existing = this.#lanes.get(lane);
    if (existing !== undefined) return existing;
    const opened: Waiting = { lane, queue: new Queue(queueBytesMaxOf(lane)), full: false };
    this.#lanes.set(lane, opened);
    return opened;
  }

  #now(): Millis {
    return this.#options.clock.now().mono;
  }
}

function parted(address: string): Address {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon);
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port: Number(address.slice(colon + 1)) };
}

/**
 * Links over UDP: one socket, and over it one connection to each peer, whose streams are the lanes. What a turn of the event
 * loop sends to a peer leaves in one batch.
 */
import { assert } from "../../../core/assert.ts";
import type { Envelope } from "../../../core/effects.ts";
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { Message } from "../../../core/message.ts";
import type { Datagram, DatagramSocket } from "../../runtime.ts";
import { Backoff } from "../backoff.ts";
import { Distance } from "../distance.ts";
import { frameBytesMax, frameHeaderBytes, FrameWriter } from "../frames.ts";
import { type Driver, type Lane, laneOf, lanesOf, type LinkCounts, type LinkEvents, type LinkOptions, type PeerStats } from "../link.ts";
import { randomBytes } from "../node_key.ts";
import { Notices } from "../notices.ts";
import type { Connection } from "./connection.ts";
import { Endpoint } from "./endpoint.ts";
import type { ConnectionListener } from "./held.ts";
import { Incoming } from "./incoming.ts";
import { UdpPeer } from "./peer.ts";
import type { Pulse } from "./pulse.ts";
import { Repeats, wordOf } from "./words.ts";

const checkMs = 250;
const checkGraceMs = 250;
/**
 * What Ethernet carries over IPv6. No runtime lets us forbid that a datagram is sent in fragments: a longer one would seem to get
 * through, and be lost whenever one of them is. Whoever knows of a network that carries more says so.
 */
const unfragmentedBytesMax = 1_452;

export interface UdpLinkOptions extends LinkOptions {
  /** The longest pause between attempts to reach a peer; default one second. */
  readonly retryMsMax?: Millis;
  /** A connection to the peer has come or gone. */
  readonly onChange?: (peer: NodeId) => void;
}

/** Listens; peers are added with `open`. Throws what binding throws. */
export async function openUdpLink(options: UdpLinkOptions, events: LinkEvents): Promise<UdpLink> {
  let link: UdpLink | null = null;
  const socket = await options.runtime.openDatagrams(options.listen, {
    onDatagram: (datagram) => link?.receive(datagram),
    // Whatever it was, datagrams are lost by it, and that shows where they are missed.
    onTrouble: nothing,
  });
  return link = new UdpLink(options, events, socket);
}

export class UdpLink implements Driver {
  readonly #options: UdpLinkOptions;
  readonly #events: LinkEvents;
  readonly #socket: DatagramSocket;
  readonly #notices: Notices;
  readonly #lanes: ReadonlySet<Lane>;
  readonly #endpoint: Endpoint;
  readonly #frames = new FrameWriter();
  readonly #peers = new Map<NodeId, UdpPeer>();
  readonly #repeats: Repeats;
  /** By address: datagrams that are to be late. */
  readonly #far = new Map<string, Distance<Datagram>>();
  readonly #ignoreKeys: () => void;
  /** Peers with something to leave. */
  readonly #ready = new Set<UdpPeer>();
  #flushing = false;
  #pumping = false;
  /** Something has come since the last pump. */
  #heard = false;
  #closed = false;
  #alarmAt: Millis = Infinity;
  #cancelAlarm: () => void = nothing;
  #cancelCheck: () => void = nothing;

  constructor(options: UdpLinkOptions, events: LinkEvents, socket: DatagramSocket) {
    const { runtime, identity, topology } = options;
    this.#options = options;
    this.#events = events;
    this.#socket = socket;
    this.#notices = new Notices(runtime.clock, events);
    this.#lanes = lanesOf(topology);
    this.#repeats = new Repeats(runtime.clock);
    this.#endpoint = new Endpoint({
      identity,
      cryptography: runtime.cryptography,
      random: (bytes) => randomBytes(bytes, runtime.entropy),
      now: () => runtime.clock.now().mono,
      wall: () => runtime.clock.now().wall,
      datagramBytesMax: Math.min(socket.datagramBytesMax, options.mtuBytesMax ?? Infinity),
      packetBytesMax: ({ host }) => options.mtuBytesMax ?? (isLoopback(host) ? Infinity : unfragmentedBytesMax),
      ...(options.trace === undefined ? {} : { trace: options.trace }),
      events: {
        onConnected: (peer, connection) => this.#opened(peer, connection),
        onClosed: (peer, reason) => this.#broken(peer, reason),
        onNotice: (sentence) => this.#notices.once(sentence),
      },
    });
    // The endpoint has ended what rests on them; its farewells are to leave.
    this.#ignoreKeys = identity.roster.onChange(() => this.#pumpSoon());
    this.#checkLater();
  }

  get address(): string {
    const { host, port } = this.#socket;
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  }

  open(peer: NodeId, address: string): void {
    const { identity, topology, runtime, retryMsMax } = this.#options;
    assert(peer !== identity.self, `Cannot link node ${peer} to itself`);
    const existing = this.#peers.get(peer);
    if (this.#closed || existing?.address === address) return;
    existing?.close();
    const opened = new UdpPeer({
      peer,
      name: topology.nodes.find(({ id }) => id === peer)?.name ?? String(peer),
      address,
      clock: runtime.clock,
      backoff: new Backoff(() => runtime.entropy(), retryMsMax),
      resolve: (host) => runtime.resolve(host),
      connect: (to) => {
        this.#place(peer, to);
        this.#endpoint.connect(peer, to, this.#now());
        this.#pumpSoon();
      },
      disconnect: () => this.#endpoint.disconnect(peer),
      onReady: () => this.#flushSoon(opened),
      onUnreachable: () => this.#notices.later(() => this.#events.onUnreachable(peer)),
      onNotice: (sentence) => this.#notices.tell(sentence),
    });
    this.#peers.set(peer, opened);
    const connection = this.#endpoint.connectionOf(peer);
    if (connection !== null) opened.opened(connection);
  }

  send({ to, message }: Envelope): void {
    const frame = this.#frames.write(message);
    if (frame.byteLength > frameBytesMax) {
      for (const receiver of to) this.#peers.get(receiver)?.drop();
      this.#notices.once(`Cannot send a ${message.kind} of ${frame.byteLength} bytes: frames have at most ${frameBytesMax}`);
      return;
    }
    for (const receiver of to) {
      const peer = this.#peers.get(receiver);
      if (peer !== undefined && !this.#sayWord(peer, message, frame)) peer.send(laneOf(message), frame);
    }
  }

  carries(peer: NodeId): boolean {
    return this.openSince(peer) !== null;
  }

  /** Null if there is no connection to the peer, or nothing comes back over it. */
  openSince(peer: NodeId): Millis | null {
    return this.#peers.get(peer)?.openSince ?? null;
  }

  /** What is known of the way to the peer; null while there is no connection. */
  pulse(peer: NodeId): Pulse | null {
    return this.#peers.get(peer)?.pulse ?? null;
  }

  /** Why the last one broke, or did not come to be; empty if none has failed since one was there. */
  failure(peer: NodeId): string {
    return this.#peers.get(peer)?.failure ?? "";
  }

  stats(): readonly PeerStats[] {
    return [...this.#peers.values()].map((peer) => peer.stats());
  }

  counts(): LinkCounts {
    return this.#endpoint.counts();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#notices.close();
    this.#ignoreKeys();
    this.#cancelAlarm();
    this.#cancelCheck();
    this.#repeats.close();
    for (const peer of this.#peers.values()) peer.close();
    this.#endpoint.close();
    for (const distance of this.#far.values()) distance.clear();
    this.#far.clear();
    this.#dispatch();
    await this.#socket.close();
  }

  receive(datagram: Datagram): void {
    if (this.#closed) return;
    this.#endpoint.receive(datagram, this.#now());
    this.#pumpSoon();
  }

  #opened(peer: NodeId, connection: Connection): ConnectionListener {
    const incoming = new Incoming(this.#lanes, {
      onMessage: (message, bytes) => {
        if (this.#closed) return;
        this.#peers.get(peer)?.received(bytes);
        this.#events.onMessage(peer, message);
      },
      onNonsense: (reason) => {
        this.#notices.once(`Cannot read what node ${peer} sends: ${reason}`);
        this.#endpoint.disconnect(peer);
      },
    });
    this.#notices.forget();
    this.#peers.get(peer)?.opened(connection);
    this.#options.onChange?.(peer);
    this.#pumpSoon();
    return {
      onStream: (lane, bytes) => incoming.stream(lane, bytes),
      onDatagram: (bytes) => incoming.datagram(bytes),
      onWritable: (lane) => {
        const to = this.#peers.get(peer);
        // Another connection may have taken this one's place.
        if (to?.connection === connection) to.writable(lane);
      },
    };
  }

  #broken(peer: NodeId, reason: string): void {
    this.#peers.get(peer)?.broken(reason);
    this.#options.onChange?.(peer);
  }

  /** False: the message has to go in its lane. */
  #sayWord(peer: UdpPeer, message: Message, frame: Uint8Array): boolean {
    const word = wordOf(message);
    if (word === null || peer.connection === null) return false;
    const bytes = frame.subarray(frameHeaderBytes);
    const now = this.#now();
    if (!peer.sendDatagram(bytes, word.key, now + word.goodForMs)) return false;
    if (peer.isLossy) {
      this.#repeats.add(`${peer.address} ${word.key}`, () => void peer.sendDatagram(bytes, word.key, now + word.goodForMs));
    }
    return true;
  }

  /** After the turn that is running: what it still sends leaves in the same batch. */
  #flushSoon(peer: UdpPeer): void {
    this.#ready.add(peer);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#pump());
  }

  /** After what has come besides, and what the host makes of it: its answer takes the acknowledgements along. */
  #pumpSoon(): void {
    this.#heard = true;
    if (this.#pumping) return;
    this.#pumping = true;
    this.#options.runtime.clock.soon(() => {
      this.#pumping = false;
      // What the host has answered meanwhile took all along.
      if (this.#heard) this.#pump();
    });
  }

  #pump(): void {
    this.#flushing = false;
    this.#heard = false;
    if (this.#closed) return;
    for (const peer of this.#ready) peer.flush();
    this.#ready.clear();
    this.#dispatch();
    this.#arm();
  }

  /** In a batch for each peer: what goes to the first is on its way before what goes to the next is sealed. */
  #dispatch(): void {
    const now = this.#now();
    let batch: Datagram[] = [];
    for (let next = this.#endpoint.take(now); next !== null; next = this.#endpoint.take(now)) {
      const distance = this.#far.size === 0 ? undefined : this.#far.get(`${next.host} ${next.port}`);
      if (distance !== undefined) {
        distance.push(next);
        continue;
      }
      if (batch.length > 0 && (batch[0]!.port !== next.port || batch[0]!.host !== next.host)) {
        this.#socket.send(batch);
        batch = [];
      }
      batch.push(next);
    }
    if (batch.length > 0) this.#socket.send(batch);
  }

  /** One alarm for everything; one that comes too early only looks again. */
  #arm(): void {
    const at = this.#endpoint.wakeAt;
    if (at >= this.#alarmAt) return;
    this.#cancelAlarm();
    this.#alarmAt = at;
    this.#cancelAlarm = this.#options.runtime.clock.wakeAt(at, () => {
      this.#alarmAt = Infinity;
      const now = this.#now();
      // Mostly what was due has left with something else meanwhile.
      if (this.#endpoint.wakeAt > now) return this.#arm();
      this.#endpoint.wake(now);
      this.#pump();
    });
  }

  #checkLater(): void {
    this.#cancelCheck = this.#options.runtime.clock.wakeAt(this.#now() + checkMs, () => {
      for (const [id, peer] of this.#peers) if (peer.check()) this.#options.onChange?.(id);
      this.#checkLater();
    }, checkGraceMs);
  }

  #place(peer: NodeId, { host, port }: { readonly host: string; readonly port: number }): void {
    const delayMs = this.#options.delayMs?.(peer) ?? 0;
    const key = `${host} ${port}`;
    if (delayMs === 0 || this.#far.has(key)) return;
    this.#far.set(key, new Distance(this.#options.runtime.clock, delayMs, (datagrams) => this.#socket.send(datagrams)));
  }

  #now(): Millis {
    return this.#options.runtime.clock.now().mono;
  }
}

function isLoopback(host: string): boolean {
  return host === "::1" || host.startsWith("127.");
}

function nothing(): void {}

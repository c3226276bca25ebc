/**
 * All peers over one socket: makes and ends connections, and finds the one a datagram belongs to. Pure: datagrams come in with
 * the time, and go out with `take`; after each call take until there is nothing, and come back at `wakeAt`.
 */
import { assert } from "../../../core/assert.ts";
import type { Micros, Millis, NodeId } from "../../../core/ids.ts";
import type { Cryptography, Datagram } from "../../runtime.ts";
import type { Identity } from "../identity.ts";
import { sameAddress } from "./address.ts";
import { Attempt } from "./attempt.ts";
import { Connection } from "./connection.ts";
import type { Counts, EndpointCounts } from "./counts.ts";
import { type Agreement, type InitPayload, instanceBytes, replaces, stands } from "./handshake.ts";
import { type ConnectionListener, type Held, HeldConnections, nobody } from "./held.ts";
import { connectionIdBytes } from "./keys.ts";
import { Limits } from "./limits.ts";
import { parseHandshake, protocolVersion } from "./messages.ts";
import { handshakeFlag, Packets } from "./packet.ts";
import type { Address } from "./paths.ts";
import { Resets } from "./resets.ts";
import { Responder, type Waiting } from "./responder.ts";
import type { TraceEvent } from "./trace.ts";
import { Whereabouts } from "./whereabouts.ts";

/** Called from `receive`, `wake`, `disconnect` and the roster's change. */
export interface EndpointEvents {
  /** Whoever began it; it takes the place of the one there was. */
  onConnected(peer: NodeId, connection: Connection): ConnectionListener;
  /** There is no connection any more, or the attempt to make one has failed. */
  onClosed(peer: NodeId, reason: string): void;
  /** Something an operator should read. */
  onNotice(sentence: string): void;
}

export interface EndpointOptions {
  readonly identity: Identity;
  readonly cryptography: Cryptography;
  /** So many bytes, good enough for keys; asked for a multiple of four. */
  readonly random: (bytes: number) => Uint8Array;
  readonly now: () => Millis;
  readonly wall: () => Micros;
  /** The longest datagram the socket takes. */
  readonly datagramBytesMax: number;
  /** No packet to there is to be longer; default any. */
  readonly packetBytesMax?: (to: Address) => number;
  readonly events: EndpointEvents;
  readonly trace?: (peer: NodeId, event: TraceEvent) => void;
}

interface Peer {
  attempt: Attempt | null;
  current: Held | null;
  /** The newest INIT of the peer that made a connection. */
  seen: Micros;
}

/** What is on its way in a connection when another takes its place still arrives. */
const drainMs = 1_000;
const forgetMs = 3_000;
const repliesMax = 64;

export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #instance: Uint8Array;
  readonly #resets: Resets;
  readonly #limits: Limits;
  readonly #responder: Responder;
  readonly #counts: Counts = { handshakes: 0, handshakesRefused: 0, datagramsIgnored: 0, agreements: 0, replies: 0 };
  readonly #peers = new Map<NodeId, Peer>();
  readonly #held = new HeldConnections();
  /** Whose turn it is to send: as much as it has and may. */
  #turn: Held | null = null;
  readonly #whereabouts: Whereabouts;
  /** Answers on their way out. */
  readonly #replies: Datagram[] = [];
  readonly #ignoreKeys: () => void;
  #timestamp: Micros = 0;
  #closed = false;

  constructor(options: EndpointOptions) {
    const { identity, cryptography, random, now, events } = options;
    this.#options = options;
    this.#instance = random(instanceBytes);
    this.#resets = new Resets(cryptography, random, identity.keys[0]!.privateKey);
    this.#limits = new Limits();
    this.#whereabouts = new Whereabouts(identity.roster);
    this.#responder = new Responder({
      identity,
      cryptography,
      random,
      now: now(),
      limits: this.#limits,
      counts: this.#counts,
      say: () => {
        const connectionId = random(connectionIdBytes);
        return { connectionId, ...this.#side(connectionId) };
      },
      onNotice: (sentence) => events.onNotice(sentence),
    });
    this.#ignoreKeys = identity.roster.onChange(() => this.#onKeys());
  }

  /** Tries to make a connection, for as long as an attempt lasts; nothing if there is one, or an attempt at this address. */
  connect(peer: NodeId, address: Address, now: Millis): void {
    assert(peer !== this.#options.identity.self, `Cannot connect node ${peer} to itself`);
    const state = this.#peer(peer);
    if (this.#closed || state.current !== null || (state.attempt !== null && sameAddress(state.attempt.address, address))) return;
    this.#whereabouts.note(peer, address);
    state.attempt = this.#begin(peer, address, now);
  }

  disconnect(peer: NodeId): void {
    this.#peer(peer).attempt = null;
    this.#responder.drop(({ agreement }) => agreement.peer === peer);
    for (const held of this.#held.of(peer)) held.connection.close("one side wants it no more");
  }

  connectionOf(peer: NodeId): Connection | null {
    return this.#peers.get(peer)?.current?.connection ?? null;
  }

  counts(): EndpointCounts {
    return { ...this.#counts };
  }

  /** Connections of any kind, and handshakes whose peer has not shown its keys. */
  get size(): { readonly connections: number; readonly waiting: number } {
    return { connections: this.#held.size, waiting: this.#responder.size };
  }

  receive({ host, port, bytes }: Datagram, now: Millis): void {
    if (this.#closed) return;
    const from = { host, port };
    if (((bytes[0] ?? 0) & handshakeFlag) !== 0) return this.#onHandshake(bytes, from, now);
    if (bytes.byteLength < 1 + connectionIdBytes) return this.#ignore();
    const held = this.#held.find(bytes, 1);
    if (held !== null) {
      if (!held.connection.receive(bytes, from, now)) this.#ignore();
      return;
    }
    const id = bytes.subarray(1, 1 + connectionIdBytes);
    const waiting = this.#responder.find(id);
    if (waiting !== null) this.#onFirstPacket(waiting, bytes, from, now);
    else if (!this.#onReset(bytes, from)) this.#onUnknown(bytes, id, from, now);
  }

  take(now: Millis): Datagram | null {
    const reply = this.#replies.shift();
    if (reply !== undefined) return reply;
    for (const { attempt } of this.#peers.values()) {
      const datagram = attempt?.take(now) ?? null;
      if (datagram !== null) return datagram;
    }
    for (const held of this.#held.all()) {
      const datagram = held.connection.take(now);
      if (datagram !== null) {
        this.#turn = held;
        return datagram;
      }
      if (this.#turn !== held) continue;
      this.#turn = null;
      this.#held.toBack(held);
    }
    return null;
  }

  get wakeAt(): Millis {
    if (this.#closed) return Number.POSITIVE_INFINITY;
    let at = this.#responder.wakeAt;
    for (const { attempt } of this.#peers.values()) at = Math.min(at, attempt?.wakeAt ?? at);
    for (const { connection, retireAt, forgetAt } of this.#held.all()) at = Math.min(at, connection.wakeAt, retireAt, forgetAt);
    return at;
  }

  wake(now: Millis): void {
    if (this.#closed) return;
    this.#responder.drop(({ until }) => until <= now);
    for (const [peer, state] of this.#peers) {
      const failure = state.attempt?.failure(now) ?? null;
      if (failure === null) continue;
      state.attempt = null;
      this.#options.events.onClosed(peer, failure);
    }
    for (const held of [...this.#held.all()]) {
      if (held.connection.wakeAt <= now) held.connection.wake(now);
      if (held.retireAt <= now) held.connection.close("another connection has taken its place");
      if (held.forgetAt <= now) this.#held.forget(held);
    }
  }

  /** Tells all peers; what tells them is still to be taken. Nothing is called back afterwards. */
  close(): void {
    this.#closed = true;
    this.#ignoreKeys();
    this.#replies.length = 0;
    for (const state of this.#peers.values()) state.attempt = null;
    for (const { connection } of this.#held.all()) connection.close("the node has ended");
  }

  #onHandshake(bytes: Uint8Array, from: Address, now: Millis): void {
    const message = parseHandshake(bytes);
    if (message === null) return this.#ignore();
    if (message.kind === "init") {
      const answer = this.#responder.answer(message, from, now);
      if (answer === null) return;
      this.#reply(answer.bytes, from);
      if (answer.agreement !== undefined) this.#onAgreed(answer.agreement, now);
      return;
    }
    const [peer, state] = [...this.#peers].find(([, { attempt }]) => attempt?.asks(message.connectionId)) ?? [];
    const attempt = state?.attempt;
    if (peer === undefined || attempt === undefined || attempt === null) return this.#ignore();
    switch (message.kind) {
      case "cookie":
        return attempt.onCookie(message, now);
      case "version":
        return this.#options.events.onNotice(
          `Cannot link to node ${peer} over UDP: it speaks version ${message.version}, this node version ${protocolVersion}`,
        );
      case "response": {
        const agreement = attempt.onResponse(message, now);
        if (agreement === null) return this.#ignore();
        const protection = new Packets(this.#options.cryptography, agreement.keys, agreement.peerConnectionId);
        this.#install(this.#hold(agreement, protection, now), now);
      }
    }
  }

  /** Two nodes that begin at the same moment agree on the lower one's handshake: the higher one waits to see it through. */
  #onAgreed({ peer }: Agreement, now: Millis): void {
    if (peer < this.#options.identity.self) this.#peers.get(peer)?.attempt?.yield(now);
  }

  /** Until a packet is opened nothing is kept of it, and nobody hears of the connection. */
  #onFirstPacket({ agreement, protection }: Waiting, bytes: Uint8Array, from: Address, now: Millis): void {
    // From elsewhere it is no proof of the address that the INIT came from. And nobody is told that the connection is
    // forgotten: it is not, and who only saw the packet would learn how to end it.
    if (!sameAddress(agreement.address, from)) return this.#ignore();
    const held = this.#hold(agreement, protection, now);
    protection.onFirst(() => {
      this.#responder.confirmed(agreement);
      this.#peer(agreement.peer).seen = agreement.timestamp;
      this.#install(held, now);
    });
    if (!held.connection.receive(bytes, from, now)) this.#ignore();
  }

  #hold(agreement: Agreement, protection: Packets, now: Millis): Held {
    const { datagramBytesMax, packetBytesMax, random, trace } = this.#options;
    const { peer, role, address, tripMs, side } = agreement;
    const held: Held = {
      agreement,
      listener: nobody,
      retireAt: Number.POSITIVE_INFINITY,
      forgetAt: Number.POSITIVE_INFINITY,
      connection: new Connection({
        role,
        protection,
        address,
        // The responder has answered from there; of the initiator a first packet from there is opened before anything leaves.
        validated: true,
        mtuMax: Math.min(datagramBytesMax, side.datagramBytesMax, packetBytesMax?.(address) ?? Infinity),
        random: () => new DataView(random(4).buffer).getUint32(0),
        now,
        tripMs,
        events: {
          onStream: (stream, chunk) => held.listener.onStream(stream, chunk),
          onDatagram: (datagram) => held.listener.onDatagram(datagram),
          onWritable: (stream) => held.listener.onWritable(stream),
          onClosed: (reason) => this.#onClosed(held, reason),
        },
        trace: trace === undefined ? undefined : (event) => trace(peer, event),
      }),
    };
    return held;
  }

  #install(held: Held, now: Millis): void {
    const { identity, cryptography, events } = this.#options;
    const { agreement, connection } = held;
    const { peer } = agreement;
    const state = this.#peer(peer);
    const before = state.current;
    this.#held.add(held, before);
    this.#whereabouts.note(peer, agreement.address);
    if (before !== null && !replaces(identity.self, agreement, before.agreement, cryptography)) {
      held.retireAt = now;
      return;
    }
    if (before !== null) this.#retire(before, held, now);
    state.attempt = null;
    state.current = held;
    this.#counts.handshakes++;
    held.listener = events.onConnected(peer, connection);
  }

  #retire(before: Held, next: Held, now: Millis): void {
    this.#whereabouts.note(next.agreement.peer, before.connection.address);
    const isAlive = this.#options.cryptography.sameBytes(before.agreement.side.instance, next.agreement.side.instance);
    // A peer that has started again sends nothing in it any more.
    if (isAlive) before.retireAt = now + drainMs;
    else this.#held.forget(before);
  }

  #onClosed(held: Held, reason: string): void {
    const { peer } = held.agreement;
    this.#whereabouts.note(peer, held.connection.address);
    held.listener = nobody;
    held.retireAt = Number.POSITIVE_INFINITY;
    held.forgetAt = this.#options.now() + forgetMs;
    const state = this.#peer(peer);
    if (state.current !== held) return;
    state.current = null;
    if (!this.#closed) this.#options.events.onClosed(peer, reason);
  }

  /** False: it ends no connection with whoever sent it. */
  #onReset(bytes: Uint8Array, from: Address): boolean {
    for (const held of this.#held.all()) {
      const { agreement, connection } = held;
      if (!sameAddress(connection.address, from) || !this.#resets.ends(bytes, agreement.side.resetToken)) continue;
      connection.close("the peer has forgotten it");
      // Nobody is there to be told.
      this.#held.forget(held);
      return true;
    }
    return false;
  }

  #onUnknown(bytes: Uint8Array, id: Uint8Array, from: Address, now: Millis): void {
    this.#ignore();
    if (!this.#isPeerAt(from)) return;
    const answer = this.#limits.mayReply(from, now) ? this.#resets.answer(bytes, id) : null;
    if (answer === null) return;
    this.#counts.replies++;
    this.#reply(answer, from);
  }

  #isPeerAt(address: Address): boolean {
    for (const { connection } of this.#held.all()) if (sameAddress(connection.address, address)) return true;
    return this.#whereabouts.knows(address);
  }

  /** What rests on a key that is not to be used any more ends, and attempts go by the new ones. */
  #onKeys(): void {
    const { identity, now } = this.#options;
    this.#responder.drop(({ agreement }) => !stands(agreement, identity));
    for (const [peer, state] of this.#peers) {
      if (state.attempt !== null) state.attempt = this.#begin(peer, state.attempt.address, now());
    }
    for (const { agreement, connection } of [...this.#held.all()]) {
      if (!stands(agreement, identity)) connection.close("a key of it is not listed any more");
    }
  }

  #begin(peer: NodeId, address: Address, now: Millis): Attempt {
    const { identity, cryptography, random } = this.#options;
    const say = (connectionId: Uint8Array): Omit<InitPayload, "responseKey"> => ({
      ...this.#side(connectionId),
      timestamp: this.#nextTimestamp(),
      seen: this.#peer(peer).seen,
    });
    return new Attempt({ identity, cryptography, random, peer, address, now, say });
  }

  #reply(bytes: Uint8Array, to: Address): void {
    if (this.#replies.length < repliesMax) this.#replies.push({ ...to, bytes });
  }

  #ignore(): void {
    this.#counts.datagramsIgnored++;
  }

  #peer(peer: NodeId): Peer {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const state: Peer = { attempt: null, current: null, seen: 0 };
    this.#peers.set(peer, state);
    return state;
  }

  #side(connectionId: Uint8Array): Agreement["side"] {
    const { datagramBytesMax } = this.#options;
    return { instance: this.#instance, resetToken: this.#resets.token(connectionId), datagramBytesMax };
  }

  #nextTimestamp(): Micros {
    return this.#timestamp = Math.max(this.#options.wall(), this.#timestamp + 1);
  }
}

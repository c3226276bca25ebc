/**
 * Links over HTTP/2: towards each peer one long POST per lane, whose body is frames; from each peer the
 * same. Every stream has a connection of its own, so that nothing waits for another lane's payload.
 */
import { assert } from "../../core/assert.ts";
import type { Envelope } from "../../core/effects.ts";
import type { NodeId } from "../../core/ids.ts";
import { decodeMessage } from "../codec/message.ts";
import type { HttpServer } from "../runtime.ts";
import { Caller } from "./call.ts";
import { frameBytesMax, FrameWriter } from "./frames.ts";
import { type Driver, laneOf, type LinkCounts, type LinkEvents, type LinkOptions, type PeerStats } from "./link.ts";
import { Notices } from "./notices.ts";
import { Joiner } from "./join/joiner.ts";
import { Peer } from "./peer.ts";
import { LinkServer, streamPath } from "./server.ts";

const checkMs = 1_000;
const checkGraceMs = 250;

/** Listens; peers are added with `open`. Throws what binding throws. */
export async function openHttp2Link(options: LinkOptions, events: LinkEvents): Promise<Driver> {
  const link = new Http2Link(options, events);
  await link.listen();
  return link;
}

class Http2Link implements Driver {
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #notices: Notices;
  readonly #server: LinkServer;
  readonly #frames = new FrameWriter();
  readonly #peers = new Map<NodeId, Peer>();
  readonly #joiners = new Map<NodeId, Joiner>();
  #http: HttpServer | null = null;
  #handshakes = 0;
  #closed = false;
  #cancelCheck: () => void = () => {};
  readonly #ignoreKeys: () => void;

  constructor(options: LinkOptions, events: LinkEvents) {
    this.#options = options;
    this.#events = events;
    this.#notices = new Notices(options.runtime.clock, events);
    this.#server = new LinkServer(options, {
      onOpen: (from) => {
        this.#handshakes++;
        this.#notices.forget();
        this.#peers.get(from)?.hurry();
      },
      onFrame: (from, frame) => this.#receive(from, frame),
      onNotice: (sentence) => this.#notices.once(sentence),
    });
    this.#ignoreKeys = options.identity.roster.onChange(() => {
      this.#server.review();
      for (const peer of this.#peers.values()) peer.review();
    });
  }

  get address(): string {
    assert(this.#http !== null, "Cannot tell the link's address: it does not listen yet");
    const { host, port } = this.#http;
    return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
  }

  async listen(): Promise<void> {
    this.#http = await this.#options.runtime.serveHttp(this.#options.listen, this.#server.fetch);
    this.#checkLater();
  }

  open(peer: NodeId, address: string): void {
    assert(peer !== this.#options.identity.self, `Cannot link node ${peer} to itself`);
    const existing = this.#peers.get(peer);
    if (this.#closed || existing?.address === address) return;
    existing?.close();
    this.#joiners.get(peer)?.close();
    const { topology: { nodes }, identity } = this.#options;
    const nameOf = (node: NodeId): string => nodes.find(({ id }) => id === node)?.name ?? String(node);
    const opened = new Peer(this.#options.runtime, {
      peer,
      name: nameOf(peer),
      address,
      delayMs: this.#options.delayMs?.(peer) ?? 0,
      call: (lane) => new Caller(this.#options.runtime, identity, { to: peer, lane, url: `http://${address}${streamPath}` }),
      onOpen: () => this.#handshakes++,
      onUnreachable: () => this.#notices.later(() => this.#events.onUnreachable(peer)),
      onNotice: (sentence) => this.#notices.tell(sentence),
    });
    this.#peers.set(peer, opened);
    const joiner = new Joiner(this.#options.runtime, identity, {
      peer,
      names: { peer: nameOf(peer), self: nameOf(identity.self) },
      address,
      isIn: () => opened.openSince !== null,
      onKnown: () => opened.hurry(),
      onNotice: (sentence) => this.#notices.once(sentence),
    });
    this.#joiners.set(peer, joiner);
  }

  send({ to, message }: Envelope): void {
    const frame = this.#frames.write(message);
    const lane = laneOf(message);
    for (const receiver of to) {
      const peer = this.#peers.get(receiver);
      if (frame.byteLength <= frameBytesMax) peer?.send(lane, frame);
      else peer?.drop();
    }
    if (frame.byteLength > frameBytesMax) {
      this.#notices.once(`Cannot send a ${message.kind} of ${frame.byteLength} bytes: frames have at most ${frameBytesMax}`);
    }
  }

  carries(peer: NodeId): boolean {
    return this.#peers.get(peer)?.openSince != null;
  }

  stats(): readonly PeerStats[] {
    return [...this.#peers.values()].map((peer) => peer.stats());
  }

  counts(): LinkCounts {
    return { handshakes: this.#handshakes, handshakesRefused: this.#server.refused, datagramsIgnored: 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#notices.close();
    this.#cancelCheck();
    this.#ignoreKeys();
    for (const peer of this.#peers.values()) peer.close();
    for (const joiner of this.#joiners.values()) joiner.close();
    this.#server.close();
    await this.#http?.close();
  }

  #receive(from: NodeId, frame: Uint8Array): void {
    if (this.#closed) return;
    const message = decodeMessage(frame, false);
    this.#peers.get(from)?.received(frame.byteLength);
    this.#events.onMessage(from, message);
  }

  #checkLater(): void {
    const { clock } = this.#options.runtime;
    this.#cancelCheck = clock.wakeAt(clock.now().mono + checkMs, () => {
      for (const peer of this.#peers.values()) peer.check();
      for (const joiner of this.#joiners.values()) joiner.check();
      this.#checkLater();
    }, checkGraceMs);
  }
}

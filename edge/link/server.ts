/**
 * The receiving half: lets in the nodes that the cluster lists, and nobody else. Of a body nothing is read before; a stranger learns
 * that it is refused, and costs a fraction of a millisecond at most.
 */
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import type { Runtime } from "../runtime.ts";
import { Bucket } from "./bucket.ts";
import { answerCall, type Answered, type Claim, headerNames } from "./call.ts";
import { holds, type Identity } from "./identity.ts";
import { Incoming } from "./incoming.ts";
import { type Lane, lanesOf } from "./link.ts";
import { Door } from "./join/door.ts";
import { joinPath } from "./join/greeting.ts";
import { Nonces } from "./nonces.ts";
import { problem } from "./problem.ts";

export const streamPath = "/link/v1/stream";

/** Whoever has our public key can make us do the work of a handshake: a few percent of a core at most. Nodes need far fewer. */
const handshakes = { perSecond: 200, atOnce: 1_000 } as const;

export interface ServerEvents {
  /** A peer is there, and sends in this lane. */
  onOpen(from: NodeId, lane: Lane): void;
  /** The frame lies in a buffer nobody writes to again. May throw DecodeError: the stream is ended. */
  onFrame(from: NodeId, frame: Uint8Array): void;
  onNotice(sentence: string): void;
}

export interface ServerOptions {
  readonly runtime: Runtime;
  readonly topology: Topology;
  readonly identity: Identity;
}

/** A stream that has been let in, and the keys that let it in. */
interface Guest {
  readonly from: NodeId;
  readonly answered: Answered;
  readonly stream: Incoming;
}

export class LinkServer {
  readonly #options: ServerOptions;
  readonly #events: ServerEvents;
  readonly #nonces: Nonces;
  readonly #door: Door;
  readonly #handshakes = new Bucket(handshakes);
  readonly #lanes: ReadonlySet<Lane>;
  readonly #guests = new Set<Guest>();
  /** The stream that counts, of each peer and lane. */
  readonly #open = new Map<string, Incoming>();
  #refused = 0;

  constructor(options: ServerOptions, events: ServerEvents) {
    this.#options = options;
    this.#events = events;
    this.#nonces = new Nonces(options.runtime);
    this.#lanes = lanesOf(options.topology);
    this.#door = new Door(options, (sentence) => events.onNotice(sentence));
  }

  /** Streams and first contacts that were refused, so far. */
  get refused(): number {
    return this.#refused + this.#door.refused;
  }

  readonly fetch = (request: Request): Response | Promise<Response> => {
    // With a malformed Host header, what Bun makes of it is no URL.
    const url = URL.canParse(request.url) ? new URL(request.url) : null;
    if (url === null) return refusal(400, "bad-request", "the request's address is malformed");
    if (url.pathname === joinPath) return this.#door.fetch(request);
    if (url.pathname !== streamPath) return refusal(404, "not-found", "there is nothing here but the link of a Carillon node");
    if (request.method !== "POST") return refusal(405, "bad-request", "a link stream is a POST");
    const claim = this.#readClaim(request.headers);
    if (claim === null) return refusal(400, "bad-request", "a link stream names its sender and lane in headers");
    const nonce = request.headers.get(headerNames.nonce);
    const message = request.headers.get(headerNames.handshake);
    if (nonce === null || message === null) return this.#challenge("a link stream begins with a handshake");
    if (!this.#nonces.isGood(nonce)) return this.#challenge("the nonce is spent, too old or not ours");
    if (!this.#handshakes.take(this.#options.runtime.clock.now().mono)) return refusal(429, "overloaded", "too many handshakes at once");
    const answered = answerCall(this.#options, claim, { nonce, message });
    if ("refusal" in answered) return this.#refuse(claim, answered.refusal, "this node does not let you in");
    this.#nonces.spend(nonce);
    if (!this.#lanes.has(claim.lane)) return this.#refuse(claim, `there is no group for lane ${claim.lane}`);
    if (request.body === null) return refusal(400, "bad-request", "a link stream has a body");
    return this.#accept(claim, answered, request.body);
  };

  /** Ends the streams that were let in under keys that would not let them in now. */
  review(): void {
    const { roster, keys } = this.#options.identity;
    for (const { from, answered, stream } of [...this.#guests]) {
      if (roster.nodeOf(answered.remote) !== from || !holds(keys, answered.own.publicKey)) stream.stop();
    }
  }

  close(): void {
    for (const { stream } of [...this.#guests]) stream.stop();
  }

  #readClaim(headers: Headers): Claim | null {
    const [from, lane] = [headerNames.from, headerNames.lane].map((name) => headers.get(name) ?? "");
    if (![from, lane].every((number) => /^[0-9]{1,6}$/.test(number!))) return null;
    return { from: Number(from), to: this.#options.identity.self, lane: Number(lane) };
  }

  #challenge(detail: string): Response {
    return refusal(401, "unauthenticated", detail, { [headerNames.nonce]: this.#nonces.issue() });
  }

  #refuse({ from }: Claim, why: string, told = why): Response {
    this.#refused++;
    this.#events.onNotice(`Cannot let in who says to be node ${from}: ${why}`);
    return refusal(403, "forbidden", told);
  }

  #accept(claim: Claim, answered: Answered, body: ReadableStream<Uint8Array>): Response {
    const { from, lane } = claim;
    const place = `${from} ${lane}`;
    const stream = new Incoming(this.#options.runtime, { body, key: answered.keys.receive }, {
      onConfirmed: () => {
        // A peer has one stream per lane: a second means that the first is dead, whether we have noticed or not.
        this.#open.get(place)?.stop();
        this.#open.set(place, stream);
        this.#events.onOpen(from, lane);
      },
      onFrame: (frame) => this.#events.onFrame(from, frame),
      onNonsense: (reason) => this.#events.onNotice(`Cannot read the link stream of node ${from}: ${reason}`),
      onEnd: () => {
        this.#guests.delete(guest);
        if (this.#open.get(place) === stream) this.#open.delete(place);
      },
    });
    const guest: Guest = { from, answered, stream };
    this.#guests.add(guest);
    return new Response(stream.answer, {
      headers: { "content-type": "application/octet-stream", "cache-control": "no-store", ...answered.headers },
    });
  }
}

function refusal(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}): Response {
  return problem("Cannot open a link stream", { status, code, detail, headers });
}

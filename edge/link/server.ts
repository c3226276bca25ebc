/**
 * The receiving half: lets in who proves the cluster secret and belongs here, and cuts the bodies of
 * long requests into frames. Before the proof nothing of a body is read.
 */
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import { DecodeError } from "../codec/bytes.ts";
import type { Runtime } from "../runtime.ts";
import { FrameReader } from "./frames.ts";
import { checkpointLane, controlLane, type Lane } from "./link.ts";
import { type Claim, Nonces, Secret } from "./proof.ts";

export const streamPath = "/link/v1/stream";
export const headerNames = {
  cluster: "carillon-cluster",
  from: "carillon-from",
  to: "carillon-to",
  lane: "carillon-lane",
  nonce: "carillon-nonce",
  proof: "carillon-proof",
} as const;

export interface ServerEvents {
  onOpen(from: NodeId, lane: Lane): void;
  /** The frame lies in a buffer nobody writes to again. May throw DecodeError: the stream is ended. */
  onFrame(from: NodeId, frame: Uint8Array): void;
  onNotice(sentence: string): void;
}

export interface ServerOptions {
  readonly runtime: Runtime;
  readonly self: NodeId;
  readonly topology: Topology;
  readonly secret: string;
}

export class LinkServer {
  readonly #options: ServerOptions;
  readonly #events: ServerEvents;
  readonly #secret: Secret;
  readonly #nonces: Nonces;
  readonly #lanes: ReadonlySet<Lane>;
  /** How to end the stream a peer has open in a lane. */
  readonly #open = new Map<string, () => void>();
  #refused = 0;

  constructor(options: ServerOptions, events: ServerEvents) {
    this.#options = options;
    this.#events = events;
    this.#secret = new Secret(options.runtime, options.secret);
    this.#nonces = new Nonces(options.runtime);
    this.#lanes = new Set([controlLane, checkpointLane, ...options.topology.groups.flatMap((group) => [group.id * 2, group.id * 2 + 1])]);
  }

  /** Streams that were not let in, so far. */
  get refused(): number {
    return this.#refused;
  }

  readonly fetch = (request: Request): Response => {
    // With a malformed Host header, what Bun makes of it is no URL.
    const url = URL.canParse(request.url) ? new URL(request.url) : null;
    if (url === null) return problem(400, "bad-request", "the request's address is malformed");
    if (url.pathname !== streamPath) return problem(404, "not-found", "there is nothing here but the link of a Carillon node");
    if (request.method !== "POST") return problem(405, "bad-request", "a link stream is a POST");
    const claim = readClaim(request.headers);
    if (claim === null) return problem(400, "bad-request", "a link stream names its cluster, sender, receiver and lane in headers");
    const nonce = request.headers.get(headerNames.nonce);
    const proof = request.headers.get(headerNames.proof);
    if (nonce === null || proof === null) return this.#challenge("a link stream needs a proof of the cluster secret");
    if (!this.#secret.proves(claim, nonce, proof)) {
      this.#refused++;
      this.#events.onNotice(`Cannot accept a link stream from node ${claim.from}: it does not have our cluster secret`);
      return this.#challenge("the proof does not fit our cluster secret");
    }
    if (!this.#nonces.spend(nonce)) return this.#challenge("the nonce is spent, too old or not ours");
    const refusal = this.#refusal(claim);
    if (refusal !== null) {
      this.#refused++;
      this.#events.onNotice(`Cannot accept a link stream from node ${claim.from}: ${refusal}`);
      return problem(403, "forbidden", refusal);
    }
    if (request.body === null) return problem(400, "bad-request", "a link stream has a body");
    return this.#accept(claim, request.body);
  };

  close(): void {
    for (const stop of this.#open.values()) stop();
  }

  #challenge(detail: string): Response {
    return problem(401, "unauthenticated", detail, { [headerNames.nonce]: this.#nonces.issue() });
  }

  #refusal(claim: Claim): string | null {
    const { self, topology } = this.#options;
    if (claim.cluster !== topology.cluster) return `it belongs to cluster "${claim.cluster}" and this is "${topology.cluster}"`;
    if (claim.to !== self) return `it looks for node ${claim.to} and this is node ${self}`;
    if (claim.from === self) return `this is node ${self} itself`;
    if (!topology.nodes.some((node) => node.id === claim.from)) return `this cluster has no node ${claim.from}`;
    if (!this.#lanes.has(claim.lane)) return `there is no group for lane ${claim.lane}`;
    return null;
  }

  #accept(claim: Claim, body: ReadableStream<Uint8Array>): Response {
    const key = `${claim.from} ${claim.lane}`;
    // A peer has one stream per lane: a second means that the first is dead, whether we have noticed or not.
    this.#open.get(key)?.();
    const reader = body.getReader();
    let ended = false;
    let endAnswer = nothing;
    const stop = (): void => {
      if (ended) return;
      ended = true;
      if (this.#open.get(key) === stop) this.#open.delete(key);
      reader.cancel().catch(nothing);
      endAnswer();
    };
    this.#open.set(key, stop);
    const answer = new ReadableStream<Uint8Array>({
      start(controller): void {
        // Bun sends the status with the first bytes and not before.
        controller.enqueue(new Uint8Array(1));
        endAnswer = () => controller.close();
      },
      cancel(): void {
        endAnswer = nothing;
        stop();
      },
    });
    this.#events.onOpen(claim.from, claim.lane);
    this.#read(claim.from, reader, () => ended).catch((error: unknown) => {
      // A connection that breaks is nothing to tell; nonsense from a peer is.
      if (error instanceof DecodeError) this.#events.onNotice(`Cannot read the link stream of node ${claim.from}: ${error.message}`);
    }).finally(stop);
    return new Response(answer, { headers: { "content-type": "application/octet-stream", "cache-control": "no-store" } });
  }

  async #read(from: NodeId, reader: ReadableStreamDefaultReader<Uint8Array>, ended: () => boolean): Promise<void> {
    const frames = new FrameReader((frame) => this.#events.onFrame(from, frame));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || ended()) return;
      frames.push(value);
    }
  }
}

function readClaim(headers: Headers): Claim | null {
  const cluster = headers.get(headerNames.cluster);
  const [from, to, lane] = [headerNames.from, headerNames.to, headerNames.lane].map((name) => headers.get(name) ?? "");
  if (cluster === null || ![from, to, lane].every((number) => /^[0-9]{1,6}$/.test(number!))) return null;
  return { cluster, from: Number(from), to: Number(to), lane: Number(lane) };
}

function problem(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}): Response {
  const title = `Cannot open a link stream: ${detail}`;
  return new Response(JSON.stringify({ type: "about:blank", title, status, code, detail, outcome: "none", retryable: false }) + "\n", {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}

function nothing(): void {}

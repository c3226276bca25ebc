/** The outgoing half towards one peer: its lanes, opened when first used, and whether it is heard at all. */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Runtime } from "../runtime.ts";
import type { Caller } from "./call.ts";
import { Lane, type LaneCounts } from "./lane.ts";
import { controlLane, type Lane as LaneNumber, type PeerStats } from "./link.ts";
import { queueBytesMaxOf } from "./queue.ts";

/** Heartbeats come several times a second: a peer silent for this long is gone, or its connection is dead and nobody said so. */
const silentMs = 4_000;
/** Nodes start one after the other: a peer that is not there for a moment is no news. */
const tellMs = 3_000;

export interface PeerOptions {
  readonly peer: NodeId;
  /** For sentences. */
  readonly name: string;
  readonly address: string;
  readonly delayMs: Millis;
  call(lane: LaneNumber): Caller;
  /** The peer has let us in. */
  onOpen(): void;
  onUnreachable(): void;
  onNotice(sentence: string): void;
}

export class Peer {
  readonly address: string;
  readonly #runtime: Runtime;
  readonly #options: PeerOptions;
  readonly #lanes = new Map<LaneNumber, Lane>();
  readonly #counts: LaneCounts = { sent: 0, sentBytes: 0, dropped: 0, reconnects: 0 };
  #received = 0;
  #receivedBytes = 0;
  #heardAt: Millis = -Infinity;
  #failingSince: Millis | null = null;
  /** The trouble an operator has been told of. */
  #told = "";

  constructor(runtime: Runtime, options: PeerOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.address = options.address;
    this.#lane(controlLane);
  }

  send(lane: LaneNumber, frame: Uint8Array): void {
    this.#lane(lane).push(frame);
  }

  drop(): void {
    this.#counts.dropped++;
  }

  received(bytes: number): void {
    this.#received++;
    this.#receivedBytes += bytes;
    this.#heardAt = this.#now();
  }

  /** The peer has connected to us, so it is there. */
  hurry(): void {
    this.#heardAt = this.#now();
    for (const lane of this.#lanes.values()) lane.hurry();
  }

  /** To be called now and then: a connection over which nothing comes back is made anew. */
  check(): void {
    const now = this.#now();
    if (now - this.#heardAt < silentMs) return;
    for (const lane of this.#lanes.values()) {
      if (lane.openSince !== null && now - lane.openSince >= silentMs) lane.renew("it has been silent");
    }
  }

  /** Keys have changed. */
  review(): void {
    for (const lane of this.#lanes.values()) lane.review();
  }

  stats(): PeerStats {
    let queuedBytes = 0;
    for (const lane of this.#lanes.values()) queuedBytes += lane.queuedBytes;
    return {
      peer: this.#options.peer,
      driver: "h2",
      reason: "as configured",
      rttMs: null,
      lossRatio: null,
      mtuBytes: null,
      congestionWindowBytes: null,
      retransmitted: null,
      lost: null,
      udp: null,
      ...this.#counts,
      received: this.#received,
      receivedBytes: this.#receivedBytes,
      queuedBytes,
      connectedSince: this.#lanes.get(controlLane)!.openSince,
    };
  }

  close(): void {
    for (const lane of this.#lanes.values()) lane.close();
  }

  #lane(number: LaneNumber): Lane {
    const existing = this.#lanes.get(number);
    if (existing !== undefined) return existing;
    const { delayMs } = this.#options;
    const lane = new Lane(this.#runtime, this.#options.call(number), {
      queueBytesMax: queueBytesMaxOf(number),
      delayMs,
      counts: this.#counts,
    }, {
      onOpen: () => {
        this.#options.onOpen();
        this.#works();
      },
      onBroken: (reason, wasOpen) => {
        if (wasOpen && number === controlLane) this.#options.onUnreachable();
        this.#fails(reason);
      },
    });
    this.#lanes.set(number, lane);
    return lane;
  }

  #works(): void {
    this.#failingSince = null;
    if (this.#told !== "") this.#options.onNotice(`Connected to node ${this.#options.name} at ${this.address} again`);
    this.#told = "";
  }

  #fails(reason: string): void {
    this.#failingSince ??= this.#now();
    const refused = /answered 40[13]$/.test(reason);
    const worthTelling = refused || this.#now() - this.#failingSince >= tellMs;
    if (!worthTelling || reason === this.#told) return;
    this.#told = reason;
    const hint = refused ? " (our key is not listed there, or its key here; or it is of another cluster)" : "";
    this.#options.onNotice(`Cannot reach node ${this.#options.name} at ${this.address}: ${reason}${hint}`);
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

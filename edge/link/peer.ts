/** The outgoing half towards one peer: its lanes, opened when first used, and whether it is heard at all. */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Runtime } from "../runtime.ts";
import type { Caller } from "./call.ts";
import { Lane, type LaneCounts } from "./lane.ts";
import { controlLane, type Lane as LaneNumber, type PeerStats } from "./link.ts";
import { queueBytesMaxOf } from "./queue.ts";
import { Standing } from "./standing.ts";

/** Heartbeats come several times a second: a peer silent for this long is gone, or its connection is dead and nobody said so. */
const silentMs = 4_000;

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
  readonly #standing: Standing;
  readonly #counts: LaneCounts = { sent: 0, sentBytes: 0, dropped: 0, reconnects: 0 };
  #received = 0;
  #receivedBytes = 0;
  #heardAt: Millis = -Infinity;

  constructor(runtime: Runtime, options: PeerOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.address = options.address;
    this.#standing = new Standing(`node ${options.name} at ${options.address}`, (sentence) => options.onNotice(sentence));
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

  /** Since when the control lane has been open; null while it is not. */
  get openSince(): Millis | null {
    return this.#lanes.get(controlLane)!.openSince;
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
      connectedSince: this.openSince,
    };
  }

  close(): void {
    for (const lane of this.#lanes.values()) lane.close();
  }

  #lane(number: LaneNumber): Lane {
    const existing = this.#lanes.get(number);
    if (existing !== undefined) return existing;
    const { delayMs } = this.#options;
    const options = { queueBytesMax: queueBytesMaxOf(number), delayMs, counts: this.#counts };
    const lane = new Lane(this.#runtime, this.#options.call(number), options, {
      onOpen: () => {
        this.#options.onOpen();
        this.#standing.works();
      },
      onBroken: (reason, wasOpen) => {
        if (wasOpen && number === controlLane) this.#options.onUnreachable();
        this.#fails(reason);
      },
    });
    this.#lanes.set(number, lane);
    return lane;
  }

  #fails(reason: string): void {
    const refused = /answered 40[13]$/.test(reason);
    const hint = refused ? " (our key is not listed there, or its key here; or it is of another cluster)" : "";
    this.#standing.fails(reason + hint, this.#now(), refused);
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

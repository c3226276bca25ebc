/**
 * Checkpoints between nodes. Whoever needs one asks all that replicate the same: what they forgot of the log a majority had durably
 * behind it, so the newest among any majority is far enough. Where fewer answer, what they have may help as well; if it does not go far
 * enough, it is asked for again. It then comes in pieces, several under way at a time, from every peer that has the same one, no faster
 * than it may.
 */
import type { GroupId, Instance, Millis, NodeId } from "../../core/ids.ts";
import type { Offer, Piece, Pull, Seek } from "../../core/message.ts";
import { comparePositions, formatPosition, type Position, start } from "../../core/position.ts";
import { majority } from "../../core/quorum.ts";
import type { Clock } from "../runtime.ts";
import type { Checkpointing, CheckpointMessage } from "../start_node.ts";
import { blockHeaderBytes, contentBytes, type Head } from "./blocks.ts";
import type { CheckpointLimits } from "./checkpoints.ts";
import type { Part } from "./part.ts";
import type { CheckpointStore, Stored } from "./store.ts";

/** A checkpoint that peers have. */
export interface Found {
  readonly position: Position;
  readonly bytes: number;
  /** Whoever has it. */
  readonly sources: readonly NodeId[];
}

const pieceBytes = 256 << 10;
/** Pieces under way at a time. */
const windowPieces = 4;
/** Over a slow way a whole piece may take longer than an answer may: it is then asked for in smaller parts. */
const partBytesMin = 4 << 10;
/** A part that could not be had so many times in a row ends the attempt. */
const failuresMax = 8;
/** Files of peers that were not whole: remembered while there are few. */
const spoiledMax = 64;
/** Who asks so often in a row and takes nothing cannot go on from what is offered: it may lack more of the log than that goes back. */
const seeksMax = 3;
/** Whoever pulls will fetch what follows, and needs a while to begin. */
const holdMs = 30_000;

type Answer = Offer | Piece;

export class Exchange {
  readonly #self: NodeId;
  readonly #store: CheckpointStore;
  readonly #node: Checkpointing;
  readonly #clock: Clock;
  readonly #limits: CheckpointLimits;
  readonly #waiting = new Map<number, { readonly from: NodeId; readonly answer: (message: Answer | null) => void }>();
  readonly #holds = new Map<string, { readonly holder: number; cancel: () => void }>();
  readonly #onUnhelped: (replica: string) => void;
  /** Questions since a peer last took anything, by peer and replica. */
  readonly #seeks = new Map<string, number>();
  readonly #downloads = new Set<Promise<boolean>>();
  readonly #spoiled = new Set<string>();
  /** Ends of the waits between pieces. */
  readonly #pauses = new Set<() => void>();
  /** What is asked for at a time: halved when no answer comes in time, a quarter more when one does. */
  #partBytes = pieceBytes;
  #holders = 0;
  #request = 0;
  #closed = false;
  /** Bytes given to peers. */
  served = 0;

  constructor(options: {
    readonly self: NodeId;
    readonly store: CheckpointStore;
    readonly node: Checkpointing;
    readonly clock: Clock;
    readonly limits: CheckpointLimits;
    /** What is offered of this replica does not help a peer: it needs a newer one. */
    readonly onUnhelped: (replica: string) => void;
  }) {
    this.#self = options.self;
    this.#store = options.store;
    this.#node = options.node;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#onUnhelped = options.onUnhelped;
  }

  onMessage(from: NodeId, message: CheckpointMessage): void {
    if (this.#closed) return;
    switch (message.kind) {
      case "seek":
        return this.#onSeek(from, message);
      case "pull":
        void this.#onPull(from, message);
        return;
      case "offer":
      case "piece": {
        const waiting = this.#waiting.get(message.request);
        if (waiting?.from === from) waiting.answer(message);
      }
    }
  }

  /** Resolves when nobody writes to what is being fetched any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { answer } of this.#waiting.values()) answer(null);
    for (const { cancel } of this.#holds.values()) cancel();
    for (const end of this.#pauses) end();
    await Promise.allSettled(this.#downloads);
  }

  /** The newest, above a position, that the members can name; null if none did, and fewer than a majority, this node included, answered. */
  async find(replica: string, members: readonly NodeId[], above: Position): Promise<{ readonly best: Found | null } | null> {
    const peers = members.filter((node) => node !== this.#self);
    const answers = await Promise.all(peers.map((node) => this.#seek(node, replica)));
    const offers = answers.flatMap((offer, at) =>
      offer === null || offer.bytes === 0 || comparePositions(offer.position, above) <= 0 ? [] : [{ ...offer, node: peers[at]! }]
    );
    const trusted = offers.filter(({ node, position }) => !this.#spoiled.has(fileOf(node, replica, position)));
    const best = newestOf(trusted) ?? newestOf(offers);
    const enough = answers.filter((offer) => offer !== null).length + 1 >= majority(members.length);
    return best !== null || enough ? { best } : null;
  }

  /** What came was not whole: these nodes are asked again for this one only if nobody has another. */
  distrust(replica: string, { position, sources }: Found): void {
    if (this.#spoiled.size >= spoiledMax) this.#spoiled.clear();
    for (const node of sources) this.#spoiled.add(fileOf(node, replica, position));
  }

  /** The whole file, not checked yet; null if it could not be had now: what has come is kept for the next try, or life. */
  async download(replica: string, found: Found): Promise<Part | null> {
    const part = await this.#store.receive(replica, found.position, found.bytes);
    const whole = this.#fill(part, replica, found).catch(async (error) => {
      await this.#store.discard(part);
      throw error;
    });
    this.#downloads.add(whole);
    try {
      return await whole ? await part.finish() : null;
    } finally {
      this.#downloads.delete(whole);
    }
  }

  /** Only the head of the newest that one of these nodes has, and nothing of its state; null if none could be had. */
  async head(replica: string, members: readonly NodeId[]): Promise<Head | null> {
    const best = (await this.find(replica, members, start))?.best ?? null;
    if (best === null) return null;
    const header = await this.#piece(replica, best, 0, blockHeaderBytes);
    if (header === null) return null;
    const block = new Uint8Array(blockHeaderBytes + contentBytes(header));
    block.set(header);
    for (let at = blockHeaderBytes; at < block.byteLength;) {
      const bytes = await this.#piece(replica, best, at, Math.min(pieceBytes, block.byteLength - at));
      if (bytes === null) return null;
      block.set(bytes, at);
      at += bytes.byteLength;
    }
    return this.#store.headOf(block);
  }

  /** False if it ended early. */
  async #fill(part: Part, replica: string, found: Found): Promise<boolean> {
    const before = part.bytes;
    const began = this.#clock.now().mono;
    const coming: Promise<Uint8Array | null>[] = [];
    for (let asked = before; part.bytes < found.bytes;) {
      while (coming.length < windowPieces && asked < found.bytes) {
        const length = Math.min(pieceBytes, found.bytes - asked);
        coming.push(this.#piece(replica, found, asked, length));
        asked += length;
      }
      const bytes = await coming.shift()!;
      if (bytes === null || this.#closed) {
        await part.leave();
        return false;
      }
      await part.append(bytes);
      await this.#until(began + (part.bytes - before) / this.#limits.bytesPerSecond * 1_000);
    }
    return true;
  }

  #onSeek(from: NodeId, { request, replica }: Seek): void {
    const [newest] = this.#store.of(replica);
    const asker = `${from} ${replica}`;
    const seeks = (this.#seeks.get(asker) ?? 0) + 1;
    this.#seeks.set(asker, seeks % seeksMax);
    if (seeks === seeksMax) this.#onUnhelped(replica);
    this.#node.send(from, { kind: "offer", request, replica, position: newest?.position ?? start, bytes: newest?.bytes ?? 0 });
  }

  async #onPull(from: NodeId, { request, replica, position, offset, length }: Pull): Promise<void> {
    this.#seeks.delete(`${from} ${replica}`);
    const stored = this.#store.of(replica).find((one) => comparePositions(one.position, position) === 0);
    const inside = stored !== undefined && offset < stored.bytes;
    let bytes = new Uint8Array(0);
    if (inside) {
      await this.#hold(from, stored);
      bytes = await this.#store.read(stored, offset, Math.min(length, pieceBytes)).catch(() => bytes) as Uint8Array<ArrayBuffer>;
    }
    if (this.#closed) return;
    this.served += bytes.byteLength;
    this.#node.send(from, { kind: "piece", request, offset, bytes });
  }

  /** What follows this checkpoint is not forgotten while somebody takes it over. */
  async #hold(from: NodeId, stored: Stored): Promise<void> {
    const name = `${from} ${stored.replica}`;
    let held = this.#holds.get(name);
    if (held === undefined) {
      this.#holds.set(name, held = { holder: ++this.#holders, cancel: () => {} });
      const { groups } = await this.#store.head(stored).catch(() => ({ groups: [] }));
      this.#node.submit({ kind: "hold", holder: held.holder, groups: groups.map(({ group, foundation }) => placeOf(group, foundation)) });
    }
    held.cancel();
    held.cancel = this.#clock.wakeAt(this.#clock.now().mono + holdMs, () => {
      this.#holds.delete(name);
      this.#node.submit({ kind: "hold", holder: held.holder, groups: [] });
    });
  }

  async #seek(node: NodeId, replica: string): Promise<Offer | null> {
    const answer = await this.#ask(node, (request) => ({ kind: "seek", request, replica }));
    return answer?.kind === "offer" && answer.replica === replica ? answer : null;
  }

  async #piece(replica: string, found: Found, offset: number, length: number): Promise<Uint8Array | null> {
    const turn = Math.floor(offset / pieceBytes);
    const piece = new Uint8Array(length);
    let at = 0;
    for (let failures = 0; failures < failuresMax && !this.#closed;) {
      const node = found.sources[(turn + failures) % found.sources.length]!;
      const bytes = await this.#part(node, replica, found.position, offset + at, Math.min(length - at, this.#partBytes));
      if (bytes === null) {
        failures++;
        continue;
      }
      // Nothing: it has made newer ones since and this one is gone.
      if (bytes.byteLength === 0) return null;
      if (bytes.byteLength === length) return bytes;
      piece.set(bytes, at);
      at += bytes.byteLength;
      if (at === length) return piece;
      failures = 0;
    }
    return null;
  }

  /** All of it or nothing; null if it could not be had. */
  async #part(node: NodeId, replica: string, position: Position, offset: number, length: number): Promise<Uint8Array | null> {
    const answer = await this.#ask(node, (request) => ({ kind: "pull", request, replica, position, offset, length }));
    if (answer === null) this.#partBytes = Math.max(partBytesMin, Math.floor(this.#partBytes / 2));
    if (answer?.kind !== "piece") return null;
    const { bytes } = answer;
    if (bytes.byteLength > 0 && (answer.offset !== offset || bytes.byteLength !== length)) return null;
    this.#partBytes = Math.min(pieceBytes, Math.ceil(this.#partBytes * 1.25));
    return bytes;
  }

  #ask(node: NodeId, message: (request: number) => Seek | Pull): Promise<Answer | null> {
    if (this.#closed) return Promise.resolve(null);
    const request = this.#request = (this.#request + 1) >>> 0;
    return new Promise((resolve) => {
      const cancel = this.#clock.wakeAt(this.#clock.now().mono + this.#limits.answerMs, () => answer(null));
      const answer = (found: Answer | null): void => {
        cancel();
        this.#waiting.delete(request);
        resolve(found);
      };
      this.#waiting.set(request, { from: node, answer });
      this.#node.send(node, message(request));
    });
  }

  #until(at: Millis): Promise<void> {
    if (at <= this.#clock.now().mono || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const cancel = this.#clock.wakeAt(at, end);
      this.#pauses.add(end);
    });
  }
}

function newestOf(offers: readonly (Offer & { readonly node: NodeId })[]): Found | null {
  let best: Found | null = null;
  for (const { node, position, bytes } of offers) {
    const order = best === null ? 1 : comparePositions(position, best.position);
    if (order > 0) best = { position, bytes, sources: [node] };
    // The same position at two nodes is the same state, and, if it also has the same size, the same file: the checksums tell.
    else if (order === 0 && bytes === best!.bytes) best = { ...best!, sources: [...best!.sources, node] };
  }
  return best;
}

function fileOf(node: NodeId, replica: string, position: Position): string {
  return `${node} ${replica} ${formatPosition(position)}`;
}

function placeOf(group: GroupId, { instance }: { readonly instance: Instance }): { group: GroupId; instance: Instance } {
  return { group, instance };
}

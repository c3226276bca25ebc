/** What heartbeats tell of the other nodes: who is heard, who hears us, how far away they are. */
import type { Millis, NodeId } from "./ids.ts";
import type { Limits } from "./limits.ts";
import { type Heartbeat, heldUnknown } from "./message.ts";
import type { PeerView } from "./view.ts";

class Peer {
  heardAt: Millis = -Infinity;
  incarnation = 0;
  sequence = 0;
  /** Their clock when they sent the last heartbeat we heard. */
  sentAt: Millis = 0;
  nextInMs: Millis = 0;
  /** Our own clock when we sent the newest heartbeat they say they heard. */
  heardUsAt: Millis = -Infinity;
  rttMs: Millis | null = null;
  /** When this life of it was first heard. */
  metAt: Millis = -Infinity;
  /** The link broke since we last heard it. */
  broken = false;
}

/** A node that announces longer silences than any configuration has is not believed. */
const nextInMsMax = 60_000;

export class Peers {
  readonly #limits: Limits;
  readonly #incarnation: number;
  readonly #peers = new Map<NodeId, Peer>();
  /** Nobody is suspected before it had time to speak. */
  #startedAt: Millis = 0;
  /** Nor before we had time to listen. */
  #resumedAt: Millis = -Infinity;

  constructor(self: NodeId, incarnation: number, nodes: readonly NodeId[], limits: Limits) {
    this.#limits = limits;
    this.#incarnation = incarnation;
    for (const node of nodes) if (node !== self) this.#peers.set(node, new Peer());
  }

  start(now: Millis): void {
    this.#startedAt = now;
  }

  /** This node stood still for a while: what the others said meanwhile has not been read yet. */
  resume(now: Millis): void {
    this.#resumedAt = now;
  }

  get nodes(): IterableIterator<NodeId> {
    return this.#peers.keys();
  }

  has(node: NodeId): boolean {
    return this.#peers.has(node);
  }

  /** False for a heartbeat that is older than one heard before. */
  heard(from: NodeId, beat: Heartbeat, now: Millis): boolean {
    const peer = this.#peers.get(from);
    if (!peer) return false;
    if (beat.incarnation === peer.incarnation) {
      if (beat.sequence <= peer.sequence) return false;
    } else {
      peer.heardUsAt = -Infinity;
      peer.rttMs = null;
      peer.metAt = now;
    }
    peer.heardAt = now;
    peer.broken = false;
    peer.incarnation = beat.incarnation;
    peer.sequence = beat.sequence;
    peer.sentAt = beat.sentAt;
    peer.nextInMs = Math.min(Math.max(beat.nextInMs, 0), nextInMsMax);
    // An echo of what we said between our start and now; any other would decide for ever whether it hears us.
    if (beat.echoIncarnation === this.#incarnation && beat.echoSentAt >= this.#startedAt && beat.echoSentAt <= now) {
      peer.heardUsAt = Math.max(peer.heardUsAt, beat.echoSentAt);
      this.#measure(peer, beat, now);
    }
    return true;
  }

  /** A way that either end spent standing still says nothing of the distance. */
  #measure(peer: Peer, { echoSentAt, echoHeldMs }: Heartbeat, now: Millis): void {
    if (!(echoHeldMs >= 0) || echoSentAt < this.#resumedAt) return;
    const rtt = Math.max(0, now - echoSentAt - echoHeldMs);
    peer.rttMs = peer.rttMs === null ? rtt : peer.rttMs * 0.875 + rtt * 0.125;
  }

  /** The link says so; the next heartbeat says otherwise. */
  unreachable(node: NodeId): void {
    const peer = this.#peers.get(node);
    if (peer) peer.broken = true;
  }

  /** Three of its heartbeats are overdue. */
  suspected(node: NodeId, now: Millis): boolean {
    return now > this.suspectAt(node);
  }

  /** Until when silence is nothing to worry about; Infinity for this node itself. */
  suspectAt(node: NodeId): Millis {
    return this.#peers.get(node)?.broken ? -Infinity : this.overdueAt(node);
  }

  /** The same, whatever the link says. */
  overdueAt(node: NodeId): Millis {
    const peer = this.#peers.get(node);
    if (!peer) return Infinity;
    const interval = Math.max(peer.nextInMs, this.#limits.heartbeatMs);
    return Math.max(peer.heardAt, this.#startedAt, this.#resumedAt) + 3 * interval + this.#limits.stallMs;
  }

  /** We hear it, but it has not heard our last few heartbeats: nothing sent there arrives. */
  deaf(node: NodeId, now: Millis): boolean {
    const peer = this.#peers.get(node);
    if (!peer || peer.metAt === -Infinity) return false;
    const interval = Math.max(peer.nextInMs, this.#limits.heartbeatMs);
    return now > Math.max(peer.heardUsAt, peer.metAt) + 3 * interval + 3 * this.#limits.heartbeatIdleMs + 2 * (peer.rttMs ?? 0);
  }

  /** It told us, in this life of ours, that it hears us; when we sent what it heard. */
  heardUsAt(node: NodeId): Millis {
    return this.#peers.get(node)?.heardUsAt ?? -Infinity;
  }

  rttMs(node: NodeId): Millis {
    return this.#peers.get(node)?.rttMs ?? 0;
  }

  /** There and back to the farthest of them. */
  farthestMs(nodes: readonly NodeId[]): Millis {
    let farthest = 0;
    for (const node of nodes) farthest = Math.max(farthest, this.rttMs(node));
    return farthest;
  }

  incarnationOf(node: NodeId): number {
    return this.#peers.get(node)?.incarnation ?? 0;
  }

  /** The echo for the next heartbeat to this peer. */
  echo(node: NodeId, now: Millis): { readonly incarnation: number; readonly sentAt: Millis; readonly heldMs: Millis } {
    const peer = this.#peers.get(node);
    if (!peer || peer.incarnation === 0) return { incarnation: 0, sentAt: 0, heldMs: 0 };
    // What is heard right after standing still had been here for a while, nobody knows how long.
    const hasLain = peer.heardAt <= this.#resumedAt + this.#limits.stallMs;
    return { incarnation: peer.incarnation, sentAt: peer.sentAt, heldMs: hasLain ? heldUnknown : Math.max(0, now - peer.heardAt) };
  }

  view(now: Millis): PeerView[] {
    return [...this.#peers].map(([node, peer]) => ({
      node,
      heardAt: peer.heardAt,
      rttMs: peer.rttMs,
      suspected: this.suspected(node, now),
    }));
  }
}

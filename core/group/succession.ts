/**
 * Whom a coordinator makes way for: the preferred acceptor once that is back and level, or the best placed one while its own
 * disk is the slow one. Whoever made way itself is left in peace for a while.
 */
import { type Ballot, ballotNode, type Instance, type Lsn, type Millis, type NodeId } from "../ids.ts";
import type { Beat } from "../message.ts";
import type { Group } from "./group.ts";
import { Pace } from "./pace.ts";

/** A preferred acceptor that is back and level gets its place back after so long. */
const handBackMs = 3_000;
/** One that made way, in the same life, only after so long: it had a reason, and may have it still. */
const restMs = 60_000;

export class Succession {
  readonly #group: Group;
  readonly #pace = new Pace();
  #levelSince: Millis = Infinity;
  #resting: { readonly node: NodeId; readonly incarnation: number; readonly until: Millis } | null = null;

  constructor(group: Group) {
    this.#group = group;
  }

  /** This node coordinates now; `released` is the ballot of one that made way for it, or 0. */
  begin(released: Ballot): void {
    const { peers, now } = this.#group.context;
    this.#pace.begin();
    this.#levelSince = Infinity;
    if (released === 0) return;
    const node = ballotNode(released);
    this.#resting = { node, incarnation: peers.incarnationOf(node), until: now + restMs };
  }

  proposed(instance: Instance, lsn: Lsn): void {
    this.#pace.proposed(instance, lsn, this.#group.context.now);
  }

  decided(instance: Instance): void {
    this.#pace.decided(instance, this.#group.context.now);
  }

  persisted(upTo: Lsn): void {
    this.#pace.persisted(upTo, this.#group.context.now);
  }

  /** Who should coordinate instead, by now; 0 for nobody. */
  heir(): NodeId {
    const { context, spec } = this.#group;
    const preferred = spec.acceptors[0]!;
    if (!this.#isLevel(preferred)) this.#levelSince = Infinity;
    else if (this.#levelSince === Infinity) this.#levelSince = context.now;
    if (this.#pace.slow(context.now)) return this.bestPlaced();
    return context.now >= this.#levelSince + handBackMs ? preferred : 0;
  }

  #isLevel(preferred: NodeId): boolean {
    const { context, log } = this.#group;
    const beat = this.#group.beatOf(preferred);
    if (preferred === context.self || !beat || !beat.voting || !this.wouldHear(preferred) || this.#rests(preferred)) return false;
    // Under load its word is always a little old: level is who lacks no more than what may be in flight.
    return beat.logBallot === log.ballot && beat.last + context.limits.windowEntries >= log.decided;
  }

  #rests(node: NodeId): boolean {
    const { peers, now } = this.#group.context;
    return this.#resting?.node === node && this.#resting.incarnation === peers.incarnationOf(node) && now < this.#resting.until;
  }

  /** Whoever does not hear us does not hear that we made way either. */
  wouldHear(node: NodeId): boolean {
    const { peers, now } = this.#group.context;
    return !peers.suspected(node, now) && !peers.deaf(node, now);
  }

  bestPlaced(): NodeId {
    const { context, spec } = this.#group;
    let best: { node: NodeId; beat: Beat } | null = null;
    for (const node of spec.acceptors) {
      const beat = this.#group.beatOf(node);
      if (node === context.self || !beat || !beat.voting || !this.wouldHear(node) || this.#rests(node)) continue;
      if (!best || beat.last > best.beat.last) best = { node, beat };
    }
    return best?.node ?? 0;
  }
}

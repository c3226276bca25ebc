/**
 * Who hears what next (R7 to R9). Star: the coordinator to all, but for payloads to whoever they came from; every acceptor's votes to
 * all. Ring: everything to the successor only, payload once over each link. Safety does not depend on it: the
 * same votes are counted, and whoever is left out fetches.
 */
import type { Batch, Entry } from "../entry.ts";
import type { Ballot, NodeId, Origin } from "../ids.ts";
import { ballotNode, originNode } from "../ids.ts";
import type { Accept, AcceptorVote, Propose } from "../message.ts";
import type { Group } from "./group.ts";

const noBytes = new Uint8Array(0);

export class Shape {
  readonly #group: Group;
  readonly others: readonly NodeId[];
  /** Payloads that came past as proposals and will be named by reference: by origin, then sequence. */
  readonly #cache = new Map<Origin, Map<number, Batch>>();
  #cachedBytes = 0;
  /** Other acceptors' votes to pass on with the next flush, newest per acceptor. */
  readonly #relay = new Map<NodeId, { readonly ballot: Ballot; readonly vote: AcceptorVote }>();

  constructor(group: Group) {
    this.#group = group;
    this.others = group.spec.members.filter((node) => node !== group.context.self);
  }

  /** The next member in ring order that is not suspected and hears us: one node, or none. */
  successors(): NodeId[] {
    const { spec, context } = this.#group;
    const { members } = spec;
    const here = members.indexOf(context.self);
    for (let step = 1; step < members.length; step++) {
      const node = members[(here + step) % members.length]!;
      if (!context.peers.suspected(node, context.now) && !context.peers.deaf(node, context.now)) return [node];
    }
    return [];
  }

  /** Hops from one member to another, in ring order. */
  #distance(from: NodeId, to: NodeId): number {
    const { members } = this.#group.spec;
    return (members.indexOf(to) - members.indexOf(from) + members.length) % members.length;
  }

  /** Whether a step from here to `to` stays within one round that began at `origin`, which may itself be skipped. */
  #withinRound(origin: NodeId, to: NodeId): boolean {
    return this.#distance(origin, this.#group.context.self) < this.#distance(origin, to);
  }

  /** Hands the coordinator's entry to the group. `full`: nobody may have the payloads any more. */
  send(message: Accept, full: boolean): void {
    const { context } = this.#group;
    if (!message.ring) return this.#sendAll(message, full);
    const to = this.successors();
    if (to.length > 0) context.out.send(to, full ? message : { ...message, entry: this.#refer(message.entry, message.ballot, to[0]!) });
  }

  /** A proposer keeps its batches until they are decided. */
  #sendAll(message: Accept, full: boolean): void {
    const { out } = this.#group.context;
    const rest: NodeId[] = [];
    for (const node of this.others) {
      const entry = full ? message.entry : referring(message.entry, (proposer) => proposer === node);
      if (entry === message.entry) rest.push(node);
      else out.send([node], { ...message, entry });
    }
    if (rest.length > 0) out.send(rest, message);
  }

  /** Passes an entry on along the ring, until it is back at its coordinator. */
  passOn(message: Accept, resolved: Entry | null): void {
    const { context } = this.#group;
    const to = this.successors();
    if (to.length === 0 || !this.#withinRound(ballotNode(message.ballot), to[0]!)) return;
    const full = message.entry.ballot !== message.ballot;
    const entry = resolved && !full ? this.#refer(resolved, message.ballot, to[0]!) : resolved ?? message.entry;
    context.out.send(to, { ...message, entry });
  }

  /** A proposal on its way round: everybody on the way keeps the payload, the coordinator takes it. */
  onPropose(message: Propose): void {
    const { context, coordinator } = this.#group;
    for (const batch of message.batches) this.#keep(batch);
    if (coordinator.ballot !== 0) return;
    const to = this.successors();
    if (to.length === 0) return;
    // Once round without meeting a coordinator: the proposer, if it lives, sends again when it knows one.
    const batches = message.batches.filter((batch) => this.#withinRound(originNode(batch.origin), to[0]!));
    if (batches.length > 0) context.out.send(to, batches.length === message.batches.length ? message : { ...message, batches });
  }

  /** The entry with all its bytes, or null if a payload never came past. */
  resolve(entry: Entry): Entry | null {
    if (!entry.batches.some((batch) => batch.bytes.byteLength === 0)) return entry;
    const batches: Batch[] = [];
    for (const batch of entry.batches) {
      const full = batch.bytes.byteLength > 0 ? batch : this.#find(batch);
      if (full?.count !== batch.count) return null;
      batches.push(full);
    }
    return { ...entry, batches };
  }

  forget(entry: Entry): void {
    if (this.#cachedBytes === 0) return;
    for (const batch of entry.batches) {
      const cached = this.#cache.get(batch.origin);
      const known = cached?.get(batch.sequence);
      if (!known) continue;
      cached!.delete(batch.sequence);
      this.#cachedBytes -= known.bytes.byteLength;
    }
  }

  relay(ballot: Ballot, vote: AcceptorVote): void {
    this.#relay.set(vote.node, { ballot, vote });
  }

  /** Sends relayed votes on, except to those who cast them. */
  flush(): void {
    if (this.#relay.size === 0) return;
    const { context, id } = this.#group;
    const to = this.successors();
    const byBallot = new Map<Ballot, AcceptorVote[]>();
    for (const [node, { ballot, vote }] of this.#relay) {
      if (node === to[0]) continue;
      const votes = byBallot.get(ballot);
      if (votes) votes.push(vote);
      else byBallot.set(ballot, [vote]);
    }
    this.#relay.clear();
    for (const [ballot, votes] of byBallot) context.out.send(to, { kind: "vote", group: id, ballot, ring: true, votes });
  }

  #keep(batch: Batch): void {
    const { repeats, context } = this.#group;
    if (repeats.has(batch.origin, batch.sequence)) return;
    let cached = this.#cache.get(batch.origin);
    if (!cached) this.#cache.set(batch.origin, cached = new Map());
    if (cached.has(batch.sequence)) return;
    cached.set(batch.sequence, batch);
    this.#cachedBytes += batch.bytes.byteLength;
    if (this.#cachedBytes > context.limits.pendingBytes) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const [origin, cached] of this.#cache) {
      for (const [sequence, batch] of cached) {
        cached.delete(sequence);
        this.#cachedBytes -= batch.bytes.byteLength;
        if (this.#cachedBytes <= this.#group.context.limits.pendingBytes / 2) return;
      }
      this.#cache.delete(origin);
    }
  }

  #find(batch: Batch): Batch | null {
    return this.#cache.get(batch.origin)?.get(batch.sequence) ?? this.#group.proposer.pending(batch.origin, batch.sequence);
  }

  /** Leaves out the bytes of batches whose proposals went past `to` on their way to the coordinator. */
  #refer(entry: Entry, ballot: Ballot, to: NodeId): Entry {
    const coordinator = ballotNode(ballot);
    return referring(entry, (proposer) => this.#distance(proposer, to) <= this.#distance(proposer, coordinator));
  }
}

/** The entry with references in place of the batches of these proposers; the same one where it has none. */
function referring(entry: Entry, whose: (proposer: NodeId) => boolean): Entry {
  let changed = false;
  const batches = entry.batches.map((batch) => {
    if (!whose(originNode(batch.origin))) return batch;
    changed = true;
    return { ...batch, bytes: noBytes };
  });
  return changed ? { ...entry, batches } : entry;
}

/**
 * Keeps this node's commands until they are decided: gathers those of one turn into a batch, sends it
 * to the coordinator, and sends the same batch again to a new one or after silence.
 */
import { type Batch, batchOverheadBytes, type Entry, packCommands } from "../entry.ts";
import { type Ballot, type Millis, type Origin, origin } from "../ids.ts";
import type { Group } from "./group.ts";

interface Pending {
  readonly batch: Batch;
  /** Whose coordinator got it last; 0 for nobody yet. */
  sentIn: Ballot;
  sendAgainAt: Millis;
  waitMs: Millis;
}

/** A group without coordinator for this long takes no more proposals: they would only time out. */
const noCoordinatorMs = 2_000;

export class Proposer {
  readonly #group: Group;
  readonly #origin: Origin;
  #open: Uint8Array[] = [];
  #openBytes = 0;
  /** In order of sequence, undecided. */
  readonly #pending = new Map<number, Pending>();
  #pendingBytes = 0;
  #pendingCommands = 0;
  #sequence = 0;
  #fresh: Batch[] = [];
  #resendAt: Millis = Infinity;

  constructor(group: Group) {
    this.#group = group;
    this.#origin = origin(group.context.self, group.context.incarnation);
  }

  get pendingCommands(): number {
    return this.#pendingCommands + this.#open.length;
  }

  get pendingBytes(): number {
    return this.#pendingBytes + this.#openBytes;
  }

  get wakeAt(): Millis {
    return this.#resendAt;
  }

  propose(ticket: number, payload: Uint8Array): void {
    const { context, spec, election } = this.#group;
    const { limits, out } = context;
    if (payload.byteLength > limits.payloadBytesMax) {
      out.refuse({ ticket, code: "too-large", reason: `a command of ${payload.byteLength} bytes exceeds ${limits.payloadBytesMax}` });
    } else if (!spec.proposers.includes(context.self)) {
      out.refuse({ ticket, code: "internal", reason: `this node is no proposer of group ${spec.name}` });
    } else if (this.pendingCommands >= limits.pendingCommands || this.pendingBytes + payload.byteLength > limits.pendingBytes) {
      out.refuse({ ticket, code: "overloaded", reason: `${this.pendingCommands} commands of group ${spec.name} wait to be ordered` });
    } else if (election.leader === 0 && context.now > election.leaderlessSince + noCoordinatorMs) {
      out.refuse({ ticket, code: "no-quorum", reason: `group ${spec.name} has no coordinator: too few of its acceptors can be reached` });
    } else {
      this.#open.push(payload);
      this.#openBytes += payload.byteLength + 4;
      context.activeUntil = context.now + limits.activeMs;
      if (this.#openBytes >= limits.batchBytes || this.#open.length >= limits.batchCommands) this.#close();
    }
  }

  /** Time enough to come round: there, to the acceptors and back, with what they do in between. */
  #patience(): Millis {
    const { spec, context } = this.#group;
    return context.limits.resendMs + 2 * context.peers.farthestMs(spec.acceptors);
  }

  #close(): void {
    const { now } = this.#group.context;
    const waitMs = this.#patience();
    const batch = { origin: this.#origin, sequence: ++this.#sequence, count: this.#open.length, bytes: packCommands(this.#open) };
    this.#open = [];
    this.#openBytes = 0;
    this.#pending.set(batch.sequence, { batch, sentIn: 0, sendAgainAt: now + waitMs, waitMs });
    this.#pendingBytes += batch.bytes.byteLength + batchOverheadBytes;
    this.#pendingCommands += batch.count;
    this.#fresh.push(batch);
    this.#resendAt = Math.min(this.#resendAt, now + waitMs);
  }

  flush(): void {
    if (this.#open.length > 0) this.#close();
    if (this.#fresh.length === 0) return;
    const batches = this.#fresh;
    this.#fresh = [];
    this.#send(batches);
  }

  /**
   * Somebody else coordinates now: whatever the old coordinator had not logged is lost to the new one. One that was only
   * silent for a while has what it was sent: to repeat it all would add to the load that may have kept it silent.
   */
  coordinatorChanged(): void {
    this.#fresh = [];
    const waitMs = this.#patience();
    const later = this.#group.context.now + waitMs;
    const batches: Batch[] = [];
    for (const pending of this.#pending.values()) {
      const sent = pending.sentIn === this.#group.election.leaderBallot;
      if (!sent) batches.push(pending.batch);
      // Or it was lost with a link that broke: then its turn comes as soon as if it had been sent now.
      pending.sendAgainAt = sent ? Math.min(pending.sendAgainAt, later) : later;
      pending.waitMs = waitMs;
    }
    if (this.#pending.size > 0) this.#resendAt = Math.min(this.#resendAt, later);
    this.#send(batches);
  }

  wake(): void {
    const { now, limits } = this.#group.context;
    if (now < this.#resendAt) return;
    this.#resendAt = Infinity;
    const most = 16 * this.#patience();
    const batches: Batch[] = [];
    let bytes = 0;
    for (const pending of this.#pending.values()) {
      if (now >= pending.sendAgainAt && bytes < limits.fetchBytes) {
        bytes += pending.batch.bytes.byteLength;
        pending.waitMs = Math.min(pending.waitMs * 2, most);
        pending.sendAgainAt = now + pending.waitMs;
        batches.push(pending.batch);
      }
      this.#resendAt = Math.min(this.#resendAt, Math.max(pending.sendAgainAt, now + limits.resendMs / 4));
    }
    this.#send(batches);
  }

  #send(batches: readonly Batch[]): void {
    if (batches.length === 0) return;
    const { coordinator, election, context, id, shape, spec } = this.#group;
    if (coordinator.ballot === 0 && election.leader === 0) return;
    for (const { sequence } of batches) this.#pending.get(sequence)!.sentIn = election.leaderBallot;
    if (coordinator.ballot !== 0) return coordinator.enqueue(batches);
    const to = spec.shape === "ring" ? shape.successors() : [election.leader];
    // In pieces: a link takes no message of any size, and everything pending may be on its way to a new coordinator.
    for (let from = 0, end = 0, bytes = 0; end < batches.length; from = end, bytes = 0) {
      while (end < batches.length && bytes < context.limits.fetchBytes) bytes += batches[end++]!.bytes.byteLength;
      context.out.send(to, { kind: "propose", group: id, batches: batches.slice(from, end) });
    }
  }

  learned(entry: Entry): void {
    for (const batch of entry.batches) {
      if (batch.origin !== this.#origin) continue;
      if (!this.#pending.delete(batch.sequence)) continue;
      this.#pendingBytes -= batch.bytes.byteLength + batchOverheadBytes;
      this.#pendingCommands -= batch.count;
    }
    if (this.#pending.size === 0) this.#resendAt = Infinity;
  }

  /** Some batches are known to be decided without having been learned. */
  forget(): void {
    for (const [sequence, { batch }] of this.#pending) {
      if (!this.#group.repeats.has(this.#origin, sequence)) continue;
      this.#pending.delete(sequence);
      this.#pendingBytes -= batch.bytes.byteLength + batchOverheadBytes;
      this.#pendingCommands -= batch.count;
    }
  }

  /** Its own batch, still undecided. */
  pending(of: Origin, sequence: number): Batch | null {
    return of === this.#origin ? this.#pending.get(sequence)?.batch ?? null : null;
  }
}

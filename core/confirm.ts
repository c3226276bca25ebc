/**
 * Linearizable reads without clocks or leases (the quorum frontier read): ask n − q2 + 1 acceptors how
 * far they have accepted. A completed write was accepted by q2, so one of them names at least its
 * position; the reader waits until its subscription has passed the greatest one named.
 */
import type { Context } from "./context.ts";
import type { Group } from "./group/group.ts";
import type { GroupId, Millis, NodeId } from "./ids.ts";
import type { Merge } from "./merge/merge.ts";
import type { Answer, Ask } from "./message.ts";
import { comparePositions, type Position, slotPosition, start } from "./position.ts";

interface Waiting {
  readonly request: number;
  readonly merge: Merge;
  readonly groups: readonly GroupId[];
  readonly atLeast: Position;
  /** Groups whose round has not come back. */
  open: number;
  /** The greatest position named in the rounds of now. */
  named: Position;
  /** What the subscription has to pass; null before the rounds have come back for the first time. */
  bound: Position | null;
  /** Then it asks anew. */
  againAt: Millis;
  /** Nobody waits for it any more. */
  cancelled: boolean;
  /** The rounds it is part of. */
  rounds: Round[];
}

/** One question to a group's acceptors, for everybody who came before it was sent. */
interface Round {
  readonly group: GroupId;
  readonly number: number;
  readonly waiting: readonly Waiting[];
  readonly answers: Set<NodeId>;
  bound: Position;
  /** Askers that still wait. */
  left: number;
  againAt: Millis;
}

export class Confirmations {
  readonly #context: Context;
  readonly #groups: ReadonlyMap<GroupId, Group>;
  /** Came since the last flush, by group. */
  readonly #fresh = new Map<GroupId, Waiting[]>();
  readonly #rounds = new Map<GroupId, Map<number, Round>>();
  /** Not yet confirmed, by request. */
  readonly #open = new Map<number, Waiting>();
  /** Bounded, waiting for the merge. */
  #bounded: Waiting[] = [];
  /** Begins elsewhere in every life: an answer on its way to the last one says nothing about now. */
  #number: number;

  constructor(context: Context, groups: ReadonlyMap<GroupId, Group>) {
    this.#context = context;
    this.#number = context.incarnation * 2 ** 20;
    this.#groups = groups;
  }

  confirm(request: number, merge: Merge, groups: readonly GroupId[], atLeast: Position): void {
    const waiting: Waiting = {
      request,
      merge,
      groups,
      atLeast,
      open: 0,
      named: atLeast,
      bound: groups.length === 0 ? atLeast : null,
      againAt: Infinity,
      cancelled: false,
      rounds: [],
    };
    this.#open.set(request, waiting);
    if (groups.length === 0) this.#bounded.push(waiting);
    else this.#begin(waiting);
  }

  #begin(waiting: Waiting): void {
    waiting.open = waiting.groups.length;
    waiting.named = waiting.atLeast;
    waiting.againAt = Infinity;
    waiting.rounds = [];
    for (const group of waiting.groups) {
      const fresh = this.#fresh.get(group);
      if (fresh) fresh.push(waiting);
      else this.#fresh.set(group, [waiting]);
    }
  }

  /** Nobody waits for it any more; without a quorum it would stay for ever. */
  cancel(request: number): void {
    const waiting = this.#open.get(request);
    if (waiting) this.#end(waiting);
  }

  #end(waiting: Waiting): void {
    this.#open.delete(waiting.request);
    waiting.cancelled = true;
    for (const round of waiting.rounds) if (--round.left === 0) this.#rounds.get(round.group)?.delete(round.number);
  }

  /** One round for everything that came since the last one. */
  flush(): void {
    for (const [id, asked] of this.#fresh) {
      const waiting = asked.filter(({ cancelled }) => !cancelled);
      if (waiting.length === 0) continue;
      const number = this.#number++;
      const round: Round = {
        group: id,
        number,
        waiting,
        answers: new Set(),
        bound: start,
        left: waiting.length,
        againAt: this.#context.now + this.#context.limits.resendMs,
      };
      for (const one of waiting) one.rounds.push(round);
      let rounds = this.#rounds.get(id);
      if (!rounds) this.#rounds.set(id, rounds = new Map());
      rounds.set(number, round);
      this.#ask(id, round);
    }
    this.#fresh.clear();
  }

  #ask(id: GroupId, round: Round): void {
    const { self, out } = this.#context;
    const group = this.#groups.get(id)!;
    const { acceptors } = group.spec;
    const own = this.answer(id, round.number);
    if (own) this.onAnswer(self, own);
    if (this.#rounds.get(id)?.has(round.number)) {
      out.send(acceptors.filter((node) => node !== self), { kind: "ask", group: id, request: round.number });
    }
  }

  onAsk(from: NodeId, message: Ask): void {
    this.#groups.get(message.group)?.acceptor.hurry();
    const answer = this.answer(message.group, message.request);
    if (answer) this.#context.out.send([from], answer);
  }

  /** How far this acceptor has accepted; null if it may not say. */
  answer(id: GroupId, request: number): Answer | null {
    const group = this.#groups.get(id);
    if (!group || !group.isAcceptor || !group.voting) return null;
    return { kind: "answer", group: id, request, stamp: group.log.topStamp, slots: group.log.slots };
  }

  onAnswer(from: NodeId, message: Answer): void {
    const { order } = this.#context.topology;
    const round = this.#rounds.get(message.group)?.get(message.request);
    const group = this.#groups.get(message.group);
    if (!round || !group || !group.spec.acceptors.includes(from)) return;
    round.answers.add(from);
    const bound = order.merge === "ts"
      ? { major: message.stamp, group: message.group, minor: 0 }
      : message.slots === 0
      ? start
      : slotPosition(order.turn, message.group, message.slots - 1);
    if (comparePositions(bound, round.bound) > 0) round.bound = bound;
    const enough = this.#context.without.has("confirm-quorum") ? 1 : group.spec.acceptors.length - group.spec.q2 + 1;
    if (round.answers.size < enough) return;
    this.#rounds.get(message.group)!.delete(round.number);
    for (const waiting of round.waiting) {
      if (comparePositions(round.bound, waiting.named) > 0) waiting.named = round.bound;
      if (--waiting.open > 0 || waiting.cancelled) continue;
      if (waiting.bound === null) this.#bounded.push(waiting);
      if (waiting.bound === null || comparePositions(waiting.named, waiting.bound) < 0) waiting.bound = waiting.named;
      waiting.againAt = this.#context.now + this.#context.limits.resendMs;
    }
  }

  /** After the merges have delivered. */
  settle(): void {
    if (this.#bounded.length === 0) return;
    const left: Waiting[] = [];
    for (const waiting of this.#bounded) {
      // Its round came back after the subscription had ended.
      if (waiting.merge.closed || waiting.cancelled) continue;
      if (waiting.merge.hasPassed(waiting.bound!)) {
        this.#end(waiting);
        this.#context.out.confirm({ request: waiting.request, position: waiting.merge.delivered });
      } else left.push(waiting);
    }
    this.#bounded = left;
  }

  /** A subscription that ends takes its questions along. */
  drop(merge: Merge): void {
    for (const waiting of this.#open.values()) if (waiting.merge === merge) this.cancel(waiting.request);
    this.#bounded = this.#bounded.filter((waiting) => waiting.merge !== merge);
  }

  /** Groups that a bounded reader waits for. */
  *blockedOn(): Iterable<GroupId> {
    for (const { merge } of this.#bounded) if (merge.blockedOn !== 0) yield merge.blockedOn;
  }

  get wakeAt(): Millis {
    let at = Infinity;
    for (const rounds of this.#rounds.values()) for (const round of rounds.values()) at = Math.min(at, round.againAt);
    for (const { againAt } of this.#bounded) at = Math.min(at, againAt);
    return at;
  }

  /**
   * Who has waited for long asks anew, and passes what either answer names: every write that was complete when it came is below both. An
   * entry that an acceptor named may have been given up since; with slots for positions its place then need not be reached by another.
   */
  wake(): void {
    const { now, limits } = this.#context;
    for (const waiting of this.#bounded) if (now >= waiting.againAt && !waiting.cancelled) this.#begin(waiting);
    for (const [id, rounds] of this.#rounds) {
      for (const round of rounds.values()) {
        if (now < round.againAt) continue;
        round.againAt = now + limits.resendMs;
        this.#ask(id, round);
      }
    }
  }
}

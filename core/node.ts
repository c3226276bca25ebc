/**
 * One node's core: every group it belongs to, the merges over them, and the heartbeats that tie them
 * together. Step it with facts, drain it for effects.
 */
import { assert, unreachable } from "./assert.ts";
import { HybridClock } from "./clock.ts";
import { Confirmations } from "./confirm.ts";
import type { Context } from "./context.ts";
import type { Cursor, Effects, Input, JournalRecord, Resume } from "./effects.ts";
import { Group } from "./group/group.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { GroupId, Instance, Lsn, Millis, NodeId, Now, Stamp } from "./ids.ts";
import { checkLimits, type Limits } from "./limits.ts";
import { Merge } from "./merge/merge.ts";
import type { Message } from "./message.ts";
import { Outbox } from "./outbox.ts";
import { Peers } from "./peers.ts";
import { type Position, start } from "./position.ts";
import { Prng } from "./prng.ts";
import { Reads } from "./reads.ts";
import type { Rule } from "./rules.ts";
import type { Topology } from "./topology.ts";
import type { NodeView } from "./view.ts";

/** `memory`: a restart forgets everything, and the node abstains until the others have told it what it may have said. */
export type Durability = "sync" | "async" | "memory";

export interface CoreOptions {
  readonly id: NodeId;
  readonly topology: Topology;
  readonly limits: Limits;
  readonly durability: Durability;
  /** Of the random number generator; any 32-bit number. */
  readonly seed: number;
  /** Names this life of the process: random, 1 … 2^32 − 1. */
  readonly incarnation: number;
  /** Simulator only: rules taken away. */
  readonly without?: ReadonlySet<Rule>;
}

export class CoreNode {
  readonly #context: Context;
  readonly #groups = new Map<GroupId, Group>();
  readonly #merges = new Map<number, Merge>();
  readonly #confirmations: Confirmations;
  readonly #heartbeats: Heartbeats;
  readonly #durable: boolean;
  #started = false;
  #restoredCeiling: Stamp = 0;
  /** When a timer of a group or a read is due; a busy node gets there without a wake. */
  #timersAt: Millis = -Infinity;
  /** The ceiling on its way to the disk. */
  #ceiling: { readonly lsn: Lsn; readonly stamp: Stamp } | null = null;

  constructor(options: CoreOptions) {
    const { id, topology, limits, incarnation } = options;
    const without = options.without ?? new Set<Rule>();
    checkLimits(limits);
    assert(incarnation >= 1 && incarnation < 2 ** 32, `Cannot start: incarnation ${incarnation} is outside 1 … 2^32 − 1`);
    this.#durable = options.durability !== "memory";
    const groups = topology.groups.filter((group) => group.members.includes(id));
    const out = new Outbox();
    const peers = new Set(groups.flatMap((group) => group.members));
    this.#context = {
      self: id,
      incarnation,
      topology,
      limits,
      clock: new HybridClock({ raw: without.has("hybrid-clock"), durable: this.#durable }),
      random: new Prng(options.seed),
      out,
      peers: new Peers(id, incarnation, [...peers], limits),
      reads: new Reads(out),
      without,
      now: 0,
      activeUntil: -Infinity,
    };
    for (const spec of groups) this.#groups.set(spec.id, new Group(spec, this.#context, this.#surroundings(), this.#durable));
    this.#heartbeats = new Heartbeats(this.#context, [...this.#groups.values()]);
    this.#confirmations = new Confirmations(this.#context, this.#groups);
  }

  #surroundings(): { fastestSlots(): number; beatNow(): void } {
    return {
      fastestSlots: () => {
        let slots = 0;
        for (const group of this.#groups.values()) slots = Math.max(slots, group.slotsHeard());
        return slots;
      },
      beatNow: () => this.#heartbeats.beatNow(),
    };
  }

  /** Before the first step: every journal record, oldest first. */
  restore(record: JournalRecord): void {
    assert(!this.#started, "Cannot restore: the node has been stepped");
    if (record.kind === "ceiling") this.#restoredCeiling = Math.max(this.#restoredCeiling, record.stamp);
    else this.#groups.get(record.group)?.restart.restore(record);
  }

  /** Before the first step, after the records: the journal has nothing of the group at or below any more. */
  restoreTrimmed(group: GroupId, upTo: Instance): void {
    assert(!this.#started, "Cannot restore: the node has been stepped");
    this.#groups.get(group)?.log.restoreTrimmed(upTo);
  }

  /**
   * Before the first step: this node may have said more than its records tell (they were damaged, or are gone). It votes
   * again once it has heard the others, as a node without memory does; in a group that is new, once its journal says besides
   * that this need not be done again. `lost`: there were others than these records, so to this node no group is new.
   */
  forget(lost: boolean): void {
    assert(!this.#started, "Cannot forget: the node has been stepped");
    for (const group of this.#groups.values()) group.forget(lost);
  }

  /** It has heard what it needs in every group, and the journal may say so. */
  get rejoined(): boolean {
    return [...this.#groups.values()].every(({ isAcceptor, voting, isNew }) => voting || isNew || !isAcceptor);
  }

  step(input: Input, now: Now): void {
    this.#context.now = now.mono;
    this.#context.clock.tick(now.wall, now.mono);
    if (!this.#started) this.#start();
    switch (input.kind) {
      case "receive":
        return this.#receive(input.from, input.message);
      case "propose":
        return this.#propose(input.ticket, input.group, input.payload);
      case "persisted":
        return this.#persisted(input.upTo);
      case "read":
        return this.#context.reads.answer(input.request, input.entries);
      case "subscribe":
        return this.#subscribe(input);
      case "demand":
        return this.#merges.get(input.subscription)?.more(input.commands);
      case "unsubscribe":
        return this.#unsubscribe(input.subscription);
      case "confirm":
        return this.#confirm(input.request, input.subscription, input.groups, input.atLeast ?? start);
      case "cancel":
        return this.#confirmations.cancel(input.request);
      case "checkpointed":
        for (const { group, instance } of input.groups) this.#groups.get(group)?.trimmer.checkpointed(instance);
        return;
      case "resume":
        for (const from of input.from) this.#groups.get(from.group)?.restart.resume(from);
        return;
      case "hold":
        return this.#hold(input.holder, input.groups);
      case "handover":
        return this.#groups.get(input.group)?.election.handOver(input.to);
      case "rejoined":
        for (const group of this.#groups.values()) group.begin();
        return;
      case "unreachable":
        this.#context.peers.unreachable(input.node);
        this.#timersAt = -Infinity;
        return;
      case "wake":
        // Whatever is due is done with the drain.
        return;
      default:
        unreachable(input);
    }
  }

  drain(): Effects {
    this.#heartbeats.noticeStall();
    if (this.#context.now >= this.#timersAt) this.#wake();
    this.#raiseCeiling();
    for (const group of this.#groups.values()) group.flush();
    this.#confirmations.flush();
    for (const merge of this.#merges.values()) {
      merge.pump();
      const oldest = merge.lost;
      if (oldest) this.#lose(merge, oldest);
      if (merge.blockedOn !== 0) this.#heartbeats.hurry();
    }
    this.#confirmations.settle();
    for (const group of this.#confirmations.blockedOn()) if (group !== 0) this.#heartbeats.hurry();
    this.#heartbeats.flush();
    return this.#context.out.take(this.#wakeAt());
  }

  /** Between a drain and the next step: where a subscription is. Null if it has ended, or is too far behind to tell just now. */
  cursor(subscription: number): Cursor | null {
    const cursor = this.#merges.get(subscription)?.cursor() ?? null;
    if (cursor === null) return null;
    const groups: Resume[] = [];
    for (const { group, instance } of cursor.groups) {
      const from = group.restart.foundation(instance);
      if (!from) return null;
      groups.push(from);
    }
    return { position: cursor.position, groups };
  }

  /** Between a drain and the next step: all that the journal's records say, from which a restart can begin instead. */
  bases(): JournalRecord[] {
    const bases: JournalRecord[] = [...this.#groups.values()].map((group) => group.restart.base());
    const ceiling = Math.max(this.#context.clock.ceiling, this.#ceiling?.stamp ?? 0);
    return this.#durable ? [...bases, { kind: "ceiling", stamp: ceiling }] : bases;
  }

  view(): NodeView {
    return {
      groups: [...this.#groups.values()].map((group) => group.view()),
      subscriptions: [...this.#merges.values()].map((merge) => merge.view()),
      peers: this.#context.peers.view(this.#context.now),
    };
  }

  #start(): void {
    this.#started = true;
    const { clock, now, peers } = this.#context;
    peers.start(now);
    clock.resumeAbove(this.#restoredCeiling);
    for (const group of this.#groups.values()) {
      group.clock.see(this.#restoredCeiling);
      group.restored();
      group.election.leaderlessSince = now;
    }
  }

  #receive(from: NodeId, message: Message): void {
    if (!this.#context.peers.has(from)) return;
    switch (message.kind) {
      case "heartbeat":
        return this.#heartbeats.onHeartbeat(from, message);
      case "ask":
        return this.#confirmations.onAsk(from, message);
      case "answer":
        return this.#confirmations.onAnswer(from, message);
      case "seek":
      case "offer":
      case "pull":
      case "piece":
        // The host's: see edge/checkpoints.
        return;
      default:
        return this.#groups.get(message.group)?.receive(from, message);
    }
  }

  #propose(ticket: number, id: GroupId, payload: Uint8Array): void {
    const group = this.#groups.get(id);
    if (group) group.proposer.propose(ticket, payload);
    else this.#context.out.refuse({ ticket, code: "internal", reason: `this node is no member of group ${id}` });
  }

  #persisted(upTo: Lsn): void {
    if (this.#ceiling && this.#ceiling.lsn <= upTo) {
      this.#context.clock.raise(this.#ceiling.stamp);
      this.#ceiling = null;
    }
    for (const group of this.#groups.values()) group.persisted(upTo);
  }

  #subscribe(input: Input & { kind: "subscribe" }): void {
    const { subscription } = input;
    assert(!this.#merges.has(subscription), `Cannot subscribe: ${subscription} is taken`);
    const learned = (id: GroupId): Group => {
      const group = this.#groups.get(id);
      assert(group?.isLearner, `Cannot subscribe: this node does not learn group ${id}`);
      return group;
    };
    const abreast = input.abreast?.map(learned) ?? [];
    this.#merges.set(subscription, new Merge(this.#context, subscription, input.groups.map(learned), { ...input, abreast }));
  }

  #hold(holder: number, groups: readonly { readonly group: GroupId; readonly instance: Instance }[]): void {
    for (const group of this.#groups.values()) {
      group.trimmer.hold(holder, groups.find(({ group: id }) => id === group.id)?.instance ?? null);
    }
  }

  #unsubscribe(subscription: number): void {
    const merge = this.#merges.get(subscription);
    if (!merge) return;
    merge.close();
    this.#merges.delete(subscription);
    this.#confirmations.drop(merge);
  }

  #lose(merge: Merge, oldest: Position): void {
    this.#context.out.lose({ subscription: merge.subscription, oldest });
    this.#unsubscribe(merge.subscription);
  }

  #confirm(request: number, subscription: number, groups: readonly GroupId[], atLeast: Position): void {
    const merge = this.#merges.get(subscription);
    // A subscription that just ended: the asker is gone with it.
    if (merge) this.#confirmations.confirm(request, merge, groups, atLeast);
  }

  #wake(): void {
    for (const group of this.#groups.values()) group.wake();
    this.#confirmations.wake();
  }

  /** Statements of the clock need a ceiling above them on disk, well before they reach it. */
  #raiseCeiling(): void {
    const { clock, limits, out } = this.#context;
    if (!this.#started || !this.#durable || this.#ceiling) return;
    const needed = clock.last + limits.leadMicrosMax + limits.clockAheadMicros / 2;
    if (clock.ceiling >= needed) return;
    const stamp = needed + limits.clockAheadMicros / 2;
    this.#ceiling = { lsn: out.record({ kind: "ceiling", stamp }), stamp };
  }

  #wakeAt(): Millis {
    let at = this.#confirmations.wakeAt;
    for (const group of this.#groups.values()) at = Math.min(at, group.wakeAt());
    this.#timersAt = at;
    return Math.min(at, this.#heartbeats.wakeAt);
  }
}

/**
 * An order without a protocol: one list of entries that every node's services hear in the same order,
 * as real deliveries. It does what the contract of `Orderer` allows and services must bear: several
 * batches in an entry, entries cut into runs, repeated batches, views that die with the call, slow nodes,
 * refused and lost proposals. Same seed, same run.
 */
import type { Delivery } from "../../core/effects.ts";
import { type Batch, type Entry, packCommands } from "../../core/entry.ts";
import { CarillonError, type ErrorCode } from "../../core/errors.ts";
import { type GroupId, type Instance, type NodeId, type Origin, origin } from "../../core/ids.ts";
import { commandPosition, comparePositions, type Position, start } from "../../core/position.ts";
import { Prng } from "../../core/prng.ts";
import type { Topology } from "../../core/topology.ts";
import type { Orderer, Places, Subscription } from "../../services/orderer.ts";

interface Ordered {
  readonly group: GroupId;
  readonly entry: Entry;
  readonly repeated: ReadonlySet<number> | null;
}

interface Proposal {
  readonly group: GroupId;
  readonly origin: Origin;
  readonly payload: Uint8Array;
}

export class Sequencer {
  readonly topology: Topology;
  readonly random: Prng;
  /** Everything ordered so far. Under `ts` with one clock for all groups, list order is position order. */
  readonly ordered: Ordered[] = [];
  /** Proposals vanish: nobody will ever answer. */
  losing = false;
  /** The next proposals are refused with this. */
  refusing: ErrorCode | null = null;
  /** What nodes say of their subscriptions when asked what they wait for. */
  blocked: { readonly group: GroupId; readonly forMs: number } | null = null;
  /** Of each group: everything up to there has been forgotten and is delivered to nobody any more. */
  readonly trimmed = new Map<GroupId, Instance>();
  readonly #nodes: TestOrderer[] = [];
  readonly #sequences = new Map<string, number>();
  readonly #instances = new Map<GroupId, number>();
  #pending: Proposal[] = [];
  #stamp = 1_000;
  #turning = false;

  constructor(topology: Topology, seed = 1) {
    this.topology = topology;
    this.random = new Prng(seed);
  }

  node(id: NodeId, incarnation = 1): TestOrderer {
    const node = new TestOrderer(this, id, incarnation);
    this.#nodes.push(node);
    return node;
  }

  propose(proposal: Proposal): void {
    this.#pending.push(proposal);
    this.turn();
  }

  /** Soon orders what is pending and delivers what can be. */
  turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    Promise.resolve().then(() => {
      this.#turning = false;
      this.#order();
      for (const node of this.#nodes) node.pump();
    });
  }

  /** One entry per group of what is pending, one batch per origin; sometimes an old batch comes along a second time. */
  #order(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const group of new Set(pending.map((proposal) => proposal.group))) {
      const mine = pending.filter((proposal) => proposal.group === group);
      const batches = [...new Set(mine.map((proposal) => proposal.origin))].map((from): Batch => {
        const payloads = mine.filter((proposal) => proposal.origin === from).map(({ payload }) => payload);
        const key = `${group}/${from}`;
        const sequence = (this.#sequences.get(key) ?? 0) + 1;
        this.#sequences.set(key, sequence);
        return { origin: from, sequence, count: payloads.length, bytes: packCommands(payloads) };
      });
      const repeated = new Set<number>();
      const before = this.ordered.findLast((other) => other.group === group);
      if (before !== undefined && this.random.unit() < 0.2) {
        const at = this.random.below(batches.length + 1);
        batches.splice(at, 0, before.entry.batches[0]!);
        repeated.add(at);
      }
      this.#append(group, batches, repeated.size > 0 ? repeated : null);
    }
  }

  #append(group: GroupId, batches: readonly Batch[], repeated: ReadonlySet<number> | null): void {
    const count = batches.reduce((sum, batch) => sum + batch.count, 0);
    const instance = (this.#instances.get(group) ?? 0) + 1;
    this.#instances.set(group, instance);
    const entry: Entry = { instance, ballot: 65_537, stamp: this.#stamp, count, slotBase: 0, slots: count, kind: "batch", batches };
    this.#stamp += count + this.random.below(3);
    this.ordered.push({ group, entry, repeated });
  }

  /** Forgets all there is. */
  trim(): void {
    for (const { group, entry } of this.ordered) this.trimmed.set(group, entry.instance);
  }

  /** Orders raw bytes as a command of nobody's. */
  inject(group: GroupId, payload: Uint8Array): void {
    this.propose({ group, origin: origin(9_999, 1), payload });
  }
}

interface TestSubscription extends Subscription {
  readonly id: number;
  readonly groups: readonly GroupId[];
  readonly onDelivery: (delivery: Delivery) => void;
  demand: number;
  /** The next ordered entry to look at, and the command in it. */
  at: number;
  index: number;
  delivered: Position;
  /** By group, the instances not even looked at. */
  readonly from: ReadonlyMap<GroupId, Instance>;
  closed: boolean;
  readonly waiting: { readonly upTo: number; readonly confirmed: (position: Position) => void }[];
}

export class TestOrderer implements Orderer {
  readonly self: NodeId;
  readonly origin: Origin;
  readonly #sequencer: Sequencer;
  readonly #subscriptions: TestSubscription[] = [];
  #paused = false;
  #cutOff = false;

  constructor(sequencer: Sequencer, self: NodeId, incarnation: number) {
    this.#sequencer = sequencer;
    this.self = self;
    this.origin = origin(self, incarnation);
  }

  get topology(): Topology {
    return this.#sequencer.topology;
  }

  /** Subscriptions that are open. */
  get open(): number {
    return this.#subscriptions.filter(({ closed }) => !closed).length;
  }

  /** Confirmations that open subscriptions are asked for. */
  get asked(): number {
    return this.#subscriptions.reduce((sum, { closed, waiting }) => sum + (closed ? 0 : waiting.length), 0);
  }

  /** Of the open subscriptions: what they hear and how much more may come. */
  view(): { readonly groups: readonly GroupId[]; readonly demand: number }[] {
    return this.#subscriptions.filter(({ closed }) => !closed).map(({ groups, demand }) => ({ groups, demand }));
  }

  /** Where the logs go on behind what the open subscription to these groups has delivered. */
  places(groups: readonly GroupId[]): Places {
    const { at } = this.#subscriptions.find((one) => !one.closed && one.groups.join() === groups.join())!;
    return groups.map((group) => {
      const passed = this.#sequencer.ordered.findLast((ordered, index) => index < at && ordered.group === group);
      return { group, instance: passed?.entry.instance ?? 0 };
    });
  }

  /** Nothing is delivered here any more until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#cutOff = false;
    this.#sequencer.turn();
  }

  /** Reads are not confirmed any more until `resume`: there is no quorum. */
  cutOff(): void {
    this.#cutOff = true;
  }

  propose(group: GroupId, payload: Uint8Array, refused: (error: CarillonError) => void): void {
    const code = this.#sequencer.refusing;
    if (code !== null) refused(new CarillonError(code, "Cannot order this: the test says so", { retryable: true }));
    else if (!this.#sequencer.losing) this.#sequencer.propose({ group, origin: this.origin, payload: payload.slice() });
  }

  subscribe(
    groups: readonly GroupId[],
    after: Position | null | "now",
    demand: number,
    onDelivery: (delivery: Delivery) => void,
    from: Places = [],
  ): Subscription {
    const { ordered } = this.#sequencer;
    const subscription: TestSubscription = {
      id: this.#subscriptions.length + 1,
      groups,
      onDelivery,
      demand,
      at: after === "now" ? ordered.length : 0,
      index: 0,
      delivered: after === null || after === "now" ? start : after,
      from: new Map(from.map(({ group, instance }) => [group, instance])),
      closed: false,
      waiting: [],
      more: (commands) => {
        subscription.demand += commands;
        this.#sequencer.turn();
      },
      close: () => {
        subscription.closed = true;
      },
    };
    this.#subscriptions.push(subscription);
    this.#sequencer.turn();
    return subscription;
  }

  /** Time passes every position: to have all that is ordered by now is to have passed `atLeast` as well. */
  confirm(subscription: Subscription, _groups: readonly GroupId[], confirmed: (position: Position) => void): () => void {
    const { waiting } = subscription as TestSubscription;
    const one = { upTo: this.#sequencer.ordered.length, confirmed };
    waiting.push(one);
    this.#sequencer.turn();
    return () => {
      const index = waiting.indexOf(one);
      if (index >= 0) waiting.splice(index, 1);
    };
  }

  blocked(_subscription: Subscription): { readonly group: GroupId; readonly forMs: number } | null {
    return this.#sequencer.blocked;
  }

  pump(): void {
    if (this.#paused) return;
    for (const subscription of this.#subscriptions) this.#pump(subscription);
  }

  #pump(subscription: TestSubscription): void {
    const { ordered, topology } = this.#sequencer;
    while (!subscription.closed && subscription.at < ordered.length) {
      const { group, entry, repeated } = ordered[subscription.at]!;
      const position = (index: number) => commandPosition(topology.order, group, entry, index);
      const isPassed = !subscription.groups.includes(group) || entry.instance <= (subscription.from.get(group) ?? 0);
      // A log whose beginning is gone cannot even be looked through.
      if (!isPassed && entry.instance <= (this.#sequencer.trimmed.get(group) ?? 0)) return;
      if (isPassed || comparePositions(position(entry.count - 1), subscription.delivered) <= 0) {
        subscription.at++;
        subscription.index = 0;
        continue;
      }
      if (subscription.demand <= 0) return;
      while (comparePositions(position(subscription.index), subscription.delivered) <= 0) subscription.index++;
      const from = subscription.index;
      const cut = this.#sequencer.random.unit() < 0.3 ? 1 + this.#sequencer.random.below(3) : Infinity;
      const to = Math.min(entry.count, from + subscription.demand, from + cut);
      subscription.demand -= to - from;
      subscription.delivered = position(to - 1);
      subscription.index = to;
      // What a delivery shows may be gone after the call; here it certainly is.
      const batches = entry.batches.map((batch) => ({ ...batch, bytes: batch.bytes.slice() }));
      subscription.onDelivery({ subscription: subscription.id, group, entry: { ...entry, batches }, from, to, repeated });
      for (const batch of batches) batch.bytes.fill(0xee);
    }
    if (subscription.closed || this.#cutOff) return;
    while (subscription.waiting.length > 0 && subscription.waiting[0]!.upTo <= subscription.at) {
      subscription.waiting.shift()!.confirmed(subscription.delivered);
    }
  }
}

/** Time that passes when the test says so. */
export class Timers {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  readonly after = (ms: number, callback: () => void): () => void => {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((other) => other !== timer);
  };

  get armed(): number {
    return this.#timers.length;
  }

  /** Fires what is due, in order, and lets everything that follows from it happen. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settled();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
      await settled();
    }
    this.#now = until;
  }
}

/** All promises that can go on have. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resume) => setTimeout(resume, 0));
}

/** The users: propose in bursts, hold subscriptions of any set of groups, lag, resume, and ask for linearizable reads. */
import type { Delivery, Effects, Input } from "../../core/effects.ts";
import type { GroupId, Millis, NodeId } from "../../core/ids.ts";
import { comparePositions, formatPosition, type Position } from "../../core/position.ts";
import type { Host } from "./host.ts";
import type { SubscriptionOracle } from "./oracle/order.ts";
import { demand } from "./oracle/violation.ts";
import { knownBy, type Oracles } from "./oracles.ts";
import type { Plan } from "./plan.ts";
import type { Prng } from "./prng.ts";
import type { EventQueue } from "./queue.ts";

interface Wish {
  readonly groups: readonly GroupId[];
  readonly after: Position | null | "now";
}

export class Workload {
  proposals = 0;
  #commands = 0;
  #subscriptions = 0;
  #requests = 0;
  #stopped = false;
  readonly #plan: Plan;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #oracles: Oracles;
  readonly #hosts: ReadonlyMap<NodeId, Host>;
  /** What a node wants to hear; its services remember how far they got over a crash. */
  readonly #open = new Map<NodeId, SubscriptionOracle[]>();
  /** Asked for and not yet stepped. */
  readonly #wishes = new Set<number>();
  /** To be opened anew once the turn that closed them is over. */
  readonly #reopen = new Map<string, () => void>();

  constructor(options: { plan: Plan; queue: EventQueue; prng: Prng; oracles: Oracles; hosts: ReadonlyMap<NodeId, Host> }) {
    this.#plan = options.plan;
    this.#queue = options.queue;
    this.#prng = options.prng;
    this.#oracles = options.oracles;
    this.#hosts = options.hosts;
  }

  begin(): void {
    const { work } = this.#plan;
    for (const host of this.#hosts.values()) {
      const every = (mean: Millis, act: () => void): void => this.#every(mean, () => host.up && act());
      every(work.proposeEveryMs, () => this.#propose(host));
      every(work.demandEveryMs, () => this.#more(host));
      every(work.resubscribeEveryMs, () => this.#change(host));
      every(work.confirmEveryMs, () => this.#confirm(host));
    }
  }

  /** No new wishes; everything that lags may have all it wants. */
  stop(): void {
    this.#stopped = true;
    for (const host of this.#hosts.values()) if (host.up) this.unleash(host);
  }

  unleash(host: Host): void {
    for (const { subscription } of this.#open.get(host.id) ?? []) this.#grant(host, subscription, Infinity);
  }

  /** A node began a life: its services come back, each where it was. */
  started(host: Host): void {
    const before = this.#open.get(host.id);
    this.#open.set(host.id, []);
    if (before !== undefined) {
      for (const old of before) {
        old.asked.clear();
        this.#subscribe(host, {
          groups: old.groups,
          after: old.delivered > 0 || !old.isOpen ? old.position : this.#prng.pick([null, "now"]),
        });
      }
      return;
    }
    const learned = this.#learnedBy(host.id);
    if (learned.length === 0) return;
    for (let i = 0; i < this.#plan.work.subscriptionsPerNode; i++) {
      this.#subscribe(host, { groups: this.#someOf(learned), after: this.#prng.chance(0.8) ? null : "now" });
    }
  }

  /** Just before the node takes the input: from here on the oracles count. */
  stepping(host: Host, input: Input): void {
    switch (input.kind) {
      case "subscribe": {
        // Those of the services are theirs (see replicas.ts).
        const ours = this.#wishes.delete(input.subscription);
        const oracle = this.#oracles.subscribed({ ...input, node: host.id, granted: input.demand, view: host.core!.view() });
        if (ours) this.#open.get(host.id)!.push(oracle);
        return;
      }
      case "demand": {
        const oracle = this.#oracles.subscriptions.get(`${host.id}/${input.subscription}`);
        if (oracle !== undefined) oracle.granted += input.commands;
        return;
      }
      case "confirm":
        return this.#oracles.subscriptions.get(`${host.id}/${input.subscription}`)?.confirmAsked(input.request, input.groups);
      default:
        return;
    }
  }

  shown(host: Host, inputs: readonly Input[]): void {
    for (const input of inputs) {
      if (input.kind !== "subscribe" || input.after !== "now") continue;
      this.#oracles.subscriptions.get(`${host.id}/${input.subscription}`)?.began(
        knownBy(host.view!, input.groups, this.#plan.topology.order),
      );
    }
  }

  turned(host: Host, inputs: readonly Input[], effects: Effects): void {
    for (const { subscription, oldest } of effects.lost) this.#lost(host, subscription, oldest);
    for (const input of inputs) {
      // Asked for before the world healed, begun after.
      if (this.#stopped && input.kind === "subscribe" && input.demand !== Infinity) this.#grant(host, input.subscription, Infinity);
      if (input.kind !== "unsubscribe") continue;
      const key = `${host.id}/${input.subscription}`;
      this.#reopen.get(key)?.();
      this.#reopen.delete(key);
      this.#oracles.unsubscribed(host.id, input.subscription);
    }
  }

  /** What comes next for it has been forgotten: it goes on where it can, or from now on. */
  #lost(host: Host, subscription: number, oldest: Position): void {
    const old = this.#open.get(host.id)!.find((one) => one.subscription === subscription);
    if (old === undefined) return;
    demand(
      old.isOpen || comparePositions(oldest, old.position) > 0,
      "lost",
      () => `${old.who} is told to go on behind ${formatPosition(oldest)}, and has been there`,
    );
    this.#open.set(host.id, this.#open.get(host.id)!.filter((other) => other !== old));
    this.#oracles.unsubscribed(host.id, subscription);
    const reopen = this.#reopen.get(`${host.id}/${subscription}`);
    if (reopen !== undefined) return;
    this.#subscribe(host, { groups: old.groups, after: this.#prng.chance(0.5) ? "now" : oldest });
  }

  delivered(host: Host, delivery: Delivery): void {
    this.#oracles.delivered(host.id, delivery);
  }

  crashed(host: Host): void {
    for (const key of [...this.#reopen.keys()]) if (key.startsWith(`${host.id}/`)) this.#reopen.delete(key);
    for (const { subscription } of this.#open.get(host.id) ?? []) this.#oracles.unsubscribed(host.id, subscription);
  }

  /** Subscriptions at living nodes. */
  *subscriptions(): Iterable<SubscriptionOracle> {
    for (const host of this.#hosts.values()) if (host.up) yield* this.#open.get(host.id) ?? [];
  }

  #propose(host: Host): void {
    const groups = this.#plan.topology.groups.filter((group) => group.proposers.includes(host.id));
    if (groups.length === 0) return;
    const count = this.#prng.between(1, this.#plan.work.burst);
    for (let i = 0; i < count; i++) {
      const group = this.#prng.pick(groups).id;
      const id = ++this.#commands;
      const tooLarge = this.#prng.chance(0.002);
      const size = tooLarge ? this.#plan.limits.payloadBytesMax + 1 : this.#prng.between(8, this.#plan.work.payloadBytes);
      const payload = new Uint8Array(size).fill(id);
      const view = new DataView(payload.buffer);
      view.setUint32(0, Math.floor(id / 4_294_967_296), true);
      view.setUint32(4, id >>> 0, true);
      this.proposals++;
      this.#oracles.proposals.proposed(host.id, host.life, id, group, id);
      host.submit({ kind: "propose", ticket: id, group, payload });
    }
  }

  #more(host: Host): void {
    if (this.#plan.work.demand === Infinity) return;
    for (const { subscription } of this.#open.get(host.id) ?? []) {
      if (this.#prng.chance(0.7)) this.#grant(host, subscription, this.#prng.between(1, this.#plan.work.demand));
    }
  }

  #grant(host: Host, subscription: number, commands: number): void {
    host.submit({ kind: "demand", subscription, commands });
  }

  /** Gives one subscription up and opens another that goes on from its position, maybe with other groups. */
  #change(host: Host): void {
    const open = this.#open.get(host.id) ?? [];
    if (open.length === 0) return;
    const old = this.#prng.pick(open);
    const key = `${host.id}/${old.subscription}`;
    if (this.#reopen.has(key)) return;
    const groups = this.#prng.chance(0.5) ? old.groups : this.#someOf(this.#learnedBy(host.id));
    const kind = this.#prng.int(10);
    this.#reopen.set(key, () => {
      this.#open.set(host.id, (this.#open.get(host.id) ?? []).filter((other) => other !== old));
      const after = kind === 0 ? null : kind === 1 || old.isOpen ? "now" : old.position;
      this.#subscribe(host, { groups, after });
    });
    host.submit({ kind: "unsubscribe", subscription: old.subscription });
  }

  #subscribe(host: Host, wish: Wish): void {
    const subscription = ++this.#subscriptions;
    this.#wishes.add(subscription);
    const demand = this.#stopped ? Infinity : this.#plan.work.demand;
    host.submit({ kind: "subscribe", subscription, ...wish, demand });
  }

  #confirm(host: Host): void {
    const open = (this.#open.get(host.id) ?? []).filter(({ subscription }) => !this.#reopen.has(`${host.id}/${subscription}`));
    if (open.length === 0) return;
    const { subscription, groups } = this.#prng.pick(open);
    host.submit({ kind: "confirm", request: ++this.#requests, subscription, groups: this.#someOf(groups) });
  }

  #learnedBy(node: NodeId): GroupId[] {
    return this.#plan.topology.groups.filter((group) => group.learners.includes(node)).map((group) => group.id);
  }

  #someOf(groups: readonly GroupId[]): GroupId[] {
    return this.#prng.sample(groups, this.#prng.between(1, groups.length));
  }

  #every(mean: Millis, act: () => void): void {
    if (mean === Infinity) return;
    const next = (): void => {
      this.#queue.after(this.#prng.range(0, 2 * mean), () => {
        if (this.#stopped) return;
        act();
        next();
      });
    };
    next();
  }
}

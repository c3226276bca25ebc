/**
 * All oracles behind one face. The world tells what happens, in order; whatever contradicts a promise of
 * the protocol is thrown as a `Violation` at the step that shows it.
 */
import type { Confirmation, Delivery, Effects, Envelope, JournalRecord, Refusal } from "../../core/effects.ts";
import { batchOverheadBytes } from "../../core/entry.ts";
import type { Ballot, GroupId, Instance, NodeId } from "../../core/ids.ts";
import type { Limits } from "../../core/limits.ts";
import { comparePositions, type Order, type Position, slotPosition } from "../../core/position.ts";
import type { Topology } from "../../core/topology.ts";
import type { GroupView, NodeView } from "../../core/view.ts";
import type { GroupState, JournalState } from "./journal_state.ts";
import { type Chosen, GroupOracle } from "./oracle/logs.ts";
import { Effective, SubscriptionOracle } from "./oracle/order.ts";
import { Proposals } from "./oracle/proposals.ts";
import { demand } from "./oracle/violation.ts";
import { NodeWords } from "./oracle/words.ts";

export { Violation } from "./oracle/violation.ts";

export class Oracles {
  readonly groups = new Map<GroupId, GroupOracle>();
  readonly effective = new Map<GroupId, Effective>();
  readonly proposals = new Proposals();
  /** Of living nodes and of those whose node has crashed or that were given up; by node and number. */
  readonly subscriptions = new Map<string, SubscriptionOracle>();
  deliveries = 0;
  confirmations = 0;
  readonly #words = new Map<NodeId, NodeWords>();
  readonly #topology: Topology;
  readonly #limits: Limits;
  readonly #remembers: boolean;

  constructor(options: { readonly topology: Topology; readonly limits: Limits; readonly remembers: boolean }) {
    this.#topology = options.topology;
    this.#limits = options.limits;
    this.#remembers = options.remembers;
    const { order, groups, nodes } = options.topology;
    for (const spec of groups) {
      this.groups.set(spec.id, new GroupOracle(spec, order, (group, chosen) => this.#chosen(group, chosen)));
      this.effective.set(spec.id, new Effective(spec.id, order));
    }
    for (const node of nodes) this.#words.set(node.id, new NodeWords(node.id, this.groups, options.remembers));
  }

  /** After an append was applied to `state`, the node's journal so far, durable or not. */
  recorded(node: NodeId, record: JournalRecord, state: JournalState): void {
    if (record.kind !== "accept" && record.kind !== "install") return;
    const group = this.groups.get(record.group)!;
    const who = `n${node}`;
    if (record.kind === "accept") return group.inLog(record.ballot, record.entry, who);
    group.starts(record.ballot, record.start, who);
    // All of the log is now of this ballot, what was kept below included.
    for (const entry of state.group(record.group).entries) group.inLog(record.ballot, entry, who);
  }

  /** A record is durable and applied to `disk`. */
  persisted(node: NodeId, record: JournalRecord, disk: JournalState): void {
    if (record.kind === "ceiling" || record.kind === "decided" || record.kind === "promise" || record.kind === "base") return;
    const state = disk.group(record.group);
    // What a node without memory takes over is no vote until it says so (see `shows`).
    if (!this.#words.get(node)!.mayVote(record.group)) return;
    this.#words.get(node)!.durable(record.group, state.logBallot, state.last);
    this.groups.get(record.group)!.durable(node, state.logBallot, state.last);
  }

  says(node: NodeId, effects: Effects): void {
    this.#words.get(node)!.says(effects);
    for (const { message } of effects.send) {
      if (message.kind !== "accept") continue;
      this.groups.get(message.group)!.inLog(message.ballot, message.entry, `n${node}`);
      this.groups.get(message.group)!.starts(message.ballot, message.start, `n${node}`);
    }
  }

  leaves(node: NodeId, envelope: Envelope, disk: JournalState): void {
    this.#words.get(node)!.leaves(envelope, disk);
  }

  /** A new life: `view` is what the node makes of the records that its disk kept. */
  restarted(node: NodeId, view: NodeView, disk: JournalState): void {
    this.#words.get(node)!.restarted();
    for (const group of view.groups) {
      const kept = disk.groups.get(group.group);
      if (kept === undefined) continue;
      const who = `n${node} g${group.group} after a restart`;
      demand(group.promised >= kept.promised, "retreat", () => `${who} promised ${group.promised}; its disk says ${kept.promised}`);
      demand(
        group.logBallot === kept.logBallot && group.last === kept.last,
        "retreat",
        () => `${who} holds ${group.logBallot}/${group.last}; its disk holds ${kept.logBallot}/${kept.last}`,
      );
    }
  }

  shows(node: NodeId, view: NodeView, before: NodeView | null, disk: JournalState): void {
    for (let i = 0; i < view.groups.length; i++) {
      const group = view.groups[i]!;
      const last = before?.groups[i];
      if (group.voting && !this.#remembers) this.#says(node, group, disk.group(group.group), last?.voting === false ? last.promised : 0);
      this.#words.get(node)!.shows(group);
      this.#decided(node, group, before?.groups[i]?.decided ?? 0);
      this.groups.get(group.group)!.relies(`n${node}'s frontier`, group.frontier, group.decided);
      this.#bounded(node, group);
    }
  }

  /**
   * Without memory only what the node itself says counts as a vote: it may hold what it must not vote for.
   * `promisedBefore` is what it had to promise before the step with which it votes again, else 0.
   */
  #says(node: NodeId, view: GroupView, disk: GroupState, promisedBefore: Ballot): void {
    if (view.voted === 0) return;
    const who = `n${node} g${view.group}`;
    demand(
      disk.logBallot === view.logBallot && disk.last >= view.voted,
      "vote-before-disk",
      () => `${who} votes up to ${view.voted} in ${view.logBallot}; it holds ${disk.logBallot}/${disk.last}`,
    );
    demand(
      promisedBefore <= view.logBallot,
      "abstains",
      () => `${who} had to promise ${promisedBefore} and now votes for ${view.voted} in ${view.logBallot}`,
    );
    this.#words.get(node)!.durable(view.group, view.logBallot, view.voted);
    this.groups.get(view.group)!.durable(node, view.logBallot, view.voted);
  }

  #decided(node: NodeId, view: GroupView, before: Instance): void {
    if (view.decided === before) return;
    const group = this.groups.get(view.group)!;
    group.believes(`n${node}`, view.decided);
    for (let i = view.suffix.length - 1; i >= 0; i--) {
      const entry = view.suffix[i]!;
      if (entry.instance <= before) break;
      if (entry.instance <= view.decided) group.decides(`n${node}`, entry);
    }
  }

  /** Queues have bounds: what is pending here, and what is kept in memory once it is decided. */
  #bounded(node: NodeId, view: GroupView): void {
    const who = `n${node} g${view.group}`;
    demand(view.pendingCommands <= this.#limits.pendingCommands, "bounded", () => `${who} has ${view.pendingCommands} commands pending`);
    // The last one let in may exceed the bound by what accounting adds to it.
    demand(
      view.pendingBytes <= this.#limits.pendingBytes + 4 + batchOverheadBytes,
      "bounded",
      () => `${who} has ${view.pendingBytes} bytes pending`,
    );
    if (view.coordinates !== 0) {
      const inFlight = view.last - Math.max(view.decided, view.start);
      demand(inFlight <= this.#limits.windowEntries, "bounded", () => `${who} has ${inFlight} entries in flight`);
    }
  }

  subscribed(
    options: {
      readonly node: NodeId;
      readonly subscription: number;
      readonly groups: readonly GroupId[];
      readonly after: Position | null | "now";
      readonly granted: number;
      readonly view: NodeView;
    },
  ): SubscriptionOracle {
    const { node, subscription, groups, after, granted, view } = options;
    const oracle = new SubscriptionOracle({
      node,
      subscription,
      groups,
      after,
      known: knownBy(view, groups, this.#topology.order),
      granted,
      all: this.effective,
      order: this.#topology.order,
    });
    this.subscriptions.set(`${node}/${subscription}`, oracle);
    return oracle;
  }

  unsubscribed(node: NodeId, subscription: number): void {
    this.subscriptions.delete(`${node}/${subscription}`);
  }

  delivered(node: NodeId, delivery: Delivery): void {
    const subscription = this.subscriptions.get(`${node}/${delivery.subscription}`);
    demand(subscription !== undefined, "order", () => `n${node} delivers to subscription ${delivery.subscription}, which it does not have`);
    this.groups.get(delivery.group)!.decides(subscription.who, delivery.entry);
    subscription.deliver(delivery, ({ position }) => {
      this.deliveries++;
      for (const group of subscription.groups) this.groups.get(group)!.relies(subscription.who, position, null);
    });
  }

  refused(node: NodeId, life: number, refusal: Refusal): void {
    this.proposals.refuse(node, life, refusal);
  }

  confirmed(node: NodeId, confirmation: Confirmation): void {
    for (const subscription of this.subscriptions.values()) {
      if (subscription.node !== node || !subscription.asked.has(confirmation.request)) continue;
      this.confirmations++;
      return subscription.confirmed(confirmation);
    }
    demand(false, "confirm", () => `n${node} confirms request ${confirmation.request}, which nobody made`);
  }

  #chosen(group: GroupId, { entry }: Chosen): void {
    for (const command of this.effective.get(group)!.learn(entry)) this.proposals.order(command);
  }
}

/** Just before the first position that is unknown to the node in one of these groups. For comparing, not for printing. */
export function knownBy(view: NodeView, groups: readonly GroupId[], order: Order): Position {
  let least: Position = { major: Infinity, group: 0, minor: 0 };
  for (const { group, frontier } of view.groups) {
    if (!groups.includes(group)) continue;
    const next = order.merge === "ts"
      ? { major: frontier.major + 1, group, minor: 0 }
      : slotPosition(order.turn, group, frontier.group === 0 ? 0 : frontier.major * order.turn + frontier.minor + 1);
    if (comparePositions(next, least) < 0) least = next;
  }
  return { ...least, minor: least.minor - 1 };
}

/** What services see of a node: `Orderer` on the host, with tickets, subscriptions and requests as callbacks. */
import { assert } from "../core/assert.ts";
import type { Confirmation, Cursor, Delivery, Lost, Refusal } from "../core/effects.ts";
import { CarillonError } from "../core/errors.ts";
import type { GroupId, Millis, NodeId, Origin } from "../core/ids.ts";
import { groupById, type Topology } from "../core/topology.ts";
import type { Position } from "../core/position.ts";
import type { NodeView } from "../core/view.ts";
import type { Orderer, Places, Subscription } from "../services/orderer.ts";
import type { Host } from "./host.ts";

interface Proposal {
  readonly ticket: number;
  readonly refused: (error: CarillonError) => void;
  /** Not begun with after this. */
  readonly dueAt: Millis;
}

interface Listener {
  readonly onDelivery: (delivery: Delivery) => void;
  readonly onLost: (oldest: Position) => void;
}

interface Request {
  readonly subscription: number;
  readonly confirmed: (position: Position) => void;
}

export interface OrdererOptions {
  readonly self: NodeId;
  readonly topology: Topology;
  readonly origin: Origin;
  readonly view: () => NodeView;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Of a subscription, between two turns. */
  readonly cursor: (subscription: number) => Cursor | null;
}

export class HostOrderer implements Orderer {
  readonly self: NodeId;
  readonly topology: Topology;
  readonly origin: Origin;
  readonly view: () => NodeView;
  /** There is no room for more than what is under way. */
  full = false;
  readonly #now: () => number;
  readonly #cursor: (subscription: number) => Cursor | null;
  #host: Host | null = null;
  /** Not yet stepped, in order of ticket. */
  #proposals: Proposal[] = [];
  readonly #subscriptions = new Map<number, Listener>();
  readonly #numbers = new WeakMap<Subscription, number>();
  readonly #requests = new Map<number, Request>();
  #lastTicket = 0;
  #lastSubscription = 0;
  #lastRequest = 0;

  constructor(options: OrdererOptions) {
    this.self = options.self;
    this.topology = options.topology;
    this.origin = options.origin;
    this.view = options.view;
    this.#now = options.now;
    this.#cursor = options.cursor;
  }

  attach(host: Host): void {
    this.#host = host;
  }

  /** After this nothing is called back, and proposals are refused. */
  close(): void {
    this.#host = null;
    this.#proposals = [];
    this.#subscriptions.clear();
    this.#requests.clear();
  }

  propose(group: GroupId, payload: Uint8Array, refused: (error: CarillonError) => void, withinMs = Infinity): void {
    if (this.#host === null) return refused(new CarillonError("closed", `Cannot order a command: this node is closed`));
    if (this.full) return refused(diskFull());
    const ticket = ++this.#lastTicket;
    this.#proposals.push({ ticket, refused, dueAt: this.#now() + withinMs });
    this.#host.submit({ kind: "propose", ticket, group, payload });
  }

  subscribe(
    groups: readonly GroupId[],
    after: Position | null | "now",
    demand: number,
    onDelivery: (delivery: Delivery) => void,
    from?: Places,
    onLost: (oldest: Position) => void = () => {},
    abreast: readonly GroupId[] = [],
  ): Subscription {
    for (const id of [...groups, ...abreast]) {
      const { name, learners } = groupById(this.topology, id);
      assert(learners.includes(this.self), `Cannot subscribe: this node does not learn group "${name}"`);
    }
    const number = ++this.#lastSubscription;
    this.#subscriptions.set(number, { onDelivery, onLost });
    this.#host?.submit({
      kind: "subscribe",
      subscription: number,
      groups,
      after,
      demand,
      abreast,
      ...(from === undefined ? {} : { from }),
    });
    const subscription: Subscription = {
      more: (commands) => {
        if (this.#subscriptions.has(number)) this.#host?.submit({ kind: "demand", subscription: number, commands });
      },
      close: () => this.#unsubscribe(number),
    };
    this.#numbers.set(subscription, number);
    return subscription;
  }

  confirm(
    subscription: Subscription,
    groups: readonly GroupId[],
    confirmed: (position: Position) => void,
    atLeast?: Position,
  ): () => void {
    const number = this.#number(subscription);
    if (!this.#subscriptions.has(number)) return () => {};
    const request = ++this.#lastRequest;
    this.#requests.set(request, { subscription: number, confirmed });
    this.#host?.submit({ kind: "confirm", request, subscription: number, groups, ...(atLeast === undefined ? {} : { atLeast }) });
    return () => {
      if (this.#requests.delete(request)) this.#host?.submit({ kind: "cancel", request });
    };
  }

  cursor(subscription: Subscription): Cursor | null {
    return this.#cursor(this.#number(subscription));
  }

  blocked(subscription: Subscription): { readonly group: GroupId; readonly forMs: number } | null {
    const number = this.#number(subscription);
    const view = this.view().subscriptions.find((one) => one.subscription === number);
    return view === undefined || view.blockedOn === 0
      ? null
      : { group: view.blockedOn, forMs: Math.max(this.#now() - view.blockedSince, 0) };
  }

  headless(): readonly string[] {
    return this.view().groups.filter(({ coordinator }) => coordinator === 0).map(({ group }) => groupById(this.topology, group).name);
  }

  /** Lets `to` coordinate the group instead of this node (0: whoever is best). Nothing happens if this node does not coordinate it. */
  handover(group: GroupId, to: NodeId): void {
    this.#host?.submit({ kind: "handover", group, to });
  }

  // ── What the host calls ───────────────────────────────────────────────────────────────────────────────────────────

  onDelivery(delivery: Delivery): void {
    this.#subscriptions.get(delivery.subscription)?.onDelivery(delivery);
  }

  /** The core has ended the subscription. */
  onLost({ subscription: number, oldest }: Lost): void {
    const listener = this.#subscriptions.get(number);
    this.#subscriptions.delete(number);
    for (const [request, { subscription }] of this.#requests) if (subscription === number) this.#requests.delete(request);
    listener?.onLost(oldest);
  }

  onRefusal({ ticket, code, reason }: Refusal): void {
    const proposal = this.#proposals[this.#index(ticket)];
    const retryable = code === "overloaded" || code === "no-quorum";
    const waitMs = retryable ? { retryable, retryAfterMs: 100 } : {};
    proposal?.refused(new CarillonError(code, `Cannot order a command: ${reason}`, waitMs));
  }

  onConfirmation({ request, position }: Confirmation): void {
    const asked = this.#requests.get(request);
    this.#requests.delete(request);
    asked?.confirmed(position);
  }

  /** Whether anybody still waits for the proposal; who does not is told here that nothing of it was or will be ordered. */
  begins(ticket: number, now: Millis): boolean {
    const proposal = this.#proposals[this.#index(ticket)];
    if (proposal === undefined || now <= proposal.dueAt) return true;
    proposal.refused(tooLate());
    return false;
  }

  /** Up to this ticket whoever was not refused will not be. */
  onProposed(ticket: number): void {
    this.#proposals.splice(0, this.#index(ticket) + 1);
  }

  /** Tickets are dense. */
  #index(ticket: number): number {
    return ticket - (this.#proposals[0]?.ticket ?? Infinity);
  }

  #unsubscribe(number: number): void {
    if (!this.#subscriptions.delete(number)) return;
    for (const [request, { subscription }] of this.#requests) if (subscription === number) this.#requests.delete(request);
    this.#host?.submit({ kind: "unsubscribe", subscription: number });
  }

  #number(subscription: Subscription): number {
    const number = this.#numbers.get(subscription);
    assert(number !== undefined, "Cannot find a subscription: it is another node's");
    return number;
  }
}

function tooLate(): CarillonError {
  return new CarillonError("timeout", "Cannot order a command: its time was over before this node could begin with it", {
    retryable: true,
  });
}

function diskFull(): CarillonError {
  return new CarillonError("disk-full", "Cannot order a command: the disk of this node is full", { retryable: true, retryAfterMs: 5_000 });
}

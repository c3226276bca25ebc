/**
 * One group's state on one node: a subscription, and the machines its deliveries drive. The replica
 * on the node that proposed a command answers it; all others apply in silence.
 */
import type { Delivery } from "../core/effects.ts";
import type { GroupId } from "../core/ids.ts";
import { type Position, start } from "../core/position.ts";
import { Reader } from "./bytes.ts";
import { eachDelivered, headerBytes, requestOf, type Visit } from "./command.ts";
import type { Machine } from "./machine.ts";
import type { Orderer, Subscription } from "./orderer.ts";
import type { Requests } from "./requests.ts";

/** What a caller gets: the machine's result and where in the order it came to be. */
export interface Reply<Result> {
  readonly position: Position;
  readonly result: Result;
}

export class Replica {
  readonly home: GroupId;
  readonly groups: readonly GroupId[];
  readonly subscription: Subscription;
  readonly #orderer: Orderer;
  readonly #requests: Requests;
  /** By service number; null where another replica, or nobody, has that service of the group. */
  readonly #machines: readonly (Machine | null)[];
  readonly #reader = new Reader();
  #applied: Position = start;
  #commands = 0;

  constructor(options: {
    readonly orderer: Orderer;
    readonly requests: Requests;
    readonly home: GroupId;
    readonly groups: readonly GroupId[];
    readonly machines: readonly (Machine | null)[];
  }) {
    this.home = options.home;
    this.groups = options.groups;
    this.#orderer = options.orderer;
    this.#requests = options.requests;
    this.#machines = options.machines;
    this.subscription = this.#orderer.subscribe(this.groups, null, Infinity, (delivery) => this.#onDelivery(delivery));
  }

  /** Of the last command delivered; what the machines hold is the state right behind it. */
  get applied(): Position {
    return this.#applied;
  }

  /** Commands delivered, whosever they were. */
  get commands(): number {
    return this.#commands;
  }

  #onDelivery(delivery: Delivery): void {
    eachDelivered(delivery, this.#orderer.topology.order, this.#apply);
  }

  readonly #apply: Visit = (position, bytes, at, end, origin) => {
    this.#applied = position;
    this.#commands++;
    const machine = end - at < headerBytes ? null : this.#machines[bytes[at]!] ?? null;
    if (machine === null) return;
    const ours = origin === this.#orderer.origin;
    const result = machine.apply(position, this.#reader.reset(bytes, at + headerBytes, end), ours);
    if (ours && result !== null) this.#requests.settle(requestOf(bytes, at), { position, result } satisfies Reply<object>, this.home);
  };
}

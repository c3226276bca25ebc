/**
 * One group's state on one node: a subscription, and the machines its deliveries drive. The replica
 * on the node that proposed a command answers it; all others apply in silence.
 */
import type { Delivery } from "../core/effects.ts";
import type { GroupId } from "../core/ids.ts";
import { type Position, start } from "../core/position.ts";
import { binaryBytes, Reader } from "./bytes.ts";
import { eachDelivered, headerBytes, keyedBit, readKey, requestOf, type Visit } from "./command.ts";
import { keyReused } from "./idempotency.ts";
import { Hash } from "./hash.ts";
import type { Machine } from "./machine.ts";
import type { Orderer, Subscription } from "./orderer.ts";
import type { Requests } from "./requests.ts";
import { sessionLimits, Sessions } from "./sessions.ts";

/** What a caller gets: the machine's result and where in the order it came to be. */
export interface Reply<Result> {
  readonly position: Position;
  readonly result: Result;
  /** The command had been applied before, there; nothing has changed since then on its account. */
  readonly replayed?: true;
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
  /** By the group that orders the commands. */
  readonly #sessions: ReadonlyMap<GroupId, Sessions>;
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
    const limits = sessionLimits(this.#orderer.topology.order);
    this.#sessions = new Map(this.groups.map((group) => [group, new Sessions(limits)]));
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

  /** Keys of commands that are remembered. */
  get sessions(): number {
    let count = 0;
    for (const { size } of this.#sessions.values()) count += size;
    return count;
  }

  /** A hash of what is remembered of them. */
  sessionsDigest(): string {
    const hash = new Hash();
    for (const [group, sessions] of this.#sessions) sessions.addTo(hash.number(group));
    return hash.digest();
  }

  #onDelivery(delivery: Delivery): void {
    eachDelivered(delivery, this.#orderer.topology.order, this.#apply);
  }

  readonly #apply: Visit = (position, bytes, at, end, origin) => {
    this.#applied = position;
    this.#commands++;
    if (end - at < headerBytes) return;
    const service = bytes[at]!;
    if (service >= keyedBit) return this.#applyOnce(position, bytes, at, end, origin);
    const machine = this.#machines[service] ?? null;
    if (machine === null) return;
    const ours = origin === this.#orderer.origin;
    const result = machine.apply(position, this.#reader.reset(bytes, at + headerBytes, end), ours);
    if (ours && result !== null) this.#requests.settle(requestOf(bytes, at), { position, result } satisfies Reply<object>, this.home);
  };

  /** A command with a key is applied where its key is new; where it is not, it is answered with what became of the first. */
  readonly #applyOnce: Visit = (position, bytes, at, end, origin) => {
    const reader = this.#reader.reset(bytes, at + headerBytes, end);
    const named = readKey(reader);
    const sessions = this.#sessions.get(position.group);
    if (named === null || sessions === undefined) return;
    const { key, fingerprint } = named;
    const machine = this.#machines[bytes[at]! - keyedBit] ?? null;
    const ours = origin === this.#orderer.origin;
    const request = requestOf(bytes, at);
    const before = sessions.find(key, position);
    if (before === undefined) {
      // Kept also where another replica has the machine: what a key was used for is the group's to know.
      const result = machine?.outcomes === undefined ? null : machine.apply(position, reader, true);
      sessions.keep(key, { fingerprint, position, outcome: result === null ? "" : machine!.outcomes!.write(result) });
      if (ours && result !== null) this.#requests.settle(request, { position, result } satisfies Reply<object>, this.home);
    } else if (ours && before.fingerprint !== fingerprint) {
      this.#requests.fail(request, keyReused(key));
    } else if (ours && before.outcome !== "") {
      const result = machine!.outcomes!.read(this.#reader.reset(binaryBytes(before.outcome)));
      this.#requests.settle(request, { position: before.position, result, replayed: true } satisfies Reply<object>, this.home);
    }
  };
}

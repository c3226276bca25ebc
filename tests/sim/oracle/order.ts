/**
 * One order for everybody. The decided logs of all groups, repeats left out and sorted by position, are the
 * one sequence; every subscription, whatever its groups and wherever it starts, must deliver exactly the
 * part of it that it asked for. That covers increasing positions, nothing twice, nothing left out, the same
 * order at all learners and no cycle over any of them.
 *
 * Names of oracles: `order`, `repeats`, `demand`, `confirm` (a linearizable read comes after everything that
 * was visible anywhere before it was asked), `payload`.
 */
import type { Confirmation, Delivery } from "../../../core/effects.ts";
import { eachCommand, type Entry } from "../../../core/entry.ts";
import type { GroupId, Instance, NodeId } from "../../../core/ids.ts";
import {
  commandPosition,
  comparePositions,
  formatPosition,
  type Order,
  type Position,
  start as beforeAll,
} from "../../../core/position.ts";
import { tellEntry } from "./print.ts";
import { demand, Violation } from "./violation.ts";

/** A command that has effect. */
export interface Command {
  readonly id: number;
  readonly group: GroupId;
  readonly instance: Instance;
  readonly index: number;
  readonly position: Position;
}

/** The number a simulated command carries in its first eight bytes. */
export function commandId(payload: Uint8Array): number {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return view.getUint32(0, true) * 4_294_967_296 + view.getUint32(4, true);
}

/** The commands of one group that have effect, in order. */
export class Effective {
  readonly commands: Command[] = [];
  readonly repeated = new Map<Instance, ReadonlySet<number>>();
  /** The greatest position delivered to anybody. */
  completed: Position = beforeAll;
  readonly #group: GroupId;
  readonly #order: Order;
  readonly #seen = new Set<string>();

  constructor(group: GroupId, order: Order) {
    this.#group = group;
    this.#order = order;
  }

  /** The next decided entry; returns the commands in it that have effect. */
  learn(entry: Entry): readonly Command[] {
    const from = this.commands.length;
    const repeated = new Set<number>();
    let index = 0;
    entry.batches.forEach((batch, at) => {
      const name = `${batch.origin}#${batch.sequence}`;
      const repeat = this.#seen.has(name);
      if (repeat) repeated.add(at);
      this.#seen.add(name);
      let count = 0;
      eachCommand(batch.bytes, (payload) => {
        count++;
        const position = commandPosition(this.#order, this.#group, entry, index++);
        if (!repeat) {
          this.commands.push({ id: commandId(payload), group: this.#group, instance: entry.instance, index: index - 1, position });
        }
      });
      demand(
        count === batch.count,
        "payload",
        () => `g${this.#group}: ${tellEntry(entry)} is decided with ${count} of ${batch.count} commands of a batch`,
      );
    });
    if (repeated.size > 0) this.repeated.set(entry.instance, repeated);
    return this.commands.slice(from);
  }

  /** Index of the first command above `position`. */
  above(position: Position): number {
    let low = 0;
    let high = this.commands.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePositions(this.commands[middle]!.position, position) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

interface Asked {
  readonly groups: readonly GroupId[];
  /** What was visible in each of them. */
  readonly completed: readonly Position[];
}

/** One subscription and the sequence it must see. */
export class SubscriptionOracle {
  readonly node: NodeId;
  readonly subscription: number;
  readonly groups: readonly GroupId[];
  delivered = 0;
  /** Of the last command delivered, or where it resumed. */
  position: Position;
  granted: number;
  readonly asked = new Map<number, Asked>();
  readonly #all: ReadonlyMap<GroupId, Effective>;
  readonly #order: Order;
  /** Per group: index of the next command it must deliver. */
  readonly #next = new Map<GroupId, number>();
  /** Nothing at or below is delivered, even if it is decided later: the subscription began behind it. */
  #cut: Position;
  /** Started at "now": the node's cut is above `position` and at most `#cut`; the first delivery shows it. */
  #open: boolean;

  constructor(
    options: {
      readonly node: NodeId;
      readonly subscription: number;
      readonly groups: readonly GroupId[];
      readonly after: Position | null | "now";
      /** For "now": everything at or below was known to the node before it subscribed. */
      readonly known: Position;
      readonly granted: number;
      readonly all: ReadonlyMap<GroupId, Effective>;
      readonly order: Order;
    },
  ) {
    this.node = options.node;
    this.subscription = options.subscription;
    this.groups = options.groups;
    this.granted = options.granted;
    this.#all = options.all;
    this.#order = options.order;
    this.#open = options.after === "now";
    this.position = options.after === "now" ? options.known : options.after ?? beforeAll;
    this.#cut = this.position;
    for (const group of this.groups) this.#next.set(group, this.#all.get(group)!.above(this.#cut));
  }

  get who(): string {
    return `n${this.node}'s subscription ${this.subscription} of ${this.groups.map((group) => `g${group}`).join(" and ")}`;
  }

  /** Checks one run of commands; calls back with each that has effect. */
  deliver(delivery: Delivery, visit: (command: Command) => void): void {
    const { entry, group, from, to } = delivery;
    demand(this.groups.includes(group), "order", () => `${this.who} delivers something of g${group}`);
    const effective = this.#all.get(group)!;
    const repeated = effective.repeated.get(entry.instance);
    demand(
      same(repeated, delivery.repeated),
      "repeats",
      () =>
        `${this.who}: batches ${[...delivery.repeated ?? []]} of ${tellEntry(entry)} are said to be repeats, ${[...repeated ?? []]} are`,
    );
    let index = 0;
    entry.batches.forEach((batch, at) => {
      eachCommand(batch.bytes, (payload) => {
        const here = index++;
        if (here < from || here >= to || repeated?.has(at)) return;
        visit(this.#command(group, commandPosition(this.#order, group, entry, here), commandId(payload)));
      });
    });
    demand(index >= to, "payload", () => `${this.who} delivers commands up to ${to} of ${tellEntry(entry)}, which has ${index}`);
  }

  /** Nothing it owes lies at or below `position` in `group`. */
  hasPassed(group: GroupId, position: Position): boolean {
    const next = this.#all.get(group)!.commands[this.#at(group)];
    return next === undefined || comparePositions(next.position, position) > 0;
  }

  /** Started at "now" and nothing delivered yet: where it began is not known. */
  get isOpen(): boolean {
    return this.#open;
  }

  get drained(): boolean {
    return this.groups.every((group) => this.#at(group) >= this.#all.get(group)!.commands.length);
  }

  /** What it must deliver next, for a sentence. */
  get owes(): string {
    return this.groups.map((group) => {
      const commands = this.#all.get(group)!.commands;
      return `g${group}: ${commands.length - this.#at(group)} of ${commands.length}`;
    }).join(", ");
  }

  confirmAsked(request: number, groups: readonly GroupId[]): void {
    this.asked.set(request, { groups, completed: groups.map((group) => this.#all.get(group)!.completed) });
  }

  confirmed({ request, position }: Confirmation): void {
    const asked = this.asked.get(request);
    demand(asked !== undefined, "confirm", () => `${this.who} is confirmed for request ${request}, which is not waiting`);
    this.asked.delete(request);
    asked.groups.forEach((group, at) => {
      demand(
        this.hasPassed(group, asked.completed[at]!),
        "confirm",
        () =>
          `${this.who} is confirmed and has not delivered all of g${group} up to ${
            formatPosition(asked.completed[at]!)
          }, visible before it asked`,
      );
    });
    for (const group of this.groups) {
      demand(
        this.hasPassed(group, position),
        "confirm",
        () => `${this.who} is confirmed up to ${formatPosition(position)} and has not delivered all of g${group} up to there`,
      );
    }
  }

  #command(group: GroupId, position: Position, id: number): Command {
    if (this.#open && comparePositions(position, this.#cut) <= 0) this.#settle(position);
    this.#open = false;
    const at = this.#at(group);
    const expected = this.#all.get(group)!.commands[at];
    if (expected === undefined || expected.id !== id || comparePositions(expected.position, position) !== 0) {
      throw new Violation(
        "order",
        `${this.who} delivers command ${id} at ${formatPosition(position)} of g${group}; ` +
          (expected === undefined ? "nothing more is decided there" : `next is ${tellCommand(expected)}`),
      );
    }
    for (const other of this.groups) {
      const next = other === group ? undefined : this.#all.get(other)!.commands[this.#at(other)];
      demand(
        next === undefined || comparePositions(next.position, position) > 0,
        "order",
        () => `${this.who} delivers g${group} at ${formatPosition(position)} before ${tellCommand(next!)}`,
      );
    }
    this.#next.set(group, at + 1);
    this.position = position;
    this.delivered++;
    demand(
      this.delivered <= this.granted,
      "demand",
      () => `${this.who} delivers ${this.delivered} commands, ${this.granted} were asked for`,
    );
    const effective = this.#all.get(group)!;
    if (comparePositions(position, effective.completed) > 0) effective.completed = position;
    return expected;
  }

  /** For "now": nothing above this was known to the node when it had subscribed. */
  began(known: Position): void {
    if (this.#open) this.#cut = known;
  }

  /** Index of the next command it must deliver. */
  #at(group: GroupId): number {
    const { commands } = this.#all.get(group)!;
    let at = this.#next.get(group)!;
    while (at < commands.length && comparePositions(commands[at]!.position, this.#cut) <= 0) at++;
    this.#next.set(group, at);
    return at;
  }

  /** The first delivery after "now" shows where the node began: from there on it owes everything. */
  #settle(position: Position): void {
    this.#cut = this.position;
    for (const group of this.groups) {
      const { commands } = this.#all.get(group)!;
      let at = this.#all.get(group)!.above(position);
      while (at > 0 && comparePositions(commands[at - 1]!.position, position) === 0) at--;
      this.#next.set(group, at);
    }
  }
}

function tellCommand({ id, group, instance, index, position }: Command): string {
  return `command ${id} at ${formatPosition(position)}, number ${index} of g${group}/${instance}`;
}

function same(a: ReadonlySet<number> | undefined, b: ReadonlySet<number> | null): boolean {
  if (a === undefined || b === null) return (a?.size ?? 0) === (b?.size ?? 0);
  return a.size === b.size && [...a].every((value) => b.has(value));
}

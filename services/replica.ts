/**
 * One group's state on one node: a subscription, and the machines its deliveries drive. The replica
 * on the node that proposed a command answers it; all others apply in silence.
 */
import type { Cursor, Delivery } from "../core/effects.ts";
import { type GroupId, type Origin, originNode } from "../core/ids.ts";
import { assert } from "../core/assert.ts";
import { commandPosition, comparePositions, formatPosition, type Position, start } from "../core/position.ts";
import type { Rule } from "../core/rules.ts";
import { binaryBytes, Reader } from "./bytes.ts";
import { CheckpointIntake, CheckpointItems, machineKind, type Section, sessionsKind } from "./checkpoint.ts";
import { eachDelivered, headerBytes, keyedBit, readKey, requestOf, type Visit } from "./command.ts";
import { keyReused } from "./idempotency.ts";
import { Hash } from "./hash.ts";
import { hasState, type Machine } from "./machine.ts";
import type { Orderer, Places, Subscription } from "./orderer.ts";
import type { Requests } from "./requests.ts";
import { Assembler, type Restore } from "./restore.ts";
import { sessionLimits, Sessions } from "./sessions.ts";
import { Cutter, type Snapshot } from "./snapshot.ts";

/** What a caller gets: the machine's result and where in the order it came to be. */
export interface Reply<Result> {
  readonly position: Position;
  readonly result: Result;
  /** The command had been applied before, there; nothing has changed since then on its account. */
  readonly replayed?: true;
}

/** All of a replica's state, as it was at `position`. */
export interface ReplicaSnapshot extends Snapshot {
  readonly position: Position;
  /** Commands this replica had been delivered then. */
  readonly commands: number;
}

export interface ReplicaRestore extends Restore {
  /**
   * Puts what has come in the place of what there was. Throws CarillonError `corrupt` unless it was all there; false if the replica
   * has got further by itself meanwhile. In both cases nothing has changed.
   */
  finish(): boolean;
}

/** Something that waits until the replica is far enough. */
interface Question {
  readonly groups: readonly GroupId[];
  readonly confirmed: (position: Position) => void;
  readonly atLeast: Position | undefined;
  cancel: () => void;
}

export class Replica {
  /** The same at every node and in every life of it; letters, digits and `_.-+`. */
  readonly name: string;
  readonly home: GroupId;
  readonly groups: readonly GroupId[];
  /** For whoever can get a checkpoint of it from somewhere. */
  onLost: () => void = () => {};
  readonly #orderer: Orderer;
  readonly #requests: Requests;
  readonly #abreast: readonly GroupId[];
  /** By service number; null where another replica, or nobody, has that service of the group. */
  readonly #machines: readonly (Machine | null)[];
  readonly #reader = new Reader();
  /** By the group that orders the commands. */
  readonly #sessions: ReadonlyMap<GroupId, Sessions>;
  readonly #sections: readonly Section[];
  readonly #questions = new Set<Question>();
  /** Null before `start` and after `close`. */
  #subscription: Subscription | null = null;
  /** Whether it is to hear what is ordered. */
  #started = false;
  /** Of the checkpoint it was restored from. */
  #places: Places | undefined;
  #isLost = false;
  readonly #without: ReadonlySet<Rule>;
  #applied: Position = start;
  #commands = 0;

  /** It hears nothing before `start`. */
  constructor(options: {
    readonly name: string;
    readonly orderer: Orderer;
    readonly requests: Requests;
    readonly home: GroupId;
    readonly groups: readonly GroupId[];
    /** Groups that what spans them must not be ahead of; see `subscribe` of an orderer. */
    readonly abreast?: readonly GroupId[];
    readonly machines: readonly (Machine | null)[];
    readonly without?: ReadonlySet<Rule>;
  }) {
    this.name = options.name;
    this.home = options.home;
    this.groups = options.groups;
    this.#abreast = options.abreast ?? [];
    this.#orderer = options.orderer;
    this.#requests = options.requests;
    this.#machines = options.machines;
    this.#without = options.without ?? new Set();
    const usual = sessionLimits(this.#orderer.topology.order);
    const limits = this.#without.has("session-long") ? { ...usual, countMax: 1 } : usual;
    this.#sessions = new Map(this.groups.map((group) => [group, new Sessions(limits)]));
    this.#sections = [
      ...Array.from(this.#sessions, ([number, state]) => ({ kind: sessionsKind, number, state })),
      ...this.#machines.flatMap((machine, number) => hasState(machine) ? [{ kind: machineKind, number, state: machine }] : []),
    ];
  }

  /** Goes on behind what it holds. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#subscribe();
  }

  close(): void {
    this.#started = false;
    this.#subscription?.close();
    this.#subscription = null;
  }

  /** As `confirm` of an orderer, of whatever subscription the replica has: a question outlives a restore and is asked again. */
  confirm(groups: readonly GroupId[], confirmed: (position: Position) => void, atLeast?: Position): () => void {
    const question: Question = { groups, confirmed, atLeast, cancel: () => {} };
    this.#questions.add(question);
    if (this.#subscription !== null) this.#ask(question, this.#subscription);
    return () => {
      this.#questions.delete(question);
      question.cancel();
    };
  }

  /** `position`: from its last command on it may be any before the next. */
  snapshot(position: Position = this.#applied): ReplicaSnapshot {
    assert(
      comparePositions(position, this.#applied) >= 0,
      `Cannot write replica ${this.name} out behind ${formatPosition(position)}: it is at ${formatPosition(this.#applied)}`,
    );
    const cutter = new Cutter(new CheckpointItems(this.#sections, position));
    return {
      position,
      commands: this.#commands,
      next: (bytesWanted, into) => cutter.next(bytesWanted, into),
      close: () => cutter.close(),
    };
  }

  /**
   * Makes this the replica whose snapshot this is, made behind `position`; `places` is where the logs of its groups go on. It is not
   * behind this one; a started one goes on with what it has until the end. Callers whose commands the checkpoint has passed over
   * end with their time-outs, outcome unknown: which they are cannot be told, and those that come later still get their answers.
   */
  restore(position: Position, places?: Places): ReplicaRestore {
    assert(
      comparePositions(position, this.#applied) >= 0,
      `Cannot restore replica ${this.name} to ${formatPosition(position)}: it is at ${formatPosition(this.#applied)}`,
    );
    const intake = new CheckpointIntake(this.#sections, position);
    const assembler = new Assembler(intake);
    return {
      add: (chunk) => assembler.add(chunk),
      finish: () => {
        assembler.check();
        if (comparePositions(position, this.#applied) < 0) return false;
        this.#subscription?.close();
        this.#subscription = null;
        this.#applied = position;
        this.#places = places;
        intake.finish();
        if (this.#started) this.#subscribe();
        return true;
      },
    };
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

  /** A snapshot and where it goes on; null if that cannot be told just now. Not during a delivery. */
  checkpoint(): { readonly cursor: Cursor; readonly snapshot: ReplicaSnapshot } | null {
    const cursor = this.#subscription === null ? null : this.#orderer.cursor?.(this.#subscription) ?? null;
    if (cursor === null) return null;
    return { cursor, snapshot: this.snapshot(cursor.position) };
  }

  /** What it would hear next is gone; only a checkpoint helps. What it holds is served as before, and questions wait. */
  #lost(): void {
    this.#subscription = null;
    this.#isLost = true;
    this.onLost();
  }

  /** It has ended with what comes next being gone, and no checkpoint has helped so far. */
  get isLost(): boolean {
    return this.#isLost;
  }

  #subscribe(): void {
    this.#isLost = false;
    const after = this.#places === undefined && this.#applied === start ? null : this.#applied;
    const hear = (delivery: Delivery) => this.#onDelivery(delivery);
    this.#subscription = this.#orderer.subscribe(this.groups, after, Infinity, hear, this.#places, () => this.#lost(), this.#abreast);
    for (const question of this.#questions) this.#ask(question, this.#subscription);
  }

  #ask(question: Question, subscription: Subscription): void {
    const confirmed = (position: Position) => {
      this.#questions.delete(question);
      question.confirmed(position);
    };
    question.cancel = this.#orderer.confirm(subscription, question.groups, confirmed, question.atLeast);
  }

  #onDelivery(delivery: Delivery): void {
    const { order } = this.#orderer.topology;
    eachDelivered(delivery, order, this.#apply);
    // Where it ends with a batch that occurred before, or whose lengths are wrong, the last commands were none; they are passed all the same.
    this.#applied = commandPosition(order, delivery.group, delivery.entry, delivery.to - 1);
  }

  #isOurs(origin: Origin): boolean {
    const { origin: own, self } = this.#orderer;
    return origin === own || this.#without.has("own-life") && originNode(origin) === self;
  }

  readonly #apply: Visit = (position, bytes, at, end, origin) => {
    this.#applied = position;
    this.#commands++;
    if (end - at < headerBytes) return;
    const service = bytes[at]!;
    if (service >= keyedBit) return this.#applyOnce(position, bytes, at, end, origin);
    const machine = this.#machines[service] ?? null;
    if (machine === null) return;
    const ours = this.#isOurs(origin);
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
    const ours = this.#isOurs(origin);
    const request = requestOf(bytes, at);
    const before = sessions.find(key, position);
    if (before === undefined) {
      // Kept also where another replica has the machine: what a key was used for is the group's to know.
      const result = machine?.outcomes === undefined ? null : machine.apply(position, reader, true);
      if (ours || !this.#without.has("session-everywhere")) {
        sessions.keep(key, { fingerprint, position, outcome: result === null ? "" : machine!.outcomes!.write(result) });
      }
      if (ours && result !== null) this.#requests.settle(request, { position, result } satisfies Reply<object>, this.home);
      return;
    }
    machine?.passOver?.(position);
    if (ours && before.fingerprint !== fingerprint) {
      this.#requests.fail(request, keyReused(key));
    } else if (ours && before.outcome !== "") {
      const result = machine!.outcomes!.read(this.#reader.reset(binaryBytes(before.outcome)));
      this.#requests.settle(request, { position: before.position, result, replayed: true } satisfies Reply<object>, this.home);
    }
  };
}

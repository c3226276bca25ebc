/**
 * The host of one simulated node: what `edge/host.ts` is in production, on virtual time. Inputs queue, one
 * turn steps them all and drains once; what speaks for records is held until they are durable.
 */
import { assert } from "../../core/assert.ts";
import type { Confirmation, Delivery, Effects, Envelope, Input, JournalRecord, Refusal } from "../../core/effects.ts";
import type { Lsn, Millis, NodeId } from "../../core/ids.ts";
import { CoreNode } from "../../core/node.ts";
import type { NodeView } from "../../core/view.ts";
import { NodeClock } from "./clocks.ts";
import { Disk } from "./disk.ts";
import { JournalState } from "./journal_state.ts";
import type { Oracles } from "./oracles.ts";
import { Violation } from "./oracle/violation.ts";
import type { Plan } from "./plan.ts";
import type { Prng } from "./prng.ts";
import type { Event, EventQueue } from "./queue.ts";

/** What a host needs of the world around it. */
export interface Surroundings {
  readonly plan: Plan;
  readonly queue: EventQueue;
  readonly oracles: Oracles;
  send(from: NodeId, envelope: Envelope): void;
  /** Just before the input is stepped. */
  stepping(host: Host, input: Input): void;
  /** After the turn's steps, before anything of it is carried out. */
  shown(host: Host, inputs: readonly Input[]): void;
  delivered(host: Host, delivery: Delivery): void;
  refused(host: Host, refusal: Refusal): void;
  confirmed(host: Host, confirmation: Confirmation): void;
  /** After everything of the turn was carried out. */
  turned(host: Host, inputs: readonly Input[], effects: Effects): void;
  note(host: Host, line: () => string): void;
}

/** Turns of a node's own within one millisecond of true time that mean it spins. What a held network lets go of at once is not its own. */
const turnsPerMsMax = 2_000;

export class Host {
  readonly id: NodeId;
  readonly disk: Disk;
  readonly clock: NodeClock;
  core: CoreNode | null = null;
  /** Counts lives; 0 before the first. */
  life = 0;
  /** Of the last step. */
  view: NodeView | null = null;
  readonly #world: Surroundings;
  readonly #prng: Prng;
  #inbox: Input[] = [];
  #turnEvent: Event | null = null;
  #wakeEvent: Event | null = null;
  #pausedUntil: Millis = 0;
  #handed: Lsn = 0;
  #durable: Lsn = 0;
  #held: { readonly lsn: Lsn; readonly envelopes: readonly Envelope[] }[] = [];
  /** The journal as the core believes it to be: durable or on its way. */
  #written = new JournalState();
  #turnsSince: Millis = 0;
  #turns = 0;

  constructor(id: NodeId, world: Surroundings, prng: Prng) {
    this.id = id;
    this.#world = world;
    this.#prng = prng;
    this.clock = new NodeClock(world.plan.clock, prng.split("clock"));
    this.disk = new Disk({
      durability: world.plan.durability,
      queue: world.queue,
      prng: prng.split("disk"),
      faults: world.plan.disk,
      onDurable: (record) => world.oracles.persisted(id, record, this.disk.state),
    });
  }

  get up(): boolean {
    return this.core !== null;
  }

  /** Begins a life with what the disk kept. */
  start(): void {
    assert(this.core === null, `Cannot start n${this.id}: it is running`);
    const { plan, queue, oracles } = this.#world;
    this.life++;
    this.clock.restart(queue.now, this.#prng.range(0, 5_000));
    this.core = new CoreNode({
      id: this.id,
      topology: plan.topology,
      limits: plan.limits,
      durability: plan.durability,
      seed: this.#prng.next(),
      incarnation: this.#prng.between(1, 2_000_000_000),
      without: plan.without,
    });
    this.#written = new JournalState();
    for (const record of this.disk.durable) {
      this.core.restore(record);
      this.#written.apply(record);
    }
    for (const [group, { floor }] of this.disk.state.groups) this.core.restoreTrimmed(group, floor);
    this.view = this.core.view();
    oracles.restarted(this.id, this.view, this.disk.state);
    this.#world.note(this, () => `starts life ${this.life} with ${this.disk.durable.length} records`);
    this.submit({ kind: "wake" });
  }

  /** Loses everything but what the disk keeps. */
  crash(): void {
    assert(this.core !== null, `Cannot crash n${this.id}: it is down`);
    this.#world.note(this, () => `crashes, ${this.#handed - this.#durable} records on their way`);
    this.core = null;
    this.view = null;
    this.#inbox = [];
    this.#held = [];
    this.#handed = this.#durable = 0;
    this.#world.queue.cancel(this.#turnEvent);
    this.#world.queue.cancel(this.#wakeEvent);
    this.#turnEvent = this.#wakeEvent = null;
    this.#pausedUntil = 0;
    this.disk.crash();
  }

  /** The process stands still: inputs and timers wait. */
  pause(until: Millis): void {
    this.#pausedUntil = until;
  }

  get paused(): boolean {
    return this.#pausedUntil > this.#world.queue.now;
  }

  /** Between two turns: a restart will begin here. */
  rebase(): void {
    const bases = this.core!.bases();
    const before = this.#written;
    this.#written = new JournalState();
    for (const base of bases) {
      before.apply(base);
      this.#written.apply(base);
    }
    this.disk.rebase(bases);
  }

  /** The process goes on at once. */
  resume(): void {
    const { queue } = this.#world;
    this.#pausedUntil = 0;
    if (this.#turnEvent === null) return;
    queue.cancel(this.#turnEvent);
    this.#turnEvent = queue.at(queue.now, () => this.#turn());
  }

  submit(input: Input): void {
    if (this.core === null) return;
    this.#inbox.push(input);
    if (this.#turnEvent !== null) return;
    const { plan, queue } = this.#world;
    const at = Math.max(this.#pausedUntil, queue.now + (plan.turnMs === 0 ? 0 : this.#prng.range(0, plan.turnMs)));
    this.#turnEvent = queue.at(at, () => this.#turn());
  }

  #turn(): void {
    const { queue, oracles } = this.#world;
    if (this.#pausedUntil > queue.now) {
      this.#turnEvent = queue.at(this.#pausedUntil, () => this.#turn());
      return;
    }
    this.#turnEvent = null;
    const core = this.core!;
    const now = this.clock.now(queue.now);
    const inputs = this.#inbox;
    this.#inbox = [];
    if (!inputs.some(({ kind }) => kind === "receive")) this.#countTurn();
    for (const input of inputs) {
      this.#world.stepping(this, input);
      core.step(input, now);
    }
    const effects = core.drain();
    if (this.#world.plan.freeze) freeze([effects.send, effects.records, effects.sendAfterPersist]);
    for (const record of effects.records) {
      this.#written.apply(record);
      oracles.recorded(this.id, record, this.#written);
    }
    oracles.says(this.id, effects);
    const before = this.view;
    this.view = core.view();
    oracles.shows(this.id, this.view, before, this.disk.state);
    this.#world.shown(this, inputs);
    this.#carryOut(effects);
    this.#world.turned(this, inputs, effects);
  }

  #carryOut(effects: Effects): void {
    for (const envelope of effects.send) this.#leave(envelope);
    this.#persist(effects.records);
    if (effects.sendAfterPersist.length > 0) this.#held.push({ lsn: this.#handed, envelopes: effects.sendAfterPersist });
    this.#release();
    const life = this.life;
    for (const request of effects.reads) {
      this.disk.read(request, (entries) => {
        if (life === this.life) this.submit({ kind: "read", request: request.request, entries });
      });
    }
    for (const delivery of effects.deliveries) this.#world.delivered(this, delivery);
    for (const refusal of effects.refusals) this.#world.refused(this, refusal);
    for (const confirmation of effects.confirmations) this.#world.confirmed(this, confirmation);
    this.#sleep(effects.wakeAt);
  }

  #persist(records: readonly JournalRecord[]): void {
    if (records.length === 0) return;
    const upTo = this.#handed += records.length;
    this.disk.append(records, () => {
      this.#durable = upTo;
      this.#release();
      this.submit({ kind: "persisted", upTo });
    });
  }

  /** A message waits for every record handed over before it, also those of earlier turns. */
  #release(): void {
    while (this.#held[0] !== undefined && this.#held[0].lsn <= this.#durable) {
      for (const envelope of this.#held.shift()!.envelopes) this.#leave(envelope);
    }
  }

  #leave(envelope: Envelope): void {
    this.#world.oracles.leaves(this.id, envelope, this.disk.state);
    this.#world.send(this.id, envelope);
  }

  #sleep(wakeAt: Millis): void {
    const { queue } = this.#world;
    queue.cancel(this.#wakeEvent);
    this.#wakeEvent = null;
    if (wakeAt === Infinity) return;
    // Timers are late, never early; not even the keenest fires twice within the same hundredth of a millisecond.
    const at = Math.max(this.clock.trueTimeOf(wakeAt) + 0.001, queue.now + 0.01);
    this.#wakeEvent = queue.at(at, () => {
      this.#wakeEvent = null;
      this.submit({ kind: "wake" });
    });
  }

  #countTurn(): void {
    const { now } = this.#world.queue;
    if (now - this.#turnsSince >= 1) {
      this.#turnsSince = now;
      this.#turns = 0;
    }
    if (++this.#turns > turnsPerMsMax) {
      throw new Violation("spin", `n${this.id} took ${this.#turns} turns within a millisecond`);
    }
  }
}

/** Whoever writes into what was handed over gets a TypeError. Bytes cannot be frozen. */
function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
}

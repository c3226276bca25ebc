/** A whole cluster on one virtual clock: hosts, network, faults, users and oracles, and a rolling hash of all that happens. */
import type { Confirmation, Delivery, Effects, Envelope, Input, Refusal } from "../../core/effects.ts";
import type { Ballot, GroupId, Instance, Millis, NodeId } from "../../core/ids.ts";
import { describe, type Message } from "../../core/message.ts";
import { Faults } from "./faults.ts";
import { Host, type Surroundings } from "./host.ts";
import { Network } from "./network.ts";
import { Oracles } from "./oracles.ts";
import { printEntry } from "./oracle/print.ts";
import { Violation } from "./oracle/violation.ts";
import type { Plan } from "./plan.ts";
import { hashText, mix, Prng } from "./prng.ts";
import { EventQueue } from "./queue.ts";
import { Replicas } from "./replicas.ts";
import { Workload } from "./workload.ts";

/** Virtual time after healing without anything ordered, delivered or confirmed that means nothing more will be. */
const stuckMsMax = 10_000;
/** Skips are decided for ever: everybody must know what was decided so many looks ago. */
const behindPolls = 20;
const eventsMax = 3_000_000;

export class World implements Surroundings {
  readonly plan: Plan;
  readonly queue = new EventQueue();
  readonly oracles: Oracles;
  readonly network: Network;
  readonly faults: Faults;
  readonly workload: Workload;
  readonly replicas: Replicas;
  readonly hosts = new Map<NodeId, Host>();
  events = 0;
  /** Virtual time from healing until nothing was owed any more. */
  healedMs: Millis = 0;
  #hash = 0;
  readonly #trace: ((line: string) => void) | null;

  constructor(plan: Plan, trace: ((line: string) => void) | null = null) {
    this.plan = plan;
    this.#trace = trace;
    const prng = new Prng(plan.seed);
    this.oracles = new Oracles({ topology: plan.topology, limits: plan.limits, remembers: plan.durability !== "memory" });
    this.network = new Network({
      queue: this.queue,
      prng: prng.split("network"),
      faults: plan.network,
      deliver: (from, to, message) => this.hosts.get(to)!.submit({ kind: "receive", from, message }),
    });
    for (const { id } of plan.topology.nodes) this.hosts.set(id, new Host(id, this, prng.split(`node ${id}`)));
    const shared = { plan, queue: this.queue, hosts: this.hosts };
    this.workload = new Workload({ ...shared, prng: prng.split("work"), oracles: this.oracles });
    this.replicas = new Replicas({ ...shared, prng: prng.split("replicas"), oracles: this.oracles });
    this.faults = new Faults({
      ...shared,
      prng: prng.split("faults"),
      network: this.network,
      crash: (host) => {
        host.crash();
        this.workload.crashed(host);
        this.replicas.crashed(host);
      },
      start: (host) => this.#start(host),
      mayLose: (node) => this.replicas.mayLose(node),
    });
  }

  get digest(): string {
    let hash = this.#hash;
    for (const group of this.oracles.groups.values()) {
      for (const { entry, ballot } of group.chosen) hash = mix(hashText(printEntry(entry), hash >>> 0), ballot);
    }
    return (hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Runs to the end. Throws what an oracle or the core throws. */
  run(): void {
    const begin = new Prng(this.plan.seed).split("begin");
    for (const host of this.hosts.values()) this.queue.after(begin.range(0, 30), () => this.#start(host));
    this.workload.begin();
    this.replicas.begin();
    this.faults.begin();
    while (this.queue.step(this.plan.safetyMs)) this.#count();
    this.queue.now = this.plan.safetyMs;
    this.#say(() => "the world heals");
    this.workload.stop();
    this.faults.heal();
    this.#say(() => this.faults.scar === "none" ? "nothing stays broken" : `n${this.faults.scarred} stays ${this.faults.scar}`);
    let owed: readonly string[] = ["everything"];
    const before: Map<GroupId, Instance>[] = [];
    let done = -1;
    for (let deadline = Infinity; this.queue.now < deadline;) {
      if (this.#done !== done) deadline = this.queue.now + stuckMsMax;
      done = this.#done;
      const until = this.queue.now + 25;
      while (this.queue.step(until)) this.#count();
      this.queue.now = until;
      before.push(new Map([...this.oracles.groups].map(([id, group]) => [id, group.decided])));
      owed = this.#owed(before.length > behindPolls ? before.shift()! : before.at(-1)!);
      if (owed.length === 0) break;
    }
    this.healedMs = this.queue.now - this.plan.safetyMs;
    if (owed.length === 0) return;
    const since = Math.round(this.healedMs);
    throw new Violation("liveness", `nothing more happens ${since} ms after healing; still owed: ${owed.slice(0, 6).join("; ")}`);
  }

  send(from: NodeId, { to, message }: Envelope): void {
    for (const node of to) {
      if (!this.hosts.has(node) || node === from) throw new Violation("envelope", `n${from} sends ${describe(message)} to n${node}`);
      this.network.send(from, node, message);
    }
  }

  stepping(host: Host, input: Input): void {
    this.#hash = mix(mix(this.#hash, Math.floor(this.queue.now * 1_000)), host.id * 64 + input.kind.length);
    if (input.kind === "receive") this.#hash = hashMessage(this.#hash, input.from, input.message);
    if (this.#trace !== null) this.note(host, () => tellInput(input));
    this.workload.stepping(host, input);
  }

  shown(host: Host, inputs: readonly Input[]): void {
    this.workload.shown(host, inputs);
  }

  delivered(host: Host, delivery: Delivery): void {
    this.#hash = mix(mix(this.#hash, delivery.entry.instance), delivery.subscription);
    if (this.#trace !== null) {
      this.note(
        host,
        () => `delivers g${delivery.group}/${delivery.entry.instance} ${delivery.from}–${delivery.to} to ${delivery.subscription}`,
      );
    }
    this.workload.delivered(host, delivery);
  }

  refused(host: Host, refusal: Refusal): void {
    this.note(host, () => `refuses ${refusal.ticket}: ${refusal.code} ${refusal.reason}`);
    this.oracles.refused(host.id, host.life, refusal);
  }

  confirmed(host: Host, confirmation: Confirmation): void {
    this.note(host, () => `confirms ${confirmation.request}`);
    this.oracles.confirmed(host.id, confirmation);
  }

  turned(host: Host, inputs: readonly Input[], effects: Effects): void {
    this.#hash = mix(mix(mix(this.#hash, effects.send.length), effects.records.length), effects.sendAfterPersist.length);
    if (this.#trace !== null) this.#tellEffects(host, effects);
    this.workload.turned(host, inputs, effects);
    this.replicas.turned(host, effects);
  }

  note(host: Host, line: () => string): void {
    this.#say(() => `n${host.id} ${line()}`);
  }

  #start(host: Host): void {
    host.start();
    this.replicas.started(host);
    this.workload.started(host);
  }

  #count(): void {
    if (++this.events > eventsMax) throw new Violation("runaway", `${eventsMax} events and no end`);
  }

  /** Grows with everything the users get. */
  get #done(): number {
    return this.oracles.proposals.ordered + this.oracles.deliveries + this.oracles.confirmations;
  }

  /** What the cluster still owes its users. */
  #owed(decided: ReadonlyMap<GroupId, Instance>): string[] {
    const { scarred, scar } = this.faults;
    const sound = (node: NodeId): boolean => scar === "none" || node !== scarred;
    const result = this.oracles.proposals.pendingOf((node) => this.hosts.get(node)!.life, sound);
    for (const subscription of this.workload.subscriptions()) {
      if (!sound(subscription.node)) continue;
      if (!subscription.drained) result.push(`${subscription.who} (${subscription.owes})`);
      if (subscription.asked.size > 0) result.push(`${subscription.asked.size} confirmations of ${subscription.who}`);
    }
    result.push(...this.replicas.owed(sound));
    for (const host of this.hosts.values()) {
      if (!sound(host.id)) continue;
      for (const view of host.view?.groups ?? []) {
        const { spec } = this.oracles.groups.get(view.group)!;
        if (!spec.acceptors.includes(host.id) && !spec.learners.includes(host.id)) continue;
        const there = decided.get(view.group)!;
        if (view.decided < there) result.push(`n${host.id} g${view.group}: decided ${view.decided} of ${there}`);
      }
    }
    return result;
  }

  #tellEffects(host: Host, effects: Effects): void {
    const told = (envelope: Envelope): string => `→ ${envelope.to.map((node) => `n${node}`).join(" ")} ${describe(envelope.message)}`;
    for (const envelope of effects.send) this.note(host, () => told(envelope));
    for (const record of effects.records) this.note(host, () => `records ${tellRecord(record)}`);
    for (const envelope of effects.sendAfterPersist) this.note(host, () => `${told(envelope)} (once durable)`);
  }

  #say(line: () => string): void {
    this.#trace?.(`${this.queue.now.toFixed(2).padStart(9)} ${line()}`);
  }
}

function hashMessage(hash: number, from: NodeId, message: Message): number {
  const group = "group" in message ? message.group : 0;
  let mixed = mix(hash, from * 65_536 + group);
  const numbers: readonly (Ballot | Instance)[] = message.kind === "accept"
    ? [1, message.ballot, message.entry.instance, message.entry.stamp]
    : message.kind === "vote"
    ? [2, message.ballot, ...message.votes.map((vote) => vote.upTo)]
    : message.kind === "heartbeat"
    ? [3, message.sequence, ...message.beats.map((beat) => beat.clock)]
    : [message.kind.length];
  for (const number of numbers) mixed = mix(mix(mixed, number), Math.floor(number / 4_294_967_296));
  return mixed;
}

function tellInput(input: Input): string {
  switch (input.kind) {
    case "receive":
      return `← n${input.from} ${describe(input.message)}`;
    case "propose":
      return `proposes ${input.ticket} to g${input.group} (${input.payload.byteLength} bytes)`;
    case "persisted":
      return `persisted up to ${input.upTo}`;
    case "read":
      return `read ${input.request}: ${input.entries.length} entries from ${input.entries[0]?.instance ?? "nowhere"}`;
    case "subscribe":
      return `subscribes ${input.subscription} to ${input.groups} after ${JSON.stringify(input.after)} demand ${input.demand}`;
    default:
      return JSON.stringify(input);
  }
}

function tellRecord(record: Effects["records"][number]): string {
  switch (record.kind) {
    case "accept":
      return `accept g${record.group} ${record.ballot} ${record.entry.instance}`;
    case "install":
      return `install g${record.group} ${record.ballot} base=${record.base} start=${record.start} above=${record.above} entries=${record.entries.length}`;
    case "learn":
      return `learn g${record.group} above=${record.above} entries=${record.entries.length}`;
    default:
      return JSON.stringify(record);
  }
}

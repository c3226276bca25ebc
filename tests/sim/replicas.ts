/**
 * What services do with a node, as far as the order is concerned: every node replicates what it learns, writes
 * checkpoints of it now and then, begins again from its newest one, and takes a peer's where the log it would need has been
 * forgotten. A replica's state is what its subscription has delivered, which the oracles compare; here is only where it is.
 *
 * Names of oracles: `trimmed` (nothing is forgotten that some majority of replicas has not durably behind it),
 * `recoverable` (the newest checkpoint among any majority is one from which its replica can go on).
 */
import type { Cursor, Effects, Resume } from "../../core/effects.ts";
import type { GroupId, Instance, Millis, NodeId } from "../../core/ids.ts";
import { comparePositions } from "../../core/position.ts";
import { majority } from "../../core/quorum.ts";
import { groupsReaching, subscribers } from "../../core/topology.ts";
import type { Host } from "./host.ts";
import type { Oracles } from "./oracles.ts";
import { demand } from "./oracle/violation.ts";
import type { Plan } from "./plan.ts";
import type { Prng } from "./prng.ts";
import type { EventQueue } from "./queue.ts";

export interface CheckpointPlan {
  /** Mean time between two checkpoints of a replica; Infinity for no replicas at all. */
  readonly everyMs: Millis;
  readonly writeMs: Millis;
  /** What taking over a peer's takes. */
  readonly fetchMs: Millis;
  /** Chance that the journal begins anew with a checkpoint. */
  readonly rebase: number;
}

/** Apart from the users' subscriptions. */
const firstNumber = 1_000_000;

class Replica {
  readonly node: NodeId;
  readonly name: string;
  readonly groups: readonly GroupId[];
  /** Of the running subscription; 0 while there is none. */
  subscription = 0;
  durable: Cursor | null = null;
  writing = false;
  fetching = false;

  constructor(node: NodeId, groups: readonly GroupId[]) {
    this.node = node;
    this.groups = groups;
    this.name = groups.join("+");
  }
}

export class Replicas {
  checkpoints = 0;
  installed = 0;
  trims = 0;
  readonly #plan: Plan;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #oracles: Oracles;
  readonly #hosts: ReadonlyMap<NodeId, Host>;
  readonly #all = new Map<NodeId, Replica[]>();
  /** The furthest that anybody has forgotten each group by agreement. */
  readonly #trimmed = new Map<GroupId, Instance>();
  #next = firstNumber;

  constructor(options: { plan: Plan; queue: EventQueue; prng: Prng; oracles: Oracles; hosts: ReadonlyMap<NodeId, Host> }) {
    this.#plan = options.plan;
    this.#queue = options.queue;
    this.#prng = options.prng;
    this.#oracles = options.oracles;
    this.#hosts = options.hosts;
    for (const { id } of this.#plan.topology.nodes) this.#all.set(id, this.#replicatedBy(id));
  }

  begin(): void {
    for (const replicas of this.#all.values()) for (const replica of replicas) this.#every(() => this.#write(replica));
  }

  started(host: Host): void {
    this.#resume(host);
    for (const replica of this.#all.get(host.id)!) {
      replica.writing = replica.fetching = false;
      this.#subscribe(host, replica);
    }
    this.#tell(host);
  }

  crashed(host: Host): void {
    for (const replica of this.#all.get(host.id)!) {
      replica.subscription = 0;
      if (this.#plan.durability === "memory") replica.durable = null;
    }
  }

  /** After everything else of the turn was carried out. */
  turned(host: Host, effects: Effects): void {
    for (const { group, upTo } of effects.trims) {
      this.trims++;
      this.#checkTrim(host, group, upTo);
      this.#trimmed.set(group, Math.max(upTo, this.#trimmed.get(group) ?? 0));
      host.disk.trim(group, upTo);
    }
    for (const { subscription } of effects.lost) {
      const replica = this.#all.get(host.id)!.find((one) => one.subscription === subscription);
      if (replica === undefined) continue;
      this.#oracles.unsubscribed(host.id, subscription);
      replica.subscription = 0;
      this.#fetch(host, replica);
    }
    for (const group of effects.behind) {
      const replicas = this.#all.get(host.id)!.filter(({ groups }) => groups.includes(group));
      for (const replica of replicas) this.#fetch(host, replica);
      if (replicas.length === 0) this.#fetchFoundation(host, group);
    }
  }

  /** None would begin at the beginning of a log that somebody has trimmed, and what the node's replicas hold of one is elsewhere as well. */
  mayLose(node: NodeId): boolean {
    const trimmed = new Set<GroupId>();
    for (const { disk } of this.#hosts.values()) for (const [group, { floor }] of disk.state.groups) if (floor > 0) trimmed.add(group);
    for (const replicas of this.#all.values()) {
      for (const { durable, groups } of replicas) if (durable === null && groups.some((group) => trimmed.has(group))) return false;
    }
    const others = [...this.#all.values()].flat().filter((replica) => replica.node !== node);
    return this.#all.get(node)!.every(({ name, groups }) =>
      !groups.some((group) => trimmed.has(group)) || others.some((other) => other.name === name)
    );
  }

  /** What some replica of a sound node has not delivered. */
  *owed(sound: (node: NodeId) => boolean): Iterable<string> {
    for (const [node, replicas] of this.#all) {
      if (!sound(node)) continue;
      for (const replica of replicas) {
        const oracle = this.#oracles.subscriptions.get(`${node}/${replica.subscription}`);
        if (oracle === undefined) yield `n${node} has no replica of ${replica.name}`;
        else if (!oracle.drained) yield `${oracle.who} (${oracle.owes})`;
      }
    }
  }

  #replicatedBy(node: NodeId): Replica[] {
    const { topology, checkpoints } = this.#plan;
    if (checkpoints.everyMs === Infinity) return [];
    const learns = (id: GroupId) => topology.groups.find((group) => group.id === id)!.learners.includes(node);
    const replicas: Replica[] = [];
    for (const group of topology.groups) {
      if (learns(group.id)) replicas.push(new Replica(node, [group.id]));
      const reaching = groupsReaching(topology, group.id);
      if (group.spans.length === 0 && reaching.length > 1 && reaching.every(learns)) replicas.push(new Replica(node, reaching));
    }
    return replicas;
  }

  /** No further than the replica that is least far: what it needs is not to be forgotten for the others' sake. */
  #resume(host: Host): void {
    const from: Resume[] = [];
    for (const { id } of this.#plan.topology.groups) {
      const ends = this.#all.get(host.id)!.filter(({ groups }) => groups.includes(id)).map(({ durable }) => resumeOf(durable, id));
      if (ends.length === 0 || ends.includes(undefined)) continue;
      from.push((ends as Resume[]).reduce((least, end) => end.foundation.instance < least.foundation.instance ? end : least));
    }
    if (from.length > 0) host.submit({ kind: "resume", from });
  }

  /** From its newest checkpoint, or from the beginning. */
  #subscribe(host: Host, replica: Replica): void {
    const { durable } = replica;
    replica.subscription = ++this.#next;
    host.submit({
      kind: "subscribe",
      subscription: replica.subscription,
      groups: replica.groups,
      demand: Infinity,
      after: durable?.position ?? null,
      ...(durable === null ? {} : { from: durable.groups.map(({ group, foundation }) => ({ group, instance: foundation.instance })) }),
    });
  }

  #write(replica: Replica): void {
    const host = this.#hosts.get(replica.node)!;
    if (!host.up || host.paused || replica.writing || replica.fetching || replica.subscription === 0) return;
    const cursor = host.core!.cursor(replica.subscription);
    if (cursor === null) return;
    const { life } = host;
    replica.writing = true;
    this.#queue.after(this.#prng.longTail(this.#plan.checkpoints.writeMs), () => {
      if (life !== host.life || !host.up) return;
      replica.writing = false;
      // A peer's may have been taken over in the meantime.
      if (replica.durable !== null && comparePositions(replica.durable.position, cursor.position) > 0) return;
      replica.durable = cursor;
      this.checkpoints++;
      this.#tell(host);
      if (this.#prng.chance(this.#plan.checkpoints.rebase) && !host.paused) host.rebase();
    });
  }

  /** How far all replicas of the node that hear a group are durably. */
  #tell(host: Host): void {
    const groups: { group: GroupId; instance: Instance }[] = [];
    for (const { id } of this.#plan.topology.groups) {
      const instances = this.#all.get(host.id)!.filter((replica) => replica.groups.includes(id)).map((replica) =>
        behind(replica.durable, id)
      );
      if (instances.length > 0) groups.push({ group: id, instance: Math.min(...instances) });
    }
    host.submit({ kind: "checkpointed", groups });
  }

  /** Asks a majority of those who replicate the same, and takes the newest. */
  #fetch(host: Host, replica: Replica): void {
    if (replica.fetching) return;
    replica.fetching = true;
    const { life } = host;
    this.#queue.after(this.#prng.longTail(this.#plan.checkpoints.fetchMs), () => {
      if (life !== host.life || !host.up) return;
      replica.fetching = false;
      const peers = [...this.#all.values()].flatMap((all) => all.filter(({ groups }) => `${groups}` === `${replica.groups}`));
      const there = peers.filter(({ node }) => node === host.id || this.#hosts.get(node)!.up);
      const asked = this.#prng.sample(there, majority(peers.length));
      const best = asked.map(({ durable }) => durable).filter((durable) => durable !== null)
        .sort((a, b) => comparePositions(b.position, a.position))[0];
      if (asked.length === majority(peers.length)) this.#checkNewest(replica, best ?? null);
      const own = replica.durable?.position;
      if (asked.length < majority(peers.length) || best === undefined || (own && comparePositions(best.position, own) <= 0)) {
        if (replica.subscription === 0) this.#subscribe(host, replica);
        return;
      }
      this.installed++;
      replica.durable = best;
      if (replica.subscription !== 0) {
        host.submit({ kind: "unsubscribe", subscription: replica.subscription });
        this.#oracles.unsubscribed(host.id, replica.subscription);
      }
      this.#resume(host);
      this.#subscribe(host, replica);
      this.#tell(host);
    });
  }

  /** An acceptor without a replica needs no state, only to know how far things are decided. */
  #fetchFoundation(host: Host, group: GroupId): void {
    const holders = [...this.#all.values()].flat().filter(({ node, durable }) => this.#hosts.get(node)!.up && behind(durable, group) > 0);
    if (holders.length === 0) return;
    host.submit({ kind: "resume", from: [resumeOf(this.#prng.pick(holders).durable, group)!] });
  }

  #checkTrim(host: Host, group: GroupId, upTo: Instance): void {
    // Without disks a checkpoint may have been forgotten since.
    if (this.#plan.durability === "memory") return;
    for (const nodes of subscribers(this.#plan.topology, group)) {
      const safe = nodes.filter((node) =>
        this.#all.get(node)!.every(({ groups, durable }) => !groups.includes(group) || behind(durable, group) >= upTo)
      );
      demand(
        safe.length >= majority(nodes.length),
        "trimmed",
        () => `n${host.id} forgets g${group} up to ${upTo}; of ${nodes.map((node) => `n${node}`)} only ${safe.length} have it behind them`,
      );
    }
  }

  /** Whoever asks a majority gets a checkpoint that nothing behind it has been forgotten of. */
  #checkNewest({ name, groups }: Replica, best: Cursor | null): void {
    if (this.#plan.durability === "memory") return;
    for (const group of groups) {
      const trimmed = this.#trimmed.get(group) ?? 0;
      demand(
        behind(best, group) >= trimmed,
        "recoverable",
        () => `the newest checkpoint of ${name} among a majority goes on behind ${behind(best, group)} of g${group}; trimmed to ${trimmed}`,
      );
    }
  }

  #every(act: () => void): void {
    const { everyMs } = this.#plan.checkpoints;
    if (everyMs === Infinity) return;
    const next = (): void => {
      this.#queue.after(this.#prng.range(0, 2 * everyMs), () => {
        act();
        next();
      });
    };
    next();
  }
}

function behind(durable: Cursor | null, group: GroupId): Instance {
  return resumeOf(durable, group)?.foundation.instance ?? 0;
}

function resumeOf(durable: Cursor | null, group: GroupId): Resume | undefined {
  return durable?.groups.find((one) => one.group === group);
}

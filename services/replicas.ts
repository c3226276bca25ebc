/**
 * The replicas of one node: for every group it learns one of the group alone, and where other groups
 * span it a second one that merges those in and has the group's logs. A slow spanning group can
 * hold up logs, never the KV store.
 */
import { CarillonError } from "../core/errors.ts";
import type { GroupId } from "../core/ids.ts";
import { comparePositions, type Position, start } from "../core/position.ts";
import type { Rule } from "../core/rules.ts";
import { groupById, type GroupSpec, groupsReaching, type Topology } from "../core/topology.ts";
import { Catalog } from "./catalog.ts";
import { KvMachine } from "./kv/machine.ts";
import { defaultServiceLimits } from "./limits.ts";
import { LogMachine } from "./log/machine.ts";
import type { Machine } from "./machine.ts";
import { MulticastMachine } from "./multicast/machine.ts";
import type { Orderer } from "./orderer.ts";
import { Replica } from "./replica.ts";
import type { Requests } from "./requests.ts";

/** What one replica holds; for metrics. */
export interface ReplicaStats {
  /** Name of the group whose state this is. */
  readonly group: string;
  /** Names of the groups it merges. */
  readonly merges: readonly string[];
  /** Of the last command applied. */
  readonly position: Position;
  /** Applied since the process started. */
  readonly commands: number;
  /** Idempotency keys it remembers. */
  readonly sessions: number;
  readonly kv: { readonly entries: number; readonly bytes: number; readonly heldBytes: number } | null;
  readonly log: { readonly logs: number; readonly records: number; readonly bytes: number; readonly heldBytes: number } | null;
}

/** A machine and the replica that drives it. */
export interface Hosted<M> {
  readonly replica: Replica;
  readonly machine: M;
}

export class Replicas {
  readonly all: Replica[] = [];
  readonly kvs = new Map<GroupId, Hosted<KvMachine>>();
  readonly logs = new Map<GroupId, Hosted<LogMachine>>();
  readonly catalogs = new Map<GroupId, Hosted<Catalog>>();
  readonly #messages = new Map<GroupId, Hosted<MulticastMachine>>();
  readonly #orderer: Orderer;
  readonly #requests: Requests;
  readonly #limits: { readonly historyBytes: number };
  readonly #without: ReadonlySet<Rule>;
  readonly #catalogGroup: GroupSpec | undefined;

  constructor(
    orderer: Orderer,
    requests: Requests,
    limits: { readonly historyBytes: number } = defaultServiceLimits,
    without: ReadonlySet<Rule> = new Set(),
  ) {
    this.#without = without;
    this.#orderer = orderer;
    this.#requests = requests;
    this.#limits = limits;
    this.#catalogGroup = orderer.topology.groups.find(({ spans }) => spans.length === 0);
    for (const group of orderer.topology.groups) {
      if (learns(orderer, group.id)) this.#host(group);
    }
  }

  /** These throw `unreachable` if this node has no replica of the group; the facts say which nodes have. */
  kv(group: GroupId): Hosted<KvMachine> {
    return this.kvs.get(group) ?? this.#missing(group);
  }

  log(group: GroupId): Hosted<LogMachine> {
    return this.logs.get(group) ?? this.#missing(group);
  }

  catalog(): Hosted<Catalog> {
    const group = this.#catalogGroup;
    if (group === undefined) throw new CarillonError("config", "Cannot use logs: every group of the topology spans others");
    return this.catalogs.get(group.id) ?? this.#missing(group.id);
  }

  messages(group: GroupId): Hosted<MulticastMachine> {
    return this.#messages.get(group) ?? this.#missing(group);
  }

  /** The furthest any of them is. */
  position(): Position {
    let furthest = start;
    for (const { applied } of this.all) if (comparePositions(applied, furthest) > 0) furthest = applied;
    return furthest;
  }

  digest(): Record<string, string> {
    const digests: Record<string, string> = {};
    const add = (service: string, hosts: ReadonlyMap<GroupId, Hosted<Machine>>) => {
      for (const [group, { machine }] of hosts) digests[`${groupById(this.#orderer.topology, group).name}/${service}`] = machine.digest();
    };
    add("kv", this.kvs);
    add("log", this.logs);
    add("catalog", this.catalogs);
    add("messages", this.#messages);
    for (const replica of this.all) {
      const base = this.#messages.get(replica.home)?.replica === replica;
      digests[`${groupById(this.#orderer.topology, replica.home).name}/${base ? "sessions" : "log-sessions"}`] = replica.sessionsDigest();
    }
    return digests;
  }

  stats(): ReplicaStats[] {
    const name = (id: GroupId) => groupById(this.#orderer.topology, id).name;
    return this.all.map((replica) => ({
      group: name(replica.home),
      merges: replica.groups.map(name),
      position: replica.applied,
      commands: replica.commands,
      sessions: replica.sessions,
      kv: [...this.kvs.values()].find((hosted) => hosted.replica === replica)?.machine.stats() ?? null,
      log: [...this.logs.values()].find((hosted) => hosted.replica === replica)?.machine.stats() ?? null,
    }));
  }

  /** Before this they can be restored without having heard anything. */
  start(): void {
    for (const replica of this.all) replica.start();
  }

  close(): void {
    for (const replica of this.all) replica.close();
  }

  #host(group: GroupSpec): void {
    const { topology } = this.#orderer;
    const reaching = groupsReaching(topology, group.id);
    const kv = group.keys.length > 0 ? new KvMachine(this.#limits, this.#without) : null;
    const log = group.spans.length === 0 && reaching.every((id) => learns(this.#orderer, id))
      ? new LogMachine(group.id, this.#without)
      : null;
    const catalog = group === this.#catalogGroup ? new Catalog() : null;
    const apart = reaching.length > 1;

    // In the order of the service numbers.
    const messages = new MulticastMachine(this.#without);
    const replica = this.#add(group.name, group.id, [group.id], [kv, apart ? null : log, messages, catalog]);
    this.#messages.set(group.id, { replica, machine: messages });
    if (kv !== null) this.kvs.set(group.id, { replica, machine: kv });
    if (catalog !== null) this.catalogs.set(group.id, { replica, machine: catalog });
    if (log !== null) {
      this.logs.set(group.id, {
        replica: apart ? this.#add(`${group.name}+logs`, group.id, reaching, [null, log, null, null], this.#abreast(reaching)) : replica,
        machine: log,
      });
    }
  }

  /**
   * An append to logs of several groups must not be seen in one of them while a later append to another may still get a place
   * before it: whoever sees the first and then makes the second would find them the other way round. Groups this node does not
   * learn cannot be waited for.
   */
  #abreast(groups: readonly GroupId[]): GroupId[] {
    const spanned = new Set(groups.flatMap((id) => groupById(this.#orderer.topology, id).spans));
    return [...spanned].filter((id) => !groups.includes(id) && learns(this.#orderer, id));
  }

  #add(
    name: string,
    home: GroupId,
    groups: readonly GroupId[],
    machines: readonly (Machine | null)[],
    abreast: readonly GroupId[] = [],
  ): Replica {
    const requests = this.#requests;
    const replica = new Replica({ name, orderer: this.#orderer, requests, home, groups, abreast, machines, without: this.#without });
    this.all.push(replica);
    return replica;
  }

  #missing(group: GroupId): never {
    throw unreachableGroup(this.#orderer, group);
  }
}

export function learns(orderer: Orderer, group: GroupId): boolean {
  return groupById(orderer.topology, group).learners.includes(orderer.self);
}

export function unreachableGroup(orderer: Orderer, id: GroupId): CarillonError {
  const { topology, self } = orderer;
  const group = groupById(topology, id);
  const learners = group.learners.filter((node) => groupsReaching(topology, id).every((other) => isLearner(topology, other, node)));
  return new CarillonError("unreachable", `Cannot serve group "${group.name}" here: this node has no replica of it`, {
    facts: { group: group.name, node: nodeName(topology, self), nodes: learners.map((node) => nodeName(topology, node)) },
  });
}

function isLearner(topology: Topology, group: GroupId, node: number): boolean {
  return groupById(topology, group).learners.includes(node);
}

function nodeName(topology: Topology, id: number): string {
  return topology.nodes.find((node) => node.id === id)?.name ?? String(id);
}

/** Who is there and what the groups are: parsed once, then fixed for the life of the process. */
import { assert } from "./assert.ts";
import { CarillonError } from "./errors.ts";
import type { GroupId, Micros, Millis, NodeId } from "./ids.ts";
import type { Order } from "./position.ts";

export interface NodeSpec {
  readonly id: NodeId;
  readonly name: string;
  readonly region: string;
  /** `host:port` where peers connect; empty for a node alone. */
  readonly link: string;
  /** URL under which the other nodes (and `Carillon-Served-By`) reach its HTTP API; empty if it has none. */
  readonly http: string;
}

/** `from` inclusive, `to` exclusive (null: no end); UTF-8 text. */
export interface KeyRange {
  readonly from: string;
  readonly to: string | null;
}

export type Shape = "star" | "ring";

export interface GroupSpec {
  readonly id: GroupId;
  readonly name: string;
  /** In order of preference as coordinator. */
  readonly acceptors: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly proposers: readonly NodeId[];
  /** Everybody with a role, in ring order. */
  readonly members: readonly NodeId[];
  /** Acceptors a ballot needs to begin, and an entry to be decided; q1 + q2 > acceptors. */
  readonly q1: number;
  readonly q2: number;
  readonly shape: Shape;
  /** Added to every clock of the group. */
  readonly leadMicros: Micros;
  /** Groups a message through this one reaches (the paper's global group); empty for an ordinary group. */
  readonly spans: readonly GroupId[];
  /** Keys of the KV store this group orders. */
  readonly keys: readonly KeyRange[];
}

export interface Topology {
  readonly cluster: string;
  readonly order: Order;
  /** Merge `rr`: slots per second every group keeps up with, and how often skips are proposed. */
  readonly skipRate: number;
  readonly skipIntervalMs: Millis;
  readonly nodes: readonly NodeSpec[];
  readonly groups: readonly GroupSpec[];
}

/** What a configuration says; everything optional has the default of the comment. */
export interface TopologyInput {
  /** Default `carillon`. */
  readonly cluster?: string;
  /** Default `ts`. */
  readonly merge?: "ts" | "rr";
  /** The paper's M (default 1, at most 256), λ in slots per second (9 000) and Δ (5 ms); only for `rr`. */
  readonly turn?: number;
  readonly skipRate?: number;
  readonly skipIntervalMs?: number;
  /** Ids default to 1, 2, … in order; give them when nodes may ever be removed. */
  readonly nodes: readonly {
    readonly name: string;
    readonly id?: number;
    readonly region?: string;
    readonly link?: string;
    readonly http?: string;
  }[];
  /** Default: one group `main` of all nodes that owns every key. */
  readonly groups?: readonly {
    readonly name: string;
    readonly id?: number;
    /** Node names. Default: all. */
    readonly acceptors?: readonly string[];
    /** Default: all nodes, so that any node answers any read. */
    readonly learners?: readonly string[];
    /** Default: all nodes. */
    readonly proposers?: readonly string[];
    /** Ring order by name. Default: acceptors, then the others. */
    readonly ring?: readonly string[];
    readonly q1?: number;
    readonly q2?: number;
    /** Default `star`. */
    readonly shape?: Shape;
    readonly leadMs?: number;
    readonly spans?: readonly string[];
    readonly keys?: readonly { readonly from?: string; readonly to?: string | null }[];
  }[];
}

const nameRule = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

function refuse(what: string): never {
  throw new CarillonError("config", `Cannot use this topology: ${what}`);
}

/** The only way to get a Topology. Throws CarillonError `config` with a sentence that names the culprit. */
export function parseTopology(input: TopologyInput): Topology {
  const turn = input.turn ?? 1;
  const merge = input.merge ?? "ts";
  if (merge !== "ts" && merge !== "rr") refuse(`merge must be "ts" or "rr", not ${JSON.stringify(merge)}`);
  if (!Number.isInteger(turn) || turn < 1 || turn > 256) refuse(`turn must be a whole number from 1 to 256, not ${turn}`);
  const nodes = parseNodes(input);
  const groups = parseGroups(input, nodes);
  const cluster = input.cluster ?? "carillon";
  if (!nameRule.test(cluster)) refuse(`cluster name ${JSON.stringify(cluster)} must be letters, digits, "_", "." or "-"`);
  return {
    cluster,
    order: merge === "ts" ? { merge } : { merge, turn },
    skipRate: positive(input.skipRate ?? 9_000, "skipRate"),
    skipIntervalMs: positive(input.skipIntervalMs ?? 5, "skipIntervalMs"),
    nodes,
    groups,
  };
}

/** `Array.isArray` would turn the element type into `any`. */
const isArray = (value: unknown): boolean => Array.isArray(value);

function positive(value: number, name: string): number {
  if (!Number.isFinite(value) || value <= 0) refuse(`${name} must be a positive number, not ${value}`);
  return value;
}

function parseNodes(input: TopologyInput): NodeSpec[] {
  if (!isArray(input.nodes) || input.nodes.length === 0) refuse("it has no nodes");
  const nodes = input.nodes.map((node, index): NodeSpec => {
    const id = node.id ?? index + 1;
    if (!nameRule.test(node.name ?? "")) refuse(`node name ${JSON.stringify(node.name)} must be letters, digits, "_", "." or "-"`);
    if (!Number.isInteger(id) || id < 1 || id > 65_535) refuse(`node "${node.name}" has id ${id}, outside 1 … 65535`);
    return { id, name: node.name, region: node.region ?? "local", link: node.link ?? "", http: node.http ?? "" };
  });
  unique(nodes, "node");
  return nodes;
}

function parseGroups(input: TopologyInput, nodes: readonly NodeSpec[]): GroupSpec[] {
  const named = input.groups ?? [{ name: "main", keys: [{ from: "" }] }];
  if (!isArray(named) || named.length === 0) refuse("it has no groups");
  const all = nodes.map((node) => node.name);
  const nodeId = new Map(nodes.map((node) => [node.name, node.id]));
  const groupId = new Map(named.map((group, index) => [group.name, group.id ?? index + 1]));
  const groups = named.map((group): GroupSpec => {
    const id = groupId.get(group.name)!;
    if (!nameRule.test(group.name ?? "")) refuse(`group name ${JSON.stringify(group.name)} must be letters, digits, "_", "." or "-"`);
    if (!Number.isInteger(id) || id < 1 || id > 65_535) refuse(`group "${group.name}" has id ${id}, outside 1 … 65535`);
    const lookUp = (names: readonly string[], role: string): NodeId[] => {
      const ids = names.map((name: string) =>
        nodeId.get(name) ?? refuse(`group "${group.name}" names ${role} "${name}", which is no node`)
      );
      if (new Set(ids).size !== ids.length) refuse(`group "${group.name}" names a ${role} twice`);
      return ids;
    };
    const acceptors = lookUp(group.acceptors ?? all, "acceptor");
    if (acceptors.length === 0) refuse(`group "${group.name}" has no acceptors`);
    const learners = lookUp(group.learners ?? all, "learner");
    const proposers = lookUp(group.proposers ?? all, "proposer");
    const members = [...new Set([...lookUp(group.ring ?? [], "ring member"), ...acceptors, ...learners, ...proposers])];
    const majority = Math.floor(acceptors.length / 2) + 1;
    // A smaller q2 needs a larger q1 and the other way round: take the smallest that still meets.
    const q2 = group.q2 ?? (group.q1 === undefined ? majority : acceptors.length - group.q1 + 1);
    const q1 = group.q1 ?? (group.q2 === undefined ? majority : acceptors.length - q2 + 1);
    for (const [name, q] of [["q1", q1], ["q2", q2]] as const) {
      if (!Number.isInteger(q) || q < 1 || q > acceptors.length) {
        refuse(`group "${group.name}" has ${name} = ${q} with ${acceptors.length} acceptors`);
      }
    }
    if (q1 + q2 <= acceptors.length) {
      refuse(`group "${group.name}" has q1 = ${q1} and q2 = ${q2}: two quorums of ${acceptors.length} acceptors need not meet`);
    }
    const shape = group.shape ?? "star";
    if (shape !== "star" && shape !== "ring") refuse(`group "${group.name}" has shape ${JSON.stringify(shape)}; it is "star" or "ring"`);
    const leadMs = group.leadMs ?? 0;
    if (!Number.isFinite(leadMs) || leadMs < 0 || leadMs > 1_000) refuse(`group "${group.name}" has leadMs ${leadMs}, outside 0 … 1000`);
    const spans = (group.spans ?? []).map((name) =>
      groupId.get(name) ?? refuse(`group "${group.name}" spans "${name}", which is no group`)
    );
    const keys = (group.keys ?? []).map((range): KeyRange => ({ from: range.from ?? "", to: range.to ?? null }));
    if (spans.length > 0 && keys.length > 0) refuse(`group "${group.name}" spans others and cannot own keys itself`);
    return {
      id,
      name: group.name,
      acceptors,
      learners,
      proposers,
      members,
      q1,
      q2,
      shape,
      leadMicros: Math.round(leadMs * 1_000),
      spans,
      keys,
    };
  });
  unique(groups, "group");
  return groups;
}

function unique(things: readonly { readonly id: number; readonly name: string }[], what: string): void {
  const ids = new Set<number>();
  const names = new Set<string>();
  for (const { id, name } of things) {
    if (names.has(name)) refuse(`two ${what}s are called "${name}"`);
    if (ids.has(id)) refuse(`two ${what}s have id ${id}`);
    ids.add(id);
    names.add(name);
  }
}

export function groupById(topology: Topology, id: GroupId): GroupSpec {
  const group = topology.groups.find((candidate) => candidate.id === id);
  assert(group !== undefined, `Cannot find group ${id} in the topology`);
  return group;
}

/** The ordinary group itself and every group that spans it: what a replica of its partition must hear. */
export function groupsReaching(topology: Topology, id: GroupId): GroupId[] {
  return topology.groups.filter((group) => group.id === id || group.spans.includes(id)).map((group) => group.id);
}

/**
 * The nodes that replicate what this group orders, by what their replicas subscribe to: the group alone, and, where a
 * spanning group is merged in, every partition it reaches. Each set can restore its replicas from its own members only.
 */
export function subscribers(topology: Topology, id: GroupId): NodeId[][] {
  const learns = (node: NodeId, group: GroupId) => groupById(topology, group).learners.includes(node);
  const sets = [[...groupById(topology, id).learners]];
  for (const home of topology.groups) {
    const reaching = groupsReaching(topology, home.id);
    if (home.spans.length > 0 || reaching.length === 1 || !reaching.includes(id)) continue;
    sets.push(topology.nodes.map((node) => node.id).filter((node) => reaching.every((group) => learns(node, group))));
  }
  return sets.filter((nodes) => nodes.length > 0);
}

/** The group through which a message reaches all of `ids`: the one itself, else the narrowest that spans them; null if none does. */
export function spanningGroup(topology: Topology, ids: readonly GroupId[]): GroupSpec | null {
  const wanted = [...new Set(ids)];
  if (wanted.length === 1) return groupById(topology, wanted[0]!);
  let best: GroupSpec | null = null;
  for (const group of topology.groups) {
    if (!wanted.every((id) => id === group.id || group.spans.includes(id))) continue;
    if (best === null || group.spans.length < best.spans.length) best = group;
  }
  return best;
}

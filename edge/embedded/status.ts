/** What a node says about itself and the whole, made of what its core lets be seen. */
import { ballotNode, ballotRound, type NodeId, type Now } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import type { GroupSpec, Topology } from "../../core/topology.ts";
import type { GroupView, NodeView } from "../../core/view.ts";
import type { ClusterStatus, GroupStatus, Version, Wait } from "../../services/api.ts";
import { stalledMs } from "../events/observer.ts";
import { withoutCoordinator } from "../readiness.ts";
import { version } from "../version.ts";

export interface StatusSources {
  readonly self: NodeId;
  readonly topology: Topology;
  readonly durability: Durability;
  readonly position: Version;
  readonly view: NodeView;
  readonly now: Now;
  readonly journalBytes: number;
  readonly upMs: number;
  /** Where this node listens, for a topology that does not say. */
  readonly url?: string | null;
  readonly stopping?: boolean;
  /** Replicas that cannot go on from the log, by name. */
  readonly lost?: readonly string[];
}

export function clusterStatus(sources: StatusSources): ClusterStatus {
  const { self, topology, durability, position, view, journalBytes, upMs, url, stopping, lost = [] } = sources;
  const nodeName = nameOf(topology.nodes);
  const peers = new Map(view.peers.map((peer) => [peer.node, peer]));
  const groups = topology.groups.map((group) => groupStatus(sources, group));
  const node = nodeName(self);
  const nodes = topology.nodes.map(({ id, name, region, http }) => {
    const peer = peers.get(id);
    const connected = id === self || (peer !== undefined && Number.isFinite(peer.heardAt) && !peer.suspected);
    const known = http === "" && id === self ? url ?? "" : http;
    return { id, name, region, http: known, connected, rttMs: peer?.rttMs ?? null };
  });
  return {
    cluster: topology.cluster,
    node,
    version,
    merge: topology.order.merge,
    durability,
    position,
    nodes,
    groups,
    waits: waitsOf(sources),
    journalBytes,
    upMs: Math.round(upMs),
    notReady: [
      ...withoutCoordinator({ node, nodes, groups }, view),
      ...withoutVote(sources),
      ...forgotten(sources),
      ...lost.map((name) => `the log that replica ${name} needs has been forgotten, and no checkpoint has been taken over yet`),
      ...(stopping ? ["this node is stopping"] : []),
    ],
  };
}

function waitsOf({ topology, view, now }: StatusSources): Wait[] {
  const groupName = nameOf(topology.groups);
  const waits = new Map<string, Wait>();
  for (const { groups, blockedOn, blockedSince } of view.subscriptions) {
    if (blockedOn === 0 || now.mono - blockedSince < stalledMs) continue;
    const wait = { groups: groups.map(groupName), on: groupName(blockedOn), forMs: Math.round(now.mono - blockedSince) };
    // Streams merge the same groups as replicas do: the longest of them says it for all.
    const same = `${wait.groups} ${wait.on}`;
    if (wait.forMs > (waits.get(same)?.forMs ?? 0)) waits.set(same, wait);
  }
  return [...waits.values()];
}

function groupStatus({ self, topology, view, now }: StatusSources, group: GroupSpec): GroupStatus {
  const nodeName = nameOf(topology.nodes);
  const groupName = nameOf(topology.groups);
  const seen = view.groups.find((candidate) => candidate.group === group.id);
  const lags = view.subscriptions.filter(({ groups }) => groups.includes(group.id)).map(({ lag }) => lag);
  return {
    id: group.id,
    name: group.name,
    shape: group.shape,
    acceptors: group.acceptors.map(nodeName),
    coordinator: seen === undefined || seen.coordinator === 0 ? null : nodeName(seen.coordinator),
    ballot: seen === undefined ? "0.0" : `${ballotRound(seen.logBallot)}.${ballotNode(seen.logBallot)}`,
    decided: seen?.decided ?? 0,
    spans: group.spans.map(groupName),
    keys: group.keys,
    roles: rolesOf(self, group, seen),
    lag: Math.max(0, ...lags),
    lagMs: seen === undefined ? null : lagMsOf(group, seen, now),
  };
}

/** Below it the major part of a position counts turns (merge `rr`) or nothing yet; above it, microseconds. */
const timeFrom = 2 ** 32;

function lagMsOf({ members }: GroupSpec, { frontier }: GroupView, now: Now): number | null {
  // Nobody else could know anything it does not.
  if (members.length === 1) return 0;
  return frontier.major < timeFrom ? null : Math.max(0, Math.round((now.wall - frontier.major) / 1_000));
}

function rolesOf(self: NodeId, group: GroupSpec, seen: GroupView | undefined): string[] {
  const roles: string[] = [];
  if (group.acceptors.includes(self)) roles.push("acceptor");
  if (group.learners.includes(self)) roles.push("learner");
  if (group.proposers.includes(self)) roles.push("proposer");
  if (seen !== undefined && seen.coordinates !== 0) roles.push("coordinator");
  return roles;
}

/** Without memory a node votes again only once the others have told it what it may have promised. */
function withoutVote({ self, topology, view }: StatusSources): string[] {
  return topology.groups
    .filter(({ id, acceptors }) =>
      acceptors.includes(self) && view.groups.some(({ group, voting, forgetful }) => group === id && !voting && forgetful.length === 0)
    )
    .map(({ name }) => `group ${name} does not count this node's votes before the others have told it what it may have forgotten`);
}

/** So many have forgotten that waiting does not help: an operator has to know what does. */
function forgotten({ topology, view, durability }: StatusSources): string[] {
  const nodeName = nameOf(topology.nodes);
  return topology.groups.flatMap(({ id, name, acceptors, q1 }) => {
    const forgetful = view.groups.find(({ group }) => group === id)?.forgetful ?? [];
    if (forgetful.length === 0) return [];
    const missing = q1 - (acceptors.length - forgetful.length);
    const help = durability === "memory"
      ? "end all its nodes, then start them, and it begins anew, empty"
      : `put back the files of ${missing === 1 ? "one" : missing} of them`;
    const who = `${forgetful.map(nodeName).join(", ")} ${forgetful.length === 1 ? "has" : "have"} forgotten what they promised`;
    return [`group ${name} cannot go on: ${who}, and the others are too few to begin a ballot; ${help}`];
  });
}

/** Names of nodes or groups by id; an id nobody has shows as a number. */
export function nameOf(things: readonly { readonly id: number; readonly name: string }[]): (id: number) => string {
  return (id) => things.find((thing) => thing.id === id)?.name ?? String(id);
}

/** Who can serve a request: by the topology, the nodes that learn every group it needs. */
import type { GroupId, NodeId } from "../../core/ids.ts";
import { groupsReaching, type NodeSpec, type Topology } from "../../core/topology.ts";
import type { Key } from "../../services/api.ts";
import { binaryString } from "../../services/bytes.ts";
import { prefixEnd, textBinary } from "../../services/keys.ts";
import { Partitions } from "../../services/partitions.ts";
import type { Place } from "./context.ts";

/**
 * The `locate` of an AppContext. Answers null where this node can serve it, and also where nobody can or the name means
 * nothing: then this node says what is wrong.
 */
export function locator(topology: Topology, self: NodeId): (place: Place, name: Key) => readonly string[] | null {
  const learned = (node: NodeId): Set<GroupId> =>
    new Set(topology.groups.filter(({ learners }) => learners.includes(node)).map(({ id }) => id));
  const own = learned(self);
  // The usual case, and then there is nothing to find out per request.
  if (topology.groups.every(({ id }) => own.has(id))) return () => null;
  const partitions = new Partitions(topology);
  const region = topology.nodes.find(({ id }) => id === self)?.region;
  const others = topology.nodes
    .filter(({ id, http }) => id !== self && http !== "")
    .toSorted((a, b) => distance(a, region) - distance(b, region) || a.id - b.id)
    .map(({ id, http }) => ({ http, learns: learned(id) }));
  // The catalog says where a log is at home, and any group may be its home.
  const ordinary = topology.groups.filter(({ spans }) => spans.length === 0);
  const forLogs = [...new Set(ordinary.flatMap(({ id }) => groupsReaching(topology, id)))];
  return (place, name) => {
    const needed = place === "log" || place === "logs" ? forLogs : neededFor(topology, partitions, place, name);
    if (needed.every((group) => own.has(group))) return null;
    const able = others.filter(({ learns }) => needed.every((group) => learns.has(group))).map(({ http }) => http);
    return able.length === 0 ? null : able;
  };
}

function neededFor(topology: Topology, partitions: Partitions, place: "key" | "scan" | "groups", name: Key): GroupId[] {
  const binary = typeof name === "string" ? textBinary(name) : binaryString(name);
  switch (place) {
    case "key":
      return partitions.within(binary, `${binary}\0`, false).map(({ group }) => group);
    case "scan":
      return partitions.within(binary, prefixEnd(binary), false).map(({ group }) => group);
    case "groups": {
      const named = new Set(String(name).split(","));
      return topology.groups.filter((group) => named.has(group.name)).flatMap(({ id }) => groupsReaching(topology, id));
    }
  }
}

const distance = (node: NodeSpec, region: string | undefined): number => node.region === region ? 0 : 1;

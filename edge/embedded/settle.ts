/** What the options of a node in this process mean, and whether they can be meant. */
import { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import { parseTopology, type Topology } from "../../core/topology.ts";
import { type Address, asAddress } from "../config/read.ts";
import { delayBetween } from "../config/tables.ts";
import type { NodeOptions } from "./options.ts";

export interface Settled {
  readonly topology: Topology;
  readonly self: NodeId;
  readonly durability: Durability;
}

/** What the options mean; throws CarillonError `config` for what cannot be. */
export function settle(options: NodeOptions): Settled {
  const durability = options.durability ?? (options.data === undefined ? "memory" : "sync");
  if (durability !== "memory" && options.data === undefined) {
    throw new CarillonError("config", `Cannot open a node: durability "${durability}" needs a data directory`);
  }
  const topology = parseTopology(options.topology ?? { nodes: [{ name: options.self ?? "local" }] });
  if (options.self === undefined && topology.nodes.length > 1) {
    throw new CarillonError("config", `Cannot open a node: which of ${topology.nodes.map((node) => node.name).join(", ")} is it? Say self`);
  }
  const own = options.self === undefined ? topology.nodes[0] : topology.nodes.find((node) => node.name === options.self);
  if (own === undefined) {
    throw new CarillonError(
      "config",
      `Cannot open node "${options.self}": it is not among ${topology.nodes.map((node) => node.name).join(", ")}`,
    );
  }
  return { durability, topology, self: own.id };
}

/** Where to listen for peers; null for a node alone. */
export function linkAddress(options: NodeOptions, topology: Topology, self: NodeId): Address | null {
  if (topology.nodes.length === 1) return null;
  const own = topology.nodes.find((node) => node.id === self)!;
  if (options.link === undefined && own.link === "") {
    throw new CarillonError("config", `Cannot open node "${own.name}": it has peers and no link address`);
  }
  return options.link ?? asAddress(own.link, `node "${own.name}", link`);
}

/** Simulated, one way, in milliseconds. */
export function distances(topology: Topology, self: NodeId, delays: ReadonlyMap<string, number>): (peer: NodeId) => number {
  const regionOf = (id: NodeId): string => topology.nodes.find((node) => node.id === id)!.region;
  return (peer) => delayBetween(delays, regionOf(self), regionOf(peer));
}

/** The services of several nodes over one sequencer, with time that stands still until told. */
import { parseTopology, type TopologyInput } from "../../core/topology.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import type { ServiceLimits } from "../../services/limits.ts";
import { createServices, type Services } from "../../services/services.ts";
import { Sequencer, type TestOrderer, Timers } from "./sequencer.ts";

export interface ServicesCluster {
  readonly sequencer: Sequencer;
  readonly timers: Timers;
  readonly orderers: readonly TestOrderer[];
  readonly services: readonly Services[];
}

/** Two groups that split the keys at "m", and one that spans them. */
export const twoGroups: Pick<TopologyInput, "groups"> = {
  groups: [
    { name: "eu", keys: [{ from: "", to: "m" }] },
    { name: "us", keys: [{ from: "m" }] },
    { name: "world", spans: ["eu", "us"] },
  ],
};

export function servicesCluster(options: {
  readonly topology?: Partial<TopologyInput>;
  readonly nodes?: number;
  readonly seed?: number;
  readonly limits?: Partial<ServiceLimits>;
} = {}): ServicesCluster {
  const names = Array.from({ length: options.nodes ?? 2 }, (_, index) => ({ name: `n${index + 1}` }));
  const topology = parseTopology({ nodes: names, ...options.topology });
  const sequencer = new Sequencer(topology, options.seed);
  const timers = new Timers();
  const orderers = topology.nodes.map(({ id }) => sequencer.node(id));
  const limits = options.limits ?? {};
  const services = orderers.map((orderer) => createServices(orderer, { after: timers.after, encodeCbor, decodeCbor, limits }));
  return { sequencer, timers, orderers, services };
}

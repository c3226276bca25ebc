/**
 * Real hosts and services in this process, with an HTTP app on each: messages go from host to host as objects, journals are
 * kept in memory. What is between the app and the order is exactly what a node has.
 */
import { runtime } from "#runtime";
import type { Input } from "../../../core/effects.ts";
import { type NodeId, origin } from "../../../core/ids.ts";
import { defaultLimits } from "../../../core/limits.ts";
import { CoreNode } from "../../../core/node.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../../core/topology.ts";
import { decodeCbor, encodeCbor } from "../../../edge/codec/cbor.ts";
import { clusterStatus } from "../../../edge/embedded/status.ts";
import { Events } from "../../../edge/events/events.ts";
import { Observer } from "../../../edge/events/observer.ts";
import { Host } from "../../../edge/host.ts";
import { type App, type AppContext, createApp, type LinkStats } from "../../../edge/http/app.ts";
import { type Journal, openJournal } from "../../../edge/journal/journal.ts";
import { HostOrderer } from "../../../edge/orderer.ts";
import type { ClusterStatus } from "../../../services/api.ts";
import { createServices, type Services } from "../../../services/services.ts";

export interface TestNode {
  readonly name: string;
  readonly app: App;
  readonly services: Services;
  readonly observer: Observer;
  /** `app.request` with a path. */
  request(path: string, init?: RequestInit): Promise<Response>;
}

export interface TestCluster extends AsyncDisposable {
  readonly nodes: readonly TestNode[];
  readonly topology: Topology;
}

/** What a link over UDP tells after a while. */
export const udpLink: LinkStats = {
  peer: "n2",
  address: "n2:4101",
  driver: "udp",
  reason: "as configured",
  connectedMs: 61_000,
  rttMs: 88.5,
  lossRatio: 0.25,
  mtuBytes: 1_232,
  congestionWindowBytes: 24_640,
  retransmitted: 5,
  lost: 4,
  sent: 100,
  received: 90,
  sentBytes: 17,
  receivedBytes: 18,
  dropped: 3,
  reconnects: 2,
  queuedBytes: 0,
  udp: { state: "open", failure: null, failingMs: null, passedBytes: 1_232, stuckBytes: 1_452 },
};

/** Resolves once every node knows a coordinator of each of its groups. */
export async function startNodes(
  input: TopologyInput,
  contextOf: (name: string, topology: Topology) => Partial<AppContext> = () => ({}),
): Promise<TestCluster> {
  const topology = parseTopology(input);
  const members = new Map<NodeId, Member>();
  for (const { id } of topology.nodes) members.set(id, await Member.start(id, topology, members));
  const nodes = topology.nodes.map(({ id, name }) => nodeOf(name, members.get(id)!, topology, contextOf(name, topology)));
  for (const member of members.values()) member.submit({ kind: "wake" });
  while ([...members.values()].some((member) => member.core.view().groups.some(({ coordinator }) => coordinator === 0))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const { observer } of nodes) observer.look();
  return {
    nodes,
    topology,
    async [Symbol.asyncDispose]() {
      for (const { services } of nodes) await services.close();
      for (const member of members.values()) await member.stop();
    },
  };
}

function nodeOf(name: string, member: Member, topology: Topology, extra: Partial<AppContext>): TestNode {
  const { clock } = runtime;
  const services = createServices(member.orderer, {
    after: (ms, callback) => clock.wakeAt(clock.now().mono + ms, callback),
    encodeCbor,
    decodeCbor,
  });
  const nameOfNode = (id: number): string => topology.nodes.find((node) => node.id === id)?.name ?? String(id);
  const nameOfGroup = (id: number): string => topology.groups.find((group) => group.id === id)?.name ?? String(id);
  const { self } = member.orderer;
  const status = (): ClusterStatus =>
    clusterStatus({
      self,
      topology,
      durability: "memory",
      position: services.position(),
      view: member.core.view(),
      now: clock.now(),
      journalBytes: 0,
      upMs: 0,
    });
  const names = { node: nameOfNode, group: nameOfGroup };
  const events = new Events(name);
  const observer = new Observer({
    self,
    names,
    view: () => member.core.view(),
    now: () => clock.now().mono,
    notReady: () => status().notReady,
    draining: () => false,
    refused: () => 0,
  }, (happening) => events.tell(happening));
  const app = createApp({
    carillon: { ...services, status: () => Promise.resolve(status()) },
    nodeName: name,
    version: "0.0.0-test",
    position: () => services.position(),
    view: () => member.core.view(),
    now: () => clock.now(),
    names,
    events,
    metrics: { services: () => services.stats() },
    ...extra,
  });
  return { name, app, services, observer, request: async (path, init) => await app.request(path, init) };
}

/** A core on its host, with a journal in memory and the other nodes for a network. */
class Member {
  readonly core: CoreNode;
  readonly orderer: HostOrderer;
  readonly topology: Topology;
  readonly #journal: Journal;
  readonly #host: Host;

  private constructor(core: CoreNode, orderer: HostOrderer, journal: Journal, peers: ReadonlyMap<NodeId, Member>) {
    this.core = core;
    this.orderer = orderer;
    this.topology = orderer.topology;
    this.#journal = journal;
    this.#host = new Host({
      core,
      journal,
      clock: runtime.clock,
      outlets: {
        send: ({ to, message }) => to.forEach((peer) => peers.get(peer)?.submit({ kind: "receive", from: orderer.self, message })),
        deliver: (delivery) => orderer.onDelivery(delivery),
        refuse: (refusal) => orderer.onRefusal(refusal),
        lose: (lost) => orderer.onLost(lost),
        behind: () => {},
        confirm: (confirmation) => orderer.onConfirmation(confirmation),
        begins: (ticket, now) => orderer.begins(ticket, now),
        proposed: (ticket) => orderer.onProposed(ticket),
        crash(error) {
          throw error;
        },
      },
    });
    orderer.attach(this.#host);
  }

  static async start(self: NodeId, topology: Topology, peers: ReadonlyMap<NodeId, Member>): Promise<Member> {
    const core = new CoreNode({ id: self, topology, limits: defaultLimits, durability: "memory", seed: self, incarnation: 1 });
    const orderer = new HostOrderer({
      self,
      topology,
      origin: origin(self, 1),
      view: () => core.view(),
      cursor: (subscription) => core.cursor(subscription),
      now: () => runtime.clock.now().mono,
    });
    const journal = await openJournal({
      disk: null,
      clock: runtime.clock,
      crc32: (bytes, seed) => runtime.crc32(bytes, seed),
      entropy: () => runtime.entropy(),
      durability: "memory",
      cluster: topology.cluster,
      node: self,
      onFailure(error) {
        throw error;
      },
    });
    await journal.recover((record) => core.restore(record));
    return new Member(core, orderer, journal, peers);
  }

  submit(input: Input): void {
    this.#host.submit(input);
  }

  async stop(): Promise<void> {
    this.orderer.close();
    this.#host.stop();
    await this.#journal.close();
  }
}

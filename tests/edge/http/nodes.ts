/**
 * Real cores and services in this process, with an HTTP app on each: messages go from core to core as objects, journals are
 * kept nowhere. What is between the app and the order is exactly what a node has.
 */
import type { Input } from "../../../core/effects.ts";
import { CarillonError } from "../../../core/errors.ts";
import { type NodeId, origin } from "../../../core/ids.ts";
import { defaultLimits } from "../../../core/limits.ts";
import { CoreNode } from "../../../core/node.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../../core/topology.ts";
import { decodeCbor, encodeCbor } from "../../../edge/codec/cbor.ts";
import { type App, type AppContext, createApp } from "../../../edge/http/app.ts";
import { wallMicros } from "../../../edge/runtime.ts";
import type { Delivery } from "../../../core/effects.ts";
import type { Position } from "../../../core/position.ts";
import type { ClusterStatus } from "../../../services/api.ts";
import type { Orderer, Subscription } from "../../../services/orderer.ts";
import { createServices, type Services } from "../../../services/services.ts";

export interface TestNode {
  readonly name: string;
  readonly app: App;
  readonly services: Services;
  /** `app.request` with a path. */
  request(path: string, init?: RequestInit): Promise<Response>;
}

export interface TestCluster extends AsyncDisposable {
  readonly nodes: readonly TestNode[];
  readonly topology: Topology;
}

/** Resolves once every node answers a linearizable read of its own groups' coordinators. */
export async function startNodes(
  input: TopologyInput,
  contextOf: (name: string, topology: Topology) => Partial<AppContext> = () => ({}),
): Promise<TestCluster> {
  const topology = parseTopology(input);
  const hosts = new Map<NodeId, Host>();
  for (const { id } of topology.nodes) hosts.set(id, new Host(id, topology, hosts));
  const nodes = topology.nodes.map(({ id, name }) => nodeOf(name, hosts.get(id)!, topology, contextOf(name, topology)));
  for (const host of hosts.values()) host.wake();
  while ([...hosts.values()].some((host) => host.core.view().groups.some(({ coordinator }) => coordinator === 0))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    nodes,
    topology,
    async [Symbol.asyncDispose]() {
      for (const { services } of nodes) await services.close();
      for (const host of hosts.values()) host.stop();
    },
  };
}

function nodeOf(name: string, host: Host, topology: Topology, extra: Partial<AppContext>): TestNode {
  const services = createServices(host, {
    after: (ms, callback) => {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    encodeCbor,
    decodeCbor,
  });
  const nameOfNode = (id: number): string => topology.nodes.find((node) => node.id === id)?.name ?? String(id);
  const nameOfGroup = (id: number): string => topology.groups.find((group) => group.id === id)?.name ?? String(id);
  const app = createApp({
    carillon: { ...services, status: () => Promise.resolve(statusOf(name, host, services)) },
    nodeName: name,
    version: "0.0.0-test",
    position: () => services.position(),
    view: () => host.core.view(),
    now: () => host.now(),
    names: { node: nameOfNode, group: nameOfGroup },
    metrics: { services: () => services.stats() },
    ...extra,
  });
  return { name, app, services, request: async (path, init) => await app.request(path, init) };
}

function statusOf(node: string, { core, topology }: Host, services: Services): ClusterStatus {
  const views = new Map(core.view().groups.map((view) => [view.group, view]));
  const nameOf = (id: number): string | null => topology.nodes.find((node) => node.id === id)?.name ?? null;
  return {
    cluster: topology.cluster,
    node,
    version: "0.0.0-test",
    merge: topology.order.merge,
    durability: "memory",
    position: services.position(),
    nodes: topology.nodes.map(({ id, name, region, http }) => ({ id, name, region, http, connected: true, rttMs: null })),
    groups: topology.groups.map(({ id, name, shape, acceptors, spans, keys }) => ({
      id,
      name,
      shape,
      acceptors: acceptors.map((acceptor) => nameOf(acceptor)!),
      coordinator: nameOf(views.get(id)?.coordinator ?? 0),
      ballot: String(views.get(id)?.promised ?? 0),
      decided: views.get(id)?.decided ?? 0,
      spans: spans.map(String),
      keys,
      roles: [],
      lag: 0,
    })),
    notReady: [],
  };
}

/** Steps a core with real time and carries out what it asks. */
class Host implements Orderer {
  readonly self: NodeId;
  readonly topology: Topology;
  readonly origin: number;
  readonly core: CoreNode;
  readonly #peers: ReadonlyMap<NodeId, Host>;
  readonly #inbox: Input[] = [];
  readonly #listeners = new Map<number, (delivery: Delivery) => void>();
  readonly #refused = new Map<number, (error: CarillonError) => void>();
  readonly #confirmed = new Map<number, (position: Position) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lsn = 0;
  #last = 0;
  #stopped = false;

  constructor(self: NodeId, topology: Topology, peers: ReadonlyMap<NodeId, Host>) {
    this.self = self;
    this.topology = topology;
    this.#peers = peers;
    this.origin = origin(self, 1);
    this.core = new CoreNode({ id: self, topology, limits: defaultLimits, durability: "memory", seed: self, incarnation: 1 });
  }

  now(): { mono: number; wall: number } {
    return { mono: performance.now(), wall: wallMicros(performance.timeOrigin + performance.now()) };
  }

  wake(): void {
    this.submit({ kind: "wake" });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  propose(group: number, payload: Uint8Array, refused: (error: CarillonError) => void): void {
    const ticket = ++this.#last;
    this.#refused.set(ticket, refused);
    this.submit({ kind: "propose", ticket, group, payload });
  }

  subscribe(
    groups: readonly number[],
    after: Position | null | "now",
    demand: number,
    onDelivery: (delivery: Delivery) => void,
  ): { id: number; more(commands: number): void; close(): void } {
    const subscription = ++this.#last;
    this.#listeners.set(subscription, onDelivery);
    this.submit({ kind: "subscribe", subscription, groups, after, demand });
    return {
      id: subscription,
      more: (commands) => this.submit({ kind: "demand", subscription, commands }),
      close: () => {
        if (this.#listeners.delete(subscription)) this.submit({ kind: "unsubscribe", subscription });
      },
    };
  }

  confirm(subscription: Subscription, groups: readonly number[], confirmed: (position: Position) => void): void {
    const request = ++this.#last;
    this.#confirmed.set(request, confirmed);
    this.submit({ kind: "confirm", request, subscription: (subscription as { id: number } & Subscription).id, groups });
  }

  submit(input: Input): void {
    if (this.#inbox.push(input) === 1) setImmediate(() => this.#turn());
  }

  #turn(): void {
    if (this.#stopped) return;
    for (const input of this.#inbox.splice(0)) this.core.step(input, this.now());
    const effects = this.core.drain();
    if (effects.records.length > 0) this.submit({ kind: "persisted", upTo: this.#lsn += effects.records.length });
    for (const { to, message } of [...effects.send, ...effects.sendAfterPersist]) {
      for (const peer of to) this.#peers.get(peer)?.submit({ kind: "receive", from: this.self, message });
    }
    for (const { request } of effects.reads) this.submit({ kind: "read", request, entries: [] });
    for (const delivery of effects.deliveries) this.#listeners.get(delivery.subscription)?.(delivery);
    for (const { ticket, code, reason } of effects.refusals) {
      this.#refused.get(ticket)?.(new CarillonError(code, `Cannot order this: ${reason}`, { retryable: true }));
      this.#refused.delete(ticket);
    }
    for (const { request, position } of effects.confirmations) {
      this.#confirmed.get(request)?.(position);
      this.#confirmed.delete(request);
    }
    clearTimeout(this.#timer);
    const wait = effects.wakeAt - performance.now();
    if (wait < 2 ** 31) this.#timer = setTimeout(() => this.wake(), Math.max(0, wait));
  }
}

/** A whole node in this process: ordering, services and the HTTP API, put together and taken apart in the right order. */
import { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import { groupById, type Topology } from "../../core/topology.ts";
import type {
  Appended,
  Carillon,
  ClusterStatus,
  DeliveryEvent,
  IdempotentOptions,
  Log,
  LogInfo,
  Multicasted,
  ReadOptions,
  Value,
} from "../../services/api.ts";
import { createServices, type Services } from "../../services/services.ts";
import { Checkpoints } from "../checkpoints/checkpoints.ts";
import { decodeCbor, encodeCbor } from "../codec/cbor.ts";
import type { NodeHealth } from "./health.ts";
import type { Happening } from "../events/event.ts";
import { Events } from "../events/events.ts";
import { Observer } from "../events/observer.ts";
import { formatAddress, isLoopback } from "../config/read.ts";
import { Admission } from "../http/admission.ts";
import { type App, type AppContext, createApp } from "../http/app.ts";
import { locator } from "../http/locate.ts";
import { Tokens } from "../http/tokens.ts";
import type { HttpServer } from "../runtime.ts";
import { type RunningNode, startNode, type StartNodeOptions } from "../start_node.ts";
import { version } from "../version.ts";
import { keyText } from "../link/identity.ts";
import { OwnIdentity } from "./identity.ts";
import { metricsOf } from "./metrics.ts";
import type { LocalCarillon, NodeOptions, PublicKeys } from "./options.ts";
import { distances, linkAddress, settle, type Settled } from "./settle.ts";
import { clusterStatus, nameOf } from "./status.ts";
import { Traces } from "./traces.ts";
import { runtime } from "#runtime";

const aloneReadyWithinMs = 15_000;
const pollMs = 2;
const slowPollMs = 50;
/** How often the node is looked at for what has happened in it. */
const lookMs = 100;
/** While nothing is ordered: an idle node costs next to nothing, and is not woken for this alone. */
const idleLookMs = 400;
const idleGraceMs = 250;

export async function openNode(options: NodeOptions): Promise<LocalCarillon> {
  const { durability, topology, self } = settle(options);
  const link = linkAddress(options, topology, self);
  const identity = link === null ? null : await OwnIdentity.of(options, topology, self);
  const traces = identity === null ? null : await tracesOf(options, topology, self);
  const crashed: { node: LocalNode | null; error: Error | null } = { node: null, error: null };
  const node = await startNode({
    runtime,
    topology,
    self,
    durability,
    ...(options.data === undefined ? {} : { data: options.data }),
    link,
    identity,
    links: linksOf(options, traces),
    ...(options.delays === undefined ? {} : { delays: distances(topology, self, options.delays) }),
    log: (sentence) => options.onNotice?.(sentence),
    onFatal: (error) => {
      crashed.error = error;
      crashed.node?.crash(error);
    },
  });
  try {
    const local = new LocalNode(options, { topology, self, durability, identity, traces }, node);
    crashed.node = local;
    if (identity !== null) identity.joins.onHappening = (happening) => local.tell(happening);
    await local.begin();
    if (crashed.error !== null) throw crashed.error;
    await local.listen();
    local.watch();
    const readyWithinMs = options.readyWithinMs ?? (topology.nodes.length === 1 ? aloneReadyWithinMs : 0);
    if (readyWithinMs > 0) {
      await local.ready(readyWithinMs).catch(async (error) => {
        await local.close();
        throw error;
      });
    }
    return local;
  } catch (error) {
    await node.close();
    throw error;
  }
}

interface Parts extends Settled {
  /** Null for a node without peers. */
  readonly identity: OwnIdentity | null;
  /** Null where none are asked for. */
  readonly traces: Traces | null;
}

/** A file of its own for each life of the node. */
async function tracesOf({ links, onNotice }: NodeOptions, topology: Topology, self: NodeId): Promise<Traces | null> {
  const directory = links?.trace ?? null;
  if (directory === null) return null;
  const nodeName = nameOf(topology.nodes);
  const life = new Date().toISOString().replaceAll(":", "");
  return await Traces.open(directory, { self: nodeName(self), life, nameOf: nodeName, log: (sentence) => onNotice?.(sentence) });
}

function linksOf({ links }: NodeOptions, traces: Traces | null): NonNullable<StartNodeOptions["links"]> {
  const mtuBytesMax = links?.mtuBytesMax ?? null;
  return {
    driver: links?.driver ?? "auto",
    ...(mtuBytesMax === null ? {} : { mtuBytesMax }),
    ...(traces === null ? {} : { trace: traces.add }),
  };
}

class LocalNode implements LocalCarillon {
  readonly #options: NodeOptions;
  readonly #settled: Parts;
  readonly #node: RunningNode;
  readonly #services: Services;
  readonly #checkpoints: Checkpoints;
  readonly #admission = new Admission();
  readonly #tokens: Tokens;
  readonly #events: Events;
  readonly #observer: Observer;
  #cancelLook: () => void = () => {};
  readonly #startedAt = performance.now();
  /** How late the event loop runs. */
  #lateMs = 0;
  readonly #health: NodeHealth = {
    checkpoints: () => this.#checkpoints.stats().replicas.map(({ replica, ...rest }) => ({ group: replica, ...rest })),
    trims: () =>
      this.#node.view().groups.map(({ group, trimmed }) => ({ group: nameOf(this.#settled.topology.groups)(group), upTo: trimmed })),
    repairs: () => this.#repairs(),
    disk: () => ({ full: this.#node.orderer.full }),
  };
  #server: HttpServer | null = null;
  #app: App | null = null;
  #draining = false;
  #failed: Error | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: NodeOptions, settled: Parts, node: RunningNode) {
    this.#options = options;
    this.#tokens = new Tokens(typeof options.token === "string" ? [options.token] : options.token);
    this.#settled = settled;
    this.#node = node;
    this.#services = createServices(node.orderer, { after: laterBy, encodeCbor, decodeCbor, held: true });
    this.#checkpoints = new Checkpoints({
      ...settled,
      node: node.checkpointing,
      replicas: this.#services.replicas,
      clock: runtime.clock,
      hash: (key, data) => runtime.cryptography.hmacSha256(key, data),
      ...(options.checkpoints === undefined ? {} : { limits: options.checkpoints }),
      log: (sentence) => options.onNotice?.(sentence),
    });
    const { topology, self } = settled;
    this.#events = new Events(nameOf(topology.nodes)(self));
    if (options.onEvent !== undefined) this.#events.listen(options.onEvent);
    this.#observer = new Observer({
      self,
      names: { node: nameOf(topology.nodes), group: nameOf(topology.groups) },
      view: () => node.view(),
      now: () => runtime.clock.now().mono,
      notReady: () => this.#status().notReady,
      draining: () => this.#draining,
      refused: () => this.#admission.stats().refused,
      health: this.#health,
      links: () => node.link?.stats() ?? [],
    }, (happening) => this.#events.tell(happening));
  }

  /** From now on what happens in it is told. */
  watch(): void {
    let due = performance.now();
    let written = -1;
    const look = (): void => {
      const now = performance.now();
      const lateBy = Math.max(0, now - due);
      this.#admission.adapt(lateBy);
      // The worst of late, fading: a scrape comes seldom.
      this.#lateMs = Math.max(lateBy, this.#lateMs * 0.98);
      this.#observer.look();
      const { records } = this.#node.journalStats();
      const [waitMs, graceMs] = records === written ? [idleLookMs, idleGraceMs] : [lookMs, 0];
      written = records;
      due = now + waitMs + graceMs;
      this.#cancelLook = runtime.clock.wakeAt(now + waitMs, look, graceMs);
    };
    look();
  }

  get kv(): Carillon["kv"] {
    return this.#services.kv;
  }

  get url(): string | null {
    if (this.#server === null) return null;
    const { host, port } = this.#server;
    return `http://${formatAddress({ host: host === "127.0.0.1" ? "localhost" : host, port })}`;
  }

  get linkAddress(): string | null {
    return this.#node.link?.address ?? null;
  }

  /** Mounted wherever the caller likes, under any host name. */
  readonly fetch = (request: Request): Response | Promise<Response> => {
    this.#app ??= createApp(this.#context());
    return this.#app.fetch(request);
  };

  /** Every replica where its newest checkpoint was, and then on with what has been ordered since. */
  async begin(): Promise<void> {
    await this.#checkpoints.restore();
    this.#services.start();
    this.#checkpoints.start();
  }

  async listen(): Promise<void> {
    const { http } = this.#options;
    if (http === undefined || http === false) return;
    const app = createApp({
      ...this.#context(),
      ...(isLoopback(http.host) ? { hosts: ["localhost", "127.0.0.1", "[::1]", http.host] } : {}),
    });
    this.#server = await runtime.serveHttp(http, app.fetch);
  }

  async ready(withinMs: number): Promise<void> {
    const started = performance.now();
    for (;;) {
      const { notReady } = this.#status();
      if (this.#failed !== null || this.#closing !== null) throw new CarillonError("closed", "Cannot get ready: this node is closed");
      if (notReady.length === 0) return;
      const waitedMs = performance.now() - started;
      if (waitedMs > withinMs) {
        throw new CarillonError("joining", `Cannot get ready within ${withinMs} ms: ${notReady.join("; ")}`, { retryable: true });
      }
      // Whoever waits for long waits for other nodes.
      await new Promise((resolve) => setTimeout(resolve, waitedMs < 1_000 ? pollMs : slowPollMs));
    }
  }

  log(name: string): Log {
    return this.#services.log(name);
  }

  logs(options?: ReadOptions): Promise<readonly LogInfo[]> {
    return this.#services.logs(options);
  }

  append(logs: readonly string[], values: readonly Value[], options?: IdempotentOptions): Promise<readonly Appended[]> {
    return this.#services.append(logs, values, options);
  }

  multicast(groups: readonly string[], value: Value, options?: IdempotentOptions): Promise<Multicasted> {
    return this.#services.multicast(groups, value, options);
  }

  deliveries(
    groups: readonly string[],
    options?: { readonly after?: string; readonly signal?: AbortSignal },
  ): AsyncIterable<DeliveryEvent> {
    return this.#services.deliveries(groups, options);
  }

  async changeKeys(keys: PublicKeys): Promise<void> {
    const { identity, topology } = this.#settled;
    if (identity === null) return;
    const { changes, heldChanged } = await identity.change(keys);
    for (const { node, added, gone } of changes) this.tell({ kind: "keys-changed", peer: nameOf(topology.nodes)(node), added, gone });
    if (heldChanged) this.tell({ kind: "own-keys-changed", keys: identity.keys.map(({ publicKey }) => keyText(publicKey)) });
  }

  changeTokens(tokens: readonly string[]): void {
    const { added, gone } = this.#tokens.change(tokens);
    if (added + gone > 0) this.tell({ kind: "tokens-changed", added, gone });
  }

  tell(happening: Happening): void {
    this.#events.tell(happening);
  }

  status(): Promise<ClusterStatus> {
    return Promise.resolve(this.#status());
  }

  /** The core has stopped: what it can no longer vouch for is not served any more. */
  crash(error: Error): void {
    this.#failed = error;
    this.#options.onNotice?.(`Cannot go on: ${error.message}`);
    void this.close();
    this.#options.onCrash?.(error);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** First the others take over, while calls are still answered; then whoever still waits is told, and the port is let go of. */
  async #close(): Promise<void> {
    this.#draining = true;
    this.#observer.look();
    await this.#checkpoints.close();
    await this.#node.close();
    await this.#settled.traces?.close();
    // How the others took over is the last there is to tell.
    this.#observer.look();
    this.#cancelLook();
    await this.#services.close();
    await this.#server?.close();
  }

  /** Repaired is what nothing depends on any more: given up here, and asked of others. */
  #repairs(): { readonly found: number; readonly repaired: number } {
    const { damages } = this.#node.journalStats();
    const { length } = this.#node.recovery.damage;
    const rejoined = this.#node.view().groups.every(({ group, voting }) => {
      return voting || !groupById(this.#settled.topology, group).acceptors.includes(this.#settled.self);
    });
    return { found: length + damages, repaired: (rejoined ? length : 0) + damages };
  }

  #status(): ClusterStatus {
    return clusterStatus({
      ...this.#settled,
      position: this.#services.position(),
      view: this.#node.view(),
      now: runtime.clock.now(),
      journalBytes: this.#node.journalStats().bytes,
      upMs: performance.now() - this.#startedAt,
      url: this.url,
      stopping: this.#draining,
      lost: this.#services.replicas.filter(({ isLost }) => isLost).map(({ name }) => name),
    });
  }

  #context(): AppContext {
    const { topology, self } = this.#settled;
    const { onNotice } = this.#options;
    const names = { node: nameOf(topology.nodes), group: nameOf(topology.groups) };
    return {
      carillon: this,
      nodeName: names.node(self),
      version,
      runtime: `${runtime.name} ${runtime.version}`,
      position: () => this.#services.position(),
      view: () => this.#node.view(),
      now: () => runtime.clock.now(),
      names,
      admission: this.#admission,
      events: this.#events,
      health: this.#health,
      onCut: (path) => this.#events.tell({ kind: "slow-reader", path }),
      metrics: metricsOf({
        node: this.#node,
        services: this.#services,
        identity: this.#settled.identity,
        topology,
        clock: runtime.clock,
        failed: () => this.#failed?.message ?? null,
        eventLoopDelayMs: () => this.#lateMs,
      }),
      tokens: this.#tokens,
      locate: locator(topology, self),
      draining: () => this.#draining,
      report: (error, route) =>
        onNotice?.(`Cannot answer ${route}: ${error instanceof Error ? error.stack ?? error.message : String(error)}`),
    };
  }
}

function laterBy(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

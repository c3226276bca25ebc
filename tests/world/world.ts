/**
 * A whole cluster on one virtual clock: the real host, journal, codec, links, replicas and services of every node, on
 * simulated machines, disks and wires, with users, faults and checks. Two phases: first anything goes and only wrong
 * answers count; then a quorum heals and everything must come to its end.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { Checkpoints } from "../../edge/checkpoints/checkpoints.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { type RunningNode, startNode } from "../../edge/start_node.ts";
import { createServices } from "../../services/services.ts";
import { NodeClock } from "../sim/clocks.ts";
import { mix, Prng } from "../sim/prng.ts";
import { Violation } from "../sim/oracle/violation.ts";
import { Buggify } from "./buggify.ts";
import type { Client } from "./client.ts";
import { Acknowledged } from "./check/durable.ts";
import { Promises } from "./check/promises.ts";
import { Samples } from "./check/samples.ts";
import { SimDisk } from "./disk.ts";
import { Faults } from "./faults.ts";
import { Loop } from "./loop.ts";
import { type Life, Machine } from "./machine.ts";
import { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import { simulatedRuntime } from "./runtime.ts";
import { Workload } from "./work/workload.ts";
import { testIdentity } from "../harness/identity.ts";

/** After healing users go on for so long, and then everything has so long to come to its end. */
const afterMs = 1_000;
const convergeMsMax = 20_000;
/** Where groups are merged in turns, a call may wait for the next skips: so many of them, one after another (long seed 1206489). */
const convergeSkips = 20;
const eventsMax = 5_000_000;
/** How long a machine whose process ended by itself takes to start it again; longer each time if it has ended often in short order. */
const supervisorMs = 50;
const supervisorMsMax = 2_000;
const endsInShortOrder = 5;

export class World {
  readonly plan: Plan;
  readonly loop = new Loop();
  readonly machines = new Map<NodeId, Machine>();
  readonly network: Network;
  readonly faults: Faults;
  readonly acknowledged: Acknowledged;
  readonly samples: Samples;
  readonly promises = new Promises();
  readonly work: Workload;
  readonly counts = { calls: 0, failedCalls: 0, starts: 0, messages: 0, bytes: 0 };
  closing = false;
  /** Virtual time from healing until nothing was owed any more. */
  healedMs: Millis = 0;
  readonly #buggify: Buggify;
  /** When a machine's process ended by itself the last time, and how often it has in short order. */
  readonly #ended = new Map<NodeId, { readonly at: Millis; readonly times: number }>();
  #healed = false;
  #hash = 0;
  readonly #trace: ((line: string) => void) | null;

  constructor(plan: Plan, trace: ((line: string) => void) | null = null) {
    this.plan = plan;
    this.#trace = trace;
    const prng = new Prng(plan.seed);
    this.#buggify = new Buggify(prng.split("buggify"));
    this.acknowledged = new Acknowledged(plan);
    for (const { id } of plan.topology.nodes) this.machines.set(id, this.#machine(id, prng.split(`node ${id}`)));
    this.network = new Network({
      loop: this.loop,
      prng: prng.split("network"),
      faults: plan.network,
      machines: this.machines,
      buggify: this.#buggify,
      events: {
        onArrival: (from, to, bytes) => {
          this.counts.messages++;
          this.counts.bytes += bytes;
          this.#mix(from * 64 + to, bytes);
        },
      },
    });
    this.faults = new Faults(this, prng.split("faults"));
    this.samples = new Samples(this, prng.split("samples"));
    this.work = new Workload(this, prng.split("work"));
  }

  get digest(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Runs to the end. Throws what a check, a node or a user throws. */
  async run(): Promise<void> {
    const { queue } = this.loop;
    const begin = new Prng(this.plan.seed).split("begin");
    for (const machine of this.machines.values()) {
      queue.after(begin.range(0, 30), () => {
        // A fault may have been quicker.
        if (machine.lives === 0) this.start(machine);
      });
    }
    this.work.begin();
    this.samples.begin();
    this.faults.begin();
    await this.#until(this.plan.safetyMs);
    this.say(() => "the world heals");
    this.#healed = true;
    this.faults.heal();
    this.say(() =>
      `${this.faults.scarred.size === 0 ? "nobody" : [...this.faults.scarred].map((node) => `n${node}`).join(" ")} stays ${this.plan.scar}`
    );
    await this.#until(queue.now + afterMs);
    this.closing = true;
    const deadline = queue.now + convergeMsMax + convergeSkips * this.plan.topology.skipIntervalMs;
    this.work.finish();
    await this.#until(deadline, () => this.work.finished);
    this.healedMs = queue.now - this.plan.safetyMs;
    if (!this.work.finished) {
      throw new Violation("liveness", `${Math.round(this.healedMs)} ms after healing it still waits for ${this.work.owed().join("; ")}`);
    }
    this.samples.compare();
    this.work.check();
  }

  // ── For faults, users and checks ──────────────────────────────────────────────────────────────────────────────────

  reachable(): readonly NodeId[] {
    const all = [...this.machines.keys()];
    return this.#healed ? all.filter((node) => !this.faults.scarred.has(node)) : all;
  }

  /** Until the next burst; 0 within one, and once the world has healed. */
  get restMs(): Millis {
    const { now } = this.loop.queue;
    if (this.#healed || this.plan.bursts.some(({ from, until }) => from <= now && now < until)) return 0;
    const next = this.plan.bursts.find(({ from }) => from > now)?.from ?? this.plan.safetyMs;
    return Math.max(0, next - now);
  }

  start(machine: Machine): void {
    const life = machine.begin();
    const { plan } = this;
    this.counts.starts++;
    this.network.restarted(machine.id);
    this.say(() => `n${machine.id} starts (life ${life.number})`);
    const runtime = simulatedRuntime(life, this.network, plan, this.#buggify);
    startNode({
      runtime,
      topology: plan.topology,
      self: machine.id,
      durability: plan.durability,
      data: "disk",
      limits: plan.limits,
      segmentBytes: plan.segmentBytes,
      without: plan.without,
      link: { host: `10.0.0.${machine.id}`, port: 4000 },
      links: { driver: plan.link },
      identity: testIdentity(runtime.cryptography, plan.topology, machine.id),
      log: (sentence) => this.say(() => `n${machine.id} says: ${sentence}`),
      onFatal: (error) => this.#fatal(life, error),
    }).then((node) => this.#serve(life, node, runtime)).catch((error: Error) => this.#fatal(life, error));
  }

  crash(machine: Machine, how: "power" | "kill"): void {
    this.say(() => `n${machine.id} ${how === "power" ? "loses power" : "is killed"}`);
    machine.end();
    if (how === "power") {
      machine.powered = false;
      machine.disk.losePower();
    }
    this.network.processEnded(machine.id, how === "power");
  }

  stop(machine: Machine): void {
    const life = machine.life!;
    this.say(() => `n${machine.id} is stopped`);
    const { node, services, checkpoints } = life;
    life.leaving = true;
    const end = async (): Promise<void> => {
      await checkpoints!.close();
      await node!.close();
      await services!.close();
      if (!life.alive) return;
      this.crash(machine, "kill");
      this.faults.startLater(machine, supervisorMs);
      if (this.#healed) this.start(machine);
    };
    end().catch((error) => this.loop.fail(error));
  }

  answered(client: Client, code: string): void {
    this.counts.calls++;
    if (code !== "ok") this.counts.failedCalls++;
    this.#mix(code.length, client.node);
  }

  say(line: () => string): void {
    this.#trace?.(`${this.loop.queue.now.toFixed(2).padStart(9)} ${line()}`);
  }

  // ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** As `edge/embedded/node.ts` does: services behind their newest checkpoints, then on with what has been ordered since. */
  async #serve(life: Life, node: RunningNode, runtime: Runtime): Promise<void> {
    if (!life.alive) return;
    if (this.plan.durability !== "memory") this.#listen(life.machine.id, node);
    const { topology, serviceLimits, without, checkpoints: limits } = this.plan;
    const { clock } = runtime;
    const after = (ms: Millis, callback: () => void): () => void => clock.wakeAt(clock.now().mono + ms, callback);
    const services = createServices(node.orderer, { after, encodeCbor, decodeCbor, limits: serviceLimits, without, held: true });
    const checkpoints = new Checkpoints({
      self: life.machine.id,
      topology,
      node: node.checkpointing,
      replicas: services.replicas,
      clock,
      hash: (key, data) => runtime.cryptography.hmacSha256(key, data),
      limits,
      log: (sentence) => this.say(() => `n${life.machine.id} says: ${sentence}`),
    });
    await checkpoints.restore();
    if (!life.alive) return;
    services.start();
    checkpoints.start();
    Object.assign(life, { node, services, checkpoints });
    this.say(() => `n${life.machine.id} is up, ${node.recovery.records} records`);
    this.work.started(life);
  }

  /** To what the node says to others, before any link has made it unreadable. */
  #listen(id: NodeId, node: RunningNode): void {
    this.promises.started(id, node);
    const { link } = node;
    if (link === null) return;
    const send = link.send.bind(link);
    link.send = (envelope) => {
      this.promises.said(id, envelope.message);
      send(envelope);
    };
  }

  #machine(id: NodeId, prng: Prng): Machine {
    const { plan } = this;
    const disk = new SimDisk(`n${id}`, plan.disk, prng.split("disk"), this.#buggify, {
      onSafe: (bytes) => this.acknowledged.safe(id, bytes),
    });
    return new Machine({ id, loop: this.loop, clock: new NodeClock(plan.clock, prng.split("clock")), disk, prng: prng.split("lives") });
  }

  /** A process that ends by itself has to have a reason. */
  #fatal(life: Life, error: Error): void {
    if (!life.alive) return;
    const { machine } = life;
    this.say(() => `n${machine.id} ends: ${error.message}`);
    const refused = error instanceof CarillonError && error.code === "corrupt" && this.faults.injuries.refused(machine);
    if (!refused && !explained(error)) {
      return this.loop.fail(error instanceof CarillonError ? new Violation("fatal", error.message) : error);
    }
    // In an event of its own: the process is still at it.
    this.loop.queue.after(0, () => {
      if (!life.alive) return;
      this.crash(machine, "kill");
      if (refused) return;
      if (this.#healed && !this.faults.scarred.has(machine.id)) this.start(machine);
      else this.faults.startLater(machine, this.#supervisorMs(machine));
    });
  }

  #supervisorMs({ id }: Machine): Millis {
    const { now } = this.loop.queue;
    const before = this.#ended.get(id) ?? { at: -Infinity, times: 0 };
    const times = now - before.at < 2 * supervisorMsMax ? before.times + 1 : 1;
    this.#ended.set(id, { at: now, times });
    return Math.min(supervisorMs * 2 ** Math.max(0, times - endsInShortOrder), supervisorMsMax);
  }

  async #until(time: Millis, done: () => boolean = () => false): Promise<void> {
    await this.loop.run(time, () => {
      if (this.loop.events > eventsMax) throw new Violation("runaway", `${eventsMax} events and no end`);
      return done();
    });
  }

  #mix(a: number, b: number): void {
    this.#hash = mix(mix(mix(this.#hash, Math.floor(this.loop.queue.now * 1_000)), a), b);
  }
}

/** The simulated disk said so. */
function explained(error: Error): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as Error & { readonly code?: string };
    if (code === "EIO" || code === "ENOSPC") return true;
  }
  return false;
}

/** Nodes with small checkpoints and short logs, in one process, for tests of what becomes of both. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import type { NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import { parseTopology, type Topology, type TopologyInput } from "../../core/topology.ts";
import { type CheckpointLimits, Checkpoints } from "../../edge/checkpoints/checkpoints.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { freePorts } from "../../edge/runtime/system.ts";
import { type RunningNode, startNode } from "../../edge/start_node.ts";
import { createServices, type Services } from "../../services/services.ts";
import { testIdentity } from "../harness/identity.ts";

/** Everything small, so that a few hundred writes are many checkpoints and a log that has been trimmed. */
const small: Partial<CheckpointLimits> = { everyBytes: 20_000, restMs: 0, wantedMs: 100, lookMs: 20, answerMs: 500, retryMs: 100 };
const limits = { landmarkEvery: 16, retainBytes: 10_000, suffixBytes: 10_000 };

export class Node {
  readonly notices: string[] = [];
  readonly running: RunningNode;
  readonly services: Services;
  readonly checkpoints: Checkpoints;

  private constructor(running: RunningNode, services: Services, checkpoints: Checkpoints, notices: string[]) {
    this.running = running;
    this.services = services;
    this.checkpoints = checkpoints;
    this.notices = notices;
  }

  static async start(
    topology: Topology,
    self: NodeId,
    directory: string,
    durability: Durability,
    more: Partial<CheckpointLimits> = {},
  ): Promise<Node> {
    const [host, port] = topology.nodes[self - 1]!.link.split(":");
    const notices: string[] = [];
    const log = (sentence: string) => void notices.push(sentence);
    const running = await startNode({
      runtime,
      topology,
      self,
      ...(durability === "memory" ? {} : { data: join(directory, `n${self}`) }),
      durability,
      limits,
      link: topology.nodes.length === 1 ? null : { host: host!, port: Number(port) },
      identity: testIdentity(runtime.cryptography, topology, self),
      log,
      onFatal: (error) => log(`fatal: ${error.message}`),
    });
    const services = createServices(running.orderer, { after: later, encodeCbor, decodeCbor, held: true });
    const checkpoints = new Checkpoints({
      node: running.checkpointing,
      replicas: services.replicas,
      topology,
      self,
      clock: runtime.clock,
      hash: (key, data) => runtime.cryptography.hmacSha256(key, data),
      limits: { ...small, ...more },
      log,
    });
    await checkpoints.restore();
    services.start();
    checkpoints.start();
    return new Node(running, services, checkpoints, notices);
  }

  async stop(): Promise<void> {
    await this.checkpoints.close();
    await this.running.close();
    await this.services.close();
  }

  /** The oldest entry of group 1 that anybody could still read here. */
  get trimmed(): number {
    return this.running.view().groups[0]!.trimmed;
  }
}

function later(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

export async function topologyOf(nodes: number, more: Partial<TopologyInput> = {}): Promise<Topology> {
  const named = [];
  const ports = await freePorts(nodes);
  for (let id = 1; id <= nodes; id++) named.push({ name: `n${id}`, link: nodes === 1 ? "" : `127.0.0.1:${ports[id - 1]}` });
  return parseTopology({ cluster: "test", nodes: named, ...more });
}

export async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "carillon-checkpoints-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Cannot wait longer until ${what}`);
    await Bun.sleep(5);
  }
}

/** Values, overwrites, deletions, records of a log and keyed writes, numbered from `from`. */
export async function write({ services }: Node, from: number, count: number): Promise<void> {
  const log = services.log("audit");
  if (from === 0) await log.create();
  for (let at = from; at < from + count; at += 20) {
    await Promise.all(Array.from({ length: 20 }, async (_, index) => {
      const number = at + index;
      if (number % 7 === 3) await services.kv.delete(`key/${number % 50}`);
      else await services.kv.put(`key/${number % 50}`, `${number} ${"x".repeat(300)}`);
    }));
    await log.append(`record ${at}`, { idempotencyKey: `append ${at}` });
  }
}

/** Goes on writing, from `from`, until something has been forgotten at each of these nodes. */
export async function forget(nodes: readonly Node[], from: number): Promise<void> {
  for (let at = from; !nodes.every(({ trimmed }) => trimmed > 0); at += 20) {
    if (at > from + 20_000) throw new Error("Cannot wait longer until something is trimmed");
    await write(nodes[0]!, at, 20);
  }
}

export const digests = (node: Node): Record<string, string> => node.services.digest();

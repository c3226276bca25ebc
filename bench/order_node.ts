/**
 * One node of `order.ts`: proposes with so many messages outstanding, and counts what it delivers.
 * Prints `ready`, waits for a line, prints `measuring`, and at the end one line of JSON.
 */
import { runtime } from "#runtime";
import { type Batch, eachCommand } from "../core/entry.ts";
import type { Delivery } from "../core/effects.ts";
import type { Durability } from "../core/node.ts";
import { parseTopology, type TopologyInput } from "../core/topology.ts";
import type { Orderer } from "../services/orderer.ts";
import { startNode } from "../edge/start_node.ts";
import { Histogram, type HistogramData } from "./load/histogram.ts";
import { testIdentity } from "../tests/harness/identity.ts";

export interface OrderPlan {
  readonly self: string;
  readonly topology: TopologyInput;
  readonly link: { readonly host: string; readonly port: number };
  readonly durability: Durability;
  readonly data: string;
  readonly messageBytes: number;
  /** Messages of this node that may be undelivered here. */
  readonly window: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface OrderOutcome {
  /** Messages of all nodes, delivered here while measuring. */
  readonly delivered: number;
  readonly seconds: number;
  /** Of this node's own messages, from propose to delivery here. */
  readonly latency: HistogramData;
  /** Refused for lack of room, and proposed again. */
  readonly refused: number;
}

/** Proposes into group 1; each delivery of one of its own messages makes room for the next. */
class Proposer {
  readonly latency = new Histogram();
  delivered = 0;
  refused = 0;
  measuring = false;
  readonly #orderer: Orderer;
  readonly #plan: OrderPlan;
  readonly #sentAt: Float64Array;
  #next = 0;

  constructor(orderer: Orderer, plan: OrderPlan) {
    this.#orderer = orderer;
    this.#plan = plan;
    this.#sentAt = new Float64Array(plan.window);
    orderer.subscribe([1], "now", Infinity, (delivery) => this.#onDelivery(delivery));
  }

  start(): void {
    for (let message = 0; message < this.#plan.window; message++) this.#propose();
  }

  /** A message is its number and filling; it is the orderer's once handed over. */
  #propose(): void {
    const payload = new Uint8Array(this.#plan.messageBytes);
    const number = this.#next++;
    payload[0] = number;
    payload[1] = number >>> 8;
    payload[2] = number >>> 16;
    payload[3] = number >>> 24;
    this.#sentAt[number % this.#plan.window] = performance.now();
    this.#orderer.propose(1, payload, () => {
      this.refused++;
      setTimeout(() => this.#propose(), 10);
    });
  }

  #onDelivery({ entry, from, to, repeated }: Delivery): void {
    if (this.measuring) this.delivered += to - from;
    let index = 0;
    entry.batches.forEach((batch: Batch, at) => {
      const first = index;
      index += batch.count;
      if (batch.origin !== this.#orderer.origin || repeated?.has(at)) return;
      const now = performance.now();
      let mine = 0;
      eachCommand(batch.bytes, (payload, command) => {
        if (first + command < from || first + command >= to) return;
        mine++;
        if (!this.measuring) return;
        const number = (payload[0]! | payload[1]! << 8 | payload[2]! << 16 | payload[3]! << 24) >>> 0;
        this.latency.record((now - this.#sentAt[number % this.#plan.window]!) * 1_000);
      });
      for (; mine > 0; mine--) this.#propose();
    });
  }
}

async function main(): Promise<void> {
  const plan: OrderPlan = JSON.parse(process.argv[2]!);
  const topology = parseTopology(plan.topology);
  const self = topology.nodes.find(({ name }) => name === plan.self)!.id;
  const node = await startNode({
    runtime,
    topology,
    self,
    data: plan.data,
    durability: plan.durability,
    link: plan.link,
    identity: testIdentity(runtime.cryptography, topology, self),
    log: (sentence) => console.error(sentence),
    onFatal: (error) => {
      throw error;
    },
  });
  const proposer = new Proposer(node.orderer, plan);
  while (node.view().groups[0]!.coordinator === 0) await Bun.sleep(10);
  console.log("ready");
  for await (const _ of console) break;
  proposer.start();
  await Bun.sleep(plan.warmUpMs);
  console.log("measuring");
  const startedAt = performance.now();
  proposer.measuring = true;
  await Bun.sleep(plan.measureMs);
  proposer.measuring = false;
  const outcome: OrderOutcome = {
    delivered: proposer.delivered,
    seconds: (performance.now() - startedAt) / 1_000,
    latency: proposer.latency.toJSON(),
    refused: proposer.refused,
  };
  console.log(JSON.stringify(outcome));
}

await main();

/** Three cores so many milliseconds apart, in virtual time: nothing else takes any. */
import type { Delivery, Input } from "../../core/effects.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

export class Apart {
  now: Millis = 1_000;
  onSend: (from: NodeId, message: Message) => void = () => {};
  onDelivery: (node: NodeId, delivery: Delivery) => void = () => {};
  readonly #oneWayMs: Millis;
  readonly #cores = new Map<NodeId, { readonly core: CoreNode; wakeAt: Millis; lsn: number }>();
  readonly #flight: { readonly due: Millis; readonly from: NodeId; readonly to: NodeId; readonly message: Message }[] = [];

  constructor(oneWayMs: Millis) {
    this.#oneWayMs = oneWayMs;
  }

  start(id: NodeId): void {
    const core = new CoreNode({ id, topology, limits: defaultLimits, durability: "sync", seed: id, incarnation: id });
    this.#cores.set(id, { core, wakeAt: this.now, lsn: 0 });
  }

  coordinator(): NodeId {
    for (const [id, { core }] of this.#cores) if (core.view().groups[0]!.coordinates !== 0) return id;
    return 0;
  }

  /** Of a node that is running; its records are durable at once. */
  step(id: NodeId, input: Input): void {
    const node = this.#cores.get(id);
    if (node === undefined) return;
    node.core.step(input, { mono: this.now, wall: this.now * 1_000 });
    const { send, sendAfterPersist, records, deliveries, wakeAt } = node.core.drain();
    node.wakeAt = wakeAt;
    for (const { to, message } of [...send, ...sendAfterPersist]) {
      this.onSend(id, message);
      for (const peer of to) this.#flight.push({ due: this.now + this.#oneWayMs, from: id, to: peer, message });
    }
    for (const delivery of deliveries) this.onDelivery(id, delivery);
    node.lsn += records.length;
    if (records.length > 0) this.step(id, { kind: "persisted", upTo: node.lsn });
  }

  /** What is due at this millisecond; then it is the next one. */
  tick(): void {
    while (this.#flight[0] !== undefined && this.#flight[0].due <= this.now) {
      const { from, to, message } = this.#flight.shift()!;
      this.step(to, { kind: "receive", from, message });
    }
    for (const [id, { wakeAt }] of this.#cores) if (wakeAt <= this.now) this.step(id, { kind: "wake" });
    this.now++;
  }
}

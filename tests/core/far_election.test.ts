/** Nodes far from each other choose one coordinator, not one after the other: who hears a candidate in time lets it win. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import type { Ballot, Millis, NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });
const oneWayMs = 40;

/** Cores whose messages take their time, and whose disks take none. */
class Far {
  now: Millis = 1_000;
  readonly prepared = new Set<Ballot>();
  readonly #cores = new Map<NodeId, CoreNode>();
  readonly #wakeAt = new Map<NodeId, Millis>();
  readonly #lsn = new Map<NodeId, number>();
  readonly #flight: { readonly due: Millis; readonly from: NodeId; readonly to: NodeId; readonly message: Message }[] = [];

  constructor(seed: number) {
    for (const id of [1, 2, 3]) {
      this.#cores.set(id, new CoreNode({ id, topology, limits: defaultLimits, durability: "sync", seed: seed * 10 + id, incarnation: id }));
      this.step(id, { kind: "wake" });
    }
  }

  step(id: NodeId, input: Input): void {
    const core = this.#cores.get(id);
    if (core === undefined) return;
    core.step(input, { mono: this.now, wall: this.now * 1_000 });
    const { send, sendAfterPersist, records, wakeAt } = core.drain();
    for (const { to, message } of [...send, ...sendAfterPersist]) {
      if (message.kind === "prepare" && !message.trial) this.prepared.add(message.ballot);
      for (const node of to) this.#flight.push({ due: this.now + oneWayMs, from: id, to: node, message });
    }
    this.#wakeAt.set(id, wakeAt);
    if (records.length === 0) return;
    this.#lsn.set(id, (this.#lsn.get(id) ?? 0) + records.length);
    this.step(id, { kind: "persisted", upTo: this.#lsn.get(id)! });
  }

  run(ms: Millis, each: () => void, until: () => boolean = () => false): void {
    for (const end = this.now + ms; this.now < end && !until(); this.now += 1) {
      while (this.#flight[0] !== undefined && this.#flight[0].due <= this.now) {
        const { from, to, message } = this.#flight.shift()!;
        this.step(to, { kind: "receive", from, message });
      }
      for (const [id, at] of this.#wakeAt) if (at <= this.now) this.step(id, { kind: "wake" });
      each();
    }
  }

  crash(id: NodeId): void {
    this.#cores.delete(id);
    this.#wakeAt.delete(id);
  }

  coordinators(): NodeId[] {
    return [...this.#cores].filter(([, core]) => core.view().groups[0]!.coordinates !== 0).map(([id]) => id);
  }
}

test("with 40 ms between nodes, the death of the coordinator costs one ballot and less than a second", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const far = new Far(seed);
    let ticket = 0;
    const propose = (): void => {
      if (far.now % 10 === 0) {
        for (const id of [2, 3]) far.step(id, { kind: "propose", ticket: ++ticket, group: 1, payload: new Uint8Array(8) });
      }
    };
    far.run(1_500 + seed * 3, propose);
    expect(far.coordinators(), `seed ${seed}`).toEqual([1]);
    far.prepared.clear();
    far.crash(1);
    const at = far.now;
    far.run(1_000, propose, () => far.coordinators().length > 0);
    far.run(500, propose);
    expect(far.coordinators().length, `seed ${seed}`).toBe(1);
    expect(far.prepared.size, `seed ${seed}, ballots`).toBe(1);
    expect(far.now - at, `seed ${seed}`).toBeLessThan(1_300);
  }
});

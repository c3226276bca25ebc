/** At any moment of a random history: what a restart makes of the records on disk is what the node had durably said and done. */
import { expect, test } from "bun:test";
import type { Effects, Input } from "../../core/effects.ts";
import { CoreNode } from "../../core/node.ts";
import type { GroupView } from "../../core/view.ts";
import type { Host } from "../sim/host.ts";
import { drawPlan } from "../sim/plan.ts";
import { World } from "../sim/world.ts";

const every = 150;

class Rebuilt extends World {
  rebuilt = 0;
  #turns = 0;

  override turned(host: Host, inputs: readonly Input[], effects: Effects): void {
    super.turned(host, inputs, effects);
    if (++this.#turns % every === 0) this.#rebuild(host);
  }

  #rebuild(host: Host): void {
    const { topology, limits, durability } = this.plan;
    const core = new CoreNode({ id: host.id, topology, limits, durability, seed: 1, incarnation: 1 });
    for (const record of host.disk.durable) core.restore(record);
    // Nobody needs this node to have decided more than the hints say, or to have heard of anybody.
    for (const now of core.view().groups) this.#compare(host, now, host.view!.groups.find(({ group }) => group === now.group)!);
    core.step({ kind: "wake" }, host.clock.now(this.queue.now));
    core.drain();
    for (const now of core.view().groups) {
      const kept = host.disk.state.group(now.group);
      const acceptor = topology.groups.find(({ id }) => id === now.group)!.acceptors.includes(host.id);
      expect([now.voted, now.voting]).toEqual([kept.logBallot === 0 && kept.last === 0 ? 0 : kept.last, acceptor]);
    }
    this.rebuilt++;
  }

  #compare(host: Host, now: GroupView, live: GroupView): void {
    const kept = host.disk.state.group(now.group);
    expect([now.promised, now.logBallot, now.start, now.last]).toEqual([kept.promised, kept.logBallot, kept.start, kept.last]);
    // As far as both reach down: one forgets by memory, the other by what nobody needs.
    const both = Math.min(now.suffix.length, kept.entries.length);
    expect(now.suffix.slice(now.suffix.length - both)).toEqual(kept.entries.slice(kept.entries.length - both));
    expect(live.promised).toBeGreaterThanOrEqual(now.promised);
    expect(live.decided).toBeGreaterThanOrEqual(now.decided);
    // What both know decided is the same; what the node has in memory only is not on its way to the disk for nothing.
    const first = Math.max(now.suffix[0]?.instance ?? Infinity, live.suffix[0]?.instance ?? Infinity);
    const decided = Math.min(now.decided, live.decided);
    const known = (view: GroupView): unknown => view.suffix.filter(({ instance }) => instance >= first && instance <= decided);
    expect(known(now)).toEqual(known(live));
  }
}

test("a node rebuilt from its records equals what it durably held", () => {
  let rebuilt = 0;
  for (let seed = 1, runs = 0; runs < 4; seed++) {
    const plan = drawPlan(seed);
    if (plan.durability === "memory") continue;
    runs++;
    const world = new Rebuilt(plan);
    try {
      world.run();
    } catch (error) {
      throw new Error(`Cannot pass with seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
    rebuilt += world.rebuilt;
  }
  expect(rebuilt).toBeGreaterThan(100);
}, 60_000);

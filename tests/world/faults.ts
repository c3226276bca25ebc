/** Carries the plan's faults out, and heals the world when their time is over, but for a scar. */
import type { NodeId } from "../../core/ids.ts";
import { harmless } from "./datagrams.ts";
import { type Fault, type FaultKind, waysOf } from "./fault.ts";
import type { Promises } from "./check/promises.ts";
import type { Samples } from "./check/samples.ts";
import { Injuries } from "./injuries.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import type { Prng } from "../sim/prng.ts";
import type { Loop } from "./loop.ts";

export interface FaultSurroundings {
  readonly plan: Plan;
  readonly loop: Loop;
  readonly network: Network;
  readonly machines: ReadonlyMap<NodeId, Machine>;
  readonly samples: Samples;
  readonly promises: Promises;
  readonly faults: Faults;
  start(machine: Machine): void;
  /** Ends the process; `power`: the machine with it. */
  crash(machine: Machine, how: "power" | "kill"): void;
  /** As an operator would. */
  stop(machine: Machine): void;
  say(line: () => string): void;
}

export class Faults {
  readonly counts: Partial<Record<FaultKind, number>> = {};
  /** Nodes that stay broken once the world has healed. */
  readonly scarred = new Set<NodeId>();
  readonly injuries: Injuries;
  #over = false;
  readonly #world: FaultSurroundings;
  readonly #prng: Prng;

  constructor(world: FaultSurroundings, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
    this.injuries = new Injuries(world, prng.split("injuries"));
  }

  begin(): void {
    for (const fault of this.#world.plan.faults) {
      this.#world.loop.queue.at(fault.at, () => {
        if (!this.#over) this.#carryOut(fault);
      });
    }
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Unless the world has healed meanwhile. */
  later(ms: number, act: () => void): void {
    this.#world.loop.queue.after(ms, () => {
      if (!this.#over) act();
    });
  }

  /** A machine whose process ended by a fault starts again, unless the world has healed meanwhile and started it. */
  startLater(machine: Machine, downMs: number): void {
    this.later(downMs, () => {
      if (machine.life === null) this.#world.start(machine);
    });
  }

  /** The world is kind from now on to a quorum of every group, and to everybody else if there is no scar. */
  heal(): void {
    this.#over = true;
    const { machines, network, plan } = this.#world;
    network.mendAll();
    network.faults = { delayMinMs: 0.1, delayTypicalMs: 0.3, loss: 0, bytesPerMs: 100_000, datagrams: harmless };
    this.#scar();
    for (const machine of machines.values()) {
      machine.disk.heal();
      machine.resume();
      if (machine.life === null && !(plan.scar === "dead" && this.scarred.has(machine.id))) this.#world.start(machine);
    }
  }

  #scar(): void {
    const { plan, machines, network, samples } = this.#world;
    if (plan.scar === "none" || plan.durability === "memory") return;
    // Who is new, or has lost its directory, votes only when it has heard everybody: then nobody can be spared.
    if (!samples.founded || !this.injuries.nobodyHurt) return;
    for (const node of this.#prng.shuffle([...machines.keys()])) {
      const left = (acceptors: readonly NodeId[]): number => acceptors.filter((one) => one !== node && !this.scarred.has(one)).length;
      if (plan.topology.groups.some(({ acceptors, q1, q2 }) => left(acceptors) < Math.max(q1, q2))) continue;
      if (this.scarred.size > 0 && this.#prng.chance(0.5)) continue;
      this.scarred.add(node);
      if (plan.scar === "dead") this.#world.crash(machines.get(node)!, "power");
    }
    if (plan.scar === "dead") return;
    const cut = this.#prng.pick(["deaf", "mute", "isolated"] as const);
    for (const node of this.scarred) for (const [from, to] of waysOf(cut, node, [...machines.keys()])) network.cut(from, to);
  }

  #carryOut(fault: Fault): void {
    const { machines, network } = this.#world;
    const nodes = [...machines.keys()];
    const machine = machines.get("target" in fault && fault.target !== 0 ? fault.target : this.#coordinator())!;
    if (!this.injuries.areBearable(fault, machine)) return;
    this.counts[fault.kind] = (this.counts[fault.kind] ?? 0) + 1;
    this.#world.say(() => `fault ${fault.kind}${"target" in fault ? ` n${machine.id}` : ""}`);
    switch (fault.kind) {
      case "break":
        return network.breakBetween(...fault.nodes);
      case "cut": {
        const ways = waysOf(fault.shape, machine.id, nodes);
        for (const [from, to] of ways) network.cut(from, to);
        return this.later(fault.lastsMs, () => {
          if (fault.breaks) { for (const [from, to] of ways) network.breakBetween(from, to); }
          for (const [from, to] of ways) network.mend(from, to);
        });
      }
      case "slow-path":
        network.slow(fault.from, fault.to, fault.byMs);
        return this.later(fault.lastsMs, () => network.slow(fault.from, fault.to, -fault.byMs));
      case "crash":
        if (machine.life === null) return;
        if (fault.how === "stop" && machine.life.up) this.#world.stop(machine);
        else this.#world.crash(machine, fault.how === "power" ? "power" : "kill");
        return this.startLater(machine, fault.downMs);
      case "black-out":
        for (const each of machines.values()) this.#world.crash(each, "power");
        [...machines.values()].forEach((each, index) => this.startLater(each, fault.downMs[index]!));
        return;
      case "pause":
        if (machine.paused) return;
        machine.paused = true;
        return this.later(fault.lastsMs, () => machine.resume());
      case "clock-step":
        return machine.clock.step(fault.byMs);
      case "slow-disk":
        machine.disk.slowMs += fault.byMs;
        return this.later(fault.lastsMs, () => {
          machine.disk.slowMs = Math.max(0, machine.disk.slowMs - fault.byMs);
        });
      case "full-disk":
        machine.disk.full = true;
        return this.later(fault.lastsMs, () => {
          machine.disk.full = false;
        });
      case "failed-sync":
        machine.disk.failSync = true;
        return;
      case "failed-write":
        machine.disk.failWrite = true;
        return;
      case "wipe":
        this.injuries.wipe(machine, fault.downMs);
        return;
      case "flip":
        this.injuries.flip(machine, fault.bits, fault.running, fault.downMs);
        return;
      case "handover":
        for (const each of machines.values()) each.life?.node?.orderer.handover(fault.group, fault.to);
        return;
    }
  }

  #coordinator(): NodeId {
    for (const machine of this.#world.machines.values()) {
      const { life } = machine;
      if (life?.node?.view().groups[0]?.coordinates) return machine.id;
    }
    return this.#prng.pick([...this.#world.machines.keys()]);
  }
}

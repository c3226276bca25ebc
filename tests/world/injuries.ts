/**
 * What a node loses for good: its disk, bits of it, or, without one, its memory. Others hold what it held, so the cluster must
 * get over it; but only one node at a time, until it has its right to vote back: more than that is not promised.
 */
import type { Millis, NodeId } from "../../core/ids.ts";
import { groupById } from "../../core/topology.ts";
import type { Prng } from "../sim/prng.ts";
import type { Fault } from "./fault.ts";
import type { FaultSurroundings } from "./faults.ts";
import type { Machine } from "./machine.ts";
import { remembers } from "./memory.ts";

/** An operator looks after a node that refuses to start this often. */
const operatorMs: Millis = 100;

export class Injuries {
  /** In which life it was hurt, by node: it is well again in a later one. */
  readonly #hurtIn = new Map<NodeId, number>();
  readonly #world: FaultSurroundings;
  readonly #prng: Prng;

  constructor(world: FaultSurroundings, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
  }

  /** Everybody has a right to vote that a restart does not take. */
  get nobodyHurt(): boolean {
    return this.#othersAreWell(null);
  }

  /** Whether the others can spare now what this takes from the machine: without a disk that is all it knows. */
  areBearable({ kind }: Fault, machine: Machine): boolean {
    const isLoss = kind === "wipe" || kind === "flip" || kind === "crash" && this.#world.plan.durability === "memory";
    return !isLoss || this.#othersAreWell(machine);
  }

  /** The machine loses its power and comes back with an empty disk. */
  wipe(machine: Machine, downMs: Millis): void {
    this.#world.crash(machine, "power");
    this.#empty(machine);
    this.#world.faults.startLater(machine, downMs);
  }

  /** Bits change in its files: while it is down, or `downMs` before it ends. */
  flip(machine: Machine, bits: number, running: boolean, downMs: Millis): void {
    if (!running) this.#world.crash(machine, "power");
    this.#hurtIn.set(machine.id, machine.lives);
    for (let bit = 0; bit < bits; bit++) {
      const where = machine.disk.flip(this.#prng);
      if (where !== null) this.#world.say(() => `n${machine.id} has a flipped bit in ${where}`);
    }
    if (!running) this.#world.faults.startLater(machine, downMs);
    else {
      const { lives } = machine;
      this.#world.faults.later(downMs, () => {
        if (machine.lives !== lives || machine.life === null) return;
        this.#world.crash(machine, "kill");
        this.#world.start(machine);
      });
    }
  }

  /** It found its files damaged and refuses to start: then its operator begins anew, once the others can spare it. */
  refused(machine: Machine): boolean {
    if (!this.#hurtIn.has(machine.id)) return false;
    const begin = (): void => {
      if (machine.life !== null) return;
      if (!this.#othersAreWell(machine)) return void this.#world.loop.queue.after(operatorMs, begin);
      this.#empty(machine);
      this.#world.start(machine);
    };
    this.#world.loop.queue.after(operatorMs, begin);
    return true;
  }

  #empty(machine: Machine): void {
    this.#world.say(() => `n${machine.id} has an empty disk`);
    this.#hurtIn.set(machine.id, machine.lives);
    machine.disk.wipe();
    this.#world.promises.forgotten(machine.id);
  }

  #othersAreWell(machine: Machine | null): boolean {
    return [...this.#world.machines.values()].every((other) => other === machine || this.#isWell(other));
  }

  #isWell(machine: Machine): boolean {
    const { plan } = this.#world;
    const { life, disk, id } = machine;
    if (plan.durability === "memory") {
      return life?.up === true && !life.leaving && life.node!.view().groups.every(({ group, voting }) => {
        return voting || !groupById(plan.topology, group).acceptors.includes(id);
      });
    }
    const hurtIn = this.#hurtIn.get(id);
    if (!remembers(disk) || hurtIn !== undefined && (hurtIn === machine.lives || life?.up !== true)) return false;
    this.#hurtIn.delete(id);
    return true;
  }
}

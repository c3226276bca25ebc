/** All users of a run, and its end: when the faults are over, every node that is not broken must do and show everything. */
import type { NodeId } from "../../../core/ids.ts";
import type { Prng } from "../../sim/prng.ts";
import { Versions } from "../check/versions.ts";
import { Client } from "../client.ts";
import type { Life } from "../machine.ts";
import type { World } from "../world.ts";
import type { Kit, Users } from "./kit.ts";
import { Lists } from "./lists.ts";
import { Logs } from "./logs.ts";
import { Messages } from "./messages.ts";
import { Registers } from "./registers.ts";
import { Watches } from "./watches.ts";

/** Of those that look at everything in the end. */
const lastPatienceMs = 5_000;

export class Workload implements Kit {
  readonly world: World;
  readonly prng: Prng;
  readonly versions = new Versions();
  readonly registers: Registers;
  readonly logs: Logs;
  readonly lists: Lists;
  readonly watches: Watches;
  readonly messages: Messages;
  finished = false;
  readonly #loops: Promise<void>[] = [];
  readonly #waitsFor = new Set<string>();

  constructor(world: World, prng: Prng) {
    this.world = world;
    this.prng = prng;
    this.registers = new Registers(this, this.versions);
    this.logs = new Logs(this);
    this.lists = new Lists(this);
    this.watches = new Watches(this, this.versions);
    this.messages = new Messages(this);
  }

  client(name: string): Client {
    return new Client(this.world, name, this.prng.split(name), this.world.plan.work.patienceMs);
  }

  begin(): void {
    for (const [name, users] of this.#kinds()) {
      for (const loop of users.begin()) this.#loops.push(this.#awaited(`users of ${name}`, loop));
    }
  }

  started(life: Life): void {
    this.messages.started(life);
  }

  finish(): void {
    const end = async (): Promise<void> => {
      await Promise.all(this.#loops);
      // Writers first: what the others have to see in the end must have come to its end.
      const nodes = this.world.reachable();
      await Promise.all(nodes.map((node) => this.#finish(node, [["logs", this.logs], ["messages", this.messages]])));
      await this.#awaited("all nodes to hold the same", this.#converge());
      await Promise.all(nodes.map((node) => this.#finish(node, this.#kinds())));
      await this.#awaited("all nodes to hold the same again", this.#converge());
      this.finished = true;
    };
    end().catch((error) => this.world.loop.fail(error));
  }

  owed(): string[] {
    return [...this.#waitsFor];
  }

  /** After the end: everything that was told, against everything else. */
  check(): void {
    this.versions.check();
    for (const [, users] of this.#kinds()) users.check();
  }

  #kinds(): (readonly [string, Users])[] {
    return [["registers", this.registers], ["logs", this.logs], ["lists", this.lists], ["watches", this.watches], [
      "messages",
      this.messages,
    ]];
  }

  async #finish(node: NodeId, kinds: readonly (readonly [string, Users])[]): Promise<void> {
    const client = new Client(this.world, `visitor of n${node}`, this.prng.split(`visitor ${node}`), lastPatienceMs, node);
    for (const [name, users] of kinds) await this.#awaited(`${name} at n${node}`, users.finish(client));
  }

  async #converge(): Promise<void> {
    while (!this.world.samples.converged) await this.world.loop.sleep(50);
  }

  async #awaited(what: string, loop: Promise<void>): Promise<void> {
    this.#waitsFor.add(what);
    try {
      await loop;
      this.#waitsFor.delete(what);
    } catch (error) {
      this.world.loop.fail(error);
    }
  }
}

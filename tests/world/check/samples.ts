/**
 * What can be seen of the nodes from outside, now and then: the state of a replica is a function of how far it is, in all
 * its lives and on all nodes; and nothing that queues grows without bound.
 */
import type { GroupId } from "../../../core/ids.ts";
import { formatPosition, type Position } from "../../../core/position.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { Prng } from "../../sim/prng.ts";
import type { Life } from "../machine.ts";
import type { World } from "../world.ts";

const everyMs = 400;
/** So many times longer while nobody calls: what does not change need not be looked at as often. */
const restful = 10;
const linkQueueBytesMax = 64 << 20;

export class Samples {
  taken = 0;
  /** Samples that met one of the same state at the same position, from another life. */
  met = 0;
  readonly #world: World;
  readonly #prng: Prng;
  /** Groups that have had a coordinator. */
  readonly #begun = new Set<GroupId>();
  readonly #states = new Map<string, { readonly digest: string; readonly who: string }>();

  constructor(world: World, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
  }

  begin(): void {
    const { loop, machines } = this.#world;
    const meanMs = this.#world.restMs > 0 ? restful * everyMs : everyMs;
    loop.queue.after(this.#prng.range(0, 2 * meanMs), () => {
      for (const { life } of machines.values()) if (life?.up === true) this.#look(life);
      this.begin();
    });
  }

  /** Every group has had a ballot, which takes all its acceptors the first time. */
  get founded(): boolean {
    return this.#world.plan.topology.groups.every(({ id }) => this.#begun.has(id));
  }

  /** Everybody who is not broken holds the same, if everybody is equally far. */
  get converged(): boolean {
    const all = this.#world.reachable().map((node) => this.#world.machines.get(node)!.life?.services);
    // How far they are is quickly told; what they hold is not.
    const positions = all.map((services) => services?.stats().replicas.map(({ position }) => formatPosition(position)).join());
    if (positions.some((position) => position !== positions[0])) return false;
    const digests = all.map((services) => services?.digest());
    return digests.every((digest) => digest !== undefined && JSON.stringify(digest) === JSON.stringify(digests[0]));
  }

  compare(): void {
    for (const node of this.#world.reachable()) this.#look(this.#world.machines.get(node)!.life!);
  }

  #look(life: Life): void {
    const { plan } = this.#world;
    const services = life.services!;
    const { groups } = life.node!.view();
    for (const { group, logBallot } of groups) if (logBallot !== 0) this.#begun.add(group);
    const who = `n${life.machine.id} (life ${life.number})`;
    const { waiting, streams, replicas } = services.stats();
    const digests = services.digest();
    for (const { group, merges, position } of replicas) {
      const names = merges.length > 1
        ? ["log", "log-sessions"]
        : ["kv", "catalog", "sessions", ...(digests[`${group}/log-sessions`] === undefined ? ["log"] : [])];
      for (const name of names) {
        const digest = digests[`${group}/${name}`];
        if (digest !== undefined) this.#note(`${group}/${name}`, position, digest, who);
      }
    }
    demand(waiting + streams < 1_000, "bounds", () => `${who} has ${waiting} calls and ${streams} streams waiting`);
    for (const view of groups) {
      const most = plan.limits.pendingCommands;
      demand(view.pendingCommands <= most, "bounds", () => `${who} has ${view.pendingCommands} commands pending, more than ${most}`);
    }
    for (const { peer, queuedBytes } of life.node!.link?.stats() ?? []) {
      demand(queuedBytes <= linkQueueBytesMax, "bounds", () => `${who} has ${queuedBytes} bytes queued for n${peer}`);
    }
  }

  #note(name: string, position: Position, digest: string, who: string): void {
    this.taken++;
    const at = `${name} ${formatPosition(position)}`;
    const before = this.#states.get(at);
    if (before === undefined) return void this.#states.set(at, { digest, who });
    if (before.who !== who) this.met++;
    demand(
      before.digest === digest,
      "state",
      () => `${name} at ${formatPosition(position)} is ${digest} at ${who} and was ${before.digest} at ${before.who}`,
    );
  }
}

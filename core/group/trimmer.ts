/**
 * Forgets what no replica will ask for again (the paper's trim, extended to several kinds of replicas): everything that
 * a majority of each set of replicas has durably behind it. A replica that comes back asks a majority of its set for
 * the newest checkpoint; one of them has one at least that far. Each node works it out from heartbeats for itself.
 */
import type { Instance, NodeId } from "../ids.ts";
import { majority, reachedByQuorum } from "../quorum.ts";
import { subscribers } from "../topology.ts";
import type { Group } from "./group.ts";

export class Trimmer {
  readonly #group: Group;
  readonly #sets: readonly (readonly NodeId[])[];
  /** The replicas of this node have durable checkpoints behind it. */
  safe: Instance = 0;
  /** Lowest instance a checkpoint under way to somebody goes on from, by holder. */
  readonly #holds = new Map<number, Instance>();

  constructor(group: Group) {
    this.#group = group;
    this.#sets = subscribers(group.context.topology, group.id);
  }

  checkpointed(instance: Instance): void {
    if (instance <= this.safe) return;
    this.safe = instance;
    this.heard();
  }

  /** `instance` null: this holder has what it needs. */
  hold(holder: number, instance: Instance | null): void {
    if (instance === null) this.#holds.delete(holder);
    else this.#holds.set(holder, instance);
  }

  /** The journal cannot read it back: it counts as forgotten with all before it, and whoever needs it has to ask others. */
  giveUp(instance: Instance): void {
    const { log, repeats, context, id } = this.#group;
    if (instance <= log.trimmed) return;
    log.restoreTrimmed(instance);
    repeats.trim(log.trimmed);
    context.out.trim({ group: id, upTo: log.trimmed });
  }

  /** Somebody's word has come. */
  heard(): void {
    const { log, context, learner, repeats, id } = this.#group;
    let upTo = Math.min(learner.learned, this.#agreed());
    for (const instance of this.#holds.values()) upTo = Math.min(upTo, instance);
    if (upTo <= log.trimmed || !log.trim(upTo, context.limits)) return;
    repeats.trim(log.trimmed);
    context.out.trim({ group: id, upTo: log.trimmed });
  }

  #agreed(): Instance {
    const { context } = this.#group;
    let agreed = Infinity;
    for (const nodes of this.#sets) {
      const safe = nodes.map((node) => node === context.self ? this.safe : this.#group.beatOf(node)?.safe ?? 0);
      const enough = context.without.has("trim-quorum") ? 1 : majority(nodes.length);
      agreed = Math.min(agreed, reachedByQuorum(safe, enough, 0));
    }
    return agreed;
  }
}

/** Counts votes (R5), moves the decided prefix, and walks it once, in order. */
import type { Ballot, Instance, NodeId } from "../ids.ts";
import { reachedByQuorum } from "../quorum.ts";
import type { Vote } from "../message.ts";
import type { Group } from "./group.ts";

export class Learner {
  readonly #group: Group;
  /** Decided entries up to here have been walked. Invariant: learned ≤ log.decided; they are equal between steps. */
  learned: Instance = 0;
  /** The newest word of every acceptor. */
  readonly #votes = new Map<NodeId, { readonly ballot: Ballot; readonly upTo: Instance }>();

  constructor(group: Group) {
    this.#group = group;
  }

  onVote(message: Vote): void {
    const { frontier, shape } = this.#group;
    for (const vote of message.votes) {
      if (vote.clock !== 0) frontier.acceptorStates(vote.node, message.ballot, vote.clock);
      const news = this.vote(vote.node, message.ballot, vote.upTo);
      if (message.ring && news) shape.relay(message.ballot, vote);
    }
  }

  /** Whether it said more than before. */
  vote(node: NodeId, ballot: Ballot, upTo: Instance): boolean {
    if (!this.#group.spec.acceptors.includes(node)) return false;
    const known = this.#votes.get(node);
    if (known && (known.ballot > ballot || (known.ballot === ballot && known.upTo >= upTo))) return false;
    this.#votes.set(node, { ballot, upTo });
    if (ballot === this.#group.log.ballot) this.count();
    return true;
  }

  /** An entry is decided once q2 acceptors hold it in the ballot of this log. */
  count(): void {
    const { log, spec } = this.#group;
    if (log.ballot === 0) return;
    const words: Instance[] = [];
    for (const { ballot, upTo } of this.#votes.values()) if (ballot === log.ballot) words.push(upTo);
    this.claimed(reachedByQuorum(words, spec.q2, 0));
  }

  /** Somebody with the same ballot's log knows it decided up to here. */
  claimed(decided: Instance): void {
    const { log } = this.#group;
    const upTo = Math.min(decided, log.last);
    if (upTo <= log.decided) return;
    log.decide(upTo);
    this.learn();
  }

  learn(): void {
    const { log, context, repeats, frontier, coordinator, proposer, shape, acceptor } = this.#group;
    while (this.learned < log.decided) {
      const entry = log.get(++this.learned)!;
      if (!context.without.has("first-occurrence")) repeats.learn(entry);
      frontier.learn(entry);
      coordinator.learned(entry);
      proposer.learned(entry);
      shape.forget(entry);
    }
    log.evict(Math.min(this.learned, acceptor.durable), context.limits.suffixBytes, context.limits.suffixEntries);
    // Some of what waited for this much to be decided may be installable now.
    acceptor.catchUpWithAhead();
  }
}

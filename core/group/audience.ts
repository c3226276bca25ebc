/**
 * Whom a vote is told at once. Where two votes decide, an acceptor needs one besides its own, and that only when it waits for a command
 * of its own. So the coordinator's vote usually goes without saying: its next entry tells that the last one is decided. And of two other
 * acceptors neither needs the other's. Either is told a little later all the same, with all that was voted for meanwhile, for the case
 * that there is no next entry, or that one of the two is slow or lost: half of all packets of a group of three that orders
 * one command at a time would be such votes.
 */
import type { Entry } from "../entry.ts";
import { ballotNode, type Millis, type NodeId, originNode } from "../ids.ts";
import type { Vote } from "../message.ts";
import type { Group } from "./group.ts";

/** Until it hears of the coordinator's vote, an acceptor does not know that anything was decided. */
const coordinatorLaterMs = 2;
const laterMs = 20;

export class Audience {
  readonly #group: Group;
  /**
   * Members that may be told later: not one that merges several groups, which may hold up commands of another, nor one that does not
   * vote and has no vote of its own.
   */
  readonly #patient: ReadonlySet<NodeId>;
  /** Commands of theirs are in what the next vote is for. */
  readonly #concerned = new Set<NodeId>();
  /** The last vote, and who has not been told of it. It may be told at any time: it could have been on its way all along. */
  #vote: Vote | null = null;
  #left: readonly NodeId[] = [];
  /** When they are told; Infinity if nobody is left. */
  laterAt: Millis = Infinity;

  constructor(group: Group) {
    this.#group = group;
    const { spec, context } = group;
    const merges = (node: NodeId) => context.topology.groups.some(({ id, learners }) => id !== spec.id && learners.includes(node));
    this.#patient = new Set(spec.q2 > 2 ? [] : spec.acceptors.filter((node) => !merges(node)));
  }

  /** The next vote is for this one too. */
  concerns(entry: Entry): void {
    for (const { origin } of entry.batches) this.#concerned.add(originNode(origin));
  }

  /** The next vote is for all. */
  everybody(): void {
    for (const node of this.#patient) this.#concerned.add(node);
  }

  /** Who hears this vote, in the ballot of the log, at once. */
  take(vote: Vote): readonly NodeId[] {
    const { shape, log, context } = this.#group;
    const coordinator = ballotNode(log.ballot);
    const told = shape.others.filter((node) => node === coordinator || !this.#patient.has(node) || this.#concerned.has(node));
    // The entry that this vote is for has just told everybody that what the last one was for is decided.
    if (this.#coordinates && this.#vote && log.decided >= this.#vote.votes[0]!.upTo) this.laterAt = Infinity;
    this.#concerned.clear();
    this.#vote = vote;
    this.#left = told.length === shape.others.length ? [] : shape.others.filter((node) => !told.includes(node));
    const waitMs = this.#coordinates ? coordinatorLaterMs : laterMs;
    this.laterAt = this.#left.length === 0 ? Infinity : Math.min(this.laterAt, context.now + waitMs);
    return told;
  }

  /** Somebody waits to hear what is decided. */
  hurry(): void {
    if (this.#left.length > 0 && this.#coordinates) this.laterAt = this.#group.context.now;
  }

  /** Tells the others when it is time. */
  flush(): void {
    const { out, now } = this.#group.context;
    if (now < this.laterAt) return;
    out.sendAfterPersist(this.#left, this.#vote!);
    this.#left = [];
    this.laterAt = Infinity;
  }

  get #coordinates(): boolean {
    return this.#group.coordinator.ballot !== 0;
  }
}

/**
 * How far one group's order is known here: nothing at or below the frontier is still unknown.
 *
 * Under `ts` an idle group says so by clocks: min(coordinator's clock, quorum clock), the quorum clock
 * being what q2 acceptors stated while that ballot was their highest promise, usable once the ballot's
 * `start` entry is decided here. Any later ballot needs q1 promises, one of them from such an acceptor
 * after its statement, and stamps above every clock in its promises. Under `rr` only slots count.
 */
import type { Entry } from "../entry.ts";
import type { Foundation, Started } from "../foundation.ts";
import type { Ballot, GroupId, Instance, NodeId, Stamp } from "../ids.ts";
import { type Order, type Position, slotPosition } from "../position.ts";
import { reachedByQuorum } from "../quorum.ts";
import type { Rule } from "../rules.ts";

/** A coordinator's word: whatever it proposes after `last` is stamped above `clock`. */
interface Statement {
  readonly last: Instance;
  readonly clock: Stamp;
}

/** Statements waiting for their entries to be decided here; more than the newest few are of no use. */
const waitingMax = 16;

export class Frontier {
  readonly #group: GroupId;
  readonly #order: Order;
  readonly #q2: number;
  readonly #without: ReadonlySet<Rule>;
  /** The decided prefix here. */
  #learned: Instance = 0;
  #slots = 0;
  /** Ballots whose `start` is in the decided prefix: the newest few. */
  #started: Started[] = [];
  /** Invariant: every decided entry with a stamp up to here is in the decided prefix. */
  #bound: Stamp = 0;

  /** Of the highest ballot heard of. */
  #ballot: Ballot = 0;
  #waiting: Statement[] = [];
  #coordinatorClock: Stamp = 0;
  readonly #acceptors = new Map<NodeId, { readonly promised: Ballot; readonly clock: Stamp }>();

  constructor(group: GroupId, order: Order, q2: number, without: ReadonlySet<Rule>) {
    this.#group = group;
    this.#order = order;
    this.#q2 = q2;
    this.#without = without;
  }

  /** The next decided entry. */
  learn(entry: Entry): void {
    this.#learned = entry.instance;
    this.#slots = entry.slotBase + entry.slots;
    const top = entry.stamp + entry.count - 1;
    if (top > this.#bound) this.#bound = top;
    if (entry.kind === "start") {
      this.#started.push({ ballot: entry.ballot, instance: entry.instance });
      if (this.#started.length > 8) this.#started.shift();
    }
  }

  /** Everything up to there is decided, though this node has not learned it entry by entry. */
  restore({ instance, stamp, slots, started }: Foundation): void {
    this.#learned = instance;
    this.#slots = slots;
    this.#bound = Math.max(this.#bound, stamp);
    this.#started = [...started];
  }

  get started(): readonly Started[] {
    return this.#started;
  }

  coordinatorStates(ballot: Ballot, last: Instance, clock: Stamp): void {
    if (this.#order.merge === "rr" || ballot < this.#ballot) return;
    if (ballot > this.#ballot) {
      this.#ballot = ballot;
      this.#waiting = [];
      this.#coordinatorClock = 0;
    }
    const newest = this.#waiting.at(-1);
    if (newest && (newest.last > last || newest.clock >= clock)) return;
    if (newest && newest.last === last) this.#waiting.pop();
    this.#waiting.push({ last, clock });
    if (this.#waiting.length > waitingMax) this.#waiting.splice(1, 1);
  }

  /** `promised` is the acceptor's highest promise when it stated the clock. */
  acceptorStates(node: NodeId, promised: Ballot, clock: Stamp): void {
    if (this.#order.merge === "rr") return;
    const known = this.#acceptors.get(node);
    if (known && (known.promised > promised || (known.promised === promised && known.clock >= clock))) return;
    this.#acceptors.set(node, { promised, clock });
  }

  /** The acceptor lives again: a promise it stated may not have been durable, and nothing it says now would count beside it. */
  forget(node: NodeId): void {
    this.#acceptors.delete(node);
  }

  /** Everything still unknown here comes at or after this position. */
  nextUnknown(): Position {
    if (this.#order.merge === "rr") return slotPosition(this.#order.turn, this.#group, this.#slots);
    this.#advance();
    return { major: this.#bound + 1, group: this.#group, minor: 0 };
  }

  /** Slots of the decided prefix. */
  get slots(): number {
    return this.#slots;
  }

  #advance(): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.last <= this.#learned) {
      this.#coordinatorClock = Math.max(this.#coordinatorClock, this.#waiting.shift()!.clock);
    }
    if (this.#coordinatorClock <= this.#bound) return;
    if (!this.#started.some(({ ballot }) => ballot === this.#ballot) && !this.#without.has("start-fence")) return;
    const clock = this.#without.has("quorum-clock") ? this.#coordinatorClock : Math.min(this.#coordinatorClock, this.#quorumClock());
    if (clock > this.#bound) this.#bound = clock;
  }

  #quorumClock(): Stamp {
    const clocks: Stamp[] = [];
    for (const { promised, clock } of this.#acceptors.values()) {
      if (promised === this.#ballot || (promised > this.#ballot && this.#without.has("clock-of-ballot"))) clocks.push(clock);
    }
    return reachedByQuorum(clocks, this.#q2, 0);
  }
}

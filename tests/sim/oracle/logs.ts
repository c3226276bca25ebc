/**
 * One value per instance, for all time. Keeps, outside the nodes and across their crashes, the log of
 * every ballot and who durably voted how far in it; so it knows what is decided the moment a quorum's
 * disks hold it, before any node does.
 *
 * Names of oracles: `ballot-log` (I1: one log per ballot), `carried-over` (I5: what was decided is in the
 * log of every later ballot), `agreement`, `durable-quorum` (nobody believes decided what no quorum holds),
 * `late` (something is decided at or below a frontier somebody relied on), `stamps` (I3), `slots` (I7).
 */
import type { Entry } from "../../../core/entry.ts";
import type { Ballot, GroupId, Instance, NodeId } from "../../../core/ids.ts";
import { describeBallot } from "../../../core/message.ts";
import {
  commandPosition,
  comparePositions,
  formatPosition,
  type Order,
  type Position,
  start as beforeAll,
} from "../../../core/position.ts";
import type { GroupSpec } from "../../../core/topology.ts";
import { printEntry, tellEntry } from "./print.ts";
import { demand } from "./violation.ts";

interface BallotLog {
  /** The instance of its `start` entry; 0 until it is known. */
  start: Instance;
  readonly entries: Map<Instance, Entry>;
  /** How far each acceptor has ever durably voted in it. */
  readonly votes: Map<NodeId, Instance>;
}

export interface Chosen {
  readonly entry: Entry;
  readonly ballot: Ballot;
}

export class GroupOracle {
  readonly spec: GroupSpec;
  /** Decided entries, instance i at index i − 1. */
  readonly chosen: Chosen[] = [];
  /** Nothing more may be decided at or below: the greatest frontier anybody relied on. */
  relied: Position = beforeAll;
  /** What relied on it, for the sentence. */
  #reliedBy = "nobody";
  readonly #order: Order;
  readonly #ballots = new Map<Ballot, BallotLog>();
  readonly #onChosen: (group: GroupId, chosen: Chosen) => void;

  constructor(spec: GroupSpec, order: Order, onChosen: (group: GroupId, chosen: Chosen) => void) {
    this.spec = spec;
    this.#order = order;
    this.#onChosen = onChosen;
  }

  get decided(): Instance {
    return this.chosen.length;
  }

  /** Somebody holds, or sends, this entry as part of the log of `ballot`. */
  inLog(ballot: Ballot, entry: Entry, who: string): void {
    const log = this.#log(ballot);
    const known = log.entries.get(entry.instance);
    demand(
      known === undefined || printEntry(known) === printEntry(entry),
      "ballot-log",
      () => `${who}: two logs of ballot ${this.#tell(ballot)} differ: ${tellEntry(known)} and ${tellEntry(entry)}`,
    );
    if (known !== undefined) return;
    log.entries.set(entry.instance, entry);
    this.#checkNeighbour(log, entry, entry.instance - 1, who);
    this.#checkNeighbour(log, entry, entry.instance + 1, who);
    const chosen = this.chosen[entry.instance - 1];
    if (chosen !== undefined && chosen.ballot < ballot) this.#checkCarried(ballot, entry, chosen, who);
  }

  /** The log of `ballot` begins with its `start` entry at this instance. */
  starts(ballot: Ballot, start: Instance, who: string): void {
    const log = this.#log(ballot);
    demand(
      log.start === 0 || log.start === start,
      "ballot-log",
      () => `${who}: ballot ${this.#tell(ballot)} starts at ${log.start} and at ${start}`,
    );
    if (log.start !== 0) return;
    log.start = start;
    // What was decided in an earlier ballot lies below the start of every later one.
    for (let at = this.chosen.length; at >= start; at--) {
      const { ballot: earlier, entry } = this.chosen[at - 1]!;
      demand(
        earlier >= ballot,
        "carried-over",
        () => `${who}: ballot ${this.#tell(ballot)} starts at ${start}, yet ${tellEntry(entry)} was decided in ${this.#tell(earlier)}`,
      );
    }
  }

  /** The acceptor's disk holds the log of `ballot` up to `upTo`. */
  durable(node: NodeId, ballot: Ballot, upTo: Instance): void {
    if (ballot === 0 || !this.spec.acceptors.includes(node)) return;
    const log = this.#log(ballot);
    const before = log.votes.get(node) ?? 0;
    if (upTo <= before) return;
    log.votes.set(node, upTo);
    const votes = [...log.votes.values()].sort((a, b) => b - a);
    const reached = votes[this.spec.q2 - 1] ?? 0;
    // Nothing of a ballot counts before its start entry does.
    if (log.start === 0 || reached < log.start) return;
    for (let instance = this.chosen.length + 1; instance <= reached; instance++) this.#choose(ballot, log, instance);
    for (let instance = Math.max(1, log.start); instance <= Math.min(reached, this.chosen.length); instance++) {
      const entry = log.entries.get(instance);
      if (entry !== undefined) this.#checkSame(instance, entry, `n${node}'s vote in ${this.#tell(ballot)}`);
    }
  }

  votedUpTo(node: NodeId, ballot: Ballot): Instance {
    return this.#ballots.get(ballot)?.votes.get(node) ?? 0;
  }

  /** A node says that it knows everything up to here to be decided. */
  believes(who: string, upTo: Instance): void {
    demand(
      upTo <= this.chosen.length,
      "durable-quorum",
      () => `${who} takes ${upTo} of g${this.spec.id} for decided; a quorum's disks hold only what is up to ${this.chosen.length}`,
    );
  }

  /** A node takes this entry for decided. */
  decides(who: string, entry: Entry): void {
    this.believes(who, entry.instance);
    this.#checkSame(entry.instance, entry, who);
  }

  /**
   * `who` relies on knowing everything at or below `frontier`; it knows instances up to `known` (null: whether it knows
   * what is decided by now is checked elsewhere). From here on nothing new may appear there, also not for others.
   */
  relies(who: string, frontier: Position, known: Instance | null): void {
    const next = known === null ? undefined : this.chosen[known];
    if (next !== undefined) {
      const first = this.#first(next.entry);
      demand(
        comparePositions(first, frontier) > 0,
        "late",
        () =>
          `${who} relies on knowing all of g${this.spec.id} up to ${formatPosition(frontier)} and lacks ${tellEntry(next.entry)} at ${
            formatPosition(first)
          }`,
      );
    }
    if (comparePositions(frontier, this.relied) <= 0) return;
    this.relied = frontier;
    this.#reliedBy = who;
  }

  #choose(ballot: Ballot, log: BallotLog, instance: Instance): void {
    const entry = log.entries.get(instance);
    demand(
      entry !== undefined,
      "ballot-log",
      () => `g${this.spec.id}: instance ${instance} is decided in ${this.#tell(ballot)}, whose log nobody has seen there`,
    );
    const chosen = { entry, ballot };
    this.chosen.push(chosen);
    demand(
      comparePositions(this.#first(entry), this.relied) > 0,
      "late",
      () =>
        `g${this.spec.id}: ${tellEntry(entry)} is decided at ${formatPosition(this.#first(entry))}, at or below ` +
        `${formatPosition(this.relied)} on which ${this.#reliedBy} relied`,
    );
    for (const [later, other] of this.#ballots) {
      if (later <= ballot) continue;
      const there = other.entries.get(instance);
      if (there !== undefined) this.#checkCarried(later, there, chosen, "its log");
      demand(
        other.start === 0 || other.start > instance,
        "carried-over",
        () =>
          `g${this.spec.id}: ballot ${this.#tell(later)} started at ${other.start}, and ${tellEntry(entry)} was decided in ${
            this.#tell(ballot)
          }`,
      );
    }
    this.#onChosen(this.spec.id, chosen);
  }

  #checkSame(instance: Instance, entry: Entry, who: string): void {
    const chosen = this.chosen[instance - 1]!;
    demand(
      printEntry(chosen.entry) === printEntry(entry),
      "agreement",
      () =>
        `${who}: g${this.spec.id}/${instance} is ${tellEntry(entry)}, but ${tellEntry(chosen.entry)} was decided in ${
          this.#tell(chosen.ballot)
        }`,
    );
  }

  #checkCarried(ballot: Ballot, entry: Entry, chosen: Chosen, who: string): void {
    demand(
      printEntry(entry) === printEntry(chosen.entry),
      "carried-over",
      () =>
        `${who}: the log of ${this.#tell(ballot)} has ${tellEntry(entry)} where ${tellEntry(chosen.entry)} was decided in ${
          this.#tell(chosen.ballot)
        }`,
    );
  }

  #checkNeighbour(log: BallotLog, entry: Entry, at: Instance, who: string): void {
    const other = log.entries.get(at);
    if (other === undefined) return;
    const [low, high] = at < entry.instance ? [other, entry] : [entry, other];
    demand(
      high.stamp >= low.stamp + low.count,
      "stamps",
      () => `${who}: stamps do not increase from ${tellEntry(low)} to ${tellEntry(high)}`,
    );
    demand(
      high.slotBase === low.slotBase + low.slots,
      "slots",
      () => `${who}: slots do not continue from ${tellEntry(low)} to ${tellEntry(high)}`,
    );
  }

  #first(entry: Entry): Position {
    return commandPosition(this.#order, this.spec.id, entry, 0);
  }

  #log(ballot: Ballot): BallotLog {
    let log = this.#ballots.get(ballot);
    if (log === undefined) this.#ballots.set(ballot, log = { start: 0, entries: new Map(), votes: new Map() });
    return log;
  }

  #tell(ballot: Ballot): string {
    return `g${this.spec.id} ${describeBallot(ballot)}`;
  }
}

/**
 * A node keeps its word. Watches what leaves each node against what its disk holds, and against what it
 * said before.
 *
 * Names of oracles: `vote-before-disk`, `promise-before-disk` (nothing is said for a record that is not
 * durable), `borrowed-vote` (a ring passes on only votes that were given), `clock-promise` (I6: a phase-1
 * reply carries at least every clock stated before), `coordinator-clock` (a coordinator stamps above what it
 * stated), `abstains` (a node without memory does not vote), `ballots` (I2), `retreat` (I4, promises, across
 * restarts too).
 */
import type { Effects, Envelope } from "../../../core/effects.ts";
import type { Ballot, GroupId, Instance, NodeId, Stamp } from "../../../core/ids.ts";
import { type Accept, describe, describeBallot, type Heartbeat, type Message, type Promise1, type Vote } from "../../../core/message.ts";
import type { GroupView } from "../../../core/view.ts";
import type { JournalState } from "../journal_state.ts";
import type { GroupOracle } from "./logs.ts";
import { tellEntry } from "./print.ts";
import { demand } from "./violation.ts";

interface Word {
  /** In this life. */
  promised: Ballot;
  decided: Instance;
  voting: boolean;
  /** Over all lives, unless the node forgets. */
  clock: Stamp;
  readonly votes: Map<Ballot, Instance>;
  /** Per ballot coordinated: clocks stated and the last instance proposed. */
  readonly coordinated: Map<Ballot, { clock: Stamp; last: Instance }>;
}

export class NodeWords {
  readonly #node: NodeId;
  readonly #groups: ReadonlyMap<GroupId, GroupOracle>;
  readonly #remembers: boolean;
  /** Stamps of an experiment without the hybrid clock break these promises by design; other oracles must notice. */
  readonly #words = new Map<GroupId, Word>();

  constructor(node: NodeId, groups: ReadonlyMap<GroupId, GroupOracle>, remembers: boolean) {
    this.#node = node;
    this.#groups = groups;
    this.#remembers = remembers;
  }

  /** A record of this node became durable: what it may say of itself from now on. */
  durable(group: GroupId, ballot: Ballot, upTo: Instance): void {
    if (ballot === 0) return;
    const { votes } = this.#word(group);
    if (upTo > (votes.get(ballot) ?? 0)) votes.set(ballot, upTo);
  }

  /** As the node last showed it. */
  mayVote(group: GroupId): boolean {
    return this.#word(group).voting;
  }

  restarted(): void {
    for (const [group, word] of this.#words) {
      word.promised = 0;
      word.decided = 0;
      word.voting = this.#remembers;
      if (!this.#remembers) this.#words.delete(group);
    }
  }

  /** What the node wants to say. Compared with earlier turns: within one, columns have no order between them. */
  says(effects: Effects): void {
    for (const envelope of [...effects.send, ...effects.sendAfterPersist]) this.#before(envelope.message);
    for (const envelope of [...effects.send, ...effects.sendAfterPersist]) this.#note(envelope.message);
  }

  /** The message leaves the node now. */
  leaves({ message }: Envelope, disk: JournalState): void {
    switch (message.kind) {
      case "vote":
        return this.#voteLeaves(message);
      case "promise": {
        const promised = disk.groups.get(message.group)?.promised ?? 0;
        demand(
          !message.granted || message.trial || promised >= message.ballot,
          "promise-before-disk",
          () => `n${this.#node} sends ${describe(message)}; its disk knows of a promise to ${describeBallot(promised)}`,
        );
        return;
      }
      case "heartbeat":
        for (const beat of message.beats) {
          if (!beat.voting || !this.#groups.get(beat.group)?.spec.acceptors.includes(this.#node)) continue;
          this.#durablyVoted(beat.group, beat.logBallot, beat.voted, message);
        }
        return;
      default:
        return;
    }
  }

  /** After a step: `held` is what the node holds of the group. */
  shows(view: GroupView): void {
    const who = `n${this.#node} g${view.group}`;
    const word = this.#word(view.group);
    demand(
      view.promised >= view.logBallot,
      "ballots",
      () => `${who} holds the log of ${describeBallot(view.logBallot)} and promised only ${describeBallot(view.promised)} (I2)`,
    );
    demand(
      view.promised >= word.promised,
      "retreat",
      () => `${who} promised ${describeBallot(word.promised)} and now ${describeBallot(view.promised)}`,
    );
    demand(view.decided >= word.decided, "retreat", () => `${who} took ${word.decided} for decided and now ${view.decided} (I4)`);
    demand(view.decided <= view.last, "retreat", () => `${who} takes ${view.decided} for decided and its log ends at ${view.last} (I4)`);
    demand(view.voted <= view.last, "retreat", () => `${who} voted up to ${view.voted} and its log ends at ${view.last}`);
    word.promised = view.promised;
    word.decided = view.decided;
    word.voting = view.voting;
  }

  #voteLeaves(message: Vote): void {
    for (const vote of message.votes) {
      if (vote.node === this.#node) {
        const word = this.#word(message.group);
        demand(word.voting, "abstains", () => `n${this.#node} sends ${describe(message)} and has no right to vote yet`);
        this.#durablyVoted(message.group, message.ballot, vote.upTo, message);
      } else {
        const given = this.#groups.get(message.group)!.votedUpTo(vote.node, message.ballot);
        demand(
          vote.upTo <= given,
          "borrowed-vote",
          () => `n${this.#node} sends ${describe(message)}; n${vote.node} durably voted only up to ${given}`,
        );
      }
    }
  }

  #durablyVoted(group: GroupId, ballot: Ballot, upTo: Instance, message: Message): void {
    if (ballot === 0 || upTo === 0) return;
    const durable = this.#word(group).votes.get(ballot) ?? 0;
    demand(
      upTo <= durable,
      "vote-before-disk",
      () => `n${this.#node} sends ${describe(message)}; its disk holds ballot ${describeBallot(ballot)} of g${group} up to ${durable}`,
    );
  }

  #before(message: Message): void {
    if (message.kind === "promise") return this.#promises(message);
    if (message.kind === "accept") return this.#proposes(message);
  }

  #promises(message: Promise1): void {
    if (!message.granted || message.trial) return;
    const { clock } = this.#word(message.group);
    demand(
      message.clock >= clock,
      "clock-promise",
      () => `n${this.#node} sends ${describe(message)} with clock ${message.clock}, having stated ${clock} before (I6)`,
    );
  }

  #proposes(message: Accept): void {
    const { entry, ballot, group } = message;
    if (entry.ballot !== ballot) return;
    const told = this.#word(group).coordinated.get(ballot);
    if (told === undefined || entry.instance <= told.last) return;
    demand(
      entry.stamp > told.clock,
      "coordinator-clock",
      () =>
        `n${this.#node} proposes ${
          tellEntry(entry)
        } in g${group}, having stated that whatever follows ${told.last} is stamped above ${told.clock}`,
    );
  }

  #note(message: Message): void {
    switch (message.kind) {
      case "promise":
        if (message.granted && !message.trial) this.#stated(message.group, message.clock);
        return;
      case "vote":
        for (const vote of message.votes) if (vote.node === this.#node) this.#stated(message.group, vote.clock);
        return;
      case "accept":
        // Passed on along a ring by others; only the coordinator's own word is a promise of this node.
        if (message.ballot % 65_536 === this.#node) this.#coordinates(message.group, message.ballot, message.entry.instance, message.clock);
        return;
      case "heartbeat":
        return this.#noteBeats(message);
      default:
        return;
    }
  }

  #noteBeats(message: Heartbeat): void {
    for (const beat of message.beats) {
      this.#stated(beat.group, beat.clock);
      if (beat.coordinates !== 0) this.#coordinates(beat.group, beat.coordinates, beat.last, beat.clock);
    }
  }

  #stated(group: GroupId, clock: Stamp): void {
    const word = this.#word(group);
    if (clock > word.clock) word.clock = clock;
  }

  #coordinates(group: GroupId, ballot: Ballot, last: Instance, clock: Stamp): void {
    const { coordinated } = this.#word(group);
    const told = coordinated.get(ballot);
    if (told === undefined) {
      coordinated.set(ballot, { clock, last });
      return;
    }
    told.last = Math.max(told.last, last);
    told.clock = Math.max(told.clock, clock);
  }

  #word(group: GroupId): Word {
    let word = this.#words.get(group);
    if (word === undefined) {
      this.#words.set(
        group,
        word = { promised: 0, decided: 0, voting: this.#remembers, clock: 0, votes: new Map(), coordinated: new Map() },
      );
    }
    return word;
  }
}

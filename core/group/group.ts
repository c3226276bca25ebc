/** One node's part in one group: its roles, and the one switch that hands them what arrives. */
import { GroupClock } from "../clock.ts";
import type { Context } from "../context.ts";
import { type Ballot, type GroupId, type Instance, type Lsn, type Millis, type NodeId, originNode } from "../ids.ts";
import { Frontier } from "../merge/frontier.ts";
import type { Beat, Message } from "../message.ts";
import { type Position, slotPosition, start } from "../position.ts";
import type { GroupSpec } from "../topology.ts";
import type { GroupView } from "../view.ts";
import { Acceptor } from "./acceptor.ts";
import { CatchUp } from "./catchup.ts";
import { Coordinator } from "./coordinator.ts";
import { Election } from "./election.ts";
import { Learner } from "./learner.ts";
import { Log } from "./log.ts";
import { Proposer } from "./proposer.ts";
import { Repeats } from "./repeats.ts";
import { Restart } from "./restart.ts";
import { Shape } from "./shape.ts";
import { isSound, isSoundBeat } from "./sound.ts";
import { Trimmer } from "./trimmer.ts";

/** What a group asks of the node around it. */
export interface GroupNode {
  /** The largest slot count heard of in any group of the domain: of groups this node is no member of, by way of those that are. */
  fastestSlots(): number;
  /** Heartbeats to all, now: something they should not wait for has happened. */
  beatNow(): void;
}

/** How long a decided prefix may go unrecorded when nothing else is written. */
const decidedHintMs = 1_000;

export class Group {
  readonly spec: GroupSpec;
  readonly id: GroupId;
  readonly context: Context;
  readonly node: GroupNode;
  readonly isAcceptor: boolean;
  readonly isLearner: boolean;
  /** False after a restart without memory, until every other acceptor has told what we may have said. */
  voting: boolean;
  readonly log: Log;
  readonly clock: GroupClock;
  readonly frontier: Frontier;
  readonly repeats = new Repeats();
  readonly acceptor: Acceptor;
  readonly learner: Learner;
  readonly coordinator: Coordinator;
  readonly proposer: Proposer;
  readonly election: Election;
  readonly catchUp: CatchUp;
  readonly shape: Shape;
  readonly trimmer: Trimmer;
  readonly restart: Restart;
  /** What this node holds in its journal counts, and an empty one was not wiped. */
  readonly #remembers: boolean;
  /** It had a past that is gone, so the group is not new even if nobody else knows of one: they may have lost theirs too. */
  #lost = false;
  /** Nobody has ever promised anything, by the word of all acceptors: it may vote once its journal says so. */
  isNew = false;
  readonly #beats = new Map<NodeId, Beat>();
  #slotsHeard = 0;
  /** Of a node without memory: the newest word of each other acceptor that knew of this life of ours. */
  readonly #witnesses = new Map<NodeId, Beat>();
  /** And the highest ballot whose coordinator was among them, with how far its log went when it first said so. */
  #guide: { readonly ballot: Ballot; readonly last: Instance } = { ballot: 0, last: 0 };
  /** The decided prefix as the journal knows it. */
  hinted: Instance = 0;
  #hintAt: Millis = Infinity;

  constructor(spec: GroupSpec, context: Context, node: GroupNode, remembers: boolean) {
    this.spec = spec;
    this.id = spec.id;
    this.context = context;
    this.node = node;
    this.isAcceptor = spec.acceptors.includes(context.self);
    this.isLearner = spec.learners.includes(context.self);
    this.#remembers = remembers;
    this.voting = remembers || (this.isAcceptor && spec.acceptors.length === 1);
    const raw = context.without.has("hybrid-clock");
    this.log = new Log(!raw, context.limits.landmarkEvery);
    this.clock = new GroupClock(context.clock, spec.leadMicros, raw);
    this.frontier = new Frontier(spec.id, context.topology.order, spec.q2, context.without);
    this.acceptor = new Acceptor(this);
    this.learner = new Learner(this);
    this.coordinator = new Coordinator(this);
    this.proposer = new Proposer(this);
    this.election = new Election(this);
    this.catchUp = new CatchUp(this);
    this.shape = new Shape(this);
    this.trimmer = new Trimmer(this);
    this.restart = new Restart(this);
  }

  receive(from: NodeId, message: Message): void {
    if (!isSound(from, message, this.spec)) return;
    switch (message.kind) {
      case "propose":
        return this.#onPropose(from, message);
      case "prepare":
        this.election.onPrepare(message);
        return this.acceptor.onPrepare(from, message);
      case "promise":
        return this.election.onPromise(from, message);
      case "accept":
        return this.acceptor.onAccept(from, message);
      case "vote":
        return this.learner.onVote(message);
      case "nack":
        return this.election.onNack(message.promised);
      case "fetch":
        return this.catchUp.onFetch(from, message);
      case "entries":
        return this.catchUp.onEntries(from, message);
      case "release":
        return this.election.onRelease(message.ballot);
      case "heartbeat":
      case "ask":
      case "answer":
      case "seek":
      case "offer":
      case "pull":
      case "piece":
        // The node's own: see node.ts.
        return;
    }
  }

  #onPropose(from: NodeId, message: Message & { kind: "propose" }): void {
    if (this.spec.shape === "ring") this.shape.onPropose(message);
    if (this.coordinator.ballot !== 0) this.coordinator.enqueue(message.batches);
    else if (
      this.spec.shape === "star" && this.election.leader !== 0 && this.election.leader !== from &&
      this.election.leader !== this.context.self
    ) {
      // The proposer is behind on who coordinates: once on is enough, it will hear by itself.
      if (message.batches.every((batch) => originNode(batch.origin) === from)) this.context.out.send([this.election.leader], message);
    }
  }

  /** What the node said in its last life may have been lost with it, also a promise. */
  onNewLife(of: NodeId): void {
    this.frontier.forget(of);
  }

  onBeat(from: NodeId, beat: Beat): void {
    if (!isSoundBeat(from, beat, this.spec)) return;
    this.#beats.set(from, beat);
    this.#slotsHeard = Math.max(this.#slotsHeard, beat.slots);
    if (beat.coordinates !== 0) {
      this.election.heard(beat.coordinates);
      this.frontier.coordinatorStates(beat.coordinates, beat.last, beat.clock);
    }
    if (beat.voting && this.spec.acceptors.includes(from)) {
      // A coordinator with nothing to send would never be refused, and wait for votes that cannot come.
      if (this.coordinator.ballot !== 0 && beat.promised > this.coordinator.ballot) this.election.onNack(beat.promised);
      this.frontier.acceptorStates(from, beat.promised, beat.clock);
      this.learner.vote(from, beat.logBallot, beat.voted);
    }
    this.context.clock.see(beat.clock - this.spec.leadMicros);
    // One that promised higher may have learned it from there; then its entries tell, which last (see `conclude`).
    if (beat.logBallot === this.log.ballot && beat.logBallot !== 0 && beat.promised === beat.logBallot) this.learner.claimed(beat.decided);
    if (!this.voting && this.isAcceptor) this.#remember(from, beat);
    this.catchUp.compare(from, beat);
    this.trimmer.heard();
  }

  /** Latest word of a member; null before the first. */
  beatOf(node: NodeId): Beat | null {
    return this.#beats.get(node) ?? null;
  }

  /**
   * A node without memory may have promised and voted anything in its last life, and some of its votes may still
   * be counted. It votes again once all other acceptors have spoken to this life, in the ballot of a coordinator that
   * has spoken to it too, is not outdone by anything they promised, and whose log it holds as far as that then went:
   *  - an old vote in that ballot was for an entry of that coordinator, and is held again;
   *  - an old vote in a lower one was shared by others who have since promised this ballot, so it is in its log;
   *  - an old promise to a candidate is known by that candidate's own promise.
   * If it coordinated itself, the others must begin a new ballot first. If nobody ever promised anything, it may begin: at once
   * without a journal, else when that says so: then whoever promises first has the word of as many as a ballot takes that their next lives vote too.
   * But not one that knows it has lost something: if all have, nobody knows of a past any more, and there was one.
   */
  #remember(from: NodeId, beat: Beat): void {
    if (!this.spec.acceptors.includes(from) || this.context.peers.heardUsAt(from) === -Infinity) return;
    this.#witnesses.set(from, beat);
    if (beat.coordinates > this.#guide.ballot) this.#guide = { ballot: beat.coordinates, last: beat.last };
    if (this.#witnesses.size < this.spec.acceptors.length - 1) return;
    let promised: Ballot = 0;
    let fresh = !this.#lost;
    for (const witness of this.#witnesses.values()) {
      promised = Math.max(promised, witness.promised);
      fresh = fresh && witness.promised === 0 && witness.last === 0;
    }
    const { ballot, last } = this.#guide;
    const level = ballot !== 0 && ballot >= promised && this.log.ballot === ballot && this.log.last >= last;
    this.isNew = fresh && this.#remembers && !this.context.without.has("note-before-vote");
    if (this.isNew || !fresh && !level) return;
    this.acceptor.remember(promised);
    this.voting = true;
  }

  /** Before the first step: see `CoreNode.forget`. */
  forget(lost: boolean): void {
    this.#lost = lost;
    this.voting = this.isAcceptor && this.spec.acceptors.length === 1;
  }

  /** The journal says that the next life need not hear the others first. */
  begin(): void {
    if (this.voting || !this.isNew) return;
    this.isNew = false;
    this.voting = true;
    this.node.beatNow();
  }

  /**
   * Who has forgotten waits for a coordinator, and a coordinator for as many as a ballot takes that have not. Where nobody has promised
   * anything they are about to begin.
   */
  get #forgetful(): NodeId[] {
    const { acceptors, q1 } = this.spec;
    if (this.election.leader !== 0) return [];
    const forgetful = acceptors.filter((node) => node === this.context.self ? !this.voting : this.beatOf(node)?.voting === false);
    if (acceptors.length - forgetful.length >= q1) return [];
    const promised = [this.acceptor.promised, ...acceptors.map((node) => this.beatOf(node)?.promised ?? 0)];
    return this.#lost || Math.max(...promised) > 0 ? forgetful : [];
  }

  /** What this node says of itself in the group; also its own word to its own frontier. */
  beat(): Beat {
    const { log, acceptor, coordinator } = this;
    return {
      group: this.id,
      voting: this.voting && this.isAcceptor,
      promised: acceptor.promised,
      logBallot: log.ballot,
      voted: acceptor.votedBallot === log.ballot ? acceptor.voted : 0,
      last: this.#spokenFor,
      decided: log.decided,
      clock: this.state(),
      coordinates: coordinator.ballot,
      slots: this.context.topology.order.merge === "rr" ? this.node.fastestSlots() : 0,
      safe: this.trimmer.safe,
      trimmed: log.trimmed,
    };
  }

  /** The last instance a statement speaks for: the ballot's start at least, which therefore has to be decided first. */
  get #spokenFor(): Instance {
    const { last, start } = this.log;
    return last === start && this.context.without.has("start-fence") ? start - 1 : last;
  }

  /** States the clock, to itself as well. */
  state(): number {
    const { acceptor, coordinator, frontier, context } = this;
    const clock = this.clock.state();
    if (this.isAcceptor && this.voting) frontier.acceptorStates(context.self, acceptor.promised, clock);
    if (coordinator.ballot !== 0) frontier.coordinatorStates(coordinator.ballot, this.#spokenFor, clock);
    return clock;
  }

  /** Of the group's order, everything still unknown here comes at or after this. */
  nextUnknown(): Position {
    if (this.isAcceptor && this.context.topology.order.merge === "ts") this.state();
    return this.frontier.nextUnknown();
  }

  /** Largest slot count any member has told of, or that is known here. */
  slotsHeard(): number {
    return Math.max(this.#slotsHeard, this.log.slots);
  }

  persisted(upTo: Lsn): void {
    this.acceptor.persisted(upTo);
    this.election.persisted(upTo);
  }

  wake(): void {
    this.election.wake();
    this.coordinator.wake();
    this.proposer.wake();
    this.catchUp.wake();
  }

  /** Before every drain: proposals, entries, votes, in this order, so that one turn carries all three. */
  flush(): void {
    this.proposer.flush();
    this.coordinator.flush();
    this.acceptor.flush();
    this.shape.flush();
    this.#hintDecided();
  }

  #hintDecided(): void {
    const { log, context } = this;
    if (log.decided === this.hinted) return;
    if (this.#hintAt === Infinity) this.#hintAt = context.now + decidedHintMs;
    if (!context.out.hasRecords && context.now < this.#hintAt) return;
    this.hinted = log.decided;
    this.#hintAt = Infinity;
    context.out.record({ kind: "decided", group: this.id, upTo: log.decided });
  }

  wakeAt(): Millis {
    return Math.min(
      this.acceptor.wakeAt,
      this.election.wakeAt,
      this.coordinator.wakeAt,
      this.proposer.wakeAt,
      this.catchUp.wakeAt,
      this.#hintAt,
    );
  }

  restored(): void {
    this.clock.see(this.log.topStamp);
    this.acceptor.restored();
  }

  view(): GroupView {
    const { log, acceptor, coordinator, election, proposer } = this;
    const { order } = this.context.topology;
    const next = this.frontier.nextUnknown();
    return {
      group: this.id,
      voting: this.voting && this.isAcceptor,
      forgetful: this.#forgetful,
      promised: acceptor.promised,
      logBallot: log.ballot,
      start: log.start,
      last: log.last,
      decided: log.decided,
      voted: acceptor.votedBallot === log.ballot ? acceptor.voted : 0,
      coordinates: coordinator.ballot,
      coordinator: election.leader,
      roles: election.roles.changes,
      clock: this.context.clock.last,
      frontier: order.merge === "ts"
        ? { major: next.major - 1, group: this.id, minor: 0 }
        : this.frontier.slots === 0
        ? start
        : slotPosition(order.turn, this.id, this.frontier.slots - 1),
      suffix: log.suffix,
      slots: log.slots,
      trimmed: log.trimmed,
      safe: this.trimmer.safe,
      pendingCommands: proposer.pendingCommands,
      pendingBytes: proposer.pendingBytes,
    };
  }
}

/**
 * Promises, in-order acceptance, atomic install and votes (rules R1, R3, R4). Every member follows the
 * log this way; only acceptors promise and vote. Votes are cumulative and wait for the disk.
 */
import { assert } from "../assert.ts";
import type { Entry } from "../entry.ts";
import type { Ballot, Instance, Lsn, Millis, NodeId } from "../ids.ts";
import { ballotNode } from "../ids.ts";
import type { Accept, Prepare } from "../message.ts";
import { Audience } from "./audience.ts";
import type { Group } from "./group.ts";

/** Entries that came before their turn, all of one ballot: the highest heard of. */
interface Ahead {
  readonly ballot: Ballot;
  readonly base: Instance;
  readonly start: Instance;
  readonly entries: Map<Instance, Entry>;
}

interface Unpersisted {
  readonly lsn: Lsn;
  readonly ballot: Ballot;
  readonly upTo: Instance;
}

export class Acceptor {
  readonly #group: Group;
  readonly #audience: Audience;
  /** Invariant (I2): promised ≥ log.ballot. */
  promised: Ballot = 0;
  /** Durable in `votedBallot`: what a vote may say. */
  voted: Instance = 0;
  votedBallot: Ballot = 0;
  /** In the journal, durably; older entries may leave memory. */
  durable: Instance = 0;
  #unpersisted: Unpersisted[] = [];
  #ahead: Ahead | null = null;
  #voteDue = false;
  /** How the newest entry came, hence how votes go. */
  #ring = false;

  constructor(group: Group) {
    this.#group = group;
    this.#audience = new Audience(group);
    this.#ring = group.spec.shape === "ring";
  }

  onPrepare(from: NodeId, message: Prepare): void {
    const { context, log, election, clock } = this.#group;
    if (!this.#group.isAcceptor || !this.#group.voting) return;
    const granted = message.ballot > this.promised && election.allows(from, message.released);
    if (granted && !message.trial) this.promise(message.ballot);
    const reply = {
      kind: "promise",
      group: this.#group.id,
      ballot: message.ballot,
      trial: message.trial,
      granted,
      promised: this.promised,
      logBallot: log.ballot,
      last: log.last,
      decided: log.decided,
      // Read after the promise, so that it covers everything stated before under lower ballots (I6).
      clock: clock.state(),
    } as const;
    if (granted && !message.trial && !context.without.has("vote-after-persist")) context.out.sendAfterPersist([from], reply);
    else context.out.send([from], reply);
  }

  /** Durable with the record's return; the caller speaks for it only then. */
  promise(ballot: Ballot): Lsn {
    assert(ballot > this.promised, `Cannot promise ${ballot}: ${this.promised} is promised`);
    this.raise(ballot);
    return this.#group.context.out.record({ kind: "promise", group: this.#group.id, ballot });
  }

  /** The others have told what the last life of this node may have promised. */
  remember(promised: Ballot): void {
    this.raise(promised);
    if (this.promised === this.#group.log.ballot) return;
    // What was taken over from a lower ballot is held, not voted for: a promise may have been given before.
    this.voted = 0;
    this.votedBallot = 0;
    this.#voteDue = false;
    this.#unpersisted = this.#unpersisted.map((record) => ({ ...record, ballot: 0 }));
  }

  /**
   * Something was decided in a ballot up to `ballot`. The logs of lower ones may lack it, so they are over for us as well,
   * also after a restart that still knows it decided.
   */
  conclude(ballot: Ballot): void {
    if (ballot > this.promised) this.promise(ballot);
  }

  /** A higher ballot exists: nothing lower is accepted from now on. */
  raise(ballot: Ballot): void {
    if (ballot <= this.promised) return;
    this.promised = ballot;
    this.#group.coordinator.outdone(ballot);
  }

  onAccept(from: NodeId, message: Accept): void {
    const { context, shape, frontier, log } = this.#group;
    const coordinator = ballotNode(message.ballot);
    if (message.ballot < this.promised) {
      context.out.send([coordinator], { kind: "nack", group: this.#group.id, promised: this.promised });
      return;
    }
    this.#group.election.heard(message.ballot);
    this.raise(message.ballot);
    this.#ring = message.ring;
    const entry = shape.resolve(message.entry);
    if (message.ring) shape.passOn(message, entry);
    frontier.coordinatorStates(message.ballot, message.entry.instance, message.clock);
    context.activeUntil = context.now + context.limits.activeMs;
    if (entry) this.accept(message.ballot, message.base, message.start, entry);
    // Its payload never came past here: ask for the entry itself.
    else this.#group.catchUp.fetchFrom(from);
    if (message.ballot === log.ballot) this.#group.learner.claimed(message.decided);
  }

  /** R4 for the ballot of the log, R3 for a higher one. The ballot is at least the promised one. */
  accept(ballot: Ballot, base: Instance, start: Instance, entry: Entry): void {
    const { log, context } = this.#group;
    if (ballot === log.ballot && entry.instance <= log.last) {
      // Said before, maybe not heard. The vote waits for the same records as the first one.
      this.#audience.everybody();
      this.#voteDue = true;
      return;
    }
    if (ballot < log.ballot) return;
    if (ballot === log.ballot && entry.instance === log.last + 1) {
      if (!log.fits(log.last, [entry])) return;
      this.append(entry);
    } else {
      if (!this.#ahead || this.#ahead.ballot < ballot) this.#ahead = { ballot, base, start, entries: new Map() };
      if (this.#ahead.ballot > ballot) return;
      const from = ballot === log.ballot ? log.last : log.decided;
      // A ballot installs whole, however many fences of undecided ballots lie below its start.
      const most = Math.max(start, from + context.limits.aheadEntries);
      if (entry.instance > from && entry.instance <= most) this.#ahead.entries.set(entry.instance, entry);
      if (context.without.has("in-order")) this.#claim(ballot, entry.instance);
    }
    this.catchUpWithAhead();
  }

  /**
   * A ballot whose start is already in the decided prefix has nothing to install: the prefix is its log. What is
   * decided here was decided in a ballot up to `promised`, hence is in the log of any ballot from there on (I5).
   */
  follow(ballot: Ballot, base: Instance, start: Instance): void {
    const { log } = this.#group;
    if (ballot > log.ballot && ballot >= this.promised && start <= log.decided) this.install(ballot, base, start, []);
  }

  /** What to ask a peer for that holds the log of `ballot`: behind our own, and behind what of a new ballot is here already. */
  firstMissing(ballot: Ballot): Instance {
    const { log } = this.#group;
    const ahead = this.#ahead;
    let instance = ballot !== 0 && ballot === log.ballot ? log.last : log.decided;
    if (ahead && ahead.ballot === ballot && ballot >= this.promised) { while (ahead.entries.has(instance + 1)) instance++; }
    return instance + 1;
  }

  /** Next in the log of the ballot it holds. */
  append(entry: Entry): void {
    const { log, context, clock } = this.#group;
    log.append(entry);
    clock.see(entry.stamp + entry.count - 1);
    this.#audience.concerns(entry);
    this.#vouch(context.out.record({ kind: "accept", group: this.#group.id, ballot: log.ballot, entry }));
  }

  /** Installs what is complete, appends what is next. */
  catchUpWithAhead(): void {
    const { log } = this.#group;
    const ahead = this.#ahead;
    if (!ahead || ahead.ballot < this.promised || ahead.ballot < log.ballot) return;
    if (ahead.ballot > log.ballot && !this.#installAhead(ahead)) return;
    let next = ahead.entries.get(log.last + 1);
    for (const instance of ahead.entries.keys()) if (instance <= log.last) ahead.entries.delete(instance);
    while (next) {
      ahead.entries.delete(next.instance);
      if (!log.fits(log.last, [next])) return;
      this.append(next);
      next = ahead.entries.get(log.last + 1);
    }
  }

  #installAhead(ahead: Ahead): boolean {
    const { log, context } = this.#group;
    const entries: Entry[] = [];
    for (let instance = log.decided + 1; instance <= ahead.start; instance++) {
      const entry = ahead.entries.get(instance);
      if (!entry) break;
      entries.push(entry);
    }
    const complete = log.decided + entries.length >= ahead.start;
    if (!complete && !(context.without.has("atomic-install") && entries.length > 0)) return false;
    if (!log.fits(log.decided, entries)) {
      this.#ahead = null;
      return false;
    }
    this.install(ahead.ballot, ahead.base, ahead.start, entries);
    return true;
  }

  /** The log becomes that of `ballot`: its decided prefix and `entries`, in one record. */
  install(ballot: Ballot, base: Instance, start: Instance, entries: readonly Entry[]): Lsn {
    const { log, context, clock, learner, id } = this.#group;
    assert(ballot >= this.promised, `Cannot install ballot ${ballot}: ${this.promised} is promised (I2)`);
    this.raise(ballot);
    const above = log.decided;
    log.install(ballot, base, start, above, entries);
    clock.see(log.topStamp);
    const lsn = context.out.record({ kind: "install", group: id, ballot, base, start, above, entries });
    this.#audience.everybody();
    this.#vouch(lsn);
    learner.count();
    return lsn;
  }

  /** Decided entries from a peer whose highest promise is `promised`: lower ballots are over for us as well. */
  learn(promised: Ballot, above: Instance, entries: readonly Entry[]): void {
    const { log, context, clock, learner, id } = this.#group;
    this.raise(promised);
    log.learn(above, entries);
    clock.see(log.topStamp);
    const lsn = context.out.record({ kind: "learn", group: id, promised: this.promised, above, entries });
    // Entries of its own ballot continue what it votes for; any others leave it nothing to vote for.
    this.#unpersisted.push({ lsn, ballot: this.promised === log.ballot ? log.ballot : 0, upTo: log.last });
    learner.learn();
    learner.count();
    this.catchUpWithAhead();
  }

  /** The log rests on a checkpoint now: there is nothing in it to vote for. */
  rested(lsn: Lsn): void {
    this.#ahead = null;
    this.#voteDue = false;
    this.voted = 0;
    this.votedBallot = 0;
    this.#unpersisted = this.#unpersisted.map((record) => ({ ...record, ballot: 0 }));
    this.#unpersisted.push({ lsn, ballot: 0, upTo: this.#group.log.last });
  }

  #vouch(lsn: Lsn): void {
    const { log, context, learner } = this.#group;
    this.#unpersisted.push({ lsn, ballot: log.ballot, upTo: log.last });
    this.#voteDue = true;
    if (context.without.has("vote-after-persist")) learner.vote(context.self, log.ballot, log.last);
  }

  #claim(ballot: Ballot, upTo: Instance): void {
    const { context, id, spec } = this.#group;
    if (!this.#group.isAcceptor || !this.#group.voting) return;
    context.out.send(spec.members.filter((node) => node !== context.self), {
      kind: "vote",
      group: id,
      ballot,
      ring: false,
      votes: [{ node: context.self, upTo, clock: 0 }],
    });
  }

  persisted(upTo: Lsn): void {
    const { context, learner } = this.#group;
    let count = 0;
    while (count < this.#unpersisted.length && this.#unpersisted[count]!.lsn <= upTo) count++;
    if (count === 0) return;
    const newest = this.#unpersisted[count - 1]!;
    let voted = newest;
    for (let index = count - 1; voted.ballot === 0 && index > 0; index--) voted = this.#unpersisted[index - 1]!;
    this.#unpersisted.splice(0, count);
    this.durable = newest.upTo;
    if (voted.ballot !== 0) {
      this.voted = voted.upTo;
      this.votedBallot = voted.ballot;
      if (this.#group.isAcceptor && this.#group.voting) learner.vote(context.self, this.votedBallot, this.voted);
    }
  }

  get wakeAt(): Millis {
    return this.#audience.laterAt;
  }

  /** Somebody reads, and may wait for what this coordinator knows to be decided: it tells at the next drain. */
  hurry(): void {
    this.#audience.hurry();
  }

  /** Hands the vote over behind the records it speaks for. */
  flush(): void {
    if (this.#voteDue) this.#sayVote();
    this.#audience.flush();
  }

  #sayVote(): void {
    this.#voteDue = false;
    const { log, context, shape, clock, id } = this.#group;
    if (!this.#group.isAcceptor || !this.#group.voting || log.ballot === 0) return;
    const vote = {
      kind: "vote",
      group: id,
      ballot: log.ballot,
      ring: this.#ring,
      votes: [{ node: context.self, upTo: log.last, clock: this.promised === log.ballot ? clock.state() : 0 }],
    } as const;
    const to = this.#ring ? shape.successors() : this.#audience.take(vote);
    if (context.without.has("vote-after-persist")) context.out.send(to, vote);
    else context.out.sendAfterPersist(to, vote);
  }

  /** From the journal, before the first step. */
  restored(): void {
    const { log, learner, context, isAcceptor } = this.#group;
    this.durable = log.last;
    this.voted = log.last;
    this.votedBallot = log.ballot;
    if (isAcceptor && log.ballot !== 0) learner.vote(context.self, log.ballot, log.last);
  }
}

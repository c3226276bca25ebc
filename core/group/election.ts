/**
 * Who coordinates: suspicion, pre-vote, phase 1, whole-log selection (R2), lease and hand-over. Only
 * an acceptor that hears a quorum stands, and a coordinator that its quorum does not hear stops.
 */
import type { Entry } from "../entry.ts";
import { type Ballot, ballot, ballotNode, ballotRound, type Lsn, type Millis, type NodeId } from "../ids.ts";
import type { Entries, Prepare, Promise1 } from "../message.ts";
import { reachedByQuorum } from "../quorum.ts";
import type { RoleReason } from "../view.ts";
import type { Candidacy, Source } from "./candidacy.ts";
import type { Group } from "./group.ts";
import { Roles } from "./roles.ts";
import { Succession } from "./succession.ts";

export class Election {
  readonly #group: Group;
  readonly succession: Succession;
  /** The coordinator this node follows; 0 for none. */
  leader: NodeId = 0;
  leaderBallot: Ballot = 0;
  /** Since when there has been none, while there is none. */
  leaderlessSince: Millis = 0;
  readonly roles = new Roles();
  #heardAt: Millis = -Infinity;
  /** The highest ballot heard of: the next one is above it. */
  #seen: Ballot = 0;
  #standAt: Millis = Infinity;
  #candidacy: Candidacy | null = null;
  /** A coordinator looks after its quorum then. */
  #watchAt: Millis = 0;

  constructor(group: Group) {
    this.#group = group;
    this.succession = new Succession(group);
  }

  get wakeAt(): Millis {
    if (this.#group.coordinator.ballot !== 0) return this.#watchAt;
    if (this.#candidacy) return this.#candidacy.deadline;
    if (this.leader !== 0) return this.#leaseEnd();
    if (!this.#group.isAcceptor || !this.#group.voting) return Infinity;
    return this.#standAt === Infinity ? this.#group.context.now : this.#standAt;
  }

  /** The coordinator of this ballot is alive. */
  heard(of: Ballot): void {
    if (of < this.leaderBallot || of < this.#group.acceptor.promised) return;
    this.#seen = Math.max(this.#seen, of);
    // Our own words from an earlier life, or from before we stopped: nobody coordinates by them.
    if (ballotNode(of) === this.#group.context.self || this.#resigned(of)) return;
    this.#heardAt = this.#group.context.now;
    this.#standAt = Infinity;
    if (of === this.leaderBallot && this.leader !== 0) return;
    this.leaderBallot = of;
    this.leader = ballotNode(of);
    this.roles.note(this.leader, of, "heard", this.#heardAt);
    if (this.#candidacy && this.#candidacy.ballot <= of) this.#candidacy = null;
    this.#group.proposer.coordinatorChanged();
  }

  /** R1: a lease given to another node that has not expired, unless that node has released it. */
  allows(candidate: NodeId, released: Ballot): boolean {
    return candidate === this.leader || !this.#leaseHolds() || (released !== 0 && released === this.leaderBallot);
  }

  #leaseHolds(): boolean {
    const { context } = this.#group;
    return this.leader !== 0 && context.now < this.#leaseEnd();
  }

  /** Long enough for heartbeats to come back from the farthest acceptor. */
  #leaseMs(): Millis {
    const { limits } = this.#group.context;
    return Math.max(limits.leaseMs, 4 * this.#farMs() + 4 * limits.heartbeatIdleMs);
  }

  #farMs(): Millis {
    return this.#group.context.peers.farthestMs(this.#group.spec.acceptors);
  }

  /** By its coordinator's own word this ballot is over: the log is there, which nobody has before it begins. */
  #resigned(of: Ballot): boolean {
    const beat = this.#group.beatOf(ballotNode(of));
    return beat !== null && beat.logBallot >= of && beat.coordinates === 0;
  }

  /**
   * Also when its heartbeats are overdue, its link broke or it says that it has stopped: safety rests on ballots, the lease
   * only keeps the peace.
   */
  #leaseEnd(): Millis {
    if (this.#resigned(this.leaderBallot)) return -Infinity;
    return Math.min(this.#heardAt + this.#leaseMs(), this.#group.context.peers.suspectAt(this.leader));
  }

  wake(): void {
    if (this.#group.coordinator.ballot !== 0) return this.#watchQuorum();
    const { context, isAcceptor } = this.#group;
    const { now } = context;
    if (this.leader !== 0 && !this.#leaseHolds()) {
      const missed = context.peers.suspected(this.leader, now) ? "suspected" : "lease-expired";
      this.#loseLeader(this.#resigned(this.leaderBallot) ? "handed-over" : missed);
    }
    if (!isAcceptor || !this.#group.voting) return;
    if (this.#candidacy && now >= this.#candidacy.deadline) this.#retire();
    if (this.#candidacy || this.leader !== 0) return;
    if (this.#standAt === Infinity) this.#standAt = now + this.#patience(0);
    if (now >= this.#standAt) this.#stand(0);
  }

  /** This node coordinated and does no more: there is nobody to follow, and no lease to keep others out. */
  outdone(): void {
    if (this.leader === this.#group.context.self) this.#loseLeader("outdone");
  }

  #loseLeader(why: RoleReason): void {
    if (this.leader !== 0) this.roles.note(0, this.leaderBallot, why, this.#group.context.now);
    this.leader = 0;
    this.leaderlessSince = this.#group.context.now;
  }

  /** Live acceptors ahead of us in preference go first, each with time to be heard by us; chance keeps equals apart. */
  #patience(extra: number): Millis {
    const { spec, context } = this.#group;
    if (spec.acceptors.length === 1) return 0;
    const resigned = this.#resigned(this.leaderBallot) ? ballotNode(this.leaderBallot) : 0;
    let rank = extra;
    for (const node of spec.acceptors) {
      if (node === context.self) break;
      if (node === resigned || context.peers.suspected(node, context.now)) continue;
      rank++;
    }
    const { electionMs } = context.limits;
    return rank * (electionMs + this.#farMs() / 2) + electionMs * context.random.unit();
  }

  #others(): NodeId[] {
    return this.#group.spec.acceptors.filter((node) => node !== this.#group.context.self);
  }

  /** `released` is the ballot of a coordinator that made way for us: no pre-vote then. */
  #stand(released: Ballot): void {
    const { spec, context, acceptor, id } = this.#group;
    const heard = 1 + this.#others().filter((node) => !context.peers.suspected(node, context.now)).length;
    // Without a quorum there is nothing to win, and standing would only raise ballots.
    if (heard < Math.max(spec.q1, spec.q2)) {
      this.#standAt = context.now + this.#patience(1);
      return;
    }
    const trial = released === 0 && spec.acceptors.length > 1;
    const next = ballot(ballotRound(Math.max(this.#seen, acceptor.promised, this.leaderBallot)) + 1, context.self);
    const lsn = trial ? 0 : acceptor.promise(next);
    this.#begin(next, trial, released, lsn);
    context.out.send(this.#others(), { kind: "prepare", group: id, ballot: next, trial, released });
    if (trial || context.without.has("vote-after-persist")) this.#grantOwn();
  }

  #begin(of: Ballot, trial: boolean, released: Ballot, lsn: Lsn): void {
    const { now, limits } = this.#group.context;
    // A trial leaves no trace, however often it is repeated: whoever is cut off must not come back with a towering ballot.
    if (!trial) this.#seen = Math.max(this.#seen, of);
    this.#standAt = Infinity;
    // Whoever it reached too early may be asked again soon.
    const deadline = now + (trial ? 2 * this.#farMs() + 4 * limits.electionMs : this.#leaseMs());
    this.#candidacy = { ballot: of, trial, released, lsn, deadline, grants: new Map(), source: null };
  }

  /** Gives up; tries again after a while, later than others would. */
  #retire(): void {
    this.#candidacy = null;
    this.#standAt = this.#group.context.now + this.#patience(1);
  }

  persisted(upTo: Lsn): void {
    this.succession.persisted(upTo);
    const candidacy = this.#candidacy;
    if (candidacy && !candidacy.trial && candidacy.lsn <= upTo && !candidacy.grants.has(this.#group.context.self)) this.#grantOwn();
  }

  #grantOwn(): void {
    const { context, acceptor, log, clock, id } = this.#group;
    const candidacy = this.#candidacy!;
    this.onPromise(context.self, {
      kind: "promise",
      group: id,
      ballot: candidacy.ballot,
      trial: candidacy.trial,
      granted: true,
      promised: acceptor.promised,
      logBallot: log.ballot,
      last: log.last,
      decided: log.decided,
      clock: clock.state(),
    });
  }

  onPromise(from: NodeId, message: Promise1): void {
    const { spec, context, clock, acceptor, id } = this.#group;
    this.#seen = Math.max(this.#seen, message.promised);
    const candidacy = this.#candidacy;
    if (!candidacy || candidacy.ballot !== message.ballot || candidacy.trial !== message.trial || candidacy.source) return;
    if (!spec.acceptors.includes(from)) return;
    if (!message.granted) {
      if (message.promised > candidacy.ballot) this.#retire();
      return;
    }
    candidacy.grants.set(from, message);
    if (!context.without.has("merge-clocks")) clock.see(message.clock);
    if (candidacy.grants.size < spec.q1 || !candidacy.grants.has(context.self)) return;
    if (!candidacy.trial) return this.#select();
    if (acceptor.promised >= candidacy.ballot) return this.#retire();
    const lsn = acceptor.promise(candidacy.ballot);
    this.#begin(candidacy.ballot, false, 0, lsn);
    context.out.send(this.#others(), { kind: "prepare", group: id, ballot: candidacy.ballot, trial: false, released: 0 });
    if (context.without.has("vote-after-persist")) this.#grantOwn();
  }

  /**
   * R2: everything known decided to any of the quorum, then the log of the greatest (ballot, length),
   * whole. A log that differs at the end of the decided prefix is older than what decided it.
   */
  #select(): void {
    const { context, log } = this.#group;
    const candidacy = this.#candidacy!;
    for (const [node, { decided, logBallot }] of candidacy.grants) {
      if (decided > log.decided) {
        // What is needed first may be forgotten there: others are better placed, and a checkpoint is needed here.
        if ((this.#group.beatOf(node)?.trimmed ?? 0) > log.decided) return this.#retire();
        return this.#fetch({ node, logBallot, last: decided, decided: true, agrees: true, asked: 0, fetched: new Map() });
      }
    }
    const longest = context.without.has("whole-log");
    let best: NodeId = context.self;
    let bestBallot = log.ballot;
    let bestLast = log.last;
    for (const [node, { logBallot, last }] of candidacy.grants) {
      const better = longest ? last > bestLast : logBallot > bestBallot || (logBallot === bestBallot && last > bestLast);
      if (node === context.self || logBallot === 0 || !better) continue;
      best = node;
      bestBallot = logBallot;
      bestLast = last;
    }
    if (best === context.self) return this.#win(log.suffix.filter((entry) => entry.instance > log.decided));
    if (bestLast <= log.decided) return this.#win([]);
    this.#fetch({
      node: best,
      logBallot: bestBallot,
      last: bestLast,
      decided: false,
      agrees: log.decided === 0,
      asked: 0,
      fetched: new Map(),
    });
  }

  #fetch(source: Source): void {
    const { context, log, id } = this.#group;
    // First with the last decided entry, to see whether the two logs agree there.
    const from = source.agrees ? log.decided + source.fetched.size + 1 : log.decided;
    this.#candidacy!.source = { ...source, asked: Math.max(from, source.asked) };
    // On its way already; what came answers the same node's catching up. Asking again for each would add one more with every chunk.
    if (from <= source.asked) return;
    context.out.send([source.node], { kind: "fetch", group: id, from, bytesMax: context.limits.fetchBytes });
  }

  /** Part of the chosen log, perhaps; its decided part has been learned already. */
  onEntries(from: NodeId, message: Entries): void {
    const { log, acceptor } = this.#group;
    const source = this.#candidacy?.source;
    if (!source || source.node !== from) return;
    if (message.ballot !== source.logBallot || acceptor.promised !== this.#candidacy!.ballot) return this.#retire();
    if (source.decided) return log.decided >= source.last ? this.#select() : this.#fetch(source);
    let { agrees } = source;
    for (const entry of message.entries) {
      if (!agrees && entry.instance === log.decided) {
        if (entry.ballot !== log.ballotAt(entry.instance)) return this.#win([]);
        agrees = true;
      }
      if (entry.instance > log.decided && entry.instance <= source.last) source.fetched.set(entry.instance, entry);
    }
    for (const instance of source.fetched.keys()) if (instance <= log.decided) source.fetched.delete(instance);
    const entries: Entry[] = [];
    for (let instance = log.decided + 1; instance <= source.last; instance++) {
      const entry = source.fetched.get(instance);
      if (!entry) return this.#fetch({ ...source, agrees, fetched: new Map(entries.map((known) => [known.instance, known])) });
      entries.push(entry);
    }
    if (agrees && log.fits(log.decided, entries)) this.#win(entries);
    else this.#retire();
  }

  /** Its own acceptor installs the new ballot: the decided prefix, the chosen suffix, and the start that fences it. */
  #win(suffix: readonly Entry[]): void {
    const { context, acceptor, coordinator, log, clock } = this.#group;
    const { ballot: won, released } = this.#candidacy!;
    this.#candidacy = null;
    if (acceptor.promised !== won) return;
    const base = log.decided;
    const top = suffix.at(-1);
    if (top) clock.see(top.stamp + top.count - 1);
    else clock.see(log.topStamp);
    const start = base + suffix.length + 1;
    acceptor.install(won, base, start, [...suffix, {
      instance: start,
      ballot: won,
      stamp: clock.stamp(1),
      count: 1,
      slotBase: top ? top.slotBase + top.slots : this.#slotsOfDecided(),
      slots: 0,
      kind: "start",
      batches: [],
    }]);
    this.leader = context.self;
    this.leaderBallot = won;
    this.roles.note(context.self, won, released === 0 ? this.roles.lostBy : "released", context.now);
    this.#heardAt = context.now;
    this.succession.begin(released);
    this.#watchAt = context.now + context.limits.heartbeatIdleMs;
    coordinator.lead(won, base, start);
    this.#group.proposer.coordinatorChanged();
    context.activeUntil = context.now + context.limits.activeMs;
    this.#group.node.beatNow();
  }

  #slotsOfDecided(): number {
    const { frontier } = this.#group;
    return frontier.slots;
  }

  /**
   * Check-quorum, both ways: those who say they hear us, by when we sent what they heard; and those we hear. A coordinator
   * that hears no quorum gets no votes either, and as long as it is heard nobody else may stand: it has to say that it stops.
   */
  #watchQuorum(): void {
    const { context, spec, coordinator } = this.#group;
    const { now, peers } = context;
    if (now < this.#watchAt) return;
    const others = this.#others();
    // A link that broke is no reason: it may be back before anybody is missed.
    const hearsUntil = reachedByQuorum([Infinity, ...others.map((node) => peers.overdueAt(node))], spec.q2, -Infinity);
    this.#watchAt = Math.min(now + context.limits.heartbeatIdleMs, Math.max(hearsUntil, now + context.limits.heartbeatMs));
    this.#heardAt = now;
    const heard = others.map((node) => Math.max(coordinator.ledAt, peers.heardUsAt(node)));
    const deafOrMute = now >= hearsUntil || now - reachedByQuorum([now, ...heard], spec.q2, -Infinity) > this.#leaseMs();
    if (deafOrMute && !context.without.has("step-down")) return this.#stepDown("no-quorum");
    const heir = this.succession.heir();
    if (heir !== 0) this.handOver(heir);
  }

  #stepDown(why: RoleReason): void {
    this.#group.coordinator.stop();
    this.#loseLeader(why);
    this.#standAt = this.#group.context.now + this.#patience(1);
    this.#group.node.beatNow();
  }

  /** Planned: stop proposing and let `to` (0: the best placed) take over without waiting for the lease. */
  handOver(to: NodeId): void {
    const { context, coordinator, id } = this.#group;
    const of = coordinator.ballot;
    if (of === 0) return;
    const target = to !== 0 && to !== context.self ? to : this.succession.bestPlaced();
    if (target === 0 || !this.#group.spec.acceptors.includes(target) || !this.succession.wouldHear(target)) return;
    coordinator.stop();
    this.#loseLeader("handed-over");
    this.#standAt = context.now + this.#leaseMs();
    context.out.send([target], { kind: "release", group: id, ballot: of });
  }

  /** The coordinator of `released` made way for us. */
  onRelease(released: Ballot): void {
    const { acceptor, coordinator, isAcceptor, voting } = this.#group;
    if (!isAcceptor || !voting || coordinator.ballot !== 0 || released !== this.leaderBallot || acceptor.promised > released) return;
    this.#candidacy = null;
    this.#stand(released);
  }

  /** Another candidate or coordinator holds a higher promise. */
  onNack(promised: Ballot): void {
    this.#seen = Math.max(this.#seen, promised);
    const { coordinator } = this.#group;
    if (coordinator.ballot === 0 || promised <= coordinator.ballot) return;
    this.#stepDown("outdone");
  }

  /** Whoever may have our promise gets the time to win: two who stand at once would only raise ballots against each other. */
  onPrepare(message: Prepare): void {
    const { acceptor, context, spec } = this.#group;
    if (!message.trial) this.#seen = Math.max(this.#seen, message.ballot);
    const candidate = ballotNode(message.ballot);
    if (message.ballot <= acceptor.promised || this.#leaseHolds() || this.#group.coordinator.ballot !== 0) return;
    if (this.#candidacy) {
      // Both on trial: the one that is preferred goes on.
      if (!this.#candidacy.trial || spec.acceptors.indexOf(candidate) > spec.acceptors.indexOf(context.self)) return;
      this.#candidacy = null;
    }
    const after = context.now + 2 * this.#farMs() + this.#patience(1);
    this.#standAt = this.#standAt === Infinity ? after : Math.max(this.#standAt, after);
  }
}

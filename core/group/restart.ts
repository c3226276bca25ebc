/**
 * What a group is made again from: journal records one by one, a base that stands for all records before it, or a checkpoint that
 * sums up more of the log than this node has. And the other way round: what it is now, as a base or as the end of a checkpoint.
 */
import type { JournalRecord, Resume } from "../effects.ts";
import type { Entry } from "../entry.ts";
import type { Foundation, Landmark, Repetition } from "../foundation.ts";
import type { Instance } from "../ids.ts";
import type { Group } from "./group.ts";

export class Restart {
  readonly #group: Group;

  constructor(group: Group) {
    this.#group = group;
  }

  restore(record: JournalRecord): void {
    const { log, acceptor } = this.#group;
    switch (record.kind) {
      case "promise":
        acceptor.promised = Math.max(acceptor.promised, record.ballot);
        return;
      case "accept":
        acceptor.promised = Math.max(acceptor.promised, record.ballot);
        log.append(record.entry);
        return;
      case "install":
        acceptor.promised = Math.max(acceptor.promised, record.ballot);
        // The decided prefix may not have been hinted that far; what lies above is dropped either way.
        this.#restoreDecided(record.above);
        log.install(record.ballot, record.base, record.start, record.above, record.entries);
        return;
      case "learn":
        acceptor.promised = Math.max(acceptor.promised, record.promised);
        this.#restoreDecided(record.above);
        log.learn(record.above, record.entries);
        this.#restoreDecided(log.decided);
        return;
      case "decided":
        this.#restoreDecided(record.upTo);
        return;
      case "base":
        acceptor.promised = Math.max(acceptor.promised, record.promised);
        return this.#restoreBase(record);
      case "ceiling":
        return;
    }
  }

  #restoreBase({ foundation, trimmed, landmarks, repeated, ballot, base, start, entries }: JournalRecord & { kind: "base" }): void {
    const { log, acceptor } = this.#group;
    this.#restOn(foundation, landmarks, repeated);
    log.restoreTrimmed(trimmed);
    for (const entry of entries) log.append(entry);
    log.ballot = ballot;
    log.base = base;
    log.start = start;
    acceptor.durable = log.last;
  }

  /** The decided prefix becomes what the foundation sums up, and the log nothing beside it. */
  #restOn(foundation: Foundation, landmarks: readonly Landmark[], repeated: readonly Repetition[]): void {
    this.#group.log.rest(foundation, landmarks);
    this.#group.learner.learned = foundation.instance;
    this.#group.frontier.restore(foundation);
    this.#group.repeats.restore(foundation.seen, repeated);
    this.#group.hinted = foundation.instance;
  }

  /** A checkpoint will be gone on from: what it sums up is decided, whether this node has heard of it or not. */
  resume({ promised, foundation }: Resume): void {
    const { log, acceptor, learner, coordinator, context } = this.#group;
    if (foundation.instance <= log.decided) return;
    if (log.get(foundation.instance)?.ballot === foundation.ballot) {
      // All of it is here: the same entry at the same place means the same log up to there.
      acceptor.conclude(promised);
      return learner.claimed(foundation.instance);
    }
    acceptor.raise(promised);
    if (coordinator.ballot !== 0) {
      coordinator.stop();
      this.#group.election.outdone();
    }
    this.#restOn(foundation, [], []);
    log.restoreTrimmed(foundation.instance);
    this.#group.clock.see(foundation.stamp);
    acceptor.rested(context.out.record(this.base()));
    this.#group.proposer.forget();
    learner.count();
  }

  /** How far the log goes and all that is needed to go on behind `instance`, which has been learned; null if it cannot be told any more. */
  foundation(instance: Instance): Resume | null {
    const { log, learner, frontier, repeats, acceptor, context } = this.#group;
    const summary = log.summary(instance);
    if (!summary || instance > learner.learned) return null;
    const above: Entry[] = [];
    for (let next = instance + 1; next <= learner.learned; next++) above.push(log.get(next)!);
    const started = frontier.started.filter((start) => start.instance <= instance);
    const foundation = { instance, ...summary, started, seen: context.without.has("foundation-seen") ? [] : repeats.before(above) };
    return { group: this.#group.id, promised: acceptor.promised, foundation };
  }

  /** Everything the journal's records of this group say, in one. */
  base(): JournalRecord {
    const { log, acceptor, learner, repeats } = this.#group;
    return {
      kind: "base",
      group: this.#group.id,
      promised: acceptor.promised,
      ballot: log.ballot,
      base: log.base,
      start: log.start,
      foundation: this.foundation(learner.learned)!.foundation,
      trimmed: log.trimmed,
      landmarks: log.landmarks.filter(({ instance }) => instance <= learner.learned).map(asLandmark),
      repeated: repeats.repeated,
      entries: log.suffix.filter(({ instance }) => instance > learner.learned),
    };
  }

  #restoreDecided(upTo: Instance): void {
    const { log, acceptor, learner } = this.#group;
    log.decide(Math.min(upTo, log.last));
    acceptor.durable = log.last;
    this.#group.hinted = log.decided;
    learner.learn();
  }
}

function asLandmark({ instance, stamp, slotBase }: Landmark): Landmark {
  return { instance, stamp, slotBase };
}

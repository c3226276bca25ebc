/**
 * Getting what was missed. Heartbeats show how far others are; a member that stays behind fetches from
 * one of them, chunk after chunk. It also answers such fetches, from memory or from the journal.
 */
import { type Entry, entryBytes } from "../entry.ts";
import type { Instance, Millis, NodeId } from "../ids.ts";
import type { Beat, Entries, Fetch } from "../message.ts";
import type { Group } from "./group.ts";

/** Whoever has not come further in that time does not wait for those who could tell. */
const fruitlessMs = 5_000;

export class CatchUp {
  readonly #group: Group;
  /** The fetch in flight. */
  #asked: { readonly node: NodeId; readonly from: Instance; readonly at: Millis } | null = null;
  /** Since when the same gap has been open, and where. */
  #behindSince: Millis = Infinity;
  #behindAt: Instance = 0;

  constructor(group: Group) {
    this.#group = group;
  }

  /** By the distance as it is known by then: the question may have been asked when nothing was. */
  get wakeAt(): Millis {
    if (!this.#asked) return Infinity;
    const { limits, peers } = this.#group.context;
    return this.#asked.at + limits.resendMs + 2 * peers.rttMs(this.#asked.node);
  }

  wake(): void {
    if (this.#group.context.now >= this.wakeAt) this.#asked = null;
  }

  /** Whether the sender of the beat is ahead, and if it stays so, a fetch. */
  compare(from: NodeId, beat: Beat): void {
    const { log, context, acceptor } = this.#group;
    const ahead = beat.logBallot === log.ballot
      ? beat.last > log.last || (beat.decided > log.decided && beat.promised !== beat.logBallot)
      : beat.decided > log.decided || (beat.logBallot > log.ballot && beat.logBallot >= acceptor.promised);
    if (!ahead) {
      if (beat.coordinates !== 0) this.#behindSince = Infinity;
      return;
    }
    if (this.#behindSince === Infinity || log.last !== this.#behindAt) {
      this.#behindSince = context.now;
      this.#behindAt = log.last;
    }
    // What is needed next that one has forgotten. Somebody else may have it; if nobody does, only a checkpoint helps.
    if (beat.trimmed > log.decided) {
      const hopeless = !this.#told(log.decided + 1) || context.now > this.#behindSince + fruitlessMs;
      if (hopeless) context.out.behind(this.#group.id);
      return;
    }
    // It would not hear the question.
    if (this.#asked || context.peers.deaf(from, context.now)) return;
    // What is on its way need not be fetched: wait a little, unless the gap is wide.
    const wide = beat.decided > log.decided + context.limits.windowEntries;
    const patience = 2 * context.limits.heartbeatMs + context.peers.rttMs(from);
    if (wide || context.now >= this.#behindSince + patience) this.fetchFrom(from);
  }

  /** Whether some member that can be heard still has this entry, as something decided. */
  #told(instance: Instance): boolean {
    const { spec, context } = this.#group;
    return spec.members.some((node) => {
      const beat = this.#group.beatOf(node);
      return beat !== null && beat.trimmed < instance && beat.decided >= instance && !context.peers.suspected(node, context.now) &&
        !context.peers.deaf(node, context.now);
    });
  }

  fetchFrom(node: NodeId): void {
    if (this.#asked || node === this.#group.context.self) return;
    this.#ask(node, this.#group.acceptor.firstMissing(this.#group.beatOf(node)?.logBallot ?? 0));
  }

  #ask(node: NodeId, from: Instance): void {
    const { context, id } = this.#group;
    this.#asked = { node, from, at: context.now };
    context.out.send([node], { kind: "fetch", group: id, from, bytesMax: context.limits.fetchBytes });
  }

  onFetch(from: NodeId, message: Fetch): void {
    const { log, context, id } = this.#group;
    if (message.from > log.last || message.from <= log.trimmed) return this.#answer(from, []);
    const bytesMax = Math.min(message.bytesMax, context.limits.fetchBytes);
    if (message.from >= log.first) {
      const entries: Entry[] = [];
      let bytes = 0;
      for (let instance = message.from; instance <= log.last; instance++) {
        const entry = log.get(instance)!;
        bytes += entryBytes(entry);
        if (entries.length > 0 && bytes > bytesMax) break;
        entries.push(entry);
      }
      return this.#answer(from, entries);
    }
    // Evicted entries are decided, so they are the same whenever the journal answers.
    context.reads.ask(id, message.from, log.first - 1, bytesMax, (entries) => {
      if (entries.length === 0) this.#group.trimmer.giveUp(message.from);
      this.#answer(from, entries);
    });
  }

  #answer(to: NodeId, entries: readonly Entry[]): void {
    const { log, context, acceptor, id } = this.#group;
    context.out.send([to], {
      kind: "entries",
      group: id,
      promised: acceptor.promised,
      ballot: log.ballot,
      base: log.base,
      start: log.start,
      last: log.last,
      decided: log.decided,
      entries,
    });
  }

  onEntries(from: NodeId, message: Entries): void {
    const { acceptor, log, learner, context, election } = this.#group;
    const asked = this.#asked?.node === from ? this.#asked : null;
    if (asked) this.#asked = null;
    this.#learnDecided(message);
    if (message.ballot !== 0 && message.ballot >= acceptor.promised && message.ballot >= log.ballot) {
      for (const entry of message.entries) {
        if (entry.instance <= log.decided) continue;
        // A new coordinator's own install is not complete before it leads; it never fetches here then.
        acceptor.accept(message.ballot, message.base, message.start, entry);
      }
      acceptor.follow(message.ballot, message.base, message.start);
    }
    if (message.ballot !== 0 && message.ballot === log.ballot && message.decided > log.decided) {
      acceptor.conclude(message.promised);
      learner.claimed(message.decided);
    }
    election.onEntries(from, message);
    const next = acceptor.firstMissing(message.ballot);
    // The following chunk, without waiting for a heartbeat.
    if (asked && next > asked.from && next <= message.last) this.#ask(from, next);
    context.activeUntil = context.now + context.limits.activeMs;
  }

  /** Decided entries count whatever ballot they come from. */
  #learnDecided(message: Entries): void {
    const { log, acceptor, learner } = this.#group;
    let known = log.decided;
    let fresh: Entry[] | null = null;
    for (const entry of message.entries) {
      if (entry.instance > message.decided) break;
      if (entry.instance <= log.decided) continue;
      if (entry.instance !== known + (fresh?.length ?? 0) + 1) return;
      if (!fresh && log.get(entry.instance)?.ballot === entry.ballot) known = entry.instance;
      else (fresh ??= []).push(entry);
    }
    if (known > log.decided) {
      acceptor.conclude(message.promised);
      // Deciding may let what waited be installed, and that decide more: look again at what is new.
      learner.claimed(known);
      if (fresh) this.#learnDecided(message);
    } else if (fresh && log.fits(known, fresh)) acceptor.learn(message.promised, known, fresh);
  }
}

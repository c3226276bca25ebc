/**
 * Deterministic merge: the commands of several groups in the order of their positions, each delivered
 * once nothing before it can still turn up. The order is a property of the commands, not of the
 * subscription, so learners with different subscriptions never disagree.
 */
import type { Context } from "../context.ts";
import type { Entry } from "../entry.ts";
import type { Group } from "../group/group.ts";
import type { Summary } from "../group/log.ts";
import type { GroupId, Instance, Millis } from "../ids.ts";
import { commandPosition, comparePositions, type Order, type Position, slotPosition, start } from "../position.ts";
import { groupById } from "../topology.ts";
import type { SubscriptionView } from "../view.ts";

/** One group's log, read forward. */
class Source {
  readonly group: Group;
  /** The entry whose commands come next; null at the end of what is known. */
  head: Entry | null = null;
  /** Of the head: the next command. */
  index = 0;
  /** The next entry to become head. */
  next: Instance;
  /** Read back from the journal, from `next` on. */
  readBack: readonly Entry[] = [];
  readAt = 0;
  reading = false;
  /** Others that have to be as far before a command of this one is delivered. */
  readonly abreast: readonly Group[];

  constructor(group: Group, next: Instance, abreast: readonly Group[]) {
    this.group = group;
    this.next = next;
    this.abreast = abreast;
  }
}

export class Merge {
  readonly subscription: number;
  readonly groups: readonly GroupId[];
  readonly #context: Context;
  readonly #sources: Source[];
  /** Commands it may still deliver. */
  #demand: number;
  #delivered: Position;
  #blockedOn: GroupId = 0;
  #blockedSince: Millis = Infinity;
  #closed = false;
  /** What comes next has been forgotten. */
  #lost = false;

  constructor(
    context: Context,
    subscription: number,
    groups: readonly Group[],
    options: {
      readonly after: Position | null | "now";
      readonly demand: number;
      readonly from?: readonly { readonly group: GroupId; readonly instance: Instance }[];
      readonly abreast: readonly Group[];
    },
  ) {
    const { after, demand, from, abreast } = options;
    this.#context = context;
    this.subscription = subscription;
    this.groups = groups.map((group) => group.id);
    this.#demand = demand;
    this.#delivered = after === "now" ? deliverableBy(groups) : after ?? start;
    const first = after === "now" ? firstInMemory : firstInstance;
    this.#sources = groups.map((group) => {
      const { spans } = groupById(context.topology, group.id);
      const spanned = abreast.filter(({ id }) => spans.includes(id));
      const known = from?.find((one) => one.group === group.id);
      if (known) return new Source(group, known.instance + 1, spanned);
      if (mayHaveMissed(context, group, this.#delivered)) this.#lost = true;
      return new Source(group, first(context, group, this.#delivered), spanned);
    });
  }

  get blockedOn(): GroupId {
    return this.#blockedOn;
  }

  get delivered(): Position {
    return this.#delivered;
  }

  get closed(): boolean {
    return this.#closed;
  }

  more(commands: number): void {
    this.#demand += commands;
  }

  close(): void {
    this.#closed = true;
  }

  /** Behind which position one can go on, if what comes next here has been forgotten; null while this one can. */
  get lost(): Position | null {
    if (!this.#lost) return null;
    let oldest = start;
    for (const { group } of this.#sources) {
      const kept = behindTrim(this.#context, group);
      if (comparePositions(kept, oldest) > 0) oldest = kept;
    }
    return oldest;
  }

  /**
   * After a pump: the greatest position up to which everything has been delivered, whether there is a command or not, and the part
   * of each log that lies at or before it. A function of that position alone, so that of two cursors one is nowhere behind the
   * other. Null while entries are read back, or where that part can no longer be told.
   */
  cursor(): { readonly position: Position; readonly groups: readonly { readonly group: Group; readonly instance: Instance }[] } | null {
    if (this.#closed || this.#sources.some(({ reading }) => reading)) return null;
    const nexts = this.#sources.map((source) => source.head ? this.#key(source) : source.group.nextUnknown());
    const position = before(nexts.reduce((least, next) => comparePositions(next, least) < 0 ? next : least));
    if (comparePositions(position, this.#delivered) < 0) return null;
    const groups: { group: Group; instance: Instance }[] = [];
    for (const { group, head, next } of this.#sources) {
      let instance = next - (head ? 2 : 1);
      let summary = group.log.summary(instance);
      while (summary && comparePositions(endOf(this.#context.topology.order, group.id, summary), position) > 0) {
        summary = group.log.summary(--instance);
      }
      if (!summary) return null;
      groups.push({ group, instance });
    }
    return { position, groups };
  }

  /** Delivers what can be delivered. */
  pump(): void {
    // Neither the last pump nor a reader since then had to wait.
    if (this.#blockedOn === 0) this.#blockedSince = Infinity;
    this.#blockedOn = 0;
    let delivered = false;
    while (this.#demand > 0 && !this.#closed && !this.#lost && this.#deliverRun()) delivered = true;
    // Under load there is always something that waits, and never for long.
    if (delivered) this.#blockedSince = Infinity;
    if (this.#blockedOn !== 0) this.#waits(this.#blockedOn);
  }

  #waits(group: GroupId): void {
    this.#blockedOn = group;
    if (this.#blockedSince === Infinity) this.#blockedSince = this.#context.now;
  }

  /** The smallest head, as far as it stays before everything else; false if there is none. */
  #deliverRun(): boolean {
    let best: Source | null = null;
    let bestKey = start;
    for (const source of this.#sources) {
      if (!this.#fill(source)) return false;
      if (!source.head) continue;
      const key = this.#key(source);
      if (!best || comparePositions(key, bestKey) < 0) {
        best = source;
        bestKey = key;
      }
    }
    if (!best) return false;
    const limit = this.#limit(best, bestKey);
    if (limit === null) return false;
    this.#deliver(best, limit);
    return true;
  }

  /** Makes the next entry with commands the head. False while it is being read back. */
  #fill(source: Source): boolean {
    while (!source.head) {
      if (source.next > source.group.learner.learned) return true;
      const entry = source.group.log.get(source.next) ?? source.readBack[source.readAt];
      if (!entry && source.next <= source.group.log.trimmed) {
        // Forgotten, and delivered or none of it ours; or what comes next is gone.
        this.#lost = mayHaveMissed(this.#context, source.group, this.#delivered);
        if (this.#lost) return false;
        source.next = source.group.log.trimmed + 1;
        continue;
      }
      if (!entry) {
        this.#read(source);
        return false;
      }
      if (source.readBack[source.readAt] === entry) source.readAt++;
      else if (source.readBack.length > 0) source.readBack = [];
      source.next++;
      const passed = entry.kind !== "batch" || comparePositions(this.#position(source, entry, entry.count - 1), this.#delivered) <= 0;
      if (passed) continue;
      source.head = entry;
      source.index = 0;
      while (comparePositions(this.#key(source), this.#delivered) <= 0) source.index++;
    }
    return true;
  }

  #read(source: Source): void {
    if (source.reading) return;
    source.reading = true;
    source.readBack = [];
    source.readAt = 0;
    const { next, group } = source;
    this.#context.reads.ask(
      group.id,
      next,
      Math.min(group.learner.learned, group.log.first - 1),
      this.#context.limits.fetchBytes,
      (entries) => {
        source.reading = false;
        // An answer that does not begin where it should is no answer; the next pump asks again.
        if (entries.length === 0) group.trimmer.giveUp(next);
        else if (entries[0]!.instance === source.next) source.readBack = entries;
      },
    );
  }

  /** The first position not before every other source's next command; null if some source may still bring one before `key`. */
  #limit(best: Source, key: Position): Position | null {
    let limit: Position | null = { major: Infinity, group: 0, minor: 0 };
    for (const source of this.#sources) {
      if (source === best) continue;
      limit = this.#nearer(limit, key, source.group, source.head ? this.#key(source) : source.group.nextUnknown());
      if (limit === null) return null;
    }
    for (const group of best.abreast) {
      limit = this.#nearer(limit, key, group, group.nextUnknown());
      if (limit === null) return null;
    }
    return limit;
  }

  /** The nearer of `limit` and what comes `next` in the group; null, and it is waited for, if that may come before `key`. */
  #nearer(limit: Position, key: Position, group: Group, next: Position): Position | null {
    if (this.#context.without.has("tie-by-group") ? next.major < key.major : comparePositions(next, key) <= 0) {
      this.#blockedOn = group.id;
      return null;
    }
    return comparePositions(next, limit) < 0 ? next : limit;
  }

  #deliver(source: Source, limit: Position): void {
    const entry = source.head!;
    const from = source.index;
    const most = Math.min(entry.count, from + this.#demand);
    let to = most;
    if (limit.major !== Infinity) {
      to = from + 1;
      while (to < most && comparePositions(this.#position(source, entry, to), limit) < 0) to++;
    }
    this.#context.out.deliver({
      subscription: this.subscription,
      group: source.group.id,
      entry,
      from,
      to,
      repeated: source.group.repeats.at(entry.instance),
    });
    this.#demand -= to - from;
    this.#delivered = this.#position(source, entry, to - 1);
    source.index = to;
    if (to === entry.count) source.head = null;
  }

  #position(source: Source, entry: Entry, index: number): Position {
    return commandPosition(this.#context.topology.order, source.group.id, entry, index);
  }

  #key(source: Source): Position {
    return this.#position(source, source.head!, source.index);
  }

  /** Whether everything at or below has been delivered. */
  hasPassed(position: Position): boolean {
    for (const source of this.#sources) {
      if (!source.head && source.next <= source.group.learner.learned) return false;
      const next = source.head ? this.#key(source) : source.group.nextUnknown();
      if (comparePositions(next, position) <= 0) {
        if (!source.head) this.#waits(source.group.id);
        return false;
      }
    }
    return true;
  }

  view(): SubscriptionView {
    let lag = 0;
    for (const source of this.#sources) lag += source.group.learner.learned + 1 - source.next + (source.head ? 1 : 0);
    return {
      subscription: this.subscription,
      groups: this.groups,
      delivered: this.#delivered,
      blockedOn: this.#blockedOn,
      blockedSince: this.#blockedOn === 0 ? Infinity : this.#blockedSince,
      lag,
    };
  }
}

/**
 * Everything at or below could have been delivered by now. Not what is decided in each group: an entry
 * decided in one of them but still waiting for another lies behind "now" for everybody, or a reader who
 * comes back to the same position would see what a reader who stayed did not.
 */
function deliverableBy(groups: readonly Group[]): Position {
  if (groups.length === 0) return start;
  const next = groups.map((group) => group.nextUnknown()).reduce((least, unknown) =>
    comparePositions(unknown, least) < 0 ? unknown : least
  );
  return before(next);
}

/** The greatest position before it: within a turn groups follow each other by number, and none has the number 0. */
function before({ major, group, minor }: Position): Position {
  return minor > 0 ? { major, group, minor: minor - 1 } : { major, group: group - 1, minor: 255 };
}

/** Like `firstInstance` for a position close to the end of the log: walks back instead of reading. */
function firstInMemory(context: Context, group: Group, after: Position): Instance {
  const { order } = context.topology;
  const { log, learner } = group;
  for (let instance = learner.learned; instance >= log.first; instance--) {
    const entry = log.get(instance)!;
    if (entry.kind !== "batch") continue;
    if (comparePositions(commandPosition(order, group.id, entry, entry.count - 1), after) <= 0) return instance + 1;
  }
  return firstInstance(context, group, after);
}

/** Of the group's order, the last position that may have been forgotten. */
function behindTrim({ topology: { order } }: Context, { id, log }: Group): Position {
  return endOf(order, id, log.trimmedEnd);
}

/** The last position that a part of a group's log uses. */
function endOf(order: Order, group: GroupId, { stamp, slots }: Pick<Summary, "stamp" | "slots">): Position {
  if (order.merge === "ts") return { major: stamp, group, minor: 0 };
  return slots === 0 ? start : slotPosition(order.turn, group, slots - 1);
}

/** Something behind `after` may have been forgotten. */
function mayHaveMissed(context: Context, group: Group, after: Position): boolean {
  return group.log.trimmed > 0 && comparePositions(after, behindTrim(context, group)) < 0;
}

/** Where to begin reading a group's log so as to miss nothing behind `after`. */
function firstInstance(context: Context, group: Group, after: Position): Instance {
  const { order } = context.topology;
  const landmark = order.merge === "ts"
    ? group.log.landmarkBelow(after.major, "stamp")
    // All of the turn, for it may lie behind a position of a group with a smaller number.
    : group.log.landmarkBelow(after.major * order.turn, "slotBase");
  // What is not decided may still be replaced by entries that come earlier in the order.
  return Math.min(landmark, group.learner.learned + 1);
}

/**
 * Proposes entries in one ballot (R6): stamps, slots, batching that adapts to the load, and a bounded
 * window. Who coordinates and why is the election's business.
 */
import { type Batch, batchOverheadBytes, type Entry, entryBytes, type EntryKind } from "../entry.ts";
import type { Ballot, Instance, Millis, Origin } from "../ids.ts";
import type { Group } from "./group.ts";

export class Coordinator {
  readonly #group: Group;
  /** The ballot it proposes in; 0 while it does not coordinate. */
  ballot: Ballot = 0;
  ledAt: Millis = 0;
  #base: Instance = 0;
  #start: Instance = 0;
  #queue: Batch[] = [];
  #queueBytes = 0;
  /** Batches queued or logged but not yet decided here. */
  readonly #taken = new Map<Origin, Set<number>>();
  #flightEntries = 0;
  /** Those of them that hold commands. */
  #flightBatches = 0;
  #flightBytes = 0;
  #skipAt: Millis = Infinity;
  /** When it last proposed commands. */
  #newestAt: Millis = -Infinity;
  /** Commands gather until then, if nothing is decided before. */
  #gathersUntil: Millis = Infinity;

  constructor(group: Group) {
    this.#group = group;
  }

  get wakeAt(): Millis {
    return Math.min(this.#skipAt, this.#gathersUntil);
  }

  /** Its own acceptor has installed the ballot; everybody else gets the re-proposed entries and the start. */
  lead(ballot: Ballot, base: Instance, start: Instance): void {
    const { log, context } = this.#group;
    this.ballot = ballot;
    this.ledAt = context.now;
    this.#base = base;
    this.#start = start;
    this.#taken.clear();
    this.#queue = [];
    this.#queueBytes = 0;
    this.#flightEntries = 0;
    this.#flightBatches = 0;
    this.#flightBytes = 0;
    if (context.topology.order.merge === "rr" && context.topology.groups.length > 1) this.#skipAt = context.now;
    for (let instance = Math.min(base, log.decided) + 1; instance <= log.last; instance++) {
      const entry = log.get(instance);
      if (!entry) continue;
      for (const batch of entry.batches) this.#take(batch);
      if (instance > log.decided) this.#count(entry, 1);
      if (instance > base) this.#send(entry, true);
    }
  }

  /** A higher ballot was promised here. */
  outdone(by: Ballot): void {
    if (this.ballot === 0 || by <= this.ballot) return;
    this.stop();
    this.#group.election.outdone();
  }

  stop(): void {
    this.ballot = 0;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#taken.clear();
    this.#skipAt = Infinity;
    this.#gathersUntil = Infinity;
  }

  enqueue(batches: readonly Batch[]): void {
    const { repeats, context } = this.#group;
    for (const batch of batches) {
      if (repeats.has(batch.origin, batch.sequence) || this.#taken.get(batch.origin)?.has(batch.sequence)) continue;
      // Proposers bound what each may have pending; beyond four of them at once it is dropped and comes again.
      if (this.#queueBytes > 4 * context.limits.pendingBytes) return;
      this.#take(batch);
      this.#queue.push(batch);
      this.#queueBytes += batch.bytes.byteLength + batchOverheadBytes;
    }
  }

  #take(batch: Batch): void {
    const taken = this.#taken.get(batch.origin);
    if (taken) taken.add(batch.sequence);
    else this.#taken.set(batch.origin, new Set([batch.sequence]));
  }

  #count(entry: Entry, sign: 1 | -1): void {
    this.#flightEntries += sign;
    if (entry.kind === "batch") this.#flightBatches += sign;
    this.#flightBytes += sign * entryBytes(entry);
  }

  learned(entry: Entry): void {
    if (this.ballot === 0) return;
    this.#group.election.succession.decided(entry.instance);
    if (entry.instance > this.#base && this.#flightEntries > 0) this.#count(entry, -1);
    for (const batch of entry.batches) this.#taken.get(batch.origin)?.delete(batch.sequence);
  }

  /**
   * Proposes what the window lets through: at once when few commands are in flight, else full entries, or what has gathered. Skips do
   * not count there: far from its acceptors a group always has some in flight.
   */
  flush(): void {
    this.#gathersUntil = Infinity;
    if (this.ballot === 0 || this.#queue.length === 0) return;
    const { limits } = this.#group.context;
    let taken = 0;
    while (taken < this.#queue.length) {
      if (this.#flightEntries >= limits.windowEntries || this.#flightBytes >= limits.windowBytes) break;
      if (this.#queueBytes < limits.entryBytes && this.#gathers()) break;
      const first = taken;
      let bytes = 0;
      let count = 0;
      while (taken < this.#queue.length) {
        const batch = this.#queue[taken]!;
        const size = batch.bytes.byteLength + batchOverheadBytes;
        if (taken > first && (bytes + size > limits.entryBytes || count + batch.count > limits.entryCommands)) break;
        bytes += size;
        count += batch.count;
        taken++;
      }
      this.#queueBytes -= bytes;
      this.#propose("batch", this.#queue.slice(first, taken), count, count);
    }
    if (taken > 0) this.#queue = this.#queue.slice(taken);
  }

  /**
   * Does what is queued, less than a full entry, wait for more? Not if little is in flight, and never long: until something is decided,
   * commands far from their acceptors would wait for half a round trip, to save entries that cost little there.
   */
  #gathers(): boolean {
    const { context } = this.#group;
    const until = this.#newestAt + context.limits.gatherMs;
    if (context.now >= until || this.#flightBatches < 2) return false;
    this.#gathersUntil = until;
    return true;
  }

  #propose(kind: EntryKind, batches: readonly Batch[], count: number, slots: number): void {
    const { log, clock, acceptor, context, election } = this.#group;
    // Others' commands keep it awake as well: it would be missed later than whoever waits for it can stand.
    if (kind === "batch") {
      context.activeUntil = context.now + context.limits.activeMs;
      this.#newestAt = context.now;
    }
    const entry: Entry = {
      instance: log.last + 1,
      ballot: this.ballot,
      stamp: clock.stamp(count),
      count,
      slotBase: log.slots,
      slots,
      kind,
      batches,
    };
    this.#count(entry, 1);
    this.#send(entry, false);
    acceptor.append(entry);
    election.succession.proposed(entry.instance, context.out.lsn);
  }

  #send(entry: Entry, full: boolean): void {
    const { log, clock, shape, spec, id } = this.#group;
    shape.send({
      kind: "accept",
      group: id,
      ballot: this.ballot,
      base: this.#base,
      start: this.#start,
      ring: spec.shape === "ring",
      entry,
      decided: log.decided,
      clock: entry.instance < log.last ? 0 : clock.state(),
    }, full);
  }

  /**
   * Rate levelling (merge `rr`): gives up slots so that this group keeps pace with λ and with the
   * fastest group heard of. All skips of an interval are one entry.
   */
  wake(): void {
    const { context, clock, log, node } = this.#group;
    if (context.now < this.#skipAt || this.ballot === 0) return;
    this.#skipAt = context.now + context.topology.skipIntervalMs;
    if (this.#flightEntries >= context.limits.windowEntries) return;
    const paced = Math.floor((clock.state() / 1_000_000) * context.topology.skipRate);
    // To the end of the turn the fastest group is in: a turn half given up would still hold back what it has there.
    const { order } = context.topology;
    const turn = order.merge === "rr" ? order.turn : 1;
    const target = Math.max(paced, Math.ceil(node.fastestSlots() / turn) * turn);
    const queued = this.#queue.reduce((sum, batch) => sum + batch.count, 0);
    const missing = target - log.slots - queued;
    if (missing > 0) this.#propose("skip", [], 1, missing);
  }
}

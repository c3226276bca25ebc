/**
 * A node's journal device: appends become durable in order, some time later, several at once as in
 * a group commit. A crash keeps everything that was durable and a random prefix of what was not.
 */
import type { JournalRecord, ReadRequest } from "../../core/effects.ts";
import { type Entry, entryBytes } from "../../core/entry.ts";
import type { GroupId, Instance, Lsn, Millis } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import { JournalState } from "./journal_state.ts";
import type { Prng } from "./prng.ts";
import type { EventQueue } from "./queue.ts";

export interface DiskFaults {
  /** A sync takes at least this long, and typically so much longer. */
  readonly syncMinMs: Millis;
  readonly syncTypicalMs: Millis;
  /** Now and then one sync takes this long. */
  readonly stallMs: Millis;
  readonly stallChance: number;
  /** Chance that a crash keeps some of the records that were handed over but not durable. */
  readonly keepTornTail: number;
}

/** The journal begins anew with these: all of them at once, or none. */
interface Rebase {
  readonly kind: "rebase";
  readonly records: readonly JournalRecord[];
}

export class Disk {
  faults: DiskFaults;
  /** Everything durable, over all lives of the process. */
  readonly durable: JournalRecord[] = [];
  state = new JournalState();
  readonly #durability: Durability;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #onDurable: (record: JournalRecord) => void;
  #pending: (JournalRecord | Rebase)[] = [];
  readonly #trims = new Map<GroupId, Instance>();
  #waiting: { readonly upTo: Lsn; readonly done: () => void }[] = [];
  /** Records of this life that are durable. */
  #upTo: Lsn = 0;
  #syncing = false;
  /** Counts lives: what belongs to an earlier one finds it changed. */
  #life = 0;

  constructor(
    options: {
      durability: Durability;
      queue: EventQueue;
      prng: Prng;
      faults: DiskFaults;
      onDurable: (record: JournalRecord) => void;
    },
  ) {
    this.#durability = options.durability;
    this.#queue = options.queue;
    this.#prng = options.prng;
    this.faults = options.faults;
    this.#onDurable = options.onDurable;
  }

  /** `done` is called once these records, and all before them, are durable. */
  append(records: readonly (JournalRecord | Rebase)[], done: () => void): void {
    this.#pending.push(...records);
    this.#waiting.push({ upTo: this.#upTo + this.#pending.length, done });
    this.#sync();
  }

  /** In its place among the appends; nobody waits for it. */
  rebase(records: readonly JournalRecord[]): void {
    this.append([{ kind: "rebase", records }], () => {});
  }

  trim(group: GroupId, upTo: Instance): void {
    this.#trims.set(group, upTo);
    this.#trim();
  }

  /** Not before what was handed over until now is there: some of it may be what is trimmed. */
  #trim(): void {
    if (this.#pending.length > 0) return;
    for (const [group, upTo] of this.#trims) this.state.group(group).trim(upTo);
    this.#trims.clear();
  }

  /**
   * Entries of the group's log from `from` on, once everything handed over so far is durable; fewer than asked for
   * now and then, at least one if there is one.
   */
  read(request: ReadRequest, done: (entries: readonly Entry[]) => void): void {
    const life = this.#life;
    const answer = (): void => {
      this.#queue.after(this.faults.syncMinMs + this.#prng.longTail(this.faults.syncTypicalMs), () => {
        if (life === this.#life) done(this.#entries(request));
      });
    };
    if (this.#pending.length === 0) return answer();
    this.#waiting.push({ upTo: this.#upTo + this.#pending.length, done: answer });
  }

  /** Power is lost. What remains is in `durable`. */
  crash(): void {
    this.#life++;
    if (this.#durability === "memory") {
      this.durable.length = 0;
      this.state = new JournalState();
    } else {
      // Under `async` the operating system survives, and with it everything it was handed.
      const all = this.#pending.length;
      const kept = this.#durability === "async" ? all : this.#prng.chance(this.faults.keepTornTail) ? this.#prng.between(0, all) : 0;
      for (let i = 0; i < kept; i++) this.#keep(this.#pending[i]!);
    }
    this.#pending = [];
    this.#trims.clear();
    this.#waiting = [];
    this.#upTo = 0;
    this.#syncing = false;
  }

  #entries({ group, from, to, bytesMax }: ReadRequest): readonly Entry[] {
    const log = this.state.group(group);
    const result: Entry[] = [];
    const fewer = this.#prng.chance(0.2) ? this.#prng.between(1, 3) : Infinity;
    let bytes = 0;
    for (let instance = from; instance <= to && result.length < fewer; instance++) {
      const entry = log.get(instance);
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && result.length > 0) break;
      result.push(entry);
    }
    return result;
  }

  #sync(): void {
    if (this.#syncing || this.#pending.length === 0) return;
    this.#syncing = true;
    const life = this.#life;
    const count = this.#pending.length;
    const { syncMinMs, syncTypicalMs, stallChance, stallMs } = this.faults;
    let takes = 0;
    if (this.#durability === "sync") {
      takes = syncMinMs + this.#prng.longTail(syncTypicalMs) + (this.#prng.chance(stallChance) ? stallMs : 0);
    }
    this.#queue.after(takes, () => {
      if (life !== this.#life) return;
      this.#syncing = false;
      for (const record of this.#pending.splice(0, count)) this.#keep(record);
      this.#upTo += count;
      this.#trim();
      while (this.#waiting[0] !== undefined && this.#waiting[0].upTo <= this.#upTo) this.#waiting.shift()!.done();
      this.#sync();
    });
  }

  #keep(record: JournalRecord | Rebase): void {
    if (record.kind === "rebase") {
      this.durable.length = 0;
      this.durable.push(...record.records);
      for (const base of record.records) this.state.apply(base);
      return;
    }
    this.durable.push(record);
    this.state.apply(record);
    this.#onDurable(record);
  }
}

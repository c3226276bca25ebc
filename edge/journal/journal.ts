/**
 * The node's durable records: one journal for all its groups. While one batch is written and synced, the
 * next gathers; a batch is one write and one sync, however many records and groups are in it.
 */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { GroupId, Instance, Millis, NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import type { Rule } from "../../core/rules.ts";
import type { Clock, Disk } from "../runtime.ts";
import type { Damage } from "./damage.ts";
import type { Crc32 } from "./frame.ts";
import { DiskJournal } from "./disk_journal.ts";
import { MemoryJournal } from "./memory_journal.ts";
import { segmentBytesDefault } from "./segments.ts";
import type { JournalStats } from "./stats.ts";
import { openSuperblock } from "./superblock.ts";

export interface Recovery {
  readonly records: number;
  /** What the last process was writing when it ended and nobody was told of; cut off. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | null;
  /** The directory was empty. */
  readonly fresh: boolean;
  /**
   * The records may be fewer than what this node once said: it does not vote on them until it has heard the others
   * (docs/decisions/0007), and then says so by `rejoined`.
   */
  readonly rejoining: boolean;
  /** There were others than these here: they were damaged, or may be newer elsewhere. So whatever is here, the node is not new. */
  readonly lost: boolean;
  /** What was unreadable and has been given up. */
  readonly damage: readonly Damage[];
}

export interface Journal {
  /**
   * Every record from the newest bases on, oldest first, in bounded memory. Before the first append, once. Throws
   * CarillonError `corrupt`, naming file and byte, if something that was durable is unreadable.
   */
  recover(each: (record: JournalRecord) => void): Promise<Recovery>;
  /**
   * After a `recover` that threw `corrupt`, for a node whose peers hold what it held: puts the damaged files aside and begins
   * anew, rejoining. What `each` was told is void: go on with a core that has been told nothing.
   */
  quarantine(): Promise<Recovery>;
  /** The node has heard the others and votes: the next start need not do so again. Durable when it resolves. */
  rejoined(): Promise<void>;
  /**
   * Appends in this order. `done` is called once: durable (`sync`), written (`async`), or at once and inside the call
   * (`memory`). After an error nothing is written any more and every `done` gets that error.
   */
  append(records: readonly JournalRecord[], done: (error: Error | null) => void): void;
  /**
   * Begins anew with these: one `base` per group, and a ceiling. They say everything that the records appended before the
   * call say, and more may be appended at once. `done` when the next recovery begins here; a crash before that falls back to
   * where it began before.
   */
  rebase(records: readonly JournalRecord[], done: (error: Error | null) => void): void;
  /** Entries of the group up to there are not needed any more: they cannot be read back, and their room is given up in time. */
  trim(group: GroupId, upTo: Instance): void;
  /** The oldest instance that can be read back; where none can, the next to be appended. `read` answers from below it with nothing. */
  oldest(group: GroupId): Instance;
  /**
   * Entries of the log the group holds at the time of the call, from `from` on: consecutive, at least one if it is there,
   * else up to `bytesMax`. Those before one that is unreadable; none if it is the first (and `onDamage` is told).
   */
  read(group: GroupId, from: Instance, to: Instance, bytesMax: number): Promise<Entry[]>;
  stats(): JournalStats;
  /** Writes and syncs what has been appended and lets go of the directory. */
  close(): Promise<void>;
}

export interface JournalOptions {
  /** Null: records are kept in memory (`memory`). */
  readonly disk: Disk | null;
  readonly clock: Clock;
  readonly crc32: Crc32;
  /** 32 random bits, for a new directory. */
  readonly entropy: () => number;
  readonly durability: Durability;
  readonly cluster: string;
  readonly node: NodeId;
  /** A write or sync failed: nothing is retried, the process has to end. At most once. */
  readonly onFailure: (error: Error) => void;
  /**
   * Others hold what this journal holds (default: no). A new directory then rejoins, since it may be one that was wiped; and
   * old entries that are unreadable are given up and reported, where a node by itself refuses to start.
   */
  readonly replicated?: boolean;
  /** Something that was durable turned out to be unreadable while the node runs. Once for each place. */
  readonly onDamage?: (damage: Damage) => void;
  /** True: there is room for little more than votes, so refuse what is new. False: there is room again. */
  readonly onSpace?: (full: boolean) => void;
  /** Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Put by for a full disk; at least a segment, 0 for none. Default: two segments. */
  readonly reserveBytes?: number;
  /** Everything is read once in so long. Default: a day. */
  readonly scrubEveryMs?: Millis;
  /** Rules the simulator takes away. */
  readonly without?: ReadonlySet<Rule>;
}

const scrubEveryMsDefault: Millis = 86_400_000;

/** Throws CarillonError `config` if another process holds the directory, or it is another cluster's, node's or format's, or a copy. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { disk, durability, crc32, clock, entropy, cluster, node, onFailure } = options;
  if (durability === "memory") return new MemoryJournal();
  assert(disk !== null, `Cannot open a journal: durability "${durability}" needs a directory`);
  const { segmentBytes = segmentBytesDefault, replicated = false } = options;
  const { reserveBytes = 2 * segmentBytes } = options;
  assert(
    reserveBytes === 0 || reserveBytes >= segmentBytes,
    `Cannot open a journal: a reserve of ${reserveBytes} bytes has no room for a segment of ${segmentBytes}`,
  );
  const without: ReadonlySet<Rule> = options.without ?? new Set();
  const release = await disk.lock();
  try {
    const wanted = { cluster, node, replicated: replicated && !without.has("empty-rejoins") };
    const superblock = await openSuperblock({ disk, crc32, entropy }, wanted, await disk.list());
    return new DiskJournal({
      disk,
      clock,
      crc32,
      entropy,
      durability,
      superblock,
      replicated,
      segmentBytes,
      reserveBytes,
      scrubEveryMs: options.scrubEveryMs ?? scrubEveryMsDefault,
      release,
      onFailure,
      without,
      onDamage: options.onDamage ?? ((): void => {}),
      onSpace: options.onSpace ?? ((): void => {}),
    });
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * The node's durable records: one journal for all its groups. While one batch is written and synced, the
 * next gathers; a batch is one write and one sync, however many records and groups are in it.
 */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { GroupId, Instance, NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import type { Clock, Disk } from "../runtime.ts";
import type { Crc32 } from "./frame.ts";
import { DiskJournal } from "./disk_journal.ts";
import { settleIdentity } from "./identity.ts";
import { MemoryJournal } from "./memory_journal.ts";
import { segmentBytesDefault, segmentNumbers } from "./segments.ts";
import type { JournalStats } from "./stats.ts";

export interface Recovery {
  readonly records: number;
  /** What the last process was writing when it ended and nobody was told of; cut off. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | null;
}

export interface Journal {
  /**
   * Every record there is, oldest first, in bounded memory. Before the first append, once. Throws CarillonError `corrupt`,
   * naming file and byte, if something that was durable is unreadable.
   */
  recover(each: (record: JournalRecord) => void): Promise<Recovery>;
  /**
   * Appends in this order. `done` is called once: durable (`sync`), written (`async`), or at once and inside the call
   * (`memory`). After an error nothing is written any more and every `done` gets that error.
   */
  append(records: readonly JournalRecord[], done: (error: Error | null) => void): void;
  /**
   * Entries of the log the group holds at the time of the call, from `from` on: consecutive, at least one if it is there,
   * else up to `bytesMax`. Throws CarillonError `corrupt` if one is unreadable.
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
  /** Default 16 MiB. */
  readonly segmentBytes?: number;
}

/** Throws CarillonError `config` if another process holds the directory, or it is another cluster's, node's or format's. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { disk, durability, crc32 } = options;
  if (durability === "memory") return new MemoryJournal();
  assert(disk !== null, `Cannot open a journal: durability "${durability}" needs a directory`);
  const release = await disk.lock();
  try {
    const names = await disk.list();
    const wanted = { cluster: options.cluster, node: options.node, seed: options.entropy() };
    const { seed } = await settleIdentity(disk, wanted, names, crc32);
    return new DiskJournal({
      disk,
      durability,
      crc32,
      seed,
      release,
      clock: options.clock,
      segments: segmentNumbers(names),
      segmentBytes: options.segmentBytes ?? segmentBytesDefault,
      onFailure: options.onFailure,
    });
  } catch (error) {
    await release();
    throw error;
  }
}

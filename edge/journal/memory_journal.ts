/**
 * A journal that forgets with its process. Only log entries are kept, encoded and packed into slabs: for
 * the others who ask for old ones, at a fraction of what they would take as objects.
 */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import { type Entry, entryBytes } from "../../core/entry.ts";
import type { GroupId, Instance } from "../../core/ids.ts";
import { Reader, Writer } from "../codec/bytes.ts";
import { readEntry, writeEntry } from "../codec/entry.ts";
import type { Journal, Recovery } from "./journal.ts";
import { LogIndex, offsetOf, type Place, place, unitOf } from "./log_index.ts";
import { Histogram, type JournalStats } from "./stats.ts";

const slabBytes = 1 << 20;
/** What one read looks up at most: bounds the list of places, not the answer. */
const readEntriesMax = 4_096;

export class MemoryJournal implements Journal {
  readonly #index = new LogIndex();
  /** By number, ascending. All but the last are full; none ever grows. */
  readonly #slabs = new Map<number, Writer>();
  #last = -1;
  readonly #syncSeconds = new Histogram();
  /** Bytes of all slabs, and those left in the last. */
  #held = 0;
  #room = 0;
  #records = 0;
  #batches = 0;
  #bytesWritten = 0;
  #trims = 0;

  recover(): Promise<Recovery> {
    return Promise.resolve({ records: 0, torn: null, fresh: true, rejoining: false, lost: false, damage: [] });
  }

  quarantine(): Promise<Recovery> {
    return this.recover();
  }

  rejoined(): Promise<void> {
    return Promise.resolve();
  }

  append(records: readonly JournalRecord[], done: (error: Error | null) => void): void {
    for (const record of records) {
      if (record.kind === "accept") this.#index.note(record, () => this.#keep(record.entry));
      else if (record.kind === "install" || record.kind === "learn" || record.kind === "base") {
        const { entries } = record;
        this.#index.note(record, (index) => this.#keep(entries[index]!));
      }
    }
    this.#records += records.length;
    this.#batches++;
    done(null);
  }

  /** A restart finds nothing anyway, and what the bases hold is held already. */
  rebase(records: readonly JournalRecord[], done: (error: Error | null) => void): void {
    this.#records += records.length;
    this.#batches++;
    done(null);
  }

  trim(group: GroupId, upTo: Instance): void {
    if (upTo <= this.#index.trimmedTo(group)) return;
    this.#trims++;
    this.#index.note({ kind: "trim", group, upTo }, () => 0);
    for (const slab of this.#slabs.keys()) {
      if (slab === this.#last || this.#index.coverage.needed(slab, (other) => this.#index.trimmedTo(other))) continue;
      this.#held -= this.#slabs.get(slab)!.capacity;
      this.#slabs.delete(slab);
      this.#index.coverage.forget(slab);
    }
  }

  oldest(group: GroupId): Instance {
    return this.#index.oldest(group);
  }

  read(group: GroupId, from: Instance, to: Instance, bytesMax: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    let bytes = 0;
    for (const at of this.#index.range(group, from, to, readEntriesMax)) {
      const entry = readEntry(new Reader(this.#slabs.get(unitOf(at))!.view(offsetOf(at))));
      bytes += entryBytes(entry);
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(entry);
    }
    return Promise.resolve(entries);
  }

  stats(): JournalStats {
    return {
      records: this.#records,
      batches: this.#batches,
      bytesWritten: this.#bytesWritten,
      segments: this.#slabs.size,
      bytes: this.#held,
      entries: this.#index.entries,
      bytesSinceRebase: 0,
      oldestSegment: this.#slabs.keys().next().value ?? 0,
      trims: this.#trims,
      damages: 0,
      scrubbedBytes: 0,
      full: false,
      syncSeconds: this.#syncSeconds.view(),
    };
  }

  close(): Promise<void> {
    this.#slabs.clear();
    return Promise.resolve();
  }

  /** Encoded where it stays: what is logged is most of what this process copies. */
  #keep(entry: Entry): Place {
    const most = entryBytes(entry);
    if (most > this.#room) {
      this.#room = Math.max(slabBytes, most);
      this.#held += this.#room;
      this.#slabs.set(++this.#last, new Writer(this.#room));
    }
    const slab = this.#slabs.get(this.#last)!;
    const at = slab.length;
    writeEntry(slab, entry);
    const bytes = slab.length - at;
    assert(bytes <= most, `Cannot keep an entry of ${bytes} bytes: at most ${most} were counted`);
    this.#bytesWritten += bytes;
    this.#room -= bytes;
    return place(this.#last, at);
  }
}

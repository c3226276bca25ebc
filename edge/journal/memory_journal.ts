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
  /** All but the last are full; none ever grows. */
  readonly #slabs: Writer[] = [];
  readonly #syncSeconds = new Histogram();
  /** Bytes of all slabs, and those left in the last. */
  #held = 0;
  #room = 0;
  #records = 0;
  #batches = 0;
  #bytesWritten = 0;

  recover(): Promise<Recovery> {
    return Promise.resolve({ records: 0, torn: null });
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

  read(group: GroupId, from: Instance, to: Instance, bytesMax: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    let bytes = 0;
    for (const at of this.#index.range(group, from, to, readEntriesMax)) {
      const entry = readEntry(new Reader(this.#slabs[unitOf(at)]!.view(offsetOf(at))));
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
      segments: this.#slabs.length,
      bytes: this.#held,
      entries: this.#index.entries,
      syncSeconds: this.#syncSeconds.view(),
    };
  }

  close(): Promise<void> {
    this.#slabs.length = 0;
    return Promise.resolve();
  }

  /** Encoded where it stays: what is logged is most of what this process copies. */
  #keep(entry: Entry): Place {
    const most = entryBytes(entry);
    if (most > this.#room) {
      this.#room = Math.max(slabBytes, most);
      this.#held += this.#room;
      this.#slabs.push(new Writer(this.#room));
    }
    const slab = this.#slabs.at(-1)!;
    const at = slab.length;
    writeEntry(slab, entry);
    const bytes = slab.length - at;
    assert(bytes <= most, `Cannot keep an entry of ${bytes} bytes: at most ${most} were counted`);
    this.#bytesWritten += bytes;
    this.#room -= bytes;
    return place(this.#slabs.length - 1, at);
  }
}

/** Where each entry of every group's current log can be read back: eight bytes an entry, kept in step with the records. */
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { GroupId, Instance } from "../../core/ids.ts";

/** Where a record begins, as one number. */
export type Place = number;

const placesPerUnit = 2 ** 28;

/** `unit`: the segment or slab; `offset`: bytes into it, below 2^28. */
export function place(unit: number, offset: number): Place {
  return unit * placesPerUnit + offset;
}

export function unitOf(place: Place): number {
  return Math.floor(place / placesPerUnit);
}

export function offsetOf(place: Place): number {
  return place % placesPerUnit;
}

/** Places of consecutive instances. */
class Places {
  /** Instance of the first place. */
  first: Instance = 1;
  length = 0;
  #at = new Float64Array(64);

  get(instance: Instance): Place {
    return this.#at[instance - this.first]!;
  }

  /** A hole is not kept: the log then begins behind it. */
  set(instance: Instance, at: Place): void {
    if (instance < this.first || instance > this.first + this.length) {
      this.first = instance;
      this.length = 0;
    }
    const index = instance - this.first;
    if (index === this.#at.length) {
      const grown = new Float64Array(index * 2);
      grown.set(this.#at);
      this.#at = grown;
    }
    this.#at[index] = at;
    this.length = Math.max(this.length, index + 1);
  }

  dropUpTo(upTo: Instance): void {
    const gone = Math.min(Math.max(upTo + 1 - this.first, 0), this.length);
    if (gone === 0) return;
    this.#at.copyWithin(0, gone, this.length);
    this.first += gone;
    this.length -= gone;
  }

  dropAbove(above: Instance): void {
    this.length = Math.min(this.length, Math.max(above + 1 - this.first, 0));
  }
}

export class LogIndex {
  readonly #groups = new Map<GroupId, Places>();

  /** Takes note of a record; `placeOf(i)` is where its i-th entry can be read. */
  note(record: JournalRecord, placeOf: (index: number) => Place): void {
    switch (record.kind) {
      case "accept": {
        const places = this.#places(record.group);
        places.dropAbove(record.entry.instance - 1);
        places.set(record.entry.instance, placeOf(0));
        return;
      }
      case "base":
        this.#places(record.group).dropUpTo(record.trimmed);
        return this.#replace(record.group, record.foundation.instance, record.entries, placeOf);
      case "install":
      case "learn":
        return this.#replace(record.group, record.above, record.entries, placeOf);
      case "promise":
      case "decided":
      case "ceiling":
        return;
    }
  }

  #replace(group: GroupId, above: Instance, entries: readonly Entry[], placeOf: (index: number) => Place): void {
    const places = this.#places(group);
    places.dropAbove(above);
    for (let index = 0; index < entries.length; index++) places.set(entries[index]!.instance, placeOf(index));
  }

  /** Places of `from`, `from + 1`, … up to `to` (inclusive) or the first that is not there; at most `most`. */
  range(group: GroupId, from: Instance, to: Instance, most: number): Place[] {
    const places = this.#groups.get(group);
    if (places === undefined || from < places.first) return [];
    const end = Math.min(to + 1, places.first + places.length, from + most);
    const found: Place[] = [];
    for (let instance = from; instance < end; instance++) found.push(places.get(instance));
    return found;
  }

  get entries(): number {
    let total = 0;
    for (const places of this.#groups.values()) total += places.length;
    return total;
  }

  #places(group: GroupId): Places {
    let places = this.#groups.get(group);
    if (places === undefined) this.#groups.set(group, places = new Places());
    return places;
  }
}

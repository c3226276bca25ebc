/** Where each entry of every group's current log can be read back: eight bytes an entry, kept in step with the records. */
import type { Entry } from "../../core/entry.ts";
import type { GroupId, Instance } from "../../core/ids.ts";
import { Coverage } from "./coverage.ts";
import type { Payload } from "./payload.ts";
import { Places } from "./places.ts";

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

export class LogIndex {
  readonly coverage: Coverage = new Coverage();
  readonly #groups = new Map<GroupId, Places>();

  /** Takes note of a record; `placeOf(i)` is where its i-th entry can be read. */
  note(payload: Payload, placeOf: (index: number) => Place): void {
    switch (payload.kind) {
      case "accept": {
        const { instance } = payload.entry;
        const places = this.#places(payload.group);
        places.dropAbove(instance - 1);
        return this.#set(places, payload.group, instance, placeOf(0));
      }
      case "install":
      case "learn": {
        this.#places(payload.group).dropAbove(payload.above);
        return this.#setAll(payload.group, payload.entries, placeOf);
      }
      case "base": {
        // Taken over from a peer: what was here at or below it may never have been decided.
        this.#places(payload.group).trim(payload.foundation.instance);
        this.#places(payload.group).dropAbove(payload.foundation.instance);
        return this.#setAll(payload.group, payload.entries, placeOf);
      }
      case "rebase": {
        const { group, foundation, entries } = payload.base;
        this.#places(group).dropAbove(foundation.instance);
        this.#places(group).reach(foundation.instance);
        return this.#setAll(group, entries, placeOf);
      }
      case "trim":
        return this.#places(payload.group).trim(payload.upTo);
      case "promise":
      case "decided":
      case "ceiling":
        return;
    }
  }

  /** As `note`, of a record of which only this much has been looked at: entries `first`, `first + 1`, … at one place. */
  noteRun(group: GroupId, above: Instance, first: Instance, count: number, at: Place): void {
    const places = this.#places(group);
    places.dropAbove(above);
    for (let instance = first; instance < first + count; instance++) this.#set(places, group, instance, at);
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

  /** The oldest instance that has a place; where there is none, the first that can get one. */
  oldest(group: GroupId): Instance {
    return this.#groups.get(group)?.first ?? 1;
  }

  /** Entries up to here have been given up. */
  trimmedTo(group: GroupId): Instance {
    return this.#groups.get(group)?.trimmedTo ?? 0;
  }

  /** Every group that has been trimmed, with how far. */
  trims(): { readonly group: GroupId; readonly upTo: Instance }[] {
    const trims = [...this.#groups].map(([group, places]) => ({ group, upTo: places.trimmedTo }));
    return trims.filter(({ upTo }) => upTo > 0);
  }

  /** Whose entry is at this place: a search, for when something is wrong with it. */
  ownerOf(at: Place): { readonly group: GroupId; readonly instance: Instance } | null {
    for (const [group, places] of this.#groups) {
      const instance = places.find(at);
      if (instance !== null) return { group, instance };
    }
    return null;
  }

  /** Forgets every place, of all groups: each log then begins behind what is noted next. */
  clear(): void {
    this.coverage.clear();
    for (const places of this.#groups.values()) places.clear();
  }

  get entries(): number {
    let total = 0;
    for (const places of this.#groups.values()) total += places.length;
    return total;
  }

  #setAll(group: GroupId, entries: readonly Entry[], placeOf: (index: number) => Place): void {
    const places = this.#places(group);
    for (let index = 0; index < entries.length; index++) this.#set(places, group, entries[index]!.instance, placeOf(index));
  }

  #set(places: Places, group: GroupId, instance: Instance, at: Place): void {
    if (instance <= places.trimmedTo) return;
    places.set(instance, at);
    this.coverage.note(unitOf(at), group, instance);
  }

  #places(group: GroupId): Places {
    let places = this.#groups.get(group);
    if (places === undefined) this.#groups.set(group, places = new Places());
    return places;
  }
}

/**
 * What a sequence of journal records amounts to, worked out independently of the core: the disk
 * answers reads from it, the oracles compare votes with it.
 */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { Ballot, GroupId, Instance, Stamp } from "../../core/ids.ts";
import { demand } from "./oracle/violation.ts";

export class GroupState {
  promised: Ballot = 0;
  logBallot: Ballot = 0;
  start: Instance = 0;
  /** Nothing at or below is there any more; what is left of it. */
  floor: Instance = 0;
  #floorStamp: Stamp = 0;
  #floorSlots = 0;
  /** Dense: entry of instance i at index i − floor − 1. */
  entries: Entry[] = [];

  get last(): Instance {
    return this.floor + this.entries.length;
  }

  get(instance: Instance): Entry | undefined {
    return this.entries[instance - this.floor - 1];
  }

  /** Drops everything above `above` and appends. */
  replace(above: Instance, entries: readonly Entry[]): void {
    assert(above <= this.last, `Cannot replace the log above ${above}: it ends at ${this.last}`);
    assert(above >= this.floor, `Cannot replace the log above ${above}: it begins at ${this.floor + 1}`);
    this.entries.length = above - this.floor;
    for (const entry of entries) this.append(entry);
  }

  append(entry: Entry): void {
    const before = this.entries.at(-1);
    const stamp = before === undefined ? this.#floorStamp : before.stamp + before.count - 1;
    const slots = before === undefined ? this.#floorSlots : before.slotBase + before.slots;
    assert(entry.instance === this.last + 1, `Cannot append instance ${entry.instance}: the log ends at ${this.last}`);
    demand(entry.stamp > stamp, "stamps", () => `instance ${entry.instance} is appended and its stamp is not above the one before (I3)`);
    demand(entry.slotBase === slots, "slots", () => `instance ${entry.instance} is appended and its slots do not continue (I7)`);
    this.entries.push(entry);
  }

  trim(upTo: Instance): void {
    if (upTo <= this.floor) return;
    const top = this.get(upTo);
    assert(top !== undefined, `Cannot trim to ${upTo}: the log ends at ${this.last}`);
    this.#floorStamp = top.stamp + top.count - 1;
    this.#floorSlots = top.slotBase + top.slots;
    this.entries = this.entries.slice(upTo - this.floor);
    this.floor = upTo;
  }

  /** A base either sums up what is here, or takes its place. */
  rest({ foundation, trimmed, ballot, start, entries }: JournalRecord & { kind: "base" }): void {
    this.logBallot = ballot;
    this.start = start;
    if (trimmed === foundation.instance || foundation.instance > this.last) {
      this.floor = foundation.instance;
      this.#floorStamp = foundation.stamp;
      this.#floorSlots = foundation.slots;
      this.entries = [...entries];
      return;
    }
    const same = foundation.instance + entries.length === this.last &&
      entries.every((entry) => this.get(entry.instance)?.ballot === entry.ballot);
    demand(same, "base", () => `a base holds the log up to ${foundation.instance + entries.length}; it goes to ${this.last}`);
  }
}

export class JournalState {
  readonly groups = new Map<GroupId, GroupState>();
  ceiling = 0;

  group(id: GroupId): GroupState {
    let state = this.groups.get(id);
    if (state === undefined) this.groups.set(id, state = new GroupState());
    return state;
  }

  apply(record: JournalRecord): void {
    switch (record.kind) {
      case "ceiling":
        this.ceiling = Math.max(this.ceiling, record.stamp);
        return;
      case "decided":
        return;
      case "promise":
        return this.#promise(this.group(record.group), record.ballot);
      case "accept": {
        const state = this.group(record.group);
        this.#promise(state, record.ballot);
        assert(record.ballot === state.logBallot, `Cannot accept in ballot ${record.ballot}: the log is of ${state.logBallot}`);
        return state.append(record.entry);
      }
      case "install": {
        const state = this.group(record.group);
        this.#promise(state, record.ballot);
        assert(record.ballot >= state.logBallot, `Cannot install ballot ${record.ballot}: the log is of ${state.logBallot}`);
        state.logBallot = record.ballot;
        state.start = record.start;
        return state.replace(record.above, record.entries);
      }
      case "learn": {
        const state = this.group(record.group);
        this.#promise(state, record.promised);
        // Entries that its ballot did not propose, or a suffix dropped: no ballot's log any more, only a decided prefix.
        if (record.above < state.last || record.entries.some((entry) => entry.ballot !== state.logBallot)) {
          state.logBallot = 0;
          state.start = 0;
        }
        return state.replace(record.above, record.entries);
      }
      case "base": {
        const state = this.group(record.group);
        this.#promise(state, record.promised);
        return state.rest(record);
      }
    }
  }

  /** Monotone whatever the record says: a record speaks for at least its ballot. */
  #promise(state: GroupState, ballot: Ballot): void {
    if (ballot > state.promised) state.promised = ballot;
  }
}

/**
 * What a sequence of journal records amounts to, worked out independently of the core: the disk
 * answers reads from it, the oracles compare votes with it.
 */
import { assert } from "../../core/assert.ts";
import type { JournalRecord } from "../../core/effects.ts";
import type { Entry } from "../../core/entry.ts";
import type { Ballot, GroupId, Instance } from "../../core/ids.ts";
import { demand } from "./oracle/violation.ts";

export class GroupState {
  promised: Ballot = 0;
  logBallot: Ballot = 0;
  start: Instance = 0;
  /** Dense from 1: entry of instance i at index i − 1. */
  readonly entries: Entry[] = [];

  get last(): Instance {
    return this.entries.length;
  }

  /** Drops everything above `above` and appends. */
  replace(above: Instance, entries: readonly Entry[]): void {
    assert(above <= this.last, `Cannot replace the log above ${above}: it ends at ${this.last}`);
    this.entries.length = above;
    for (const entry of entries) this.append(entry);
  }

  append(entry: Entry): void {
    const before = this.entries.at(-1);
    assert(entry.instance === this.last + 1, `Cannot append instance ${entry.instance}: the log ends at ${this.last}`);
    if (before !== undefined) {
      const increases = entry.stamp >= before.stamp + before.count;
      demand(increases, "stamps", () => `instance ${entry.instance} is appended and its stamp is not above the one before (I3)`);
      const continues = entry.slotBase === before.slotBase + before.slots;
      demand(continues, "slots", () => `instance ${entry.instance} is appended and its slots do not continue (I7)`);
    }
    this.entries.push(entry);
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
    }
  }

  /** Monotone whatever the record says: a record speaks for at least its ballot. */
  #promise(state: GroupState, ballot: Ballot): void {
    if (ballot > state.promised) state.promised = ballot;
  }
}

/** What is decided here in a later ballot than was promised here ends the ballots between: their logs may lack it. */
import { expect, test } from "bun:test";
import type { Effects, JournalRecord } from "../../core/effects.ts";
import type { Batch, Entry } from "../../core/entry.ts";
import { ballot, type NodeId, origin } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Accept, Beat, Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({
  nodes: ["n1", "n2", "n3", "n4"].map((name) => ({ name })),
  groups: [{ name: "a", acceptors: ["n1", "n2", "n3"] }],
});

/** Node 4 only learns. n1 began ballot 1.1, n3 ballot 2.3 without 2@1.1, and n1 ballot 3.1 with it: there it was decided. */
const first = ballot(1, 1);
const between = ballot(2, 3);
const later = ballot(3, 1);

class Learner {
  core = this.#begin([]);
  readonly journal: JournalRecord[] = [];
  #now = 1_000;

  #begin(journal: readonly JournalRecord[]): CoreNode {
    const core = new CoreNode({ id: 4, topology, limits: defaultLimits, durability: "sync", seed: 1, incarnation: 1 + journal.length });
    for (const record of journal) core.restore(record);
    return core;
  }

  restart(): void {
    this.core = this.#begin(this.journal);
  }

  receive(from: NodeId, message: Message): Effects {
    this.#now++;
    this.core.step({ kind: "receive", from, message }, { mono: this.#now, wall: this.#now * 1_000 });
    const effects = this.core.drain();
    this.journal.push(...effects.records);
    return effects;
  }

  get log(): readonly string[] {
    const [group] = this.core.view().groups;
    return group!.suffix.map((entry) => `${entry.instance}@${entry.ballot}${entry.instance <= group!.decided ? "" : "?"}`);
  }
}

const batch = (sequence: number): Batch => ({
  origin: origin(2, 9),
  sequence,
  count: 1,
  bytes: new Uint8Array([1, 0, 0, 0, sequence]),
});

const fence = (instance: number, of: number, stamp: number, slotBase: number): Entry => ({
  instance,
  ballot: of,
  stamp,
  count: 1,
  slotBase,
  slots: 0,
  kind: "start",
  batches: [],
});

const command = (instance: number, of: number, stamp: number, slotBase: number, sequence = instance): Entry => ({
  instance,
  ballot: of,
  stamp,
  count: 1,
  slotBase,
  slots: 1,
  kind: "batch",
  batches: [batch(sequence)],
});

const accept = (of: number, base: number, start: number, entry: Entry): Accept => ({
  kind: "accept",
  group: 1,
  ballot: of,
  base,
  start,
  ring: false,
  entry,
  decided: 0,
  clock: 0,
});

const one = fence(1, first, 100, 0);
const two = command(2, first, 200, 0);

function held(): Learner {
  const learner = new Learner();
  learner.receive(1, accept(first, 0, 1, one));
  learner.receive(1, accept(first, 0, 1, two));
  expect(learner.log).toEqual([`1@${first}?`, `2@${first}?`]);
  return learner;
}

/** What n3 sent while it led, on its way for long. */
function stale(learner: Learner): void {
  learner.receive(3, accept(between, 1, 2, fence(2, between, 150, 0)));
  learner.receive(3, accept(between, 1, 2, command(3, between, 160, 0, 7)));
}

test("told by entries", () => {
  for (const restart of [false, true]) {
    const learner = held();
    learner.receive(2, {
      kind: "entries",
      group: 1,
      promised: later,
      ballot: 0,
      base: 0,
      start: 0,
      last: 2,
      decided: 2,
      entries: [one, two],
    });
    expect(learner.log).toEqual([`1@${first}`, `2@${first}`]);
    if (restart) learner.restart();
    stale(learner);
    expect(learner.core.view().groups[0]).toMatchObject({ promised: later, logBallot: first, last: 2, decided: 2 });
  }
});

test("told by a heartbeat", () => {
  for (const restart of [false, true]) {
    const learner = held();
    const beat: Beat = {
      group: 1,
      voting: true,
      promised: later,
      logBallot: first,
      voted: 2,
      last: 2,
      decided: 2,
      clock: 0,
      coordinates: 0,
      slots: 1,
      safe: 0,
      trimmed: 0,
    };
    learner.receive(2, {
      kind: "heartbeat",
      incarnation: 5,
      sequence: 1,
      sentAt: 1,
      echoIncarnation: 0,
      echoSentAt: 0,
      echoHeldMs: 0,
      nextInMs: 10,
      hurry: false,
      beats: [beat],
    });
    if (restart) learner.restart();
    stale(learner);
    const group = learner.core.view().groups[0]!;
    // Either it does not believe the heartbeat or it does not follow the ballot between: never both.
    if (group.logBallot === between) expect(learner.log).toEqual([`1@${first}`, `2@${between}?`, `3@${between}?`]);
    else expect(group).toMatchObject({ logBallot: first, last: 2 });
  }
});

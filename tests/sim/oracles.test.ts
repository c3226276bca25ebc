/** The testers are tested: each oracle is shown one history that is fine and one that is not. */
import { describe as suite, expect, test } from "bun:test";
import type { Delivery, Effects } from "../../core/effects.ts";
import { type Batch, type Entry, packCommands } from "../../core/entry.ts";
import { ballot, origin } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import type { Position } from "../../core/position.ts";
import { parseTopology } from "../../core/topology.ts";
import type { GroupView, NodeView } from "../../core/view.ts";
import { JournalState } from "./journal_state.ts";
import { Oracles, Violation } from "./oracles.ts";

const nodes = ["n1", "n2", "n3"].map((name) => ({ name }));
const topology = parseTopology({ nodes, groups: [{ name: "a" }, { name: "b" }] });
const b1 = ballot(1, 1);
const b2 = ballot(2, 2);

function command(id: number): Uint8Array {
  const payload = new Uint8Array(8);
  new DataView(payload.buffer).setUint32(4, id, true);
  return payload;
}

function batch(sequence: number, ...ids: number[]): Batch {
  return { origin: origin(1, 1), sequence, count: ids.length, bytes: packCommands(ids.map(command)) };
}

function started(instance: number, of: number, stamp: number, slotBase = 0): Entry {
  return { instance, ballot: of, stamp, count: 1, slotBase, slots: 0, kind: "start", batches: [] };
}

function values(instance: number, of: number, stamp: number, slotBase: number, ...batches: Batch[]): Entry {
  const count = batches.reduce((sum, { count }) => sum + count, 0);
  return { instance, ballot: of, stamp, count, slotBase, slots: count, kind: "batch", batches };
}

class Story {
  readonly oracles = new Oracles({ topology, limits: defaultLimits, remembers: true });
  readonly disks = new Map([1, 2, 3].map((node) => [node, new JournalState()]));

  /** Each of the nodes has the entries of a new ballot durably on disk; the last is its start. */
  install(of: number, group: number, entries: readonly Entry[], ...on: number[]): this {
    const start = entries.at(-1)!.instance;
    for (const node of on) {
      this.#record(node, { kind: "install", group, ballot: of, base: 0, start, above: entries[0]!.instance - 1, entries });
    }
    return this;
  }

  accept(of: number, group: number, entry: Entry, ...on: number[]): this {
    for (const node of on) this.#record(node, { kind: "accept", group, ballot: of, entry });
    return this;
  }

  propose(group: number, ...ids: number[]): this {
    for (const id of ids) this.oracles.proposals.proposed(1, 1, id, group, id);
    return this;
  }

  view(node: number, change: Partial<GroupView>): this {
    const group: GroupView = {
      group: 1,
      voting: true,
      forgetful: [],
      promised: b2,
      logBallot: b1,
      start: 1,
      last: 9,
      decided: 0,
      voted: 0,
      coordinates: 0,
      coordinator: 0,
      roles: [],
      clock: 0,
      frontier: { major: 0, group: 1, minor: 0 },
      suffix: [],
      slots: 0,
      trimmed: 0,
      safe: 0,
      pendingCommands: 0,
      pendingBytes: 0,
      ...change,
    };
    this.oracles.shows(node, { groups: [group], subscriptions: [], peers: [] }, null, this.disks.get(node)!);
    return this;
  }

  says(node: number, ...messages: Message[]): this {
    const effects: Effects = {
      send: messages.map((message) => ({ to: [3], message })),
      records: [],
      sendAfterPersist: [],
      reads: [],
      deliveries: [],
      refusals: [],
      confirmations: [],
      trims: [],
      lost: [],
      behind: [],
      wakeAt: Infinity,
    };
    this.oracles.says(node, effects);
    for (const envelope of effects.send) this.oracles.leaves(node, envelope, this.disks.get(node)!);
    return this;
  }

  subscribe(node: number, subscription: number, groups: number[], after: Position | null | "now" = null, granted = Infinity): this {
    const view: NodeView = { groups: [], subscriptions: [], peers: [] };
    this.oracles.subscribed({ node, subscription, groups, after, granted, view });
    return this;
  }

  deliver(node: number, subscription: number, group: number, entry: Entry, change: Partial<Delivery> = {}): this {
    this.oracles.delivered(node, { subscription, group, entry, from: 0, to: entry.count, repeated: null, ...change });
    return this;
  }

  #record(node: number, record: Parameters<Oracles["recorded"]>[1]): void {
    const disk = this.disks.get(node)!;
    disk.apply(record);
    this.oracles.recorded(node, record, disk);
    this.oracles.persisted(node, record, disk);
  }
}

/** g1: start at 10, commands 1 and 2 at 20 and 21, command 3 at 30; g2: command 4 at 25. */
function twoGroups(): Story {
  return new Story().propose(1, 1, 2, 3).propose(2, 4)
    .install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1, 2).accept(b1, 1, second, 1, 2)
    .install(b1, 2, [started(1, b1, 11)], 1, 2).accept(b1, 2, other, 1, 2);
}
const first = values(2, b1, 20, 0, batch(1, 1, 2));
const second = values(3, b1, 30, 2, batch(2, 3));
const other = values(2, b1, 25, 0, batch(1, 4));

function caught(oracle: string, act: () => unknown): void {
  let violation: unknown = null;
  try {
    act();
  } catch (error) {
    violation = error;
  }
  expect(violation).toBeInstanceOf(Violation);
  expect([(violation as Violation).oracle, (violation as Violation).message]).toEqual([oracle, expect.stringMatching(/ /)]);
}

suite("logs", () => {
  test("a value is decided when a quorum's disks hold it behind the start of its ballot", () => {
    const story = new Story().propose(1, 1, 2).install(b1, 1, [started(1, b1, 10)], 1).accept(b1, 1, first, 1);
    expect(story.oracles.groups.get(1)!.decided).toBe(0);
    story.install(b1, 1, [started(1, b1, 10)], 2);
    expect(story.oracles.groups.get(1)!.decided).toBe(1);
    story.accept(b1, 1, first, 2);
    expect(story.oracles.groups.get(1)!.decided).toBe(2);
  });

  test("agreement: a node that takes something else for decided", () => {
    const wrong = values(2, b1, 22, 0, batch(9, 9));
    caught("agreement", () => twoGroups().view(3, { decided: 2, last: 2, suffix: [wrong] }));
  });

  test("durable-quorum: a node that takes for decided what one disk holds", () => {
    const story = new Story().propose(1, 1, 2).install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1);
    story.view(1, { decided: 1 });
    caught("durable-quorum", () => story.view(1, { decided: 2 }));
  });

  test("ballot-log (I1): two entries for one instance of one ballot", () => {
    const story = new Story().propose(1, 1, 2).install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1);
    caught("ballot-log", () => story.accept(b1, 1, values(2, b1, 20, 0, batch(5, 5)), 2));
  });

  test("carried-over (I5): a later ballot without what was decided", () => {
    caught("carried-over", () => twoGroups().install(b2, 1, [started(1, b2, 50)], 3));
    caught("carried-over", () => {
      const story = twoGroups();
      const lost = [started(1, b1, 10), values(2, b2, 20, 0, batch(7, 7, 8)), started(3, b2, 50, 2)];
      story.install(b2, 1, lost, 3);
    });
  });

  test("stamps and slots (I3, I7): entries that do not continue", () => {
    const story = (): Story => new Story().propose(1, 1, 2, 3).install(b1, 1, [started(1, b1, 10)], 1).accept(b1, 1, first, 1);
    expect(() => story().accept(b1, 1, values(3, b1, 21, 2, batch(2, 3)), 1)).toThrow("I3");
    expect(() => story().accept(b1, 1, values(3, b1, 30, 1, batch(2, 3)), 1)).toThrow("I7");
  });

  test("late: something is decided below a frontier somebody relied on", () => {
    const story = new Story().propose(1, 1, 2).install(b1, 1, [started(1, b1, 10)], 1, 2);
    story.view(3, { decided: 1, frontier: { major: 20, group: 1, minor: 0 } });
    caught("late", () => story.accept(b1, 1, first, 1, 2));
  });

  test("late: a frontier above what the node itself lacks", () => {
    caught("late", () => twoGroups().view(3, { decided: 2, frontier: { major: 30, group: 1, minor: 0 } }));
    twoGroups().view(3, { decided: 2, frontier: { major: 29, group: 1, minor: 0 } });
  });
});

suite("words", () => {
  const vote = (node: number, upTo: number, of = b1): Message => ({
    kind: "vote",
    group: 1,
    ballot: of,
    ring: true,
    votes: [{ node, upTo, clock: 1 }],
  });
  const promise = (clock: number, of = b2): Message => ({
    kind: "promise",
    group: 1,
    ballot: of,
    trial: false,
    granted: true,
    promised: of,
    logBallot: b1,
    last: 3,
    decided: 3,
    clock,
  });
  const accept = (entry: Entry, clock: number): Message => ({
    kind: "accept",
    group: 1,
    ballot: b1,
    base: 0,
    start: 1,
    ring: false,
    entry,
    decided: 0,
    clock,
  });

  test("vote-before-disk", () => {
    twoGroups().says(1, vote(1, 3));
    caught("vote-before-disk", () => twoGroups().says(1, vote(1, 4)));
    caught("vote-before-disk", () => twoGroups().says(3, vote(3, 1)));
  });

  test("borrowed-vote", () => {
    twoGroups().says(3, vote(1, 3));
    caught("borrowed-vote", () => twoGroups().says(1, vote(3, 1)));
  });

  test("promise-before-disk", () => {
    const story = twoGroups();
    caught("promise-before-disk", () => story.says(1, promise(100)));
    story.disks.get(1)!.apply({ kind: "promise", group: 1, ballot: b2 });
    story.says(1, promise(100));
  });

  test("clock-promise (I6)", () => {
    const story = twoGroups().says(1, { kind: "vote", group: 1, ballot: b1, ring: false, votes: [{ node: 1, upTo: 3, clock: 100 }] });
    story.disks.get(1)!.apply({ kind: "promise", group: 1, ballot: b2 });
    caught("clock-promise", () => story.says(1, promise(99)));
  });

  test("coordinator-clock", () => {
    caught("coordinator-clock", () => new Story().says(1, accept(started(1, b1, 10), 20)).says(1, accept(first, 30)));
    new Story().says(1, accept(started(1, b1, 10), 19)).says(1, accept(first, 30));
  });

  test("abstains", () => {
    caught("abstains", () => twoGroups().view(1, { voting: false }).says(1, vote(1, 1)));
  });

  test("retreat and ballots (I2, I4)", () => {
    caught("ballots", () => twoGroups().view(1, { promised: 0 }));
    caught("retreat", () => twoGroups().view(1, { promised: b2 }).view(1, { promised: b1 }));
    caught("retreat", () => twoGroups().view(1, { decided: 2 }).view(1, { decided: 1 }));
    caught("retreat", () => twoGroups().view(1, { decided: 2, last: 1 }));
  });

  test("retreat: a restart that knows less than its disk", () => {
    const story = twoGroups();
    caught("retreat", () => {
      story.oracles.restarted(1, { groups: [{ ...emptyView, promised: 0 }], subscriptions: [], peers: [] }, story.disks.get(1)!);
    });
  });

  test("bounded", () => {
    caught("bounded", () => twoGroups().view(1, { pendingCommands: defaultLimits.pendingCommands + 1 }));
    caught("bounded", () => twoGroups().view(1, { coordinates: b1, last: 1_000 }));
  });

  const emptyView: GroupView = {
    group: 1,
    voting: true,
    forgetful: [],
    promised: 0,
    logBallot: 0,
    start: 0,
    last: 0,
    decided: 0,
    voted: 0,
    coordinates: 0,
    coordinator: 0,
    roles: [],
    clock: 0,
    frontier: { major: 0, group: 1, minor: 0 },
    suffix: [],
    slots: 0,
    trimmed: 0,
    safe: 0,
    pendingCommands: 0,
    pendingBytes: 0,
  };
});

suite("order", () => {
  test("each subscription sees its part of the one order, from where it begins", () => {
    twoGroups().subscribe(1, 1, [1, 2]).deliver(1, 1, 1, first).deliver(1, 1, 2, other).deliver(1, 1, 1, second)
      .subscribe(2, 2, [1]).deliver(2, 2, 1, first).deliver(2, 2, 1, second)
      .subscribe(3, 3, [1, 2], { major: 21, group: 1, minor: 0 }).deliver(3, 3, 2, other);
  });

  test("order: something is left out, repeated, early, or not decided", () => {
    caught("order", () => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 1, second));
    caught("order", () => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 1, first).deliver(1, 1, 1, first));
    caught("order", () => twoGroups().subscribe(1, 1, [1, 2]).deliver(1, 1, 2, other));
    caught("order", () => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 2, other));
    caught("order", () => twoGroups().subscribe(1, 1, [1], { major: 21, group: 1, minor: 0 }).deliver(1, 1, 1, first));
    caught("durable-quorum", () => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 1, values(4, b1, 40, 3, batch(3, 5))));
  });

  test("late: a delivery forbids everything below it in all groups subscribed", () => {
    const story = twoGroups().propose(2, 5).subscribe(1, 1, [1, 2]);
    story.deliver(1, 1, 1, first).deliver(1, 1, 2, other).deliver(1, 1, 1, second);
    caught("late", () => story.accept(b1, 2, values(3, b1, 29, 1, batch(2, 5)), 1, 2));
  });

  test("repeats: a second occurrence has no effect, and the node must know", () => {
    const again = values(4, b1, 40, 3, batch(1, 1, 2));
    const story = (): Story => twoGroups().accept(b1, 1, again, 1, 2).subscribe(1, 1, [1]).deliver(1, 1, 1, first).deliver(1, 1, 1, second);
    story().deliver(1, 1, 1, again, { repeated: new Set([0]) });
    caught("repeats", () => story().deliver(1, 1, 1, again));
    caught("repeats", () => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 1, first, { repeated: new Set([0]) }));
  });

  test("demand: no more than was asked for", () => {
    twoGroups().subscribe(1, 1, [1], null, 2).deliver(1, 1, 1, first);
    caught("demand", () => twoGroups().subscribe(1, 1, [1], null, 1).deliver(1, 1, 1, first));
  });

  test("confirm: only after what was visible anywhere", () => {
    const story = (): Story => twoGroups().subscribe(1, 1, [1]).deliver(1, 1, 1, first).subscribe(2, 2, [1, 2]);
    const ask = (told: Story): void => told.oracles.subscriptions.get("2/2")!.confirmAsked(7, [1]);
    const position = { major: 21, group: 1, minor: 0 };
    const good = story();
    ask(good);
    good.deliver(2, 2, 1, first);
    good.oracles.confirmed(2, { request: 7, position });
    const bad = story();
    ask(bad);
    bad.deliver(2, 2, 1, first, { to: 1 });
    caught("confirm", () => bad.oracles.confirmed(2, { request: 7, position: { major: 20, group: 1, minor: 0 } }));
    caught("confirm", () => story().oracles.confirmed(2, { request: 8, position }));
  });
});

suite("proposals", () => {
  test("integrity: nobody proposed it, or to another group", () => {
    caught("integrity", () => new Story().install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1, 2));
    caught("integrity", () => new Story().propose(2, 1, 2).install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1, 2));
  });

  test("exactly-once: one command in two batches", () => {
    caught("exactly-once", () => twoGroups().accept(b1, 1, values(4, b1, 40, 3, batch(3, 1)), 1, 2));
  });

  test("refused: what was refused is never ordered, what is ordered is never refused", () => {
    const refusal = { ticket: 1, code: "overloaded", reason: "no room" } as const;
    const story = new Story().propose(1, 1, 2);
    story.oracles.refused(1, 1, refusal);
    caught("refused", () => story.install(b1, 1, [started(1, b1, 10)], 1, 2).accept(b1, 1, first, 1, 2));
    caught("refused", () => twoGroups().oracles.refused(1, 1, refusal));
  });

  test("what is pending is known until it is ordered, refused or its proposer dies", () => {
    const { oracles } = twoGroups().propose(1, 5, 6);
    oracles.refused(1, 1, { ticket: 6, code: "overloaded", reason: "no room" });
    expect(oracles.proposals.pendingOf(() => 1, () => true)).toEqual(["command 5 of n1 to g1"]);
    expect(oracles.proposals.pendingOf(() => 2, () => true)).toEqual([]);
    expect(oracles.proposals.pendingOf(() => 1, () => false)).toEqual([]);
  });
});

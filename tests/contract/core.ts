/**
 * The arithmetic every node has to agree on, whatever runs it: positions as text, the layout of batches, what a
 * topology means. A difference between two runtimes here would be a difference in the order.
 */
import { type Batch, eachCommand, type Entry, entryBytes, packCommands } from "../../core/entry.ts";
import { ballot, ballotNode, ballotRound, origin, originNode } from "../../core/ids.ts";
import type { Input } from "../../core/effects.ts";
import { defaultLimits } from "../../core/limits.ts";
import { Frontier } from "../../core/merge/frontier.ts";
import { CoreNode } from "../../core/node.ts";
import { describe } from "../../core/message.ts";
import { commandPosition, comparePositions, formatPosition, parsePosition, type Position } from "../../core/position.ts";
import { groupsReaching, parseTopology, spanningGroup } from "../../core/topology.ts";
import { equal, test } from "./check.ts";

const utf8 = new TextEncoder();

export function core(): void {
  ids();
  positions();
  entries();
  topologies();
  frontiers();
  orders();
}

function ids(): void {
  test("core: ballots and origins come apart as they were put together, up to the largest", () => {
    const ballots = [[1, 1], [2, 65_535], [2 ** 36, 7]].map(([round, node]) => ballot(round!, node!));
    equal(ballots.map((value) => [ballotRound(value), ballotNode(value)]), [[1, 1], [2, 65_535], [2 ** 36, 7]]);
    const origins = [[1, 1], [65_535, 2 ** 32 - 1]].map(([node, life]) => origin(node!, life!));
    equal(origins.map((value) => [Number.isSafeInteger(value), originNode(value)]), [[true, 1], [true, 65_535]]);
  });
}

function positions(): void {
  const samples: readonly (readonly [Position, string])[] = [
    [{ major: 0, group: 0, minor: 0 }, "00000000000000000000"],
    [{ major: 1, group: 2, minor: 3 }, "00000000000001000203"],
    [{ major: 2 ** 32 - 1, group: 1, minor: 0 }, "000000ffffffff000100"],
    [{ major: 2 ** 32, group: 1, minor: 0 }, "00000100000000000100"],
    [{ major: 45_000_000_000_000, group: 65_535, minor: 255 }, "0028ed6103d000ffffff"],
    [{ major: Number.MAX_SAFE_INTEGER, group: 65_535, minor: 255 }, "1fffffffffffffffffff"],
  ];

  test("core: positions print as 20 hex digits and read back", () => {
    equal(samples.map(([position]) => formatPosition(position)), samples.map(([, text]) => text));
    equal(samples.map(([, text]) => parsePosition(text)), samples.map(([position]) => position));
  });

  test("core: positions sort as text the way they compare", () => {
    const shuffled = [4, 1, 5, 0, 3, 2].map((at) => samples[at]!);
    equal([...shuffled].sort(([a], [b]) => comparePositions(a, b)), samples);
    equal([...shuffled].sort(([, a], [, b]) => a < b ? -1 : 1), samples);
  });

  test("core: text that no position prints is refused", () => {
    const wrong = ["", "1", "00000000000001000203 ", "0000000000000100020G", "0000000000000100020A", "20000000000000000000"];
    equal(wrong.map(parsePosition), wrong.map(() => null));
  });

  test("core: a command's position is its stamp under ts and its turn under rr", () => {
    const entry = { stamp: 1_000, slotBase: 7 };
    equal([0, 1, 2].map((index) => commandPosition({ merge: "ts" }, 3, entry, index)), [
      { major: 1_000, group: 3, minor: 0 },
      { major: 1_001, group: 3, minor: 0 },
      { major: 1_002, group: 3, minor: 0 },
    ]);
    equal([0, 1, 2].map((index) => commandPosition({ merge: "rr", turn: 4 }, 3, entry, index)), [
      { major: 1, group: 3, minor: 3 },
      { major: 2, group: 3, minor: 0 },
      { major: 2, group: 3, minor: 1 },
    ]);
  });
}

function entries(): void {
  const batch: Batch = { origin: origin(3, 9), sequence: 4, count: 2, bytes: packCommands([utf8.encode("ab"), new Uint8Array(0)]) };
  const entry: Entry = {
    instance: 7,
    ballot: ballot(2, 1),
    stamp: 100,
    count: 2,
    slotBase: 5,
    slots: 2,
    kind: "batch",
    batches: [batch],
  };

  test("core: commands are packed little-endian and walked in order", () => {
    equal(batch.bytes, new Uint8Array([2, 0, 0, 0, 97, 98, 0, 0, 0, 0]));
    const seen: [number, number[]][] = [];
    eachCommand(batch.bytes, (payload, index) => seen.push([index, [...payload]]));
    equal(seen, [[0, [97, 98]], [1, []]]);
    equal(entryBytes(entry), 64 + 24 + 10);
  });

  test("core: messages read as one line", () => {
    const group = 1;
    equal([
      describe({ kind: "propose", group, batches: [batch] }),
      describe({ kind: "prepare", group, ballot: ballot(3, 2), trial: true, released: 0 }),
      describe({ kind: "accept", group, ballot: ballot(2, 1), base: 5, start: 6, ring: false, entry, decided: 6, clock: 9 }),
      describe({
        kind: "vote",
        group,
        ballot: ballot(2, 1),
        ring: true,
        votes: [{ node: 1, upTo: 7, clock: 1 }, { node: 2, upTo: 6, clock: 1 }],
      }),
      describe({ kind: "nack", group, promised: 0 }),
    ], [
      "propose g1 2×n3#4",
      "prepare g1 b=3.2 trial",
      "accept g1 b=2.1 7@2.1 2×n3#4 base=5 start=6 decided=6",
      "vote g1 b=2.1 n1≤7 n2≤6",
      "nack g1 promised=none",
    ]);
  });
}

function topologies(): void {
  test("core: three names are a whole topology", () => {
    equal(parseTopology({ nodes: [{ name: "a" }, { name: "b" }, { name: "c" }] }), {
      cluster: "carillon",
      order: { merge: "ts" },
      skipRate: 9_000,
      skipIntervalMs: 5,
      nodes: [
        { id: 1, name: "a", region: "local", link: "", http: "" },
        { id: 2, name: "b", region: "local", link: "", http: "" },
        { id: 3, name: "c", region: "local", link: "", http: "" },
      ],
      groups: [{
        id: 1,
        name: "main",
        acceptors: [1, 2, 3],
        learners: [1, 2, 3],
        proposers: [1, 2, 3],
        members: [1, 2, 3],
        q1: 2,
        q2: 2,
        shape: "star",
        leadMicros: 0,
        spans: [],
        keys: [{ from: "", to: null }],
      }],
    });
  });

  test("core: messages to several groups go through the narrowest group that spans them", () => {
    const topology = parseTopology({
      nodes: [{ name: "a" }],
      groups: [{ name: "eu" }, { name: "us" }, { name: "ap" }, { name: "world", spans: ["eu", "us", "ap"] }, {
        name: "west",
        spans: ["eu", "us"],
      }],
    });
    const through = (...ids: number[]) => spanningGroup(topology, ids)?.name ?? null;
    equal([through(1), through(1, 1), through(1, 2), through(2, 3), through(1, 5), through(4, 5)], [
      "eu",
      "eu",
      "west",
      "world",
      "west",
      null,
    ]);
    equal([1, 3, 4].map((id) => groupsReaching(topology, id)), [[1, 4, 5], [3, 4], [4]]);
  });
}

function frontiers(): void {
  const b1 = ballot(1, 1);
  const b2 = ballot(2, 2);
  const value = (instance: number, stamp: number, count: number): Entry => {
    return { instance, ballot: b1, stamp, count, slotBase: 0, slots: count, kind: "batch", batches: [] };
  };
  const fence = (instance: number, of: number, stamp: number): Entry => {
    return { instance, ballot: of, stamp, count: 1, slotBase: 0, slots: 0, kind: "start", batches: [] };
  };
  /** Feeds one thing after another; after each, the stamp up to which everything is known. */
  const known = (...feed: ((frontier: Frontier) => void)[]): number[] => {
    const frontier = new Frontier(1, { merge: "ts" }, 2, new Set());
    return feed.map((step) => {
      step(frontier);
      return frontier.nextUnknown().major - 1;
    });
  };

  test("core: a frontier needs the coordinator's clock, a quorum's, and the ballot's start", () => {
    equal(
      known(
        (f) => f.coordinatorStates(b1, 1, 900),
        (f) => f.acceptorStates(1, b1, 800),
        (f) => f.acceptorStates(2, b1, 700),
        (f) => f.learn(fence(1, b1, 10)),
        (f) => f.acceptorStates(3, b1, 850),
        (f) => f.acceptorStates(2, b1, 990),
        (f) => f.acceptorStates(3, b1, 990),
      ),
      [0, 0, 0, 700, 800, 850, 900],
    );
  });

  test("core: a coordinator's clock counts once everything it had proposed is decided here", () => {
    equal(
      known(
        (f) => f.learn(fence(1, b1, 10)),
        (f) => f.acceptorStates(1, b1, 900),
        (f) => f.acceptorStates(2, b1, 900),
        (f) => f.coordinatorStates(b1, 2, 500),
        (f) => f.coordinatorStates(b1, 1, 400),
        (f) => f.learn(value(2, 450, 3)),
      ),
      [10, 10, 10, 10, 10, 500],
    );
  });

  test("core: an acceptor that promised higher no longer speaks for the ballot, and the new one needs its own start", () => {
    equal(
      known(
        (f) => f.learn(fence(1, b1, 10)),
        (f) => f.coordinatorStates(b1, 1, 900),
        (f) => f.acceptorStates(1, b1, 300),
        (f) => f.acceptorStates(2, b2, 800),
        (f) => f.acceptorStates(3, b2, 800),
        (f) => f.coordinatorStates(b2, 2, 700),
        (f) => f.coordinatorStates(b1, 1, 990),
        (f) => f.learn(fence(2, b2, 600)),
      ),
      [10, 10, 10, 10, 10, 10, 10, 700],
    );
  });

  test("core: under rr only slots count", () => {
    const frontier = new Frontier(3, { merge: "rr", turn: 4 }, 2, new Set());
    frontier.coordinatorStates(b1, 0, 900);
    const before = frontier.nextUnknown();
    frontier.learn({ ...value(1, 10, 1), kind: "skip", slots: 9 });
    equal([before, frontier.nextUnknown()], [{ major: 0, group: 3, minor: 0 }, { major: 2, group: 3, minor: 1 }]);
  });
}

function orders(): void {
  /** One node that orders alone, its disk as fast as thought; what it delivers for `subscription` as text. */
  const run = (merge: "ts" | "rr", groups: readonly number[]): string[] => {
    const topology = parseTopology({
      nodes: [{ name: "a" }],
      groups: [{ name: "x" }, { name: "y" }, { name: "z" }],
      merge,
      turn: 2,
      skipRate: 100,
    });
    const node = new CoreNode({ id: 1, topology, limits: defaultLimits, durability: "sync", seed: 7, incarnation: 7 });
    const delivered: string[] = [];
    let lsn = 0;
    let now = 0;
    const settle = (): void => {
      for (let turn = 0; turn < 4; turn++) {
        const { records, deliveries } = node.drain();
        for (const { group, entry, from, to } of deliveries) {
          let at = 0;
          for (const batch of entry.batches) {
            eachCommand(batch.bytes, (payload) => {
              if (at >= from && at < to) delivered.push(`${group}:${payload.join()}`);
              at++;
            });
          }
        }
        if (records.length > 0) node.step({ kind: "persisted", upTo: lsn += records.length }, { mono: now, wall: now * 1_000 });
      }
    };
    const step = (input: Input): void => {
      node.step(input, { mono: ++now, wall: now * 1_000 });
      settle();
    };
    step({ kind: "subscribe", subscription: 1, groups, after: null, demand: Infinity });
    for (let turn = 0; turn < 100; turn++) step({ kind: "wake" });
    for (let value = 0; value < 9; value++) {
      step({ kind: "propose", ticket: value + 1, group: value % 3 + 1, payload: new Uint8Array([value]) });
    }
    for (let turn = 0; turn < 200; turn++) step({ kind: "wake" });
    return delivered;
  };

  test("core: subscriptions to different groups agree on what they share, under both merges", () => {
    for (const merge of ["ts", "rr"] as const) {
      const all = run(merge, [1, 2, 3]);
      equal([...all].sort(), ["1:0", "1:3", "1:6", "2:1", "2:4", "2:7", "3:2", "3:5", "3:8"], `set of deliveries under ${merge}`);
      equal(run(merge, [3, 1]), all.filter((command) => !command.startsWith("2")), `order of two groups under ${merge}`);
      equal(run(merge, [2]), ["2:1", "2:4", "2:7"], `order of one group under ${merge}`);
    }
    equal(run("ts", [1, 2, 3]), ["1:0", "2:1", "3:2", "1:3", "2:4", "3:5", "1:6", "2:7", "3:8"], "order of stamps");
  });
}

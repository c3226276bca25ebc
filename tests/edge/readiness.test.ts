// Which groups without a coordinator make a node unready.
import { expect, test } from "bun:test";
import type { Durability } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";
import type { NodeView } from "../../core/view.ts";
import { clusterStatus } from "../../edge/embedded/status.ts";

const topology = parseTopology({
  nodes: [{ name: "fra" }, { name: "iad" }, { name: "sin" }, { name: "reader" }],
  groups: [
    { name: "home", acceptors: ["fra"] },
    { name: "away", acceptors: ["sin"] },
    { name: "world", acceptors: ["fra", "iad", "sin"], spans: ["home", "away"] },
  ],
});

/** What `self` says of itself when these groups have a coordinator it knows of and these nodes are overdue. */
function notReady(
  self: number,
  coordinated: readonly string[],
  silent: readonly number[],
  { forgetful = [], lost = [], durability = "sync" }: {
    readonly forgetful?: readonly number[];
    readonly lost?: readonly string[];
    readonly durability?: Durability;
  } = {},
): readonly string[] {
  const groups = topology.groups.map(({ id, name, acceptors }) => ({
    group: id,
    coordinator: coordinated.includes(name) ? acceptors[0]! : 0,
    voting: !forgetful.includes(self),
    forgetful: name === "world" ? forgetful : [],
    coordinates: 0,
    logBallot: 0,
    decided: 0,
    frontier: { major: 0, group: id, minor: 0 },
  }));
  const peers = topology.nodes.filter(({ id }) => id !== self)
    .map(({ id }) => ({ node: id, heardAt: 0, rttMs: 1, suspected: silent.includes(id) }));
  const view = { groups, peers, subscriptions: [] } as unknown as NodeView;
  return clusterStatus({
    self,
    topology,
    durability,
    position: "0".repeat(20),
    view,
    now: { mono: 0, wall: 0 },
    journalBytes: 0,
    upMs: 0,
    lost,
  }).notReady;
}

test("a node that has all it needs is ready", () => expect(notReady(1, ["home", "away", "world"], [])).toEqual([]));

test("one whose replica waits for a checkpoint is not, and says so", () => {
  const sentence = "the log that replica home needs has been forgotten, and no checkpoint has been taken over yet";
  expect(notReady(1, ["home", "away", "world"], [], { lost: ["home"] })).toEqual([sentence]);
});

test("a group whose acceptors are gone makes nobody else unready", () => {
  expect(notReady(1, ["home", "world"], [3])).toEqual([]);
});

test("one that may have a coordinator nobody has told of yet does", () => {
  expect(notReady(1, ["home", "world"], [])).toEqual(["group away has no coordinator yet"]);
});

test("its own groups always do", () => {
  expect(notReady(1, ["home"], [2, 3])).toEqual(["group world has no coordinator: too few of its acceptors answer"]);
});

test("a node that votes nowhere is not ready before it hears of anybody", () => {
  const alone = ["home", "away", "world"].map((name) => `group ${name} has no coordinator: too few of its acceptors answer`);
  expect(notReady(4, [], [1, 2, 3])).toEqual(alone);
  expect(notReady(4, ["home"], [2, 3])).toEqual([]);
});

test("where too many have forgotten for anybody to help them, each node says who, and what to do", () => {
  const gone = "group world cannot go on: iad, sin have forgotten what they promised, and the others are too few to begin a ballot";
  for (const self of [1, 2]) {
    const said = (durability: Durability) => notReady(self, ["home", "away"], [], { forgetful: [2, 3], durability }).slice(1);
    expect(said("memory").at(-1)).toBe(`${gone}; end all its nodes, then start them, and it begins anew, empty`);
    expect(said("sync").at(-1)).toBe(`${gone}; put back the files of one of them`);
  }
});

/** A topology that cannot work is refused with a sentence that names the culprit. What a good one means: tests/contract/core.ts. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CarillonError } from "../../core/errors.ts";
import { parseTopology, type TopologyInput } from "../../core/topology.ts";

const nodes = [{ name: "a" }, { name: "b" }, { name: "c" }];

const refused: readonly (readonly [string, unknown])[] = [
  ["it has no nodes", { nodes: [] }],
  ['node name "" must be letters, digits, "_", "." or "-"', { nodes: [{ name: "" }] }],
  ['node "a" has id 0, outside 1 … 65535', { nodes: [{ name: "a", id: 0 }] }],
  ['node "a" has id 65536, outside 1 … 65535', { nodes: [{ name: "a", id: 65_536 }] }],
  ['two nodes are called "a"', { nodes: [{ name: "a" }, { name: "a" }] }],
  ["two nodes have id 2", { nodes: [{ name: "a", id: 2 }, { name: "b" }] }],
  ["it has no groups", { nodes, groups: [] }],
  ['group name "x/y" must be letters, digits, "_", "." or "-"', { nodes, groups: [{ name: "x/y" }] }],
  ['two groups are called "g"', { nodes, groups: [{ name: "g", id: 1 }, { name: "g", id: 2 }] }],
  ['group "g" names acceptor "d", which is no node', { nodes, groups: [{ name: "g", acceptors: ["d"] }] }],
  ['group "g" names a learner twice', { nodes, groups: [{ name: "g", learners: ["a", "a"] }] }],
  ['group "g" has no acceptors', { nodes, groups: [{ name: "g", acceptors: [] }] }],
  ['group "g" has q1 = 4 with 3 acceptors', { nodes, groups: [{ name: "g", q1: 4, q2: 2 }] }],
  ['group "g" has q2 = 0 with 3 acceptors', { nodes, groups: [{ name: "g", q1: 3, q2: 0 }] }],
  ['group "g" has q1 = 2 and q2 = 1: two quorums of 3 acceptors need not meet', { nodes, groups: [{ name: "g", q1: 2, q2: 1 }] }],
  ['group "g" has shape "line"; it is "star" or "ring"', { nodes, groups: [{ name: "g", shape: "line" }] }],
  ['group "g" has leadMs 1001, outside 0 … 1000', { nodes, groups: [{ name: "g", leadMs: 1_001 }] }],
  ['group "g" spans "h", which is no group', { nodes, groups: [{ name: "g", spans: ["h"] }] }],
  ['group "g" spans others and cannot own keys itself', { nodes, groups: [{ name: "g", spans: ["h"], keys: [{}] }, { name: "h" }] }],
  ['merge must be "ts" or "rr", not "xx"', { nodes, merge: "xx" }],
  ["turn must be a whole number from 1 to 256, not 257", { nodes, turn: 257 }],
  ["skipRate must be a positive number, not 0", { nodes, skipRate: 0 }],
  ["skipIntervalMs must be a positive number, not -1", { nodes, skipIntervalMs: -1 }],
  ['cluster name "my cluster" must be letters, digits, "_", "." or "-"', { nodes, cluster: "my cluster" }],
];

describe("a topology is refused because", () => {
  for (const [sentence, input] of refused) {
    test(sentence, () => {
      let error: unknown;
      try {
        parseTopology(input as TopologyInput);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(CarillonError);
      expect([(error as CarillonError).code, (error as CarillonError).message]).toEqual([
        "config",
        `Cannot use this topology: ${sentence}`,
      ]);
    });
  }
});

test("the quorum left out is the smallest that meets the one given", () => {
  const many = Array.from({ length: 5 }, (_, index) => ({ name: `n${index}` }));
  const quorums = (group: { q1?: number; q2?: number }) => {
    const [parsed] = parseTopology({ nodes: many, groups: [{ name: "g", ...group }] }).groups;
    return [parsed!.q1, parsed!.q2];
  };
  expect([quorums({}), quorums({ q2: 2 }), quorums({ q1: 5 }), quorums({ q2: 5 })]).toEqual([[3, 3], [4, 2], [5, 1], [1, 5]]);
});

test("any quorums that parse do meet", () => {
  const size = fc.integer({ min: 1, max: 9 });
  const quorum = fc.option(fc.integer({ min: -1, max: 10 }), { nil: undefined });
  fc.assert(fc.property(size, quorum, quorum, (count, q1, q2) => {
    const many = Array.from({ length: count }, (_, index) => ({ name: `n${index}` }));
    const group = { name: "g", ...(q1 === undefined ? {} : { q1 }), ...(q2 === undefined ? {} : { q2 }) };
    try {
      const parsed = parseTopology({ nodes: many, groups: [group] }).groups[0]!;
      expect(parsed.q1 + parsed.q2).toBeGreaterThan(count);
      expect(Math.max(parsed.q1, parsed.q2)).toBeLessThanOrEqual(count);
    } catch (error) {
      expect(error).toBeInstanceOf(CarillonError);
    }
  }));
});

test("ring order is the one given, then whoever else has a role", () => {
  const { groups } = parseTopology({
    nodes: [...nodes, { name: "d" }],
    groups: [{ name: "g", acceptors: ["a", "b"], learners: ["c"], proposers: ["d", "a"], ring: ["c", "b"] }],
  });
  expect(groups[0]!.members).toEqual([3, 2, 1, 4]);
});

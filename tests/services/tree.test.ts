/** The ordered map of the KV store against a sorted array. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Tree } from "../../services/tree.ts";

function walked(tree: Tree, from: string, to: string | null, reverse: boolean): [string, number][] {
  const seen: [string, number][] = [];
  tree.walk(from, to, reverse, (key, value) => {
    seen.push([key, value]);
    return true;
  });
  return seen;
}

/** Sorted the way `<` sorts. */
function expected(model: ReadonlyMap<string, number>, from: string, to: string | null, reverse: boolean): [string, number][] {
  const entries = [...model].filter(([key]) => key >= from && (to === null || key < to));
  entries.sort(([a], [b]) => a < b ? -1 : 1);
  return reverse ? entries.reverse() : entries;
}

// Few different keys, so that they meet; with a long common prefix, empty and high bytes.
const key = fc.oneof(fc.nat(2_000).map((n) => `k${n}`), fc.constantFrom("", "\x00", "\xff", "\xff\xff", "k", "k1\x00"));

test("the tree is a sorted map, whatever is set and deleted", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("set" as const), key, value: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("delete" as const), key }) },
    // Long runs make nodes split and join.
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom("fill" as const, "clear" as const), from: fc.nat(2_000), count: fc.nat(600) }),
    },
  );
  const bounds = fc.tuple(key, fc.option(key), fc.boolean());
  // With more keys than so many it has no map of them any more.
  const hashed = fc.constantFrom(0, 100, undefined);
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.array(bounds, { maxLength: 5 }), hashed, (steps, ranges, hashedMax) => {
    const tree = new Tree(hashedMax);
    const model = new Map<string, number>();
    const set = (key: string, value: number) => {
      expect(tree.set(key, value)).toBe(model.get(key) ?? -1);
      model.set(key, value);
    };
    const remove = (key: string) => {
      expect(tree.delete(key)).toBe(model.get(key) ?? -1);
      model.delete(key);
    };
    for (const step of steps) {
      if (step.kind === "set") set(step.key, step.value);
      else if (step.kind === "delete") remove(step.key);
      else for (let n = step.from; n < step.from + step.count; n++) step.kind === "fill" ? set(`k${n}`, n) : remove(`k${n}`);
      expect(tree.size).toBe(model.size);
    }
    for (const [from, to, reverse] of [...ranges, ["", null, false] as const, ["", null, true] as const]) {
      expect(walked(tree, from, to, reverse)).toEqual(expected(model, from, to, reverse));
    }
    for (const key of model.keys()) expect(tree.get(key)).toBe(model.get(key)!);
    expect(tree.get("absent")).toBe(-1);
  }));
});

test("a walk stops when the visitor has had enough", () => {
  const tree = new Tree();
  for (let n = 0; n < 1_000; n++) tree.set(String(n).padStart(4, "0"), n);
  const visited: number[] = [];
  tree.walk("0100", null, false, (_key, value) => visited.push(value) < 3);
  tree.walk("", "0100", true, (_key, value) => visited.push(value) < 6);
  expect(visited).toEqual([100, 101, 102, 99, 98, 97]);
});

test("a tree emptied from any end is as good as new", () => {
  for (const order of [(n: number) => n, (n: number) => 9_999 - n, (n: number) => n * 7_919 % 10_000]) {
    const tree = new Tree();
    for (let n = 0; n < 10_000; n++) tree.set(`key-${order(n)}`, n);
    for (let n = 0; n < 10_000; n++) expect(tree.delete(`key-${order(9_999 - n)}`)).toBe(9_999 - n);
    expect([tree.size, walked(tree, "", null, false)]).toEqual([0, []]);
    tree.set("again", 1);
    expect(walked(tree, "", null, true)).toEqual([["again", 1]]);
  }
});

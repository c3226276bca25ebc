/** The history of a KV machine against a plain list: from every place in it a reader gets exactly what came behind, or is told that it cannot. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { comparePositions, type Position, start } from "../../core/position.ts";
import { Reader } from "../../services/bytes.ts";
import { headerBytes } from "../../services/command.ts";
import { encodeDelete, encodePut } from "../../services/kv/command.ts";
import type { Changed, Cursor, History } from "../../services/kv/history.ts";
import { KvMachine } from "../../services/kv/machine.ts";

const reader = new Reader();
const at = (major: number, group = 1, minor = 0): Position => ({ major, group, minor });

function apply(machine: KvMachine, position: Position, command: Uint8Array): void {
  machine.apply(position, reader.reset(command, headerBytes), false);
}

/** Everything there is for the cursor now. */
function drain(history: History, cursor: Cursor): Changed[] | "lost" {
  const seen: Changed[] = [];
  for (;;) {
    const found = history.seek(cursor);
    if (found === "lost") return "lost";
    if (found === null) return seen;
    const changed = history.take(cursor);
    expect(changed.position).toEqual(found);
    seen.push(changed);
  }
}

const key = fc.constantFrom("a", "b", "b\x00", "b/1", "b/2", "c", "\xff");
const bounds = fc.constantFrom<[string, string | null]>(["", null], ["b", "b\x00"], ["b", "c"], ["b/", "b0"], ["c", null], ["zz", "zzz"]);
const step = fc.record({
  key,
  value: fc.option(fc.uint8Array({ maxLength: 60 }), { freq: 4 }),
  holds: fc.boolean(),
  gap: fc.integer({ min: 1, max: 3 }),
});

test("from every position a reader gets exactly the changes behind it, or hears that they are gone", () => {
  const long = fc.array(step, { maxLength: 120 });
  fc.assert(
    fc.property(long, bounds, fc.constantFrom(64, 700, 3_000, 1 << 20), (steps, [from, to], historyBytes) => {
      const machine = new KvMachine({ historyBytes });
      const model: Changed[] = [];
      const present = new Set<string>();
      let major = 0;
      for (const { key, value, holds, gap } of steps) {
        major += gap;
        // A lost condition changes nothing, nor does deleting what is not there.
        const condition = holds ? "always" : present.has(key) ? "absent" : "present";
        apply(machine, at(major), value === null ? encodeDelete(key, condition) : encodePut(key, "t/x", value, condition));
        if (!holds || value === null && !present.has(key)) continue;
        if (value === null) present.delete(key);
        else present.add(key);
        model.push({ key, position: at(major), content: value === null ? null : { type: "t/x", bytes: value } });
      }
      const { history } = machine;
      expect(history.heldBytes).toBeLessThanOrEqual(Math.max(historyBytes + Math.ceil(historyBytes / 32), 3 * 100));
      const wanted = model.filter(({ key }) => key >= from && (to === null || key < to));
      for (let after = 0; after <= major + 1; after++) {
        const cursor = history.open(at(after), from, to);
        const gone = comparePositions(history.oldest, at(after)) > 0;
        expect(cursor === null).toBe(gone);
        if (cursor === null) continue;
        expect(drain(history, cursor)).toEqual(wanted.filter(({ position }) => position.major > after));
      }
      // What is gone is at the beginning, and nothing goes while there is room.
      if (historyBytes === 1 << 20) expect(history.oldest).toEqual(start);
      expect(model.length === 0 || comparePositions(history.oldest, model.at(-1)!.position) < 0).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("a reader that looks when it is told to misses nothing, however small the history; one that does not is told", () => {
  const sizes = fc.constantFrom(1, 640, 3_200);
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), bounds, sizes, (steps, [from, to], historyBytes) => {
      const machine = new KvMachine({ historyBytes });
      const { history } = machine;
      const model: Changed[] = [];
      const seen: Changed[] = [];
      const quick = history.open(start, from, to)!;
      const ahead = history.open(at(steps.length * 2), from, to)!;
      const slow = history.open(start, from, to)!;
      const stop = history.listen(from, to, () => {
        const more = drain(history, quick);
        if (more !== "lost") seen.push(...more);
        expect(more).not.toBe("lost");
        history.seek(ahead);
        history.seek(slow);
      });
      const other = history.listen(from, to, () => {});
      steps.forEach(({ key, value }, index) => {
        apply(machine, at(index + 1), encodePut(key, "", value ?? new Uint8Array(0), "always"));
        if (key >= from && (to === null || key < to)) {
          model.push({ key, position: at(index + 1), content: { type: "", bytes: value ?? new Uint8Array(0) } });
        }
        if (index === 3) other();
        expect(seen).toEqual(model);
      });
      // It was ahead of everything: none of this was for it, and so nothing is lost.
      expect(history.seek(ahead)).toBe(null);
      // Whoever stands at a change of its own that has been dropped has lost it.
      const lost = model.length > 0 && comparePositions(history.oldest, model[0]!.position) >= 0;
      expect(history.seek(slow)).toEqual(lost ? "lost" : model[0]?.position ?? null);
      // At the smallest each chunk holds one change, and two chunks are kept.
      if (historyBytes === 1) expect(lost).toBe(model.length > 0 && model[0]!.position.major <= steps.length - 2);
      stop();
      apply(machine, at(1_000), encodePut("b", "", new Uint8Array(0), "always"));
      expect(seen.length).toBe(model.length);
    }),
    { numRuns: 400 },
  );
});

test("a place may lie between the positions of two groups, or within a turn", () => {
  const machine = new KvMachine({ historyBytes: 1 << 16 });
  const places = [at(5, 1, 0), at(5, 1, 7), at(5, 2, 0), at(Number.MAX_SAFE_INTEGER, 65_535, 255)];
  places.forEach((position) => apply(machine, position, encodePut("k", "", new Uint8Array(0), "always")));
  const behind = (after: Position) => {
    const changes = drain(machine.history, machine.history.open(after, "", null)!);
    return changes === "lost" ? changes : changes.map(({ position }) => position);
  };
  expect([start, ...places, at(5, 1, 6), at(5, 1, 255)].map(behind)).toEqual([
    places,
    places.slice(1),
    places.slice(2),
    places.slice(3),
    [],
    places.slice(1),
    places.slice(2),
  ]);
});

test("a value larger than a chunk is kept whole, and goes when it is its turn", () => {
  const machine = new KvMachine({ historyBytes: 3_200 });
  const { history } = machine;
  const large = new Uint8Array(5_000).fill(7);
  apply(machine, at(1), encodePut("small", "", new Uint8Array(10), "always"));
  apply(machine, at(2), encodePut("large", "t/x", large, "always"));
  const all = history.open(at(1), "", null)!;
  expect(drain(history, all)).toEqual([{ key: "large", position: at(2), content: { type: "t/x", bytes: large } }]);
  for (let major = 3; major < 10; major++) apply(machine, at(major), encodePut("small", "", new Uint8Array(90), "always"));
  expect([history.oldest, history.open(at(1), "", null), history.heldBytes <= 3_300]).toEqual([at(2), null, true]);
  expect(drain(history, history.open(at(2), "", null)!).length).toBe(7);
});

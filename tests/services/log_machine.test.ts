/** The log machine and its segments: whole results, against plain arrays under random commands, and against bytes that mean nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Position } from "../../core/position.ts";
import { Reader } from "../../services/bytes.ts";
import { headerBytes } from "../../services/command.ts";
import { encodeAppend, encodeTrim, type Homed } from "../../services/log/command.ts";
import { LogMachine } from "../../services/log/machine.ts";
import type { Content } from "../../services/values.ts";

const utf8 = new TextEncoder();
const reader = new Reader();
const at = (major: number, group = 1): Position => ({ major, group, minor: 0 });
const here = (name: string): Homed => ({ name, home: 1 });
const there = (name: string): Homed => ({ name, home: 2 });
const texts = (...values: string[]): Content[] => values.map((text) => ({ type: "text/x-test", bytes: utf8.encode(text) }));

function apply(machine: LogMachine, position: Position, command: Uint8Array, reply = true): unknown {
  return machine.apply(position, reader.reset(command, headerBytes), reply);
}

test("each command answers what it did", () => {
  const logs = new LogMachine(1);
  const steps: [Uint8Array, unknown][] = [
    [encodeAppend([here("a")], texts("0"), null), { kind: "appended", parts: [{ first: 0, next: 1 }] }],
    [encodeAppend([here("a")], texts("1", "2"), 1), { kind: "appended", parts: [{ first: 1, next: 3 }] }],
    [encodeAppend([here("a")], texts("x"), 2), { kind: "unexpected", next: 3 }],
    [encodeAppend([here("b")], texts("x"), 1), { kind: "unexpected", next: 0 }],
    [encodeTrim(here("a"), 4), { kind: "past-tail", tail: 3 }],
    [encodeTrim(here("a"), 2), { kind: "trimmed", extent: { first: 2, next: 3, bytes: 1 } }],
    [encodeTrim(here("a"), 1), { kind: "trimmed", extent: { first: 2, next: 3, bytes: 1 } }],
    [encodeTrim(here("a"), 3), { kind: "trimmed", extent: { first: 3, next: 3, bytes: 0 } }],
    [encodeTrim(here("never"), 0), { kind: "trimmed", extent: { first: 0, next: 0, bytes: 0 } }],
    [encodeTrim(here("never"), 1), { kind: "past-tail", tail: 0 }],
    [encodeAppend([here("a")], texts("3"), 3), { kind: "appended", parts: [{ first: 3, next: 4 }] }],
    [encodeAppend([there("z")], texts("x"), null), null],
    [encodeTrim(there("z"), 0), null],
    [
      encodeAppend([here("b"), there("z"), here("a")], texts("m", "n"), null),
      { kind: "appended", parts: [{ first: 0, next: 2 }, { first: 4, next: 6 }] },
    ],
  ];
  expect(steps.map(([command], index) => apply(logs, at(index + 1), command))).toEqual(steps.map(([, result]) => result));
  const record = (offset: number, major: number, text: string) => ({
    offset,
    position: at(major),
    type: "text/x-test",
    bytes: utf8.encode(text),
  });
  expect(logs.read("a", 3, 10, 100)).toEqual([record(3, 11, "3"), record(4, 14, "m"), record(5, 14, "n")]);
  expect(logs.read("b", 0, 10, 100)).toEqual([record(0, 14, "m"), record(1, 14, "n")]);
  expect(logs.read("z", 0, 10, 100)).toEqual([]);
});

test("an append to several groups is one command whose parts fit together", () => {
  const first = new LogMachine(1);
  const second = new LogMachine(2);
  const command = encodeAppend([there("z"), here("a"), there("y")], texts("m"), null);
  expect([apply(first, at(5, 9), command), apply(second, at(5, 9), command)]).toEqual([
    { kind: "appended", parts: [{ first: 0, next: 1 }] },
    { kind: "appended", parts: [{ first: 0, next: 1 }, { first: 0, next: 1 }] },
  ]);
  expect(second.read("y", 0, 1, 1)[0]!.position).toEqual(at(5, 9));
});

test("a read is bounded by count and by bytes but returns one record if there is one", () => {
  const logs = new LogMachine(1);
  apply(logs, at(1), encodeAppend([here("a")], texts("12345", "12345", "1234567890", "1"), null));
  const read = (from: number, limit: number, bytes: number) => logs.read("a", from, limit, bytes).map(({ offset }) => offset);
  expect([read(0, 9, 99), read(0, 2, 99), read(0, 9, 1), read(0, 9, 10), read(0, 9, 19), read(2, 9, 10), read(4, 9, 9)]).toEqual([
    [0, 1, 2, 3],
    [0, 1],
    [0],
    [0, 1],
    [0, 1],
    [2],
    [],
  ]);
});

test("a log is an array with an oldest kept index, across segments, whatever is appended and trimmed", () => {
  const size = fc.oneof(fc.nat(50), fc.nat(3_000), fc.integer({ min: 300_000, max: 700_000 }));
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("append" as const), sizes: fc.array(size, { minLength: 1, maxLength: 4 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), share: fc.double({ min: 0, max: 1.1, noNaN: true }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const logs = new LogMachine(1);
      const twin = new LogMachine(1);
      const model: { position: Position; size: number }[] = [];
      let first = 0;
      steps.forEach((step, index) => {
        const position = at(index + 1);
        if (step.kind === "append") {
          const records = step.sizes.map((size, i): Content => ({ type: "", bytes: new Uint8Array(size).fill(model.length + i) }));
          const command = encodeAppend([here("a")], records, null);
          const parts = [{ first: model.length, next: model.length + records.length }];
          expect(apply(logs, position, command)).toEqual({ kind: "appended", parts });
          expect(apply(twin, position, command, false)).toBe(null);
          model.push(...step.sizes.map((size) => ({ position, size })));
        } else {
          const offset = Math.floor(model.length * step.share);
          apply(logs, position, encodeTrim(here("a"), offset));
          apply(twin, position, encodeTrim(here("a"), offset), false);
          if (offset <= model.length) first = Math.max(first, offset);
        }
        const kept = model.slice(first);
        const bytes = kept.reduce((sum, { size }) => sum + size, 0);
        expect(logs.extent("a")).toEqual({ first, next: model.length, bytes });
      });
      const read = logs.read("a", first, 1_000_000, Infinity).map(({ offset, position, bytes }) => {
        expect(bytes.every((byte) => byte === offset % 256)).toBe(true);
        return [offset, position, bytes.byteLength];
      });
      expect(read).toEqual(model.slice(first).map(({ position, size }, index) => [first + index, position, size]));
      expect(twin.digest()).toBe(logs.digest());
      // A trimmed log gives its memory back, down to a segment at either end.
      expect(logs.stats().heldBytes).toBeLessThan(logs.stats().bytes * 1.2 + 40 * (logs.stats().records + 10) + (3 << 20));
    }),
    { numRuns: 40 },
  );
});

test("many small logs cost about a kilobyte each", () => {
  const logs = new LogMachine(1);
  for (let n = 0; n < 1_000; n++) apply(logs, at(n + 1), encodeAppend([here(`log-${n}`)], texts("a short record"), null), false);
  expect(logs.stats()).toEqual({ logs: 1_000, records: 1_000, bytes: 14_000, heldBytes: 1_000 * (1_024 + 64) });
});

test("whoever watches a log hears of every change of that log, until it no longer wants to", () => {
  const logs = new LogMachine(1);
  let heard = 0;
  const cancel = logs.watch("a", () => heard++);
  const counts = [
    encodeAppend([here("a")], texts("0", "1"), null),
    encodeAppend([here("b")], texts("x"), null),
    encodeAppend([here("b"), here("a")], texts("2"), null),
    encodeTrim(here("a"), 2),
    encodeTrim(here("a"), 99),
  ].map((command) => (apply(logs, at(1), command, false), heard));
  cancel();
  apply(logs, at(2), encodeAppend([here("a")], texts("3"), null), false);
  expect([counts, heard]).toEqual([[1, 1, 2, 3, 3], 3]);
});

test("malformed commands change nothing at any of the groups they name", () => {
  const first = new LogMachine(1);
  const second = new LogMachine(2);
  apply(first, at(1), encodeAppend([here("a")], texts("v"), null));
  const digests = [first.digest(), second.digest()];
  const good = encodeAppend([here("a"), there("z")], texts("value", "another"), null);
  for (let length = 0; length < good.byteLength; length++) {
    const cut = good.subarray(0, length);
    // Before its own name is read, a group cannot know that the command concerns it.
    for (const machine of [first, second]) expect(apply(machine, at(2), cut)).toEqual({ kind: "bad-request" });
  }
  const wrong = [
    encodeAppend([], texts("x"), null),
    encodeAppend([here("a")], [], null),
    encodeAppend([here("a"), here("a")], texts("x"), null),
    encodeAppend([here("a"), here("b")], texts("x"), 0),
    encodeAppend([here("no spaces")], texts("x"), null),
    encodeAppend([here("")], texts("x"), null),
    encodeTrim(here("a"), 2 ** 53),
    new Uint8Array([...encodeTrim(here("a"), 1), 0]),
    new Uint8Array([...encodeAppend([here("a")], texts("x"), null), 0]),
  ];
  for (const command of wrong) expect(apply(first, at(2), command)).toEqual({ kind: "bad-request" });
  expect([first.digest(), second.digest()]).toEqual(digests);
});

test("no bytes make the machine throw", () => {
  const logs = new LogMachine(1);
  const twin = new LogMachine(1);
  const header = new Uint8Array(headerBytes);
  const good = encodeAppend([here("a"), there("z")], texts("value", "another"), null);
  const mutated = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }).map((changes) => {
    const command = good.slice();
    for (const [where, byte] of changes) command[where] = byte;
    return command;
  });
  const random = fc.uint8Array({ maxLength: 40 }).map((body) => new Uint8Array([...header, ...body]));
  fc.assert(
    fc.property(fc.oneof(random, mutated), (command) => {
      expect(apply(logs, at(5), command)).toEqual(apply(twin, at(5), command));
    }),
    { numRuns: 2_000 },
  );
  expect(logs.digest()).toBe(twin.digest());
});

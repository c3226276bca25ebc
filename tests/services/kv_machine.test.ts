/** The KV machine by itself: whole results, against a plain map under random commands, and against bytes that mean nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Position } from "../../core/position.ts";
import { Reader } from "../../services/bytes.ts";
import { headerBytes } from "../../services/command.ts";
import { type Condition, encodeDelete, encodePut } from "../../services/kv/command.ts";
import { KvMachine, type KvRange } from "../../services/kv/machine.ts";

const utf8 = new TextEncoder();
const reader = new Reader();
const at = (major: number, group = 1, minor = 0): Position => ({ major, group, minor });

function apply(machine: KvMachine, position: Position, command: Uint8Array, reply = true): unknown {
  return machine.apply(position, reader.reset(command, headerBytes), reply);
}

const put = (key: string, text: string, condition: Condition = "always") => encodePut(key, "text/x-test", utf8.encode(text), condition);
const all: KvRange = { from: "", to: null, reverse: false, keysOnly: false, limit: 1_000_000, bytes: Infinity };

test("each operation answers what it did", () => {
  const kv = new KvMachine();
  const stored = (major: number, text: string) => ({ key: "k", version: at(major), type: "text/x-test", bytes: utf8.encode(text) });
  const steps: [Uint8Array, unknown][] = [
    [put("k", "a", "present"), { kind: "refused", current: null }],
    [put("k", "a", at(1)), { kind: "refused", current: null }],
    [put("k", "a", "absent"), { kind: "written", created: true }],
    [put("k", "b", "absent"), { kind: "refused", current: stored(3, "a") }],
    [put("k", "c", "present"), { kind: "written", created: false }],
    [put("k", "d"), { kind: "written", created: false }],
    [put("k", "e", at(5)), { kind: "refused", current: stored(6, "d") }],
    [put("k", "e", at(6, 2)), { kind: "refused", current: stored(6, "d") }],
    [put("k", "e", at(6, 1, 1)), { kind: "refused", current: stored(6, "d") }],
    [put("k", "", at(6)), { kind: "written", created: false }],
    [encodeDelete("k", at(6)), { kind: "refused", current: stored(10, "") }],
    [encodeDelete("k", at(10)), { kind: "deleted", existed: true }],
    [encodeDelete("k", "always"), { kind: "deleted", existed: false }],
    [encodeDelete("k", "present"), { kind: "refused", current: null }],
    [put("other", "x"), { kind: "written", created: true }],
  ];
  expect(steps.map(([command], index) => apply(kv, at(index + 1), command))).toEqual(steps.map(([, result]) => result));
  expect(kv.scan(all)).toEqual({
    entries: [{ key: "other", version: at(15), type: "text/x-test", bytes: utf8.encode("x") }],
    more: false,
  });
});

test("positions and types come back exactly, common types and rare ones, the largest position too", () => {
  const kv = new KvMachine();
  const types = ["", "text/plain;charset=utf-8", "application/json", "application/vnd.rare+x", "x".repeat(255)];
  const largest = { major: Number.MAX_SAFE_INTEGER, group: 65_535, minor: 255 };
  types.forEach((type, index) => apply(kv, largest, encodePut(`k${index}`, type, utf8.encode(type), "always")));
  expect(kv.scan(all).entries).toEqual(
    types.map((type, index) => ({ key: `k${index}`, version: largest, type, bytes: utf8.encode(type) })),
  );
  expect(apply(kv, at(1), encodePut("k0", "", new Uint8Array(0), largest))).toEqual({ kind: "written", created: false });
});

test("the machine is a map with versions, under any commands, and equal machines have equal digests", () => {
  const key = fc.constantFrom("a", "b", "b\x00", "\xff", "long".repeat(50));
  const condition = fc.constantFrom("always" as const, "absent" as const, "present" as const, "current" as const, "stale" as const);
  const step = fc.record({ key, condition, value: fc.option(fc.uint8Array({ maxLength: 5_000 })) });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const kv = new KvMachine();
    const silent = new KvMachine();
    const model = new Map<string, { version: Position; bytes: Uint8Array }>();
    steps.forEach(({ key, condition, value }, index) => {
      const position = at(index + 1);
      const current = model.get(key);
      const wanted = condition === "current" ? current?.version ?? "always" : condition === "stale" ? at(0) : condition;
      const command = value === null ? encodeDelete(key, wanted) : encodePut(key, "t/x", value, wanted);
      const holds = wanted === "always" ||
        (wanted === "absent" ? !current : wanted === "present" ? !!current : current?.version === wanted);
      const result = apply(kv, position, command);
      apply(silent, position, command, false);
      if (!holds) {
        expect(result).toEqual({ kind: "refused", current: current ? { key, ...current, type: "t/x" } : null });
      } else if (value === null) {
        expect(result).toEqual({ kind: "deleted", existed: model.delete(key) });
      } else {
        expect(result).toEqual({ kind: "written", created: !current });
        model.set(key, { version: position, bytes: value });
      }
    });
    const expected = [...model].sort(([a], [b]) => a < b ? -1 : 1).map(([key, entry]) => ({ key, ...entry, type: "t/x" }));
    expect(kv.scan(all)).toEqual({ entries: expected, more: false });
    expect(kv.scan({ ...all, reverse: true }).entries).toEqual(expected.reverse());
    for (const entry of expected) expect(kv.read(entry.key)).toEqual(entry);
    expect(kv.stats().entries).toBe(model.size);
    expect(kv.stats().bytes).toBe(expected.reduce((sum, { key, bytes }) => sum + key.length + 5 + bytes.byteLength, 0));
    expect(silent.digest()).toBe(kv.digest());
    apply(kv, at(9_999), put("one more", ""));
    expect(silent.digest()).not.toBe(kv.digest());
  }));
});

test("a scan is bounded by count and by bytes and says whether there is more", () => {
  const kv = new KvMachine();
  for (const key of ["a", "b", "c", "d"]) apply(kv, at(1), put(key, "0123456789"));
  const scan = (range: Partial<KvRange>) => {
    const { entries, more } = kv.scan({ ...all, ...range });
    return [entries.map(({ key }) => key).join(""), more];
  };
  expect([
    scan({}),
    scan({ limit: 4 }),
    scan({ limit: 3 }),
    scan({ bytes: 1 }),
    scan({ bytes: 12 }),
    scan({ bytes: 44 }),
    scan({ from: "b", to: "d" }),
    scan({ from: "b", to: "d", limit: 1, reverse: true }),
    scan({ from: "x" }),
    scan({ keysOnly: true, bytes: 2 }),
  ]).toEqual([
    ["abcd", false],
    ["abcd", false],
    ["abc", true],
    ["a", true],
    ["ab", true],
    ["abcd", false],
    ["bc", false],
    ["c", true],
    ["", false],
    ["ab", true],
  ]);
});

test("what was read stays as it was when the entry changes", () => {
  const kv = new KvMachine();
  apply(kv, at(1), put("k", "before"));
  const before = kv.read("k")!;
  for (let n = 0; n < 20_000; n++) apply(kv, at(n + 2), put("k", "after".repeat(50)));
  expect(before).toEqual({ key: "k", version: at(1), type: "text/x-test", bytes: utf8.encode("before") });
});

test("malformed commands change nothing and are answered alike everywhere", () => {
  const kv = new KvMachine();
  apply(kv, at(1), put("k", "v"));
  const digest = kv.digest();
  const good = put("k", "value", at(1));
  for (let length = 0; length < good.byteLength - 5; length++) {
    expect(apply(kv, at(2), good.subarray(0, length))).toEqual({ kind: "bad-request" });
  }
  const wrong = [encodePut("", "", new Uint8Array(0), "always"), encodeDelete("", "always")];
  const overlong = new Uint8Array([...encodeDelete("k", "always"), 0]);
  const unknownOp = put("k", "v");
  unknownOp[headerBytes] = 3;
  const unknownCondition = put("k", "v");
  unknownCondition[headerBytes + 1] = 4;
  const unknownType = encodePut("k", "", new Uint8Array(0), "always");
  unknownType[unknownType.length - 1] = 200;
  for (const command of [...wrong, overlong, unknownOp, unknownCondition, unknownType]) {
    expect(apply(kv, at(2), command)).toEqual({ kind: "bad-request" });
  }
  expect(kv.digest()).toBe(digest);
});

test("no bytes make the machine throw", () => {
  const kv = new KvMachine();
  const other = new KvMachine();
  const header = new Uint8Array(headerBytes);
  const mutated = fc.tuple(fc.nat(60), fc.nat(255)).map(([where, byte]) => {
    const command = put("key", "value", at(77)).slice();
    command[where % command.length] = byte;
    return command;
  });
  const random = fc.uint8Array({ maxLength: 40 }).map((body) => new Uint8Array([...header, ...body]));
  fc.assert(
    fc.property(fc.oneof(random, mutated), (command) => {
      expect(apply(kv, at(5), command)).toEqual(apply(other, at(5), command));
    }),
    { numRuns: 2_000 },
  );
  expect(kv.digest()).toBe(other.digest());
});

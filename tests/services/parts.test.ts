/** The small parts: catalog, partitions, keys, cursors, messages, the walk over a delivery. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Delivery } from "../../core/effects.ts";
import { packCommands } from "../../core/entry.ts";
import { parseTopology } from "../../core/topology.ts";
import { binaryBytes, binaryString, Reader, readU53, Writer } from "../../services/bytes.ts";
import { Catalog, encodeCreate } from "../../services/catalog.ts";
import { eachDelivered, headerBytes, requestOf, stamp } from "../../services/command.ts";
import { binaryText, parseBound, parseKey, prefixEnd, textBinary } from "../../services/keys.ts";
import { formatCursor, parseCursor } from "../../services/kv/cursor.ts";
import { encodeMessage, parseMessage } from "../../services/multicast/command.ts";
import { Partitions } from "../../services/partitions.ts";

const reader = new Reader();
const at = { major: 1, group: 1, minor: 0 };

test("the catalog keeps the first home of a log for good", () => {
  const catalog = new Catalog();
  const apply = (command: Uint8Array) => catalog.apply(at, reader.reset(command, headerBytes));
  expect([
    apply(encodeCreate("a", 2, true)),
    apply(encodeCreate("a", 2, true)),
    apply(encodeCreate("a", 3, true)),
    apply(encodeCreate("a", 3, false)),
    apply(encodeCreate("b", 1, false)),
    apply(encodeCreate("bad name", 1, false)),
    apply(encodeCreate("c", 0, false)),
    apply(encodeCreate("c", 1, false).subarray(0, 11)),
    apply(new Uint8Array(0)),
  ]).toEqual([
    { kind: "found", home: 2, created: true },
    { kind: "found", home: 2, created: false },
    { kind: "differs", home: 2 },
    { kind: "found", home: 2, created: false },
    { kind: "found", home: 1, created: true },
    { kind: "bad-request" },
    { kind: "bad-request" },
    { kind: "bad-request" },
    { kind: "bad-request" },
  ]);
  expect(catalog.all()).toEqual([{ name: "a", home: 2 }, { name: "b", home: 1 }]);
});

const nodes = [{ name: "n" }];

test("a key belongs to the group whose range holds it", () => {
  const partitions = new Partitions(parseTopology({
    nodes,
    groups: [
      { name: "one", keys: [{ from: "m", to: "p" }, { from: "a", to: "c" }] },
      { name: "two", keys: [{ from: "c", to: "m" }, { from: "ü" }] },
    ],
  }));
  expect(["a", "bzzz", "c", "l", "m", "o\xff", "ü", "日本"].map((key) => partitions.groupOf(textBinary(key)))).toEqual([
    1,
    1,
    2,
    2,
    1,
    1,
    2,
    2,
  ]);
  for (const key of ["A", "p", "z"]) {
    expect(() => partitions.groupOf(key)).toThrow(`Cannot place key "${key}": no group owns it`);
  }
  const within = (from: string, to: string | null, reverse = false) =>
    partitions.within(from, to, reverse).map(({ from, to, group }) => `${group}:${from}-${to ?? ""}`);
  expect([within("", null), within("", null, true), within("b", "n"), within("x", "z"), within("d", "d"), within("ca", "cb")]).toEqual([
    ["1:a-c", "2:c-m", "1:m-p", "2:Ã¼-"],
    ["2:Ã¼-", "1:m-p", "2:c-m", "1:a-c"],
    ["1:b-c", "2:c-m", "1:m-n"],
    [],
    [],
    ["2:ca-cb"],
  ]);
});

test("key ranges that overlap or hold nothing are refused", () => {
  const make = (...keys: { from?: string; to?: string | null }[]) => () =>
    new Partitions(parseTopology({ nodes, groups: [{ name: "g", keys }] }));
  expect(make({ from: "a", to: "c" }, { from: "b" })).toThrow('Cannot use this topology: the key ranges from "a" and from "b" overlap');
  expect(make({ from: "" }, { from: "b", to: "c" })).toThrow('Cannot use this topology: the key ranges from "" and from "b" overlap');
  expect(make({ from: "b", to: "b" })).toThrow('Cannot use this topology: the key range from "b" ends before it begins');
});

test("keys compare as their bytes do, and come back", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 9_000 }), fc.uint8Array({ maxLength: 20 }), (a, b) => {
    expect(binaryBytes(binaryString(a))).toEqual(a);
    const bytewise = Buffer.compare(a, b);
    const stringwise = binaryString(a) < binaryString(b) ? -1 : binaryString(a) > binaryString(b) ? 1 : 0;
    expect(stringwise).toBe(bytewise);
  }));
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    fc.pre(text.isWellFormed());
    expect(binaryText(textBinary(text))).toBe(text);
    expect(binaryBytes(textBinary(text))).toEqual(new TextEncoder().encode(text));
  }));
});

test("keys that cannot be are refused with what is wrong", () => {
  const wrong = (key: unknown, code: string) => {
    try {
      parseKey(key as string, 8);
    } catch (error) {
      return expect((error as { code: string }).code).toBe(code);
    }
    throw new Error(`Cannot be: ${String(key)} was accepted`);
  };
  wrong("", "bad-key");
  wrong(new Uint8Array(0), "bad-key");
  wrong("\ud800", "bad-key");
  wrong(7, "bad-key");
  wrong(undefined, "bad-key");
  wrong("123456789", "too-large");
  wrong("ééééé", "too-large");
  expect([parseKey("éééé", 8).length, parseKey(new Uint8Array([255]), 8), parseBound("", 8)]).toEqual([8, "\xff", ""]);
});

test("the end of a prefix is behind every key with it and before every other", () => {
  expect([prefixEnd("a"), prefixEnd("a\xff"), prefixEnd("\xff\xff"), prefixEnd("")]).toEqual(["b", "b", null, null]);
  const key = fc.uint8Array({ maxLength: 4 }).map((bytes) => binaryString(bytes));
  fc.assert(fc.property(key, key, (prefix, key) => {
    const end = prefixEnd(prefix);
    expect(key.startsWith(prefix)).toBe(key >= prefix && (end === null || key < end));
  }));
});

test("a cursor brings back its key, only in its direction, and nothing else is a cursor", () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 2_048 }).map((bytes) => binaryString(bytes));
  fc.assert(fc.property(key, fc.boolean(), (key, reverse) => {
    const cursor = formatCursor(reverse, key);
    expect(parseCursor(cursor, reverse, 2_048)).toBe(key);
    expect(() => parseCursor(cursor, !reverse, 2_048)).toThrow("Cannot go on from this cursor");
    expect(() => parseCursor(`${cursor}*`, reverse, 2_048)).toThrow("Cannot go on from this cursor");
  }));
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      parseCursor(text, false, 2_048);
    } catch (error) {
      expect((error as { code: string }).code).toBe("bad-cursor");
    }
  }));
  for (const wrong of ["", "AQ", "=", "A".repeat(100_000), null as unknown as string]) {
    expect(() => parseCursor(wrong, false, 2_048)).toThrow("Cannot go on from this cursor");
  }
});

test("messages come back, and no bytes make the parser throw", () => {
  const message = { groups: [1, 65_535], type: "text/x", bytes: new Uint8Array([1, 2]) };
  expect(parseMessage(reader.reset(encodeMessage(message), headerBytes))).toEqual(message);
  expect(parseMessage(reader.reset(encodeMessage({ ...message, groups: [] }), headerBytes))).toBe(null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
    const parsed = parseMessage(reader.reset(bytes));
    if (parsed !== null) expect(parsed.groups.length).toBe(bytes[0]!);
  }));
});

test("request numbers of 48 bits and integers of 53 bits survive", () => {
  for (const request of [1, 2 ** 31, 2 ** 32, 2 ** 32 + 5, 2 ** 48 - 1]) {
    expect(requestOf(stamp(new Uint8Array(headerBytes), 2, request), 0)).toBe(request);
  }
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 12_345, Number.MAX_SAFE_INTEGER]) {
    const written = new Writer(7).u53(value).out;
    expect(readU53(written, 0)).toBe(value);
    expect(reader.reset(written).u53()).toBe(value);
  }
  expect([reader.reset(new Uint8Array(7).fill(255)).u53(), reader.ok]).toEqual([0, false]);
});

test("a delivery is walked from its first command to its last, past repeated batches", () => {
  const text = (...names: string[]) => packCommands(names.map((name) => new TextEncoder().encode(name)));
  const batch = (origin: number, ...names: string[]) => ({ origin, sequence: 1, count: names.length, bytes: text(...names) });
  const lying = { origin: 7, sequence: 1, count: 2, bytes: new Uint8Array([...text("l"), 9, 0, 0, 0, 1]) };
  const talkative = { origin: 8, sequence: 1, count: 1, bytes: text("m", "extra") };
  const entry = {
    instance: 1,
    ballot: 1,
    stamp: 100,
    count: 9,
    slotBase: 0,
    slots: 9,
    kind: "batch" as const,
    batches: [batch(5, "a", "b", "c"), batch(6, "d", "e"), lying, talkative, batch(9, "z")],
  };
  const walk = (from: number, to: number, repeated: number[]) => {
    const seen: string[] = [];
    const delivery: Delivery = { subscription: 1, group: 3, entry, from, to, repeated: repeated.length > 0 ? new Set(repeated) : null };
    eachDelivered(delivery, { merge: "ts" }, (position, bytes, at, end, origin) => {
      seen.push(`${new TextDecoder().decode(bytes.subarray(at, end))}${position.major}n${origin}`);
    });
    return seen.join(" ");
  };
  expect([walk(0, 9, []), walk(1, 4, []), walk(0, 9, [0, 4]), walk(2, 3, [0]), walk(7, 9, []), walk(3, 5, [0])]).toEqual([
    "a100n5 b101n5 c102n5 d103n6 e104n6 l105n7 m107n8 z108n9",
    "b101n5 c102n5 d103n6",
    "d103n6 e104n6 l105n7 m107n8",
    "",
    "m107n8 z108n9",
    "d103n6 e104n6",
  ]);
});

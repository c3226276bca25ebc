/** The KV store as users call it: every operation, every consistency, every refusal, over several nodes that share one order. */
import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import type { Entry, ReadOptions, ScanOptions, WriteResult } from "../../services/api.ts";
import { failure } from "../harness/failure.ts";
import { settled } from "../harness/sequencer.ts";
import { type ServicesCluster, servicesCluster, twoGroups } from "../harness/services_cluster.ts";

const open: ServicesCluster[] = [];
afterEach(async () => {
  for (const { services } of open.splice(0)) for (const each of services) await each.close();
});

function cluster(...args: Parameters<typeof servicesCluster>): ServicesCluster {
  const made = servicesCluster(...args);
  open.push(made);
  return made;
}

function shown(entry: Entry | null): unknown {
  return entry === null ? null : [entry.key, entry.text(), entry.version, entry.type];
}

/** The version of a write that happened. */
function version(result: WriteResult): string {
  if (!result.ok) throw new Error("Cannot go on: the write was refused");
  return result.version;
}

test("what one node writes every node reads", async () => {
  const { services: [a, b] } = cluster();
  const put = await a!.kv.put("user/ada", "hello");
  expect(put).toEqual({ ok: true, version: expect.stringMatching(/^[0-9a-f]{20}$/), created: true });
  expect(shown(await b!.kv.get("user/ada"))).toEqual(["user/ada", "hello", version(put), "text/plain;charset=utf-8"]);
  expect(await b!.kv.get("user/eve")).toBe(null);
  const again = await b!.kv.put("user/ada", "bye");
  expect([again.ok && again.created, version(again) > version(put)]).toEqual([false, true]);
  const read = await a!.kv.read("user/ada");
  expect([read.entry!.text(), read.position]).toEqual(["bye", version(again)]);
  expect(a!.digest()).toEqual(b!.digest());
});

test("values say what they are and come back the way the reader asks", async () => {
  const { kv } = cluster({ nodes: 1 }).services[0]!;
  const values = [
    "text",
    new Uint8Array([1, 2]),
    { json: { a: [1, null] } },
    { cbor: { b: new Uint8Array([3]) } },
    { bytes: new Uint8Array([4]), type: "image/png" },
    { bytes: new Uint8Array(0), type: "" },
  ];
  for (const [index, value] of values.entries()) await kv.put(`k${index}`, value);
  const entries = (await kv.scan()).entries;
  expect(entries.map(({ type }) => type)).toEqual([
    "text/plain;charset=utf-8",
    "",
    "application/json",
    "application/cbor",
    "image/png",
    "",
  ]);
  expect([entries[0]!.text(), entries[1]!.bytes(), entries[2]!.json(), entries[3]!.cbor(), entries[4]!.bytes(), entries[5]!.bytes()])
    .toEqual([
      "text",
      new Uint8Array([1, 2]),
      { a: [1, null] },
      { b: new Uint8Array([3]) },
      new Uint8Array([4]),
      new Uint8Array(0),
    ]);
  expect(() => entries[0]!.json()).toThrow("Cannot read this value as JSON: it is none");
  expect(() => entries[1]!.cbor()).toThrow("Cannot read this value as CBOR: it is none");
});

test("insert, update, delete and compare-and-set do what their condition says", async () => {
  const { services: [a, b] } = cluster();
  const first = version(await a!.kv.insert("k", "1"));
  const lost = await b!.kv.insert("k", "2");
  expect([lost.ok, !lost.ok && shown(lost.current)]).toEqual([false, ["k", "1", first, "text/plain;charset=utf-8"]]);
  expect((await a!.kv.update("none", "x")).ok).toBe(false);
  const second = version(await b!.kv.update("k", "2"));
  const stale = await a!.kv.put("k", "3", { ifVersion: first });
  expect([stale.ok, !stale.ok && stale.current!.version]).toEqual([false, second]);
  const third = version(await a!.kv.put("k", "3", { ifVersion: second }));
  expect((await a!.kv.put("k", "4", { ifVersion: null })).ok).toBe(false);
  expect((await b!.kv.delete("k", { ifVersion: second })).ok).toBe(false);
  expect(await b!.kv.delete("k", { ifVersion: third })).toEqual({ ok: true, existed: true, position: expect.any(String) });
  expect(await a!.kv.delete("k")).toMatchObject({ ok: true, existed: false });
  expect((await a!.kv.put("k", "5", { ifVersion: null })).ok).toBe(true);
});

test("of many who compare and set at once exactly one wins", async () => {
  const { services } = cluster({ nodes: 3 });
  const first = version(await services[0]!.kv.put("k", "0"));
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, index) => services[index % 3]!.kv.put("k", `${index}`, { ifVersion: first })),
  );
  const winners = results.flatMap((result, index) => result.ok ? [String(index)] : []);
  expect(winners.length).toBe(1);
  expect((await services[2]!.kv.get("k"))!.text()).toBe(winners[0]!);
});

test("a linearizable read waits for what was acknowledged; a local one does not; a session waits for its own", async () => {
  const { services: [a, b], orderers, timers } = cluster();
  await a!.kv.put("k", "1");
  await settled();
  orderers[1]!.pause();
  const after = version(await a!.kv.put("k", "2"));
  const seen: string[] = [];
  const read = (name: string, options: ReadOptions) =>
    b!.kv.get("k", options).then((entry) => seen.push(`${name}=${entry?.text()}`), (error) => seen.push(`${name}:${error.code}`));
  read("linearizable", {});
  read("session", { consistency: "session", after });
  read("session-before", { consistency: "session", after: "0".repeat(20) });
  read("session-without", { consistency: "session" });
  read("local", { consistency: "local" });
  read("impatient", { consistency: "session", after, timeoutMs: 100 });
  read("impatient-linearizable", { timeoutMs: 100 });
  await settled();
  expect(seen.sort()).toEqual(["local=1", "session-before=1", "session-without=1"]);
  await timers.advance(200);
  expect(seen.slice(3).sort()).toEqual(["impatient-linearizable:timeout", "impatient:behind"]);
  orderers[1]!.resume();
  await settled();
  expect(seen.slice(5).sort()).toEqual(["linearizable=2", "session=2"]);
});

test("a session survives the loss of the quorum if its replica is far enough, and says where it is if not", async () => {
  const { services: [a, b], orderers, timers } = cluster();
  const after = version(await a!.kv.put("k", "1"));
  await settled();
  orderers[1]!.cutOff();
  expect((await b!.kv.get("k", { consistency: "session", after }))!.text()).toBe("1");
  const future = "00000000ffffffff0100";
  const behind = failure(b!.kv.get("k", { consistency: "session", after: future, timeoutMs: 50 }));
  await timers.advance(100);
  expect(await behind).toMatchObject({ code: "behind", outcome: "none", retryable: true, facts: { position: after, after: future } });
});

test("a position of a busy group does not hold up a session in a silent one", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups });
  await a!.kv.put("z", "quiet");
  const after = version(await a!.kv.put("a", "busy"));
  expect((await b!.kv.get("z", { consistency: "session", after }))!.text()).toBe("quiet");
});

test("writes that find no order say what is known", async () => {
  const { services: [a], sequencer, timers } = cluster({ nodes: 1 });
  sequencer.refusing = "no-quorum";
  expect(await failure(a!.kv.put("k", "v"))).toMatchObject({ code: "no-quorum", outcome: "none", retryable: true });
  sequencer.refusing = null;
  sequencer.losing = true;
  const lost = failure(a!.kv.put("k", "v", { timeoutMs: 100 }));
  await timers.advance(110);
  expect(await lost).toMatchObject({
    code: "timeout",
    outcome: "unknown",
    retryable: true,
    message: 'Cannot put "k": no answer within 100 ms; it may still happen',
  });
});

test("what cannot be a key, a value, a version or a bound is refused before it is ordered", async () => {
  const { services: [a], sequencer } = cluster({ nodes: 1, limits: { valueBytesMax: 1_000, pageItemsMax: 5, pageItems: 5 } });
  const { kv } = a!;
  const loop: unknown[] = [];
  loop.push(loop);
  const codes = await Promise.all([
    kv.put("", "v"),
    kv.put("k".repeat(2_049), "v"),
    kv.get("\udc00"),
    kv.put("k", "v".repeat(1_001)),
    kv.put("k", { bytes: new Uint8Array(1), type: "a\nb" }),
    kv.put("k", { bytes: new Uint8Array(1), type: "a".repeat(256) }),
    kv.put("k", { json: undefined }),
    kv.put("k", { json: loop }),
    kv.put("k", null as unknown as string),
    kv.put("k", 7 as unknown as string),
    kv.put("k", "v", { ifVersion: "nonsense" }),
    kv.get("k", { consistency: "eventual" as "local" }),
    kv.get("k", { consistency: "session", after: "xyz" }),
    kv.put("k", "v", { timeoutMs: -1 }),
    kv.scan({ limit: 0 }),
    kv.scan({ limit: 1.5 }),
    kv.scan({ limit: 6 }),
    kv.scan({ cursor: "nonsense!" }),
    kv.scan({ reverse: "yes" as unknown as boolean }),
  ].map(async (promise) => (await failure(promise)).code));
  expect(codes).toEqual([
    "bad-key",
    "too-large",
    "bad-key",
    "too-large",
    "unsupported-type",
    "too-large",
    "bad-request",
    "bad-request",
    "bad-request",
    "bad-request",
    "bad-position",
    "bad-request",
    "bad-position",
    "bad-request",
    "bad-request",
    "bad-request",
    "too-large",
    "bad-cursor",
    "bad-request",
  ]);
  expect(sequencer.ordered.length).toBe(0);
  expect((await failure(kv.put("k", "v".repeat(1_001)))).facts).toEqual({ limit: 1_000 });
});

test("a key nobody owns has no partition, and a scan passes over the gap", async () => {
  const groups = [{ name: "low", keys: [{ from: "a", to: "c" }] }, { name: "high", keys: [{ from: "x" }] }];
  const { services: [a] } = cluster({ nodes: 1, topology: { groups } });
  await a!.kv.put("b", "1");
  await a!.kv.put("y", "2");
  expect(await failure(a!.kv.put("m", "3"))).toMatchObject({
    code: "no-partition",
    outcome: "none",
    message: 'Cannot place key "m": no group owns it',
    facts: { key: "m" },
  });
  expect((await a!.kv.scan()).entries.map(({ key }) => key)).toEqual(["b", "y"]);
});

test("a node without a replica of the group says which nodes have one", async () => {
  const groups = [{ name: "eu", learners: ["n1"], keys: [{ from: "" }] }];
  const { services: [, b], sequencer } = cluster({ topology: { groups } });
  const expected = { code: "unreachable", outcome: "none", facts: { group: "eu", node: "n2", nodes: ["n1"] } };
  expect(await failure(b!.kv.put("k", "v"))).toMatchObject(expected);
  expect(await failure(b!.kv.get("k"))).toMatchObject(expected);
  expect(sequencer.ordered.length).toBe(0);
});

test("pages of any size, in either direction, across partitions, make the whole range", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups });
  const keys = new Set<string>();
  for (let n = 0; n < 120; n++) keys.add(String.fromCharCode(97 + n * 7 % 26) + n % 10);
  keys.add("m").add("lzzz").add("é").add("日本");
  await Promise.all([...keys].map((key) => a!.kv.put(key, `value of ${key}`)));
  const sorted = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));

  const bound = fc.option(fc.constantFrom("a", "l", "m", "m0", "m00", "z", "é"), { nil: undefined });
  const arbitrary = fc.record({
    prefix: fc.option(fc.constantFrom("", "l", "m", "z9", "é", "nothing"), { nil: undefined }),
    start: bound,
    end: bound,
    limit: fc.integer({ min: 1, max: 40 }),
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
  });
  await fc.assert(fc.asyncProperty(arbitrary, async (drawn) => {
    const options = Object.fromEntries(Object.entries(drawn).filter(([, value]) => value !== undefined)) as ScanOptions;
    const before = (x: string, y: string) => Buffer.compare(Buffer.from(x), Buffer.from(y)) < 0;
    const expected = sorted.filter((key) =>
      key.startsWith(drawn.prefix ?? "") && !before(key, drawn.start ?? "") && (drawn.end === undefined || before(key, drawn.end))
    );
    if (drawn.reverse) expected.reverse();
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await b!.kv.scan(cursor === null ? options : { ...options, cursor });
      expect(page.entries.length).toBeLessThanOrEqual(drawn.limit);
      for (const entry of page.entries) {
        seen.push(entry.key);
        expect(entry.text()).toBe(drawn.keysOnly ? "" : `value of ${entry.key}`);
      }
      cursor = page.cursor;
    } while (cursor !== null);
    expect(seen).toEqual(expected);
    const listed: string[] = [];
    for await (const { key } of b!.kv.list(options)) listed.push(key);
    expect(listed).toEqual(expected);
  }));
});

test("a page ends at its last entry, so what is written in between is seen once or not at all", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  for (const key of ["a", "c", "e"]) await a!.kv.put(key, key);
  const page = await a!.kv.scan({ limit: 2 });
  await Promise.all([a!.kv.put("b", "b"), a!.kv.put("c\0", "behind c"), a!.kv.put("d", "d"), a!.kv.delete("c")]);
  const rest = await a!.kv.scan({ limit: 10, cursor: page.cursor! });
  expect([page.entries, rest.entries].map((entries) => entries.map(({ key }) => key))).toEqual([["a", "c"], ["c\0", "d", "e"]]);
  expect(rest.cursor).toBe(null);
});

test("keys that are no UTF-8 are exact as bytes", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  const key = new Uint8Array([255, 0, 128]);
  await a!.kv.put(key, "v");
  const [entry] = (await a!.kv.scan({ prefix: new Uint8Array([255]) })).entries;
  expect([entry!.keyBytes, entry!.key, (await a!.kv.get(key))!.text()]).toEqual([key, "\ufffd\0\ufffd", "v"]);
});

test("after closing nothing is answered and nothing is left waiting", async () => {
  const { services: [a], sequencer, timers, orderers } = cluster({ nodes: 1 });
  sequencer.losing = true;
  const waiting = failure(a!.kv.put("k", "v"));
  await a!.close();
  expect(await waiting).toMatchObject({ code: "closed", outcome: "unknown" });
  expect(await failure(a!.kv.get("k"))).toMatchObject({ code: "closed", outcome: "none" });
  expect([timers.armed, orderers[0]!.open, a!.stats().waiting]).toEqual([0, 0, 0]);
});

/** Writes with a key: one effect and one answer, whoever asks again, where and when. */
import { expect, test } from "bun:test";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { createServices, type Services } from "../../services/services.ts";
import { failure } from "../harness/failure.ts";
import { settled } from "../harness/sequencer.ts";
import { type ServicesCluster, servicesCluster, twoGroups } from "../harness/services_cluster.ts";

const key = (idempotencyKey: string): { readonly idempotencyKey: string } => ({ idempotencyKey });

/** Two nodes, and logs "e" and "u" at home in different groups. */
async function cluster(): Promise<ServicesCluster & { readonly a: Services; readonly b: Services }> {
  const made = servicesCluster({ topology: twoGroups, seed: 3 });
  const [a, b] = made.services as [Services, Services];
  await a.log("e").create({ group: "eu" });
  await a.log("u").create({ group: "us" });
  return { ...made, a, b };
}

type Write = (at: Services) => Promise<object>;

const writes: readonly (readonly [string, Write])[] = [
  ["put that creates", ({ kv }) => kv.put("k", "v", key("1"))],
  ["put that replaces", ({ kv }) => kv.put("there", "v", key("1"))],
  ["put under a condition that is lost", ({ kv }) => kv.put("there", "v", { ...key("1"), ifVersion: null })],
  ["insert", ({ kv }) => kv.insert("k", "v", key("1"))],
  ["insert that is lost", ({ kv }) => kv.insert("there", "v", key("1"))],
  ["update", ({ kv }) => kv.update("there", "v", key("1"))],
  ["update that is lost", ({ kv }) => kv.update("k", "v", key("1"))],
  ["delete", ({ kv }) => kv.delete("there", key("1"))],
  ["delete of nothing", ({ kv }) => kv.delete("k", key("1"))],
  ["append", (at) => at.log("e").append("x", key("1"))],
  ["append of several", (at) => at.log("u").appendAll(["x", "y", "z"], key("1"))],
  ["append that is lost", (at) => at.log("u").append("x", { ...key("1"), expect: 7 })],
  ["append to several logs", (at) => at.append(["u", "e"], ["x", "y"], key("1"))],
  ["trim", (at) => at.log("e").trim(1, key("1"))],
];

test.each(writes)("%s: asked for again at another node it is answered as the first time and not made again", async (_, write) => {
  const { a, b } = await cluster();
  await a.kv.put("there", "before");
  await a.append(["e", "u"], ["one", "two"]);
  const first = await write(a);
  const digests = [a.digest(), b.digest()];
  const second = await write(b);
  const third = await write(a);
  const expected = Array.isArray(first) ? first.map((one) => ({ ...one, replayed: true })) : { ...first, replayed: true };
  expect(plain(second)).toEqual(plain(expected));
  expect(plain(third)).toEqual(plain(expected));
  expect([a.digest(), b.digest()]).toEqual(digests);
});

/** Entries by what they say. */
function plain(result: object): unknown {
  const { current } = result as { current?: { version: string; text(): string } | null };
  return current ? { ...result, current: [current.version, current.text()] } : result;
}

test("at the same time at two nodes: one effect, one answer, and one of the two is told that it is not new", async () => {
  const { a, b } = await cluster();
  for (let n = 0; n < 50; n++) {
    const [one, other] = await Promise.all([a, b].map((at) => at.log("e").append(`${n}`, key(`${n}`))));
    expect([one!.replayed, other!.replayed].toSorted()).toEqual([true, undefined]);
    expect({ ...one, replayed: true }).toEqual({ ...other!, replayed: true });
  }
  const { records } = await a.log("e").read();
  expect(records.map((record) => record.text())).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`));
});

test("after a time-out the same call says how it went, also when the first try is ordered only afterwards", async () => {
  const { a, b, orderers, timers } = await cluster();
  orderers[0]!.pause();
  const hanging = failure(a.kv.put("k", "v", { ...key("1"), timeoutMs: 100 }));
  await settled();
  await timers.advance(1_000);
  expect(await hanging).toMatchObject({ code: "timeout", outcome: "unknown" });
  const again = await b.kv.put("k", "v", key("1"));
  expect(again).toMatchObject({ ok: true, created: true, replayed: true });
  orderers[0]!.resume();
  await settled();
  expect(await a.kv.put("k", "v", key("1"))).toEqual(again);
});

test("a node that starts again knows what was done before", async () => {
  const { a, sequencer, timers } = await cluster();
  const first = await a.log("e").append("x", key("1"));
  await a.close();
  const restarted = createServices(sequencer.node(1, 2), { after: timers.after, encodeCbor, decodeCbor });
  await settled();
  expect(await restarted.log("e").append("x", key("1"))).toEqual({ ...first, replayed: true });
  expect((await restarted.log("e").info()).next).toBe(1);
});

test("another request under the same key is refused, whatever service it is for", async () => {
  const { a, b } = await cluster();
  await a.kv.put("a", "1", key("1"));
  const before = a.digest();
  const others: readonly (() => Promise<unknown>)[] = [
    () => b.kv.put("a", "2", key("1")),
    () => b.kv.put("b", "1", key("1")),
    () => b.kv.put("a", { bytes: new TextEncoder().encode("1"), type: "" }, key("1")),
    () => b.kv.insert("a", "1", key("1")),
    () => b.kv.delete("a", key("1")),
    () => b.log("e").append("1", key("1")),
    () => b.multicast(["eu"], "1", key("1")),
  ];
  for (const other of others) expect(await failure(other())).toMatchObject({ code: "key-reused", outcome: "none" });
  // That the message came to nothing is remembered for those who listen.
  expect(a.digest()).toEqual({ ...before, "eu/messages": a.digest()["eu/messages"]! });
  // The keys of another group are its own.
  expect(await b.kv.put("z", "1", key("1"))).toMatchObject({ ok: true, created: true });
});

test("an append to several logs happens in all of them or in none, also under a key that was used for others", async () => {
  const { a, b } = await cluster();
  await a.log("e2").create({ group: "eu" });
  await a.append(["e", "u"], ["x"], key("1"));
  const before = a.digest();
  expect((await failure(b.append(["e2", "u"], ["x"], key("1")))).code).toBe("key-reused");
  expect((await failure(b.append(["e", "u"], ["y"], key("1")))).code).toBe("key-reused");
  expect(a.digest()).toEqual(before);
  expect(b.digest()).toEqual(before);
});

test("while the first is still running at this node, the second is told so, and may succeed elsewhere", async () => {
  const { a, b, sequencer, timers } = await cluster();
  sequencer.losing = true;
  const first = failure(a.kv.put("k", "v", { ...key("1"), timeoutMs: 100 }));
  expect(await failure(a.kv.put("k", "v", key("1")))).toMatchObject({ code: "in-progress", outcome: "unknown", retryable: true });
  sequencer.losing = false;
  expect(await b.kv.put("k", "v", key("1"))).toMatchObject({ ok: true });
  await timers.advance(1_000);
  expect((await first).code).toBe("timeout");
  expect(await a.kv.put("k", "v", key("1"))).toMatchObject({ ok: true, created: true, replayed: true });
});

test("what a lost condition met is told again with its value while it is there, and with its version for ever", async () => {
  const { a, b } = await cluster();
  const there = await a.kv.put("k", "first");
  const lost = () => b.kv.insert("k", "mine", key("1"));
  const outcomes = [await lost(), await lost()];
  for (const outcome of outcomes) expect(outcome.ok ? "" : outcome.current?.text()).toBe("first");
  await a.kv.put("k", "second");
  const late = await lost();
  if (late.ok || late.current === null) throw new Error("Cannot go on: it was lost, and met something");
  expect([late.replayed, late.current.version]).toEqual([true, there.ok ? there.version : ""]);
  expect(() => late.current!.text()).toThrow("it has been written since");
  await a.kv.delete("k");
  expect(await lost()).toMatchObject({ ok: false, replayed: true });
});

test("a trim past the tail fails the same way again, although the tail has moved on", async () => {
  const { a, b } = await cluster();
  const { code, facts } = await failure(a.log("e").trim(1, key("1")));
  expect([code, facts]).toMatchObject(["past-tail", { log: "e", tail: 0 }]);
  await a.log("e").append("x");
  const again = await failure(b.log("e").trim(1, key("1")));
  expect([again.code, again.facts]).toEqual([code, { ...facts, replayed: true }]);
});

test("what cannot honour a key says so, and so does a key that is none", async () => {
  const { a } = await cluster();
  const calls: readonly (() => Promise<unknown>)[] = [
    () => a.log("e").create(key("1") as object),
    () => a.kv.delete("k", { ...key("1"), ifVersion: null }),
    ...["", "x".repeat(256), "ä", "a\nb"].map((bad) => () => a.kv.put("k", "v", key(bad))),
    () => a.kv.put("k", "v", { idempotencyKey: 7 as unknown as string }),
  ];
  for (const call of calls) expect((await failure(call())).code).toBe("bad-request");
  expect(await a.kv.put("k", "v", key("x".repeat(255)))).toMatchObject({ ok: true });
});

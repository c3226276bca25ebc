/** Logs as users call them: creating, appending, reading, waiting, tailing, trimming, over several nodes that share one order. */
import { afterEach, expect, test } from "bun:test";
import type { LogPage, LogRecord } from "../../services/api.ts";
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

const texts = ({ records }: Pick<LogPage, "records">): string[] => records.map((record) => `${record.offset}:${record.text()}`);
const position = expect.stringMatching(/^[0-9a-f]{20}$/);

test("a log is created once, and again by whoever wants the same", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups });
  const created = { name: "audit", group: "us", first: 0, next: 0, bytes: 0, position, created: true };
  expect(await a!.log("audit").create({ group: "us" })).toEqual(created);
  await a!.log("audit").append("x");
  const found = { ...created, next: 1, bytes: 1, created: false };
  expect(await b!.log("audit").create({ group: "us" })).toEqual(found);
  expect(await b!.log("audit").create()).toEqual(found);
  expect(await failure(b!.log("audit").create({ group: "eu" }))).toMatchObject({
    code: "exists-differently",
    outcome: "none",
    message: 'Cannot create log "audit" in group "eu": it is in "us"',
    facts: { log: "audit", group: "us" },
  });
  expect(await b!.log("other").create()).toMatchObject({ group: "eu", created: true });
  expect((await a!.logs()).map(({ name, group, next }) => [name, group, next])).toEqual([["audit", "us", 1], ["other", "eu", 0]]);
});

test("a log nobody placed is at home where this node votes", async () => {
  const groups = [{ name: "far", acceptors: ["n1"] }, { name: "near", acceptors: ["n2"] }];
  const { services: [a, b] } = cluster({ topology: { groups } });
  expect([(await a!.log("x").create()).group, (await b!.log("y").create()).group]).toEqual(["far", "near"]);
});

test("offsets are dense from 0, a batch is contiguous, and expect guards the tail", async () => {
  const { services: [a, b] } = cluster();
  const log = a!.log("l");
  await log.create();
  expect(await log.append("a")).toEqual({ ok: true, log: "l", first: 0, next: 1, position });
  expect(await b!.log("l").appendAll(["b", "c"], { expect: 1 })).toEqual({ ok: true, log: "l", first: 1, next: 3, position });
  expect(await log.append("x", { expect: 2 })).toEqual({ ok: false, next: 3, position });
  const batches = await Promise.all(
    Array.from({ length: 30 }, (_, index) => (index % 2 ? a! : b!).log("l").appendAll([`${index}.0`, `${index}.1`])),
  );
  const page = await b!.log("l").read();
  expect(page.records.map(({ offset }) => offset)).toEqual(Array.from({ length: 63 }, (_, offset) => offset));
  batches.forEach((batch, index) => {
    if (!batch.ok) throw new Error("Cannot go on: an append was refused");
    const own = page.records.slice(batch.first, batch.next);
    expect(own.map((record) => [record.text(), record.position])).toEqual([
      [`${index}.0`, batch.position],
      [`${index}.1`, batch.position],
    ]);
  });
  expect([page.next, page.tail]).toEqual([63, 63]);
});

test("of many who expect the same offset exactly one gets it", async () => {
  const { services } = cluster({ nodes: 3 });
  await services[0]!.log("l").create();
  const results = await Promise.all(
    Array.from({ length: 30 }, (_, index) => services[index % 3]!.log("l").append(`${index}`, { expect: 0 })),
  );
  expect(results.filter(({ ok }) => ok).length).toBe(1);
  expect(await services[0]!.log("l").info()).toMatchObject({ first: 0, next: 1 });
});

test("a read starts where it is told and stops at its bounds", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  const log = a!.log("l");
  await log.create();
  await log.appendAll(["0000", "1111", "2222", "3333"]);
  const read = async (options: Parameters<typeof log.read>[0]) => {
    const page = await log.read(options);
    return [texts(page).join(" "), page.next, page.tail];
  };
  expect([
    await read({ from: 1, limit: 2 }),
    await read({ from: "tail-1" }),
    await read({ from: "tail-0" }),
    await read({ from: "tail-99", limit: 1 }),
    await read({ from: 1, bytes: 9 }),
    await read({ from: 4 }),
    await read({ from: 9, clamp: true }),
  ]).toEqual([
    ["1:1111 2:2222", 3, 4],
    ["3:3333", 4, 4],
    ["", 4, 4],
    ["0:0000", 1, 4],
    ["1:1111 2:2222", 3, 4],
    ["", 4, 4],
    ["", 4, 4],
  ]);
  expect(await failure(log.read({ from: 5 }))).toMatchObject({
    code: "past-tail",
    message: 'Cannot read log "l" from 5: its tail is 4',
    facts: { log: "l", tail: 4 },
  });
  expect((await log.trim(2)).first).toBe(2);
  expect(await failure(log.read())).toMatchObject({
    code: "trimmed",
    message: 'Cannot read log "l" from 0: the oldest kept offset is 2',
    facts: { log: "l", oldest: 2 },
  });
  expect([await read({ from: 0, clamp: true }), await read({ from: "tail-9" }), await read({ from: 2, limit: 1 })]).toEqual([
    ["2:2222 3:3333", 4, 4],
    ["2:2222 3:3333", 4, 4],
    ["2:2222", 3, 4],
  ]);
});

test("trim forgets below an offset, again for free, and never past the tail", async () => {
  const { services: [a, b] } = cluster();
  const log = a!.log("l");
  await log.create();
  await log.appendAll(["a", "bb", "ccc"]);
  expect(await log.trim(1)).toEqual({ name: "l", group: "main", first: 1, next: 3, bytes: 5, position });
  expect(await log.trim(0)).toMatchObject({ first: 1, bytes: 5 });
  expect(await failure(log.trim(4))).toMatchObject({ code: "past-tail", facts: { log: "l", tail: 3 } });
  expect(await log.trim(3)).toMatchObject({ first: 3, next: 3, bytes: 0 });
  expect(await b!.log("l").append("d")).toMatchObject({ first: 3, next: 4 });
  expect(a!.digest()).toEqual(b!.digest());
});

test("a log that was never created is not found, by any call", async () => {
  const { services: [a], sequencer } = cluster({ nodes: 1 });
  const log = a!.log("nope");
  const calls = [log.info(), log.append("x"), log.read(), log.read({ consistency: "local" }), log.trim(0), a!.append(["nope"], ["x"])];
  expect((await Promise.all(calls.map(failure))).map(({ code }) => code)).toEqual(new Array(6).fill("not-found"));
  expect(sequencer.ordered.length).toBe(0);
});

test("a node learns of a log created elsewhere before it says not found", async () => {
  const { services: [a, b], orderers } = cluster();
  orderers[1]!.pause();
  await a!.log("l").create();
  await a!.log("l").append("x");
  const read = b!.log("l").read();
  expect((await failure(b!.log("l").read({ consistency: "local" }))).code).toBe("not-found");
  orderers[1]!.resume();
  expect(texts(await read)).toEqual(["0:x"]);
});

test("a read waits for a first record, for as long as it was told", async () => {
  const { services: [a, b], timers } = cluster();
  const log = a!.log("l");
  await log.create();
  const waiting = log.read({ waitMs: 1_000 });
  await settled();
  await b!.log("l").appendAll(["a", "b"]);
  expect(texts(await waiting)).toEqual(["0:a", "1:b"]);
  const inVain = log.read({ from: 2, waitMs: 1_000 });
  await timers.advance(1_100);
  expect(await inVain).toMatchObject({ records: [], next: 2, tail: 2 });
  const abort = new AbortController();
  const aborted = failure(log.read({ from: 2, waitMs: 1_000, signal: abort.signal }));
  await settled();
  abort.abort();
  expect((await aborted).code).toBe("cancelled");
  const patient = log.read({ from: 2, waitMs: 1_000 });
  await settled();
  await log.trim(2);
  await log.append("c");
  expect(texts(await patient)).toEqual(["2:c"]);
});

test("an append to several logs is all or nothing, in every group at once", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups });
  await a!.log("e").create({ group: "eu" });
  await a!.log("u").create({ group: "us" });
  await a!.log("u").append("first");
  const appended = await b!.append(["u", "e"], ["x", "y"]);
  expect(appended).toEqual([
    { log: "u", first: 1, next: 3, position },
    { log: "e", first: 0, next: 2, position },
  ]);
  expect(appended[0]!.position).toBe(appended[1]!.position);
  expect([texts(await a!.log("u").read()), texts(await a!.log("e").read())]).toEqual([["0:first", "1:x", "2:y"], ["0:x", "1:y"]]);
  expect((await failure(a!.append(["u", "nope"], ["z"]))).code).toBe("not-found");
  expect((await a!.log("u").info()).next).toBe(3);
  expect(a!.digest()).toEqual(b!.digest());
});

test("logs whose groups nothing spans cannot be appended to at once", async () => {
  const groups = [{ name: "eu" }, { name: "us" }, { name: "ap" }, { name: "west", spans: ["eu", "us"] }];
  const { services: [a] } = cluster({ nodes: 1, topology: { groups } });
  for (const name of ["eu", "us", "ap"]) await a!.log(name).create({ group: name });
  expect(await failure(a!.append(["eu", "ap"], ["x"]))).toMatchObject({
    code: "no-spanning-group",
    outcome: "none",
    message: "Cannot reach groups eu, ap at once: no group spans them",
    facts: { groups: ["eu", "ap"], spanned: [{ group: "west", spans: ["eu", "us"] }] },
  });
  expect((await failure(a!.log("w").create({ group: "west" }))).code).toBe("bad-request");
  expect((await failure(a!.log("w").create({ group: "nowhere" }))).code).toBe("not-found");
});

test("what cannot be a log, a batch or an offset is refused before it is ordered", async () => {
  const { services: [a], sequencer } = cluster({
    nodes: 1,
    limits: { batchRecordsMax: 3, batchBytesMax: 10, valueBytesMax: 8, logsMax: 2 },
  });
  const log = a!.log("l");
  await log.create();
  const ordered = sequencer.ordered.length;
  const codes = await Promise.all([
    log.appendAll([]),
    log.appendAll("text" as unknown as string[]),
    log.appendAll(["1", "2", "3", "4"]),
    log.append("123456789"),
    log.appendAll(["123456", "12345"]),
    log.append("x", { expect: -1 }),
    log.append("x", { expect: 1.5 }),
    log.read({ from: -1 }),
    log.read({ from: "tail" as "tail-1" }),
    log.read({ from: "tail--1" as "tail-1" }),
    log.read({ limit: 0 }),
    log.read({ limit: 10_001 }),
    log.read({ bytes: 17 << 20 }),
    log.read({ waitMs: -1 }),
    log.trim(-1),
    log.trim(NaN),
    a!.append([], ["x"]),
    a!.append(["l", "l"], ["x"]),
    a!.append(["l", "m", "n"], ["x"]),
    a!.append(["no good"], ["x"]),
  ].map(async (promise) => (await failure(promise)).code));
  const bad = "bad-request";
  const large = "too-large";
  expect(codes).toEqual([bad, bad, large, large, large, bad, bad, bad, bad, bad, bad, large, large, bad, bad, bad, bad, bad, large, bad]);
  for (const name of ["", "a b", "a/b", "ü", "x".repeat(129)]) expect(() => a!.log(name)).toThrow("as the name of a log");
  expect(sequencer.ordered.length).toBe(ordered);
});

/** Reads so many and stops. */
async function take(tail: AsyncIterable<LogRecord>, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const record of tail) {
    seen.push(`${record.offset}:${record.text()}`);
    if (seen.length === count) break;
  }
  return seen;
}

test("a tail gives every record once, from where it was told, and wakes for new ones", async () => {
  const { services: [a, b] } = cluster();
  const log = a!.log("l");
  await log.create();
  await log.appendAll(["a", "b", "c"]);
  const whole = take(b!.log("l").tail({ from: 0 }), 6);
  const last = take(a!.log("l").tail({ from: "tail-1" }), 4);
  const fresh = take(a!.log("l").tail(), 3);
  await settled();
  await log.append("d");
  await settled();
  await log.appendAll(["e", "f"]);
  expect(await whole).toEqual(["0:a", "1:b", "2:c", "3:d", "4:e", "5:f"]);
  expect(await last).toEqual(["2:c", "3:d", "4:e", "5:f"]);
  expect(await fresh).toEqual(["3:d", "4:e", "5:f"]);
  expect([a!.stats().streams, b!.stats().streams]).toEqual([0, 0]);
});

test("a slow listener reads on from the log, thousands of records later", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  const log = a!.log("l");
  await log.create();
  const iterator = log.tail({ from: 0 })[Symbol.asyncIterator]();
  for (let n = 0; n < 3; n++) await log.appendAll(Array.from({ length: 1_000 }, (_, i) => `${n * 1_000 + i}`));
  for (let n = 0; n < 3_000; n++) expect((await iterator.next()).value!.text()).toBe(`${n}`);
  await iterator.return!();
  expect(await iterator.next()).toEqual({ value: undefined, done: true });
});

test("a listener that fell behind a trim is told", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  const log = a!.log("l");
  await log.create();
  await log.append("a");
  const iterator = log.tail({ from: 0 })[Symbol.asyncIterator]();
  expect((await iterator.next()).value!.text()).toBe("a");
  await log.appendAll(["b", "c"]);
  await log.trim(2);
  expect(await failure(iterator.next())).toMatchObject({ code: "trimmed", facts: { log: "l", oldest: 2 } });
  expect((await iterator.next()).done).toBe(true);
});

test("a tail ends when it is cancelled, returned or closed, also while it waits", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  await a!.log("l").create();
  const abort = new AbortController();
  const cancelled = a!.log("l").tail({ signal: abort.signal })[Symbol.asyncIterator]();
  const returned = a!.log("l").tail()[Symbol.asyncIterator]();
  const closed = a!.log("l").tail()[Symbol.asyncIterator]();
  const absent = a!.log("absent").tail()[Symbol.asyncIterator]();
  const past = a!.log("l").tail({ from: 7 })[Symbol.asyncIterator]();
  const endings = [failure(cancelled.next()), failure(closed.next()), failure(absent.next()), failure(past.next())];
  const quiet = returned.next();
  await settled();
  abort.abort();
  await returned.return!();
  await a!.close();
  expect(await quiet).toEqual({ value: undefined, done: true });
  expect((await Promise.all(endings)).map(({ code }) => code)).toEqual(["cancelled", "closed", "not-found", "past-tail"]);
  expect((await failure(a!.log("l").tail()[Symbol.asyncIterator]().next())).code).toBe("closed");
  const aborted = new AbortController();
  aborted.abort();
  expect((await failure(a!.log("l").tail({ signal: aborted.signal })[Symbol.asyncIterator]().next())).code).toBe("cancelled");
  expect(a!.stats().streams).toBe(0);
});

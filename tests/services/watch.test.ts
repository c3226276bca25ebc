/** Watches: what there is and what comes, in one order everywhere, from any place on; slow listeners, silent partitions and endings. */
import { afterEach, expect, test } from "bun:test";
import { Prng } from "../../core/prng.ts";
import type { Change, WatchRange } from "../../services/api.ts";
import type { Services } from "../../services/services.ts";
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

function shown(change: Change): string {
  return change.kind === "put" ? `${change.entry.key}=${change.entry.text()}` : change.kind === "delete" ? `-${change.key}` : "caught-up";
}

const positionOf = (change: Change): string => change.kind === "put" ? change.entry.version : change.position;

/** Reads up to and with the first `caught-up`, or so many. */
async function take(changes: AsyncIterable<Change>, count = Infinity): Promise<Change[]> {
  const seen: Change[] = [];
  for await (const change of changes) {
    seen.push(change);
    if (seen.length === count || change.kind === "caught-up" && count === Infinity) break;
  }
  return seen;
}

/** What a store with these changes holds. */
function folded(changes: readonly Change[]): string[] {
  const state = new Map<string, string>();
  for (const change of changes) {
    if (change.kind === "put") state.set(change.entry.key, `${change.entry.text()}@${change.entry.version}`);
    else if (change.kind === "delete") state.delete(change.key);
  }
  return [...state].map(([key, value]) => `${key}=${value}`).sort();
}

async function held(at: Services, range: WatchRange): Promise<string[]> {
  const entries: string[] = [];
  const bounds = range.key === undefined ? range : { start: range.key, end: `${range.key}\0` };
  for await (const entry of at.kv.list({ ...bounds, consistency: "local" })) entries.push(`${entry.key}=${entry.text()}@${entry.version}`);
  return entries.sort();
}

test("a watch begins with what there is, says so, and goes on with what comes", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups });
  await a!.kv.put("a", "1");
  await a!.kv.put("z", "2");
  await b!.kv.put("other/1", "3");
  await a!.kv.delete("a");
  const events = b!.kv.watch({})[Symbol.asyncIterator]();
  const there = [await events.next(), await events.next(), await events.next()].map(({ value }) => shown(value!));
  expect(there).toEqual(["other/1=3", "z=2", "caught-up"]);
  await a!.kv.put("a", "4");
  await b!.kv.put("z", "5");
  await a!.kv.delete("z");
  await a!.kv.delete("z");
  await b!.kv.insert("a", "lost");
  await a!.kv.put("a", { json: 6 });
  const rest: Change[] = [];
  while (rest.length < 4) rest.push((await events.next()).value!);
  expect(rest.map(shown)).toEqual(["a=4", "z=5", "-z", "a=6"]);
  expect(rest.map(positionOf)).toEqual(rest.map(positionOf).sort());
  const last = rest[3]!;
  expect(last.kind === "put" && [last.entry.type, last.entry.json(), last.entry.keyBytes]).toEqual([
    "application/json",
    6,
    new Uint8Array([97]),
  ]);
  await events.return!();
});

test("a key, a prefix and a range see their own", async () => {
  const { services: [a] } = cluster({ nodes: 1, topology: twoGroups });
  const after = (await a!.kv.read("a")).position;
  for (const key of ["k", "k\0", "k/1", "l", "m", "z"]) await a!.kv.put(key, "v");
  const raw = Uint8Array.of(0xff, 0xfe);
  await a!.kv.put(raw, "v");
  await a!.kv.delete(raw);
  const keys = async (range: WatchRange) =>
    (await take(a!.kv.watch(range, { after }))).slice(0, -1).map((change) => shown(change).replace("=v", ""));
  expect(await keys({ key: "k" })).toEqual(["k"]);
  expect(await keys({ prefix: "k" })).toEqual(["k", "k\0", "k/1"]);
  expect(await keys({ start: "k/1", end: "m" })).toEqual(["k/1", "l"]);
  expect(await keys({ prefix: "k", start: "k\0" })).toEqual(["k\0", "k/1"]);
  expect(await keys({ start: "z", end: "zz" })).toEqual(["z"]);
  const [put, deleted] = await take(a!.kv.watch({ prefix: Uint8Array.of(0xff) }, { after }));
  expect([put?.kind === "put" && put.entry.keyBytes, deleted?.kind === "delete" && deleted.keyBytes]).toEqual([raw, raw]);
});

test("under writers everywhere, every watch sees every change once and in order, and can go on anywhere, at any node", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = new Prng(seed);
    const { services } = cluster({ topology: twoGroups, nodes: 3, seed });
    const keys = ["a/1", "a/2", "b", "l", "m", "n/1", "z"];
    const ranges: WatchRange[] = [{}, { prefix: "a/" }, { key: "b" }, { start: "b", end: "n/1" }, { start: "m" }];
    /** Everything from the beginning: what all others are compared with. */
    const truth: Change[] = [];
    const reference = (async () => {
      for await (const change of services[0]!.kv.watch({}, { after: "0".repeat(20) })) if (change.kind !== "caught-up") truth.push(change);
    })();
    reference.catch(() => {});
    const watches: { readonly range: WatchRange; readonly after: string | null; readonly seen: Change[] }[] = [];
    const positions: string[] = [];
    const writes: Promise<unknown>[] = [];
    const start = (): void => {
      const range = ranges[random.below(ranges.length)]!;
      const after = random.unit() < 0.5 || positions.length === 0 ? null : positions[random.below(positions.length)]!;
      const watch = { range, after, seen: [] as Change[] };
      watches.push(watch);
      const at = services[random.below(3)]!;
      (async () => {
        for await (const change of at.kv.watch(range, after === null ? {} : { after })) {
          watch.seen.push(change);
          if (random.unit() < 0.1) await settled();
        }
      })().catch(() => {});
    };
    for (let n = 0; n < 150; n++) {
      const at = services[random.below(3)]!;
      const key = keys[random.below(keys.length)]!;
      const write = random.unit() < 0.3 ? at.kv.delete(key) : random.unit() < 0.2 ? at.kv.insert(key, `${n}`) : at.kv.put(key, `${n}`);
      writes.push(write.then((result) => positions.push("version" in result ? result.version : result.position)));
      if (random.unit() < 0.15) start();
      if (random.unit() < 0.3) await settled();
    }
    await Promise.all(writes);
    for (let n = 0; n < 5; n++) start();
    for (let n = 0; n < 60; n++) await settled();

    const order = truth.map(positionOf);
    expect(order).toEqual([...new Set(order)].sort());
    expect(folded(truth)).toEqual(await held(services[1]!, {}));
    const inRange = (range: WatchRange, change: Change): boolean => {
      const key = change.kind === "put" ? change.entry.key : change.kind === "delete" ? change.key : "";
      if (range.key !== undefined) return key === range.key;
      return key.startsWith(range.prefix as string ?? "") && key >= (range.start ?? "") && (range.end === undefined || key < range.end);
    };
    for (const { range, after, seen } of watches) {
      const said = seen.findIndex(({ kind }) => kind === "caught-up");
      expect([seed, said >= 0]).toEqual([seed, true]);
      const level = positionOf(seen[said]!);
      const changes = seen.filter(({ kind }) => kind !== "caught-up");
      if (after !== null) {
        const wanted = truth.filter((change) => inRange(range, change) && positionOf(change) > after);
        expect(changes.map((change) => `${shown(change)}@${positionOf(change)}`)).toEqual(
          wanted.map((change) => `${shown(change)}@${positionOf(change)}`),
        );
      }
      // Up to here it knows what the store held there; behind it, exactly what came.
      const then = truth.filter((change) => inRange(range, change) && positionOf(change) <= level);
      if (after === null) expect(folded(seen.slice(0, said))).toEqual(folded(then));
      expect(seen.slice(said + 1).filter(({ kind }) => kind !== "caught-up").map(positionOf)).toEqual(
        truth.filter((change) => inRange(range, change) && positionOf(change) > level).map(positionOf),
      );
      // No key ever steps back.
      const newest = new Map<string, string>();
      for (const change of changes) {
        const key = change.kind === "put" ? change.entry.key : change.kind === "delete" ? change.key : "";
        expect(positionOf(change) > (newest.get(key) ?? "")).toBe(true);
        newest.set(key, positionOf(change));
      }
    }
    for (const each of services) await each.close();
    await reference.catch(() => {});
  }
}, 60_000);

test("what is written while a large range is read comes once, as it was or as it became", async () => {
  const { services: [a] } = cluster({ nodes: 1, topology: twoGroups });
  await Promise.all(Array.from({ length: 700 }, (_, n) => a!.kv.put(`${"bz"[n % 2]}${String(n).padStart(3, "0")}`, "old")));
  const seen: Change[] = [];
  let n = 0;
  for await (const change of a!.kv.watch({})) {
    seen.push(change);
    if (change.kind === "caught-up") break;
    // Ahead of the reader and behind it, of both partitions.
    if (seen.length % 20 === 0 && n < 20) {
      const key = `${"bz"[n % 2]}${String((n * 337) % 700).padStart(3, "0")}`;
      await (n++ % 3 ? a!.kv.put(key, "new") : a!.kv.delete(key));
    }
  }
  expect(n).toBe(20);
  const level = positionOf(seen.at(-1)!);
  const after = await take(a!.kv.watch({}, { after: level }));
  expect(folded([...seen, ...after])).toEqual(await held(a!, {}));
  const places = [...seen, ...after].filter(({ kind }) => kind !== "caught-up").map((change) => `${shown(change)}@${positionOf(change)}`);
  expect(new Set(places).size).toBe(places.length);
});

test("a change waits for a partition that might still be before it; alone it does not", async () => {
  const { services: [a], orderers: [orderer] } = cluster({ nodes: 1, topology: twoGroups });
  const after = (await a!.kv.put("a", "0") as { version: string }).version;
  const both = a!.kv.watch({}, { after })[Symbol.asyncIterator]();
  const alone = a!.kv.watch({ prefix: "a" }, { after })[Symbol.asyncIterator]();
  for (const watch of [both, alone]) expect((await watch.next()).value!.kind).toBe("caught-up");
  orderer!.cutOff();
  let told = false;
  const next = both.next().then(({ value }) => {
    told = true;
    return value!;
  });
  await a!.kv.put("a", "1");
  expect(shown((await alone.next()).value!)).toBe("a=1");
  await settled();
  expect(told).toBe(false);
  orderer!.resume();
  expect(shown(await next)).toBe("a=1");
  // The other partition has passed it by a command of its own: nobody need be asked.
  orderer!.cutOff();
  await a!.kv.put("a", "2");
  await a!.kv.put("z", "3");
  expect(shown((await both.next()).value!)).toBe("a=2");
});

test("a node that is behind the place to go on from waits for it", async () => {
  const { services: [a, b], orderers } = cluster({ topology: twoGroups });
  orderers[1]!.pause();
  await a!.kv.put("k", "1");
  const { version } = await a!.kv.put("k", "2") as { version: string };
  const late = take(b!.kv.watch({ key: "k" }, { after: version }), 2);
  await settled();
  orderers[1]!.resume();
  await settled();
  await a!.kv.put("k", "3");
  expect((await late).map(shown)).toEqual(["caught-up", "k=3"]);
});

test("a place that has been forgotten is refused, with the oldest that is not", async () => {
  const { services: [a] } = cluster({ nodes: 1, limits: { historyBytes: 640 } });
  const first = await a!.kv.put("k", "0") as { version: string };
  for (let n = 1; n < 50; n++) await a!.kv.put("k", `${n}`);
  const error = await failure(take(a!.kv.watch({ key: "k" }, { after: first.version })));
  expect([error.code, error.outcome, /^[0-9a-f]{20}$/.test(error.facts.oldest as string)]).toEqual(["compacted", "none", true]);
  const kept = await take(a!.kv.watch({ key: "k" }, { after: error.facts.oldest as string }));
  const texts = kept.slice(0, -1).map(shown);
  expect(texts).toEqual(Array.from({ length: 50 }, (_, n) => `k=${n}`).slice(-texts.length));
  expect(texts.length).toBeGreaterThan(3);
  expect((await take(a!.kv.watch({ key: "k" }))).map(shown)).toEqual(["k=49", "caught-up"]);
});

test("a listener that falls out of the history is cut off, and only for what it would have heard", async () => {
  const { services: [a] } = cluster({ nodes: 1, limits: { historyBytes: 640 } });
  const slow = a!.kv.watch({ prefix: "busy" })[Symbol.asyncIterator]();
  const quiet = a!.kv.watch({ prefix: "quiet" })[Symbol.asyncIterator]();
  for (const watch of [slow, quiet]) expect((await watch.next()).value!.kind).toBe("caught-up");
  await a!.kv.put("busy", "0");
  expect(shown((await slow.next()).value!)).toBe("busy=0");
  for (let n = 1; n < 100; n++) await a!.kv.put("busy", `${n}`);
  await a!.kv.put("quiet", "at last");
  expect((await failure(slow.next())).code).toBe("compacted");
  expect(await slow.next()).toEqual({ value: undefined, done: true });
  expect(shown((await quiet.next()).value!)).toBe("quiet=at last");
  expect(a!.stats().streams).toBe(1);
});

test("a listener for whom nothing happens hears where it is before that place is forgotten", async () => {
  const { services: [a] } = cluster({ nodes: 1, topology: twoGroups, limits: { historyBytes: 3_200 } });
  const events = a!.kv.watch({ key: "still" })[Symbol.asyncIterator]();
  let place = "";
  let told = 0;
  const listening = (async () => {
    for (;;) {
      const { value, done } = await events.next();
      if (done) return;
      expect(value.kind).toBe("caught-up");
      expect(positionOf(value) >= place).toBe(true);
      place = positionOf(value);
      told++;
      // It can go on from there at any time.
      expect((await take(a!.kv.watch({ key: "still" }, { after: place }))).map(shown)).toEqual(["caught-up"]);
    }
  })();
  for (let n = 0; n < 300; n++) await a!.kv.put("stir", `${n}`);
  await settled();
  await events.return!();
  await listening;
  // 300 changes of 24 bytes in chunks of 100, four chunks at a time.
  expect(told).toBeGreaterThan(10);
  expect(told).toBeLessThan(40);
});

test("a watch ends when it is cancelled, returned or closed, also while it waits", async () => {
  const { services: [a] } = cluster({ nodes: 1 });
  const abort = new AbortController();
  const [cancelled, returned, closed] = [{ signal: abort.signal }, {}, {}].map((options) =>
    a!.kv.watch({}, options)[Symbol.asyncIterator]()
  );
  for (const watch of [cancelled, returned, closed]) expect((await watch!.next()).value!.kind).toBe("caught-up");
  const endings = [failure(cancelled!.next()), failure(closed!.next())];
  const quiet = returned!.next();
  abort.abort();
  await returned!.return!();
  expect(a!.stats().streams).toBe(1);
  await a!.close();
  expect(await quiet).toEqual({ value: undefined, done: true });
  expect((await Promise.all(endings)).map(({ code }) => code)).toEqual(["cancelled", "closed"]);
  expect(a!.stats().streams).toBe(0);
  expect(() => a!.kv.watch({})).toThrow("Cannot watch: this node is closed");
});

test("without a quorum a watch waits; a caller who leaves meanwhile is gone", async () => {
  const { services: [a], orderers: [orderer] } = cluster({ nodes: 1 });
  await a!.kv.put("k", "v");
  orderer!.cutOff();
  const abort = new AbortController();
  const waiting = failure(a!.kv.watch({}, { signal: abort.signal })[Symbol.asyncIterator]().next());
  const other = a!.kv.watch({})[Symbol.asyncIterator]();
  const first = other.next();
  await settled();
  abort.abort();
  expect((await waiting).code).toBe("cancelled");
  orderer!.resume();
  expect(shown((await first).value!)).toBe("k=v");
  expect((await failure(a!.kv.watch({}, { signal: abort.signal })[Symbol.asyncIterator]().next())).code).toBe("cancelled");
});

test("what cannot be watched is refused by name", () => {
  const groups = [{ name: "eu", keys: [{ from: "a", to: "m" }] }, { name: "far", keys: [{ from: "n" }], learners: ["n2"] }];
  const { services: [a] } = cluster({ topology: { groups } });
  const code = (range: WatchRange, after?: string): string => {
    try {
      void a!.kv.watch(range, after === undefined ? {} : { after });
    } catch (error) {
      return (error as { code: string }).code;
    }
    return "fine";
  };
  expect([
    code({ key: "" }),
    code({ key: "k", prefix: "k" }),
    code({ prefix: "k".repeat(2_049) }),
    code({ prefix: 7 as unknown as string }),
    code(undefined as unknown as WatchRange),
    code({ key: "b" }, "soon"),
    code({ key: "mm" }),
    code({ start: "m", end: "n" }),
    code({ start: "c", end: "b" }),
    code({ key: "z" }),
    code({}),
    code({ start: "", end: "n" }),
  ]).toEqual([
    "bad-key",
    "bad-request",
    "too-large",
    "bad-key",
    "bad-request",
    "bad-position",
    "no-partition",
    "no-partition",
    "no-partition",
    "unreachable",
    "unreachable",
    "fine",
  ]);
});

/** What a watch promises, in this process and over HTTP alike. */
import type { Carillon, CarillonError, Change, WatchOptions, WatchRange } from "../../mod.ts";
import { equal, ok, rejects } from "./check.ts";

type Fact = (what: string, story: (carillon: Carillon) => Promise<void>) => void;

const shown = (change: Change): string =>
  change.kind === "put" ? `${change.entry.key}=${change.entry.text()}` : change.kind === "delete" ? `-${change.key}` : "caught-up";

const positionOf = (change: Change): string => change.kind === "put" ? change.entry.version : change.position;

/** Up to and with the first `caught-up`. */
async function heard({ kv }: Carillon, range: WatchRange, options: WatchOptions = {}): Promise<Change[]> {
  const changes: Change[] = [];
  for await (const change of kv.watch(range, options)) {
    changes.push(change);
    if (change.kind === "caught-up") break;
  }
  return changes;
}

export function watches(fact: Fact): void {
  fact("a watch tells what there is and every change behind it, across partitions", async (carillon) => {
    const { kv } = carillon;
    await kv.put("a", "1");
    await kv.put("z", "2");
    const seen: Change[] = [];
    for await (const change of kv.watch({})) {
      seen.push(change);
      if (seen.length === 3) {
        await kv.put("z", { json: 3 });
        await kv.put("a", "4");
        await kv.delete("z");
        await kv.delete("z");
        await kv.put("b", "5");
      }
      if (seen.length === 7) break;
    }
    equal(seen.map(shown), ["a=1", "z=2", "caught-up", "z=3", "a=4", "-z", "b=5"]);
    const put = seen[3]!;
    ok(put.kind === "put" && put.entry.type === "application/json" && put.entry.json() === 3, "an entry is whole");
    equal(seen.slice(2).map(positionOf), seen.slice(2).map(positionOf).sort());
  });

  fact("a watch goes on behind any position", async (carillon) => {
    const { kv } = carillon;
    const places: string[] = [];
    for (const [index, key] of ["a", "z", "b/1", "z", "b/2", "a"].entries()) {
      const put = await kv.put(key, String(index));
      ok(put.ok, "it was put");
      places.push(put.version);
    }
    const behind = async (range: WatchRange, place: number): Promise<string[]> =>
      (await heard(carillon, range, { after: places[place]! })).map(shown);
    equal(await behind({}, 0), ["z=1", "b/1=2", "z=3", "b/2=4", "a=5", "caught-up"]);
    equal(await behind({}, 3), ["b/2=4", "a=5", "caught-up"]);
    equal(await behind({ prefix: "b/" }, 2), ["b/2=4", "caught-up"]);
    equal(await behind({ key: "z" }, 0), ["z=1", "z=3", "caught-up"]);
    equal(await behind({ start: "a", end: "b/2" }, 0), ["b/1=2", "a=5", "caught-up"]);
    equal(await behind({}, 5), ["caught-up"]);
    const level = (await heard(carillon, { prefix: "" })).map(positionOf);
    equal((await heard(carillon, {}, { after: level.at(-1)! })).map(shown), ["caught-up"]);
  });

  fact("keys that are no text are watched as bytes", async (carillon) => {
    const key = Uint8Array.of(0xff, 0x00, 0xfe);
    const before = (await carillon.kv.read(key)).position;
    await carillon.kv.put(key, Uint8Array.of(0xc3));
    await carillon.kv.delete(key);
    for (const range of [{ key }, { prefix: key.slice(0, 1) }, { start: key }]) {
      const [put, deleted] = await heard(carillon, range, { after: before });
      ok(put?.kind === "put" && deleted?.kind === "delete", "both came");
      equal([put.entry.keyBytes, put.entry.bytes(), deleted.keyBytes], [key, Uint8Array.of(0xc3), key]);
    }
  });

  fact("a watch ends when its caller leaves", async ({ kv }) => {
    const stop = new AbortController();
    const kinds: string[] = [];
    const ended = rejects(async () => {
      for await (const { kind } of kv.watch({ prefix: "k" }, { signal: stop.signal })) kinds.push(kind);
    }, "cancelled");
    setTimeout(() => stop.abort(), 60);
    await ended;
    equal(kinds, ["caught-up"]);
  });

  fact("what has been forgotten is refused, with the oldest place to go on from", async (carillon) => {
    const first = await carillon.kv.put("k", "0");
    ok(first.ok, "it was put");
    const value = new Uint8Array(1 << 20);
    for (let n = 0; n < 10; n++) await carillon.kv.put("k", value);
    const error = await rejects(() => heard(carillon, { key: "k" }, { after: first.version }), "compacted");
    const { oldest } = (error as CarillonError).facts;
    ok(typeof oldest === "string" && oldest > first.version, "the oldest place is behind it");
    ok((await heard(carillon, { key: "k" }, { after: oldest as string })).length > 2, "from there it goes on");
    equal((await heard(carillon, { key: "k" })).map(({ kind }) => kind), ["put", "caught-up"]);
  });

  fact("what cannot be watched is refused by name", async (carillon) => {
    await rejects(() => heard(carillon, { key: "" }), "bad-key");
    await rejects(() => heard(carillon, { key: "k", prefix: "k" }), "bad-request");
    await rejects(() => heard(carillon, { prefix: "k".repeat(2_049) }), "too-large");
    await rejects(() => heard(carillon, { start: "b", end: "a" }), "no-partition");
    await rejects(() => heard(carillon, {}, { after: "now" }), "bad-position");
  });
}

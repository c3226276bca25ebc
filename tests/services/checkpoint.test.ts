/** Checkpoints of replicas: equal everywhere, taken over by new lives and by nodes that fell behind, and what whoever waits there notices. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { CarillonError } from "../../core/errors.ts";
import { comparePositions, formatPosition, type Position, start } from "../../core/position.ts";
import { Prng } from "../../core/prng.ts";
import type { Change, LogRecord } from "../../services/api.ts";
import type { Places } from "../../services/orderer.ts";
import type { Replica, ReplicaSnapshot } from "../../services/replica.ts";
import { createServices, type Services } from "../../services/services.ts";
import { mutate } from "../fuzz/mutate.ts";
import { Random } from "../fuzz/random.ts";
import { failure } from "../harness/failure.ts";
import { settled, type TestOrderer } from "../harness/sequencer.ts";
import { type ServicesCluster, servicesCluster, twoGroups } from "../harness/services_cluster.ts";
import { load } from "../harness/services_load.ts";

interface Checkpoint {
  readonly position: Position;
  readonly places: Places;
  readonly bytes: Uint8Array;
}

/** All there is left of it. */
function drawn(snapshot: ReplicaSnapshot, size: () => number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let piece = snapshot.next(size()); piece !== null; piece = snapshot.next(size())) pieces.push(piece);
  return new Uint8Array(Buffer.concat(pieces));
}

/** Of every replica of a node. */
function checkpoints({ orderers, services }: ServicesCluster, node = 0): Checkpoint[] {
  return services[node]!.replicas.map((replica) => {
    const snapshot = replica.snapshot();
    return { position: snapshot.position, places: orderers[node]!.places(replica.groups), bytes: drawn(snapshot, () => 10_000) };
  });
}

function takeOver(replica: Replica, { position, places, bytes }: Checkpoint): boolean {
  const restore = replica.restore(position, places);
  for (let at = 0; at < bytes.byteLength; at += 4_096) restore.add(bytes.slice(at, at + 4_096));
  return restore.finish();
}

function takeOverAll(services: Services, all: readonly Checkpoint[]): void {
  services.replicas.forEach((replica, which) => expect(takeOver(replica, all[which]!)).toBe(true));
}

/** Another life of a node, that has heard nothing so far. */
function newLife({ sequencer, timers }: ServicesCluster): { readonly services: Services; readonly orderer: TestOrderer } {
  const orderer = sequencer.node(1, 2);
  return { orderer, services: createServices(orderer, { after: timers.after, encodeCbor, decodeCbor, held: true }) };
}

test("replicas have names that say which they are, and hear nothing before they are started", async () => {
  const cluster = servicesCluster({ nodes: 1, topology: twoGroups });
  await cluster.services[0]!.kv.put("a", "1");
  const { services, orderer } = newLife(cluster);
  expect(services.replicas.map(({ name, groups }) => [name, groups])).toEqual([
    ["eu", [1]],
    ["eu+logs", [1, 3]],
    ["us", [2]],
    ["us+logs", [2, 3]],
    ["world", [3]],
  ]);
  const read = services.kv.get("a");
  await settled();
  expect([orderer.open, services.position()]).toEqual([0, formatPosition(start)]);
  services.start();
  services.start();
  expect([(await read)?.text(), orderer.open]).toEqual(["1", 5]);
});

test("a new life that begins with checkpoints holds what one that heard everything holds", async () => {
  for (const seed of [1, 2, 3, 4]) {
    const random = new Prng(seed);
    const cluster = servicesCluster({ nodes: 3, topology: twoGroups, seed });
    const [a, b] = cluster.services as [Services, Services];
    await load(cluster.services, random, 120);
    await settled();
    const digest = a.digest();
    const snapshots = a.replicas.map((replica) => replica.snapshot());
    const all = checkpoints(cluster, 1);
    // Piece by piece, while everything goes on.
    const pieces: Uint8Array[][] = snapshots.map(() => []);
    for (let n = 0; n < 40; n++) {
      const which = random.below(snapshots.length);
      const piece = snapshots[which]!.next(1 + random.below(3_000));
      if (piece !== null) pieces[which]!.push(piece);
      if (n % 8 === 0) await load(cluster.services, random, 15);
    }
    snapshots.forEach((snapshot, which) => {
      const bytes = Buffer.concat([...pieces[which]!, drawn(snapshot, () => 1 + random.below(50_000))]);
      expect([bytes.equals(all[which]!.bytes), snapshot.position]).toEqual([true, all[which]!.position]);
    });
    const { services } = newLife(cluster);
    takeOverAll(services, all);
    expect(services.digest()).toEqual(digest);
    // And they are checkpoints like those they came from.
    services.replicas.forEach((replica, which) => {
      expect(Buffer.compare(drawn(replica.snapshot(), () => 1_000), all[which]!.bytes)).toBe(0);
    });
    services.start();
    await settled();
    expect([services.digest(), services.position()]).toEqual([a.digest(), a.position()]);
    await load([...cluster.services, services], random, 60);
    await settled();
    expect([services.digest(), b.digest()]).toEqual([a.digest(), a.digest()]);
  }
}, 30_000);

test("a new life needs nothing of the logs that its checkpoints sum up, and could not go on without them", async () => {
  const cluster = servicesCluster({ nodes: 1, topology: twoGroups });
  await load(cluster.services, new Prng(7), 60);
  await settled();
  const [a] = cluster.services as [Services];
  const [with_, without] = [newLife(cluster), newLife(cluster)];
  takeOverAll(with_.services, checkpoints(cluster));
  cluster.sequencer.trim();
  with_.services.start();
  without.services.start();
  await a.kv.put("a", "later");
  await settled();
  expect(with_.services.digest()).toEqual(a.digest());
  expect(without.services.position()).toBe(formatPosition(start));
});

test("a command with a key that was made before the checkpoint is not made again behind it", async () => {
  const cluster = servicesCluster({ nodes: 2, topology: twoGroups });
  const [a] = cluster.services as [Services];
  await a.log("e").create({ group: "eu" });
  await a.log("u").create({ group: "us" });
  const calls = (services: Services) => [
    () => services.kv.put("a", "1", { idempotencyKey: "put" }),
    () => services.kv.insert("a", "2", { idempotencyKey: "lost" }),
    () => services.log("e").append("x", { idempotencyKey: "append" }),
    () => services.append(["e", "u"], ["y"], { idempotencyKey: "both" }),
    () => services.log("e").trim(1, { idempotencyKey: "trim" }),
    () => services.multicast(["eu"], "message", { idempotencyKey: "message" }),
    () => services.multicast(["eu", "us"], "to both", { idempotencyKey: "to both" }),
  ];
  const first: object[] = [];
  for (const call of calls(a)) first.push(await call());
  // Once more in front of the checkpoint: a listener of the new life must not take that one for the first.
  await a.multicast(["eu"], "message", { idempotencyKey: "message" });
  const { services } = newLife(cluster);
  takeOverAll(services, checkpoints(cluster));
  services.start();
  const again: object[] = [];
  for (const call of calls(services)) again.push(await call());
  const replayed = (result: object): object => Array.isArray(result) ? result.map(replayed) : { ...result, replayed: true };
  expect(again).toMatchObject(first.map((result, index) => index === 1 ? { ok: false, replayed: true } : replayed(result)));
  expect((await services.log("e").read({ from: 1 })).records.map((record) => record.text())).toEqual(["y"]);
  expect((await failure(services.kv.put("a", "other", { idempotencyKey: "put" }))).code).toBe("key-reused");
  const heard: string[] = [];
  for await (const event of services.deliveries(["eu", "us"], { after: "start" })) {
    if (event.kind === "caught-up") break;
    if (event.kind === "message") heard.push(event.text());
  }
  expect(heard).toEqual(["message", "to both"]);
  await settled();
  expect(services.digest()).toEqual(a.digest());
});

/** A node that hears nothing while the other goes on, and may never hear it: the logs forget it. */
async function leftBehind(meanwhile: (a: Services, b: Services) => Promise<void>): Promise<ServicesCluster> {
  const cluster = servicesCluster({ nodes: 2, topology: twoGroups });
  const [a, b] = cluster.services as [Services, Services];
  await a.log("e").create({ group: "eu" });
  for (let n = 0; n < 3; n++) await a.log("e").append(`${n}`);
  await a.kv.put("a", "before");
  await settled();
  cluster.orderers[1]!.pause();
  await meanwhile(a, b);
  cluster.sequencer.trim();
  cluster.orderers[1]!.resume();
  await settled();
  return cluster;
}

test("whoever reads at a node that is restored meanwhile gets the answer of what it is then", async () => {
  const reads: Promise<unknown>[] = [];
  let version = "";
  const cluster = await leftBehind(async (a, b) => {
    version = (await a.kv.put("a", "after") as { version: string }).version;
    await a.log("e").append("3");
    reads.push(
      b.kv.get("a").then((entry) => entry?.text()),
      b.kv.get("a", { consistency: "session", after: version }).then((entry) => entry?.text()),
      b.log("e").read({ from: 2 }).then(({ records }) => records.map((record) => record.text())),
    );
    const cancelled = new AbortController();
    const gone = b.kv.get("a", { signal: cancelled.signal });
    cancelled.abort();
    expect((await failure(gone)).code).toBe("cancelled");
  });
  const [a, b] = cluster.services as [Services, Services];
  const { asked, open } = cluster.orderers[1]!;
  takeOverAll(b, checkpoints(cluster));
  // What is asked is asked again, of subscriptions in the place of the old ones.
  expect([b.stats().waiting, asked, cluster.orderers[1]!.asked, open, cluster.orderers[1]!.open]).toEqual([3, 3, 3, 5, 5]);
  expect(await Promise.all(reads)).toEqual(["after", "after", ["2", "3"]]);
  await settled();
  expect([b.digest(), b.stats().waiting]).toEqual([a.digest(), 0]);
});

test("a tail goes on over a restore without a gap or a repetition, and a long poll ends", async () => {
  const seen: LogRecord[] = [];
  const cluster = servicesCluster({ nodes: 2, topology: twoGroups });
  const [a, b] = cluster.services as [Services, Services];
  await a.log("e").create({ group: "eu" });
  await a.log("short").create({ group: "eu" });
  for (let n = 0; n < 5; n++) await a.append(["e", "short"], [`${n}`]);
  const tail = b.log("e").tail({ from: 0 })[Symbol.asyncIterator]();
  const other = b.log("short").tail({ from: 0 })[Symbol.asyncIterator]();
  for (let n = 0; n < 5; n++) seen.push((await tail.next()).value!);
  for (let n = 0; n < 5; n++) await other.next();
  const trimmed = failure(other.next());
  const poll = b.log("e").read({ from: 5, waitMs: 60_000 }).then(({ records }) => records.map((record) => record.text()));
  await settled();
  cluster.orderers[1]!.pause();
  for (let n = 5; n < 10; n++) await a.append(["e", "short"], [`${n}`]);
  await a.log("e").trim(3);
  await a.log("short").trim(9);
  cluster.sequencer.trim();
  cluster.orderers[1]!.resume();
  await settled();
  const waiting = tail.next();
  takeOverAll(b, checkpoints(cluster));
  seen.push((await waiting).value!);
  await a.log("e").append("10");
  for (let n = 6; n <= 10; n++) seen.push((await tail.next()).value!);
  expect(seen.map((record) => [record.offset, record.text()])).toEqual(Array.from({ length: 11 }, (_, n) => [n, `${n}`]));
  expect(await poll).toEqual(["5", "6", "7", "8", "9"]);
  // It had read five, and the next are not kept any more.
  expect(await trimmed).toMatchObject({ code: "trimmed", facts: { oldest: 9 } });
  expect(await b.log("e").info()).toEqual(await a.log("e").info());
  await tail.return!();
});

function shown(change: Change): string {
  return change.kind === "put" ? `${change.entry.key}=${change.entry.text()}` : change.kind;
}

test("a watch that would miss what a checkpoint sums up is told how far that goes; one that is ahead of it goes on", async () => {
  const asked: Record<string, Promise<CarillonError>> = {};
  const places: string[] = [];
  const cluster = servicesCluster({ nodes: 2, topology: twoGroups });
  const [a, b] = cluster.services as [Services, Services];
  places.push((await a.kv.put("a", "1") as { version: string }).version);
  await a.kv.put("a", "2");
  // One that has heard everything, one for which nothing has come, and one that has just begun.
  const [heard, quiet] = ["a", "c"].map((key) => b.kv.watch({ key }, { after: places[0]! })[Symbol.asyncIterator]());
  expect(shown((await heard!.next()).value!)).toBe("a=2");
  for (const watch of [heard, quiet]) expect((await watch!.next()).value!.kind).toBe("caught-up");
  cluster.orderers[1]!.pause();
  places.push((await a.kv.put("a", "3") as { version: string }).version);
  places.push((await a.kv.put("b", "4") as { version: string }).version);
  const later = await a.kv.put("b", "5") as { version: string };
  for (const [name, watch] of Object.entries({ heard, quiet })) asked[name] = failure(watch!.next());
  const ahead = b.kv.watch({ prefix: "b" }, { after: later.version })[Symbol.asyncIterator]();
  const begun = ahead.next();
  const fresh = b.kv.watch({ key: "a" })[Symbol.asyncIterator]();
  const entry = fresh.next();
  cluster.sequencer.trim();
  cluster.orderers[1]!.resume();
  await settled();
  takeOverAll(b, checkpoints(cluster));
  const oldest = formatPosition(b.replicas[0]!.applied);
  expect(oldest).toBe(later.version);
  for (const name of ["heard", "quiet"]) expect(await asked[name]).toMatchObject({ code: "compacted", outcome: "none", facts: { oldest } });
  for (const after of places) {
    expect(await failure(b.kv.watch({ key: "a" }, { after })[Symbol.asyncIterator]().next())).toMatchObject({
      code: "compacted",
      facts: { oldest },
    });
  }
  expect([shown((await entry).value!), shown((await begun).value!)]).toEqual(["a=3", "caught-up"]);
  const on = b.kv.watch({ prefix: "b" }, { after: oldest })[Symbol.asyncIterator]();
  expect((await on.next()).value!.kind).toBe("caught-up");
  await a.kv.put("b", "6");
  expect([await ahead.next(), await on.next()].map(({ value }) => shown(value!))).toEqual(["b=6", "b=6"]);
  for (const watch of [ahead, on, fresh]) await watch.return!();
});

test("a watch that has missed nothing goes on at a new life, however much later the checkpoint was made", async () => {
  const cluster = servicesCluster({ nodes: 1, topology: twoGroups });
  const [a] = cluster.services as [Services];
  await a.log("e").create({ group: "eu" });
  const first = (await a.kv.put("a", "1") as { version: string }).version;
  const last = (await a.kv.put("a", "2") as { version: string }).version;
  // These come behind it, and change no key.
  await a.kv.insert("a", "3");
  await a.log("e").append("x");
  await settled();
  const { services } = newLife(cluster);
  takeOverAll(services, checkpoints(cluster));
  services.start();
  expect(await failure(services.kv.watch({ key: "a" }, { after: first })[Symbol.asyncIterator]().next())).toMatchObject({
    code: "compacted",
    facts: { oldest: last },
  });
  const on = services.kv.watch({ key: "a" }, { after: last })[Symbol.asyncIterator]();
  expect((await on.next()).value!.kind).toBe("caught-up");
  await a.kv.put("a", "4");
  expect(shown((await on.next()).value!)).toBe("a=4");
  await on.return!();
});

test("own commands inside a checkpoint end with their time-outs, those behind it with their answers", async () => {
  let inside: Promise<CarillonError> | undefined;
  const cluster = await leftBehind(async (_a, b) => {
    inside = failure(b.kv.put("a", "inside"));
    await settled();
  });
  const b = cluster.services[1]!;
  takeOverAll(b, checkpoints(cluster));
  expect((await b.kv.get("a"))?.text()).toBe("inside");
  expect((await b.kv.put("a", "behind")).ok).toBe(true);
  await cluster.timers.advance(20_000);
  expect(await inside!).toMatchObject({ code: "timeout", outcome: "unknown", retryable: true });
});

test("a replica that has got further by itself keeps what it has, and none goes back", async () => {
  const cluster = servicesCluster({ nodes: 2 });
  const [a, b] = cluster.services as [Services, Services];
  const to = b.replicas[0]!;
  await a.kv.put("k", "1");
  await settled();
  const [{ position, places, bytes }] = checkpoints(cluster) as [Checkpoint];
  const restore = to.restore(position, places);
  restore.add(bytes);
  await a.kv.put("k", "2");
  await settled();
  expect(comparePositions(to.applied, position)).toBeGreaterThan(0);
  expect(restore.finish()).toBe(false);
  expect((await b.kv.get("k"))?.text()).toBe("2");
  expect(() => to.restore(position)).toThrow("Cannot restore replica main to ");
  // Where it stands already there is nothing against it.
  expect(takeOver(to, checkpoints(cluster)[0]!)).toBe(true);
  await b.kv.put("k", "3");
  await settled();
  expect(b.digest()).toEqual(a.digest());
});

test("services that are closed while a checkpoint comes in stay closed", async () => {
  const cluster = servicesCluster({ nodes: 2 });
  const [a, b] = cluster.services as [Services, Services];
  await a.kv.put("k", "1");
  await settled();
  const [{ position, bytes }] = checkpoints(cluster) as [Checkpoint];
  const restore = b.replicas[0]!.restore(position);
  restore.add(bytes);
  await b.close();
  restore.finish();
  expect(cluster.orderers[1]!.open).toBe(0);
});

test("damaged checkpoints, and those of other replicas and formats, are corrupt and change nothing", async () => {
  const cluster = servicesCluster({ nodes: 1, topology: twoGroups });
  const [a] = cluster.services as [Services];
  await load([a], new Prng(3), 60);
  await settled();
  const good = checkpoints(cluster);
  const { services } = newLife(cluster);
  const empty = services.digest();
  const attempt = (to: number, position: Position, bytes: Uint8Array): string => {
    const restore = services.replicas[to]!.restore(position);
    try {
      restore.add(bytes);
    } catch (error) {
      if (!(error instanceof CarillonError) || error.code !== "corrupt") throw error;
      // It stays so, whatever else comes.
      expect(() => restore.add(new Uint8Array(1))).toThrow("Cannot restore a checkpoint: it was damaged further in front");
      expect(() => restore.finish()).toThrow("Cannot restore a checkpoint: it was damaged further in front");
      return error.message;
    }
    return "";
  };
  const [eu, logs, us] = good.map(({ bytes }) => bytes);
  expect(attempt(2, good[0]!.position, eu!)).toBe("Cannot restore a checkpoint: it is not of this replica");
  expect(attempt(0, good[1]!.position, logs!)).toBe("Cannot restore a checkpoint: it is not of this replica");
  const future = eu!.slice();
  future[0] = 3;
  expect(attempt(0, good[0]!.position, future)).toBe("Cannot restore a checkpoint: its format is version 3, and this program knows 2");
  expect(attempt(0, good[0]!.position, new Uint8Array([...eu!, 0]))).toBe("Cannot restore a checkpoint: it goes on behind its end");
  const cut = services.replicas[0]!.restore(good[0]!.position);
  cut.add(eu!.subarray(0, -1));
  expect(() => cut.finish()).toThrow("Cannot restore a checkpoint: its end is missing");
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(0, 1), (seed, which) => {
      attempt(which, good[which]!.position, mutate(new Random(seed), [eu!, logs!][which]!, us!));
    }),
    { numRuns: 300 },
  );
  expect(services.digest()).toEqual(empty);
});

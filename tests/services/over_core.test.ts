/** The services over real nodes: three of them in this process, in memory, with links between them. */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import { parseTopology } from "../../core/topology.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { freePorts } from "../../edge/runtime/system.ts";
import { type RunningNode, startNode } from "../../edge/start_node.ts";
import { createServices, type Services } from "../../services/services.ts";
import { failure } from "../harness/failure.ts";
import { twoGroups } from "../harness/services_cluster.ts";
import { testIdentity } from "../harness/identity.ts";

function after(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

interface Cluster {
  readonly nodes: RunningNode[];
  readonly services: Services[];
}

async function withCluster(use: (cluster: Cluster) => Promise<void>, merge: "ts" | "rr" = "ts"): Promise<void> {
  const named = (await freePorts(3)).map((port, index) => ({ name: `n${index + 1}`, link: `127.0.0.1:${port}` }));
  const topology = parseTopology({ cluster: "services", nodes: named, merge, ...twoGroups });
  const cluster: Cluster = { nodes: [], services: [] };
  try {
    for (const { id, link } of topology.nodes) {
      const [host, port] = link.split(":") as [string, string];
      const node = await startNode({
        runtime,
        topology,
        self: id,
        durability: "memory",
        link: { host, port: Number(port) },
        identity: testIdentity(runtime.cryptography, topology, id),
        log: () => {},
        onFatal: (error) => {
          throw error;
        },
      });
      cluster.nodes.push(node);
      cluster.services.push(createServices(node.orderer, { after, encodeCbor, decodeCbor }));
    }
    await use(cluster);
  } finally {
    for (const each of cluster.services) await each.close();
    for (const node of cluster.nodes) await node.close();
  }
}

/** Until all three have applied the same. */
async function converged({ services }: Cluster): Promise<Readonly<Record<string, string>>> {
  for (const until = performance.now() + 5_000; performance.now() < until; await Bun.sleep(20)) {
    const [a, b, c] = services.map((each) => JSON.stringify(each.digest()));
    if (a === b && b === c) return services[0]!.digest();
  }
  throw new Error("Cannot go on: the nodes did not converge");
}

test("writes at one node are read at another, and one of many compare-and-sets wins", async () => {
  await withCluster(async (cluster) => {
    const [a, b, c] = cluster.services as [Services, Services, Services];
    for (let n = 0; n < 20; n++) {
      const key = `${"az"[n % 2]}/${n}`;
      expect((await a.kv.put(key, `${n}`)).ok).toBe(true);
      expect((await b.kv.get(key))?.text()).toBe(`${n}`);
      const first = await c.kv.read(key);
      expect((await b.kv.get(key, { consistency: "session", after: first.position }))?.version).toBe(first.entry!.version);
    }
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, n) => cluster.services[n % 3]!.kv.put("lock", `${n}`, { ifVersion: null })),
    );
    const winners = results.flatMap((result, n) => result.ok ? [`${n}`] : []);
    expect([winners.length, (await c.kv.get("lock"))?.text()]).toEqual([1, winners[0]]);
    expect((await c.kv.scan({ prefix: "a/" })).entries.length).toBe(10);
    await converged(cluster);
  });
}, 20_000);

test.each(["ts", "rr"] as const)("watches of two partitions agree at every node, under writers everywhere (%s)", async (merge) => {
  await withCluster(async (cluster) => {
    const begin = (await cluster.services[0]!.kv.put("a", "begin") as { version: string }).version;
    const places: string[] = [];
    const stop = new AbortController();
    const heard = cluster.services.map(() => [] as string[]);
    const watching = cluster.services.map(async ({ kv }, node) => {
      for await (const change of kv.watch({}, { after: begin, signal: stop.signal })) {
        if (change.kind === "put") heard[node]!.push(`${change.entry.version} ${change.entry.key}=${change.entry.text()}`);
        if (change.kind === "delete") heard[node]!.push(`${change.position} -${change.key}`);
      }
    });
    const writes = Array.from({ length: 120 }, async (_, n) => {
      const { kv } = cluster.services[n % 3]!;
      const key = `${"az"[n % 2]}/${n % 7}`;
      if (n % 5 === 4) {
        const { position, existed } = await kv.delete(key) as { position: string; existed: boolean };
        return existed ? `${position} -${key}` : null;
      }
      const { version } = await kv.put(key, `${n}`) as { version: string };
      places.push(version);
      return `${version} ${key}=${n}`;
    });
    const wanted = (await Promise.all(writes)).filter((line) => line !== null).sort();
    for (const until = performance.now() + 5_000; performance.now() < until && heard.some((lines) => lines.length < wanted.length);) {
      await Bun.sleep(10);
    }
    for (const lines of heard) expect(lines).toEqual(wanted);
    // Behind any of them, at another node, exactly the rest.
    for (const [index, place] of places.entries()) {
      if (index % 10 !== 0) continue;
      const rest: string[] = [];
      for await (const change of cluster.services[index % 3]!.kv.watch({}, { after: place })) {
        if (change.kind === "caught-up") break;
        rest.push(
          change.kind === "put"
            ? `${change.entry.version} ${change.entry.key}=${change.entry.text()}`
            : `${change.position} -${change.key}`,
        );
      }
      expect(rest).toEqual(wanted.filter((line) => line.slice(0, 20) > place));
    }
    // The other partition is silent, and says by its clock that nothing comes before.
    const began = performance.now();
    const last = await cluster.services[1]!.kv.put("a/last", "") as { version: string };
    while (!heard[2]!.some((line) => line.startsWith(last.version)) && performance.now() - began < 5_000) await Bun.sleep(1);
    expect(performance.now() - began).toBeLessThan(2_000);
    stop.abort();
    await Promise.allSettled(watching);
  }, merge);
}, 30_000);

test("logs stay dense under writers everywhere, and appends across groups are atomic", async () => {
  await withCluster(async (cluster) => {
    const [a, b, c] = cluster.services as [Services, Services, Services];
    await a.log("e").create({ group: "eu" });
    await b.log("u").create({ group: "us" });
    const tail = c.log("e").tail({ from: 0 })[Symbol.asyncIterator]();
    const appends = await Promise.all(Array.from({ length: 90 }, async (_, n) => {
      const at = cluster.services[n % 3]!;
      if (n % 4 === 0) return await at.append(["u", "e"], [`both ${n}`]);
      const result = await at.log(n % 2 ? "e" : "u").appendAll([`${n}.0`, `${n}.1`]);
      if (!result.ok) throw new Error("Cannot go on: an append was refused");
      return [result];
    }));
    for (const log of ["e", "u"]) {
      const page = await a.log(log).read();
      expect(page.records.map(({ offset }) => offset)).toEqual(Array.from({ length: page.tail }, (_, offset) => offset));
      const own = appends.flat().filter((appended) => appended.log === log).sort((x, y) => x.first - y.first);
      expect(own.map(({ first }) => first)).toEqual([0, ...own.map(({ next }) => next)].slice(0, -1));
      expect(own.at(-1)!.next).toBe(page.tail);
      if (log === "e") {
        for (const record of page.records) expect((await tail.next()).value!.text()).toBe(record.text());
      }
    }
    await tail.return!();
    expect((await failure(b.log("e").read({ from: 9_999 }))).code).toBe("past-tail");
    expect((await c.log("e").trim(10)).first).toBe(10);
    expect((await failure(a.log("e").read())).facts).toMatchObject({ oldest: 10 });
    await converged(cluster);
  });
}, 20_000);

test.each(["ts", "rr"] as const)(
  "messages to overlapping groups are delivered in one order everywhere, and streams resume (%s)",
  async (merge) => {
    await withCluster(async (cluster) => {
      const [a, b] = cluster.services as [Services, Services];
      const live = [a, b].map((node) => node.deliveries(["eu", "us"])[Symbol.asyncIterator]());
      for (const stream of live) expect((await stream.next()).value!.kind).toBe("caught-up");
      const sent = await Promise.all(
        Array.from({ length: 60 }, (_, n) => cluster.services[n % 3]!.multicast([["eu"], ["us"], ["eu", "us"]][n % 3]!, `${n}`)),
      );
      const [atA, atB] = await Promise.all(live.map(async (stream) => {
        const heard: string[] = [];
        while (heard.length < 60) {
          const { value } = await stream.next();
          if (value?.kind === "message") heard.push(value.position);
        }
        return heard;
      }));
      expect(atA).toEqual(sent.map(({ position }) => position).sort());
      expect(atB).toEqual(atA);
      const middle = atA![29]!;
      const rest: string[] = [];
      for await (const event of b.deliveries(["us", "eu"], { after: middle })) {
        if (event.kind === "message") rest.push(event.position);
        else if (event.kind === "caught-up") break;
      }
      expect(rest).toEqual(atA!.slice(30));
      const fromStart: string[] = [];
      for await (const event of a.deliveries(["eu"], { after: "start" })) {
        if (event.kind === "message") fromStart.push(event.text());
        else if (event.kind === "caught-up") break;
      }
      expect(fromStart.map(Number).sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, n) => n).filter((n) => n % 3 !== 1));
      for (const stream of live) await stream.return!();
      const put = await a.kv.put("a", "1");
      expect((await b.kv.put("a", "2", { ifVersion: put.ok ? put.version : null })).ok).toBe(true);
    }, merge);
  },
  20_000,
);

test.each(["ts", "rr"] as const)(
  "a write with a key is made once: at two nodes at once, at a node that hears of it later, and after the coordinator has gone (%s)",
  async (merge) => {
    await withCluster(async (cluster) => {
      const [a, b, c] = cluster.services as [Services, Services, Services];
      await a.log("e").create({ group: "eu" });
      await a.log("u").create({ group: "us" });
      const kept = new Map<string, unknown>();
      for (let n = 0; n < 30; n++) {
        const options = { idempotencyKey: `${n}` };
        const writes = [
          (at: Services) => at.log("e").append(`${n}`, options),
          (at: Services) => at.append(["u", "e"], [`${n}`], options),
          (at: Services) => at.kv.put(`${n}`, `${n}`, { ...options, ifVersion: n % 2 ? null : "00000000000000010000" }),
        ];
        const write = writes[n % 3]!;
        const both = await Promise.all([write(a), write(b)]);
        const [one, other] = both.map(firstly);
        expect(one).toEqual(other);
        kept.set(`${n}`, one);
        expect(firstly(await write(c))).toEqual(one);
      }
      await converged(cluster);
      const coordinator = cluster.nodes[0]!.view().groups[0]!.coordinator - 1;
      await cluster.services[coordinator]!.close();
      await cluster.nodes[coordinator]!.close();
      const left = cluster.services.find((_, index) => index !== coordinator)!;
      for (let n = 0; n < 30; n += 3) {
        const again = await left.log("e").append(`${n}`, { idempotencyKey: `${n}`, timeoutMs: 5_000 });
        expect([again.replayed, firstly(again)]).toEqual([true, kept.get(`${n}`)]);
      }
      expect((await left.log("e").info()).next).toBe(20);
      expect((await left.log("u").info()).next).toBe(10);
    }, merge);
  },
  20_000,
);

/** An outcome without the word that it is not the first answer. */
function firstly(outcome: object): unknown {
  return JSON.parse(JSON.stringify(outcome, (name, value) => name === "replayed" ? undefined : value));
}

test.each(["ts", "rr"] as const)(
  "another node's checkpoint, taken while it writes, and what is ordered behind it are all there is (%s)",
  async (merge) => {
    await withCluster(async (cluster) => {
      const [a, b] = cluster.services as [Services, Services];
      await a.log("e").create({ group: "eu" });
      const write = (from: number) =>
        Promise.all(Array.from({ length: 60 }, (_, n) => {
          const at = cluster.services[n % 3]!;
          const text = `${from + n}`;
          if (n % 4 === 0) return at.log("e").append(text, { idempotencyKey: text });
          if (n % 4 === 1) return at.kv.delete(`${"az"[n % 2]}/${n % 5}`);
          return at.kv.put(`${"az"[n % 2]}/${n % 7}`, text.repeat(50), { idempotencyKey: text });
        }));
      await write(0);
      const late = createServices(cluster.nodes[2]!.orderer, { after, encodeCbor, decodeCbor, held: true });
      const writing = [write(100)];
      for (const [which, replica] of late.replicas.entries()) {
        const snapshot = a.replicas[which]!.snapshot();
        const restore = replica.restore(snapshot.position);
        for (let piece = snapshot.next(200); piece !== null; piece = snapshot.next(200)) {
          restore.add(piece);
          if (writing.length < 4) writing.push(write(writing.length * 100 + 100));
          await Bun.sleep(0);
        }
        expect(restore.finish()).toBe(true);
      }
      await Promise.all(writing);
      late.start();
      expect((await late.log("e").append("0", { idempotencyKey: "0" })).replayed).toBe(true);
      expect((await late.kv.put("z/2", "100", { idempotencyKey: "new" })).ok).toBe(true);
      expect((await b.kv.get("z/2"))?.text()).toBe("100");
      await converged({ ...cluster, services: [a, b, late] });
      await late.close();
    }, merge);
  },
  20_000,
);

test("when the quorum is gone a write says it may still happen, and reads say they were not answered", async () => {
  await withCluster(async (cluster) => {
    const [a] = cluster.services as [Services];
    const written = await a.kv.put("k", "v");
    for (const at of [1, 2]) {
      await cluster.services[at]!.close();
      await cluster.nodes[at]!.close();
    }
    const put = await failure(a.kv.put("k", "w", { timeoutMs: 400 }));
    expect([put.outcome === "unknown" && put.code === "timeout" || put.outcome === "none", put.retryable]).toEqual([true, true]);
    expect(await failure(a.kv.get("k", { timeoutMs: 200 }))).toMatchObject({ code: "timeout", outcome: "none" });
    expect((await a.kv.get("k", { consistency: "local" }))?.text()).toBe("v");
    const after = written.ok ? written.version : "";
    expect((await a.kv.get("k", { consistency: "session", after }))?.text()).toBe("v");
  });
}, 20_000);

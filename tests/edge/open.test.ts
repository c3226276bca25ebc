/** Nodes in this process: alone and durable, as a cluster, and what cannot be opened. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CarillonError, type LocalCarillon, type NodeOptions, open } from "../../mod.ts";
import { newKeyRing } from "../harness/node_keys.ts";
import { freePorts } from "../harness/real_cluster.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "carillon-open-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function failure(options: NodeOptions): Promise<[string, string]> {
  try {
    await (await open(options)).close();
  } catch (error) {
    if (error instanceof CarillonError) return [error.code, error.message];
    throw error;
  }
  throw new Error("Cannot go on: it was opened");
}

/** Three nodes of one group in this process, linked over loopback, each with its HTTP port. */
async function three(name: string): Promise<LocalCarillon[]> {
  const ports = await freePorts(3);
  const nodes = ports.map((port, index) => ({ name: `n${index + 1}`, region: `r${index + 1}`, link: `127.0.0.1:${port}` }));
  const { keys, privateKeyOf } = newKeyRing(nodes.map((node) => node.name));
  const opened = await Promise.all(nodes.map((node) =>
    open({
      data: join(directory, name, node.name),
      topology: { nodes },
      self: node.name,
      keys,
      privateKey: privateKeyOf(node.name),
      http: { host: "127.0.0.1", port: 0 },
      readyWithinMs: 10_000,
    })
  ));
  return opened;
}

test("what is written to a directory is there in the next life", async () => {
  const data = join(directory, "kept");
  const first = await open({ data });
  const put = await first.kv.put("a", { json: { n: 1 } });
  await first.log("audit").create();
  await first.log("audit").appendAll(["one", "two"]);
  await first.close();
  await using second = await open({ data });
  const entry = (await second.kv.get("a"))!;
  expect([entry.json(), entry.version === (put.ok && put.version)]).toEqual([{ n: 1 }, true]);
  expect((await second.log("audit").read()).records.map((record) => record.text())).toEqual(["one", "two"]);
  expect((await second.status()).durability).toBe("sync");
});

test("a write whose time is over before the node begins with it does not happen, and says so", async () => {
  await using node = await open();
  const late = node.kv.put("late", "x", { timeoutMs: 5 }).catch((error: CarillonError) => [error.code, error.outcome]);
  for (const since = performance.now(); performance.now() - since < 10;);
  expect(await late).toEqual(["timeout", "none"]);
  expect(await node.kv.get("late")).toBe(null);
});

test("without a directory everything is in memory, and nothing listens", async () => {
  await using node = await open();
  const status = await node.status();
  expect([node.url, node.linkAddress, status.durability, status.node]).toEqual([null, null, "memory", "local"]);
  await node.kv.put("a", "1");
  expect((await node.kv.get("a"))!.text()).toBe("1");
});

test("a directory belongs to one node at a time", async () => {
  const data = join(directory, "taken");
  await using _ = await open({ data });
  const [code, message] = await failure({ data });
  expect(code).toBe("config");
  expect(message).toContain(data);
});

test("what cannot be is refused with a sentence", async () => {
  const nodes = [{ name: "a" }, { name: "b" }];
  expect(await failure({ durability: "sync" })).toEqual([
    "config",
    'Cannot open a node: durability "sync" needs a data directory',
  ]);
  expect(await failure({ topology: { nodes } })).toEqual(["config", "Cannot open a node: which of a, b is it? Say self"]);
  expect(await failure({ topology: { nodes }, self: "c" })).toEqual(["config", 'Cannot open node "c": it is not among a, b']);
  expect(await failure({ topology: { nodes }, self: "a" })).toEqual(["config", 'Cannot open node "a": it has peers and no link address']);
  using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  expect((await failure({ http: { host: "127.0.0.1", port: taken.port! } }))[0]).toBe("config");
  await expect(open("not a url")).rejects.toThrow('Cannot connect to "not a url": it is no http:// or https:// URL');
  await expect(open([])).rejects.toThrow("Cannot connect: no URL is given");
});

test("a node that cannot get ready in time says what it waits for", async () => {
  const [port, other] = await freePorts(2);
  const nodes = [{ name: "a", link: `127.0.0.1:${port}` }, { name: "b", link: `127.0.0.1:${other}` }];
  const { keys, privateKeyOf } = newKeyRing(["a", "b"]);
  const own = { self: "a", keys, privateKey: privateKeyOf("a") };
  const [code, message] = await failure({ topology: { nodes }, ...own, data: join(directory, "alone"), readyWithinMs: 100 });
  expect([code, message]).toEqual([
    "joining",
    "Cannot get ready within 100 ms: group main has no coordinator yet; " +
    "group main does not count this node's votes before the others have told it what it may have forgotten",
  ]);
});

test("a node with peers needs its key and everybody's, and another one's do not do", async () => {
  const nodes = [{ name: "a", link: "127.0.0.1:1" }, { name: "b", link: "127.0.0.1:2" }];
  const { keys, privateKeyOf } = newKeyRing(["a", "b"]);
  const refusal = async (more: Partial<NodeOptions>): Promise<string> =>
    (await failure({ topology: { nodes }, self: "a", keys, ...more }))[1];
  expect(await refusal({ keys: {}, privateKey: privateKeyOf("a") })).toStartWith("Cannot link nodes: there is no key of a, b;");
  expect(await refusal({})).toBe('Cannot be node "a": it has peers and no private key; say privateKey, keyFile or data');
  expect(await refusal({ data: join(directory, "keyless") })).toBe(
    `Cannot use the key file ${join(directory, "keyless")}/node.key: there is no such file; run "carillon init" to make it`,
  );
  expect(await refusal({ privateKey: privateKeyOf("b") })).toStartWith('Cannot be node "a": its private key holds the key of node "b";');
  expect(await refusal({ keys: { a: keys["a"]!, b: keys["a"]! }, privateKey: privateKeyOf("a") })).toStartWith(
    'Cannot use [[nodes]]: "a" and "b" have the same key',
  );
  const garbled = privateKeyOf("a").replace(/1 \S{43}/, "1 tooshort");
  expect(await refusal({ privateKey: garbled })).toStartWith("Cannot read private keys from its private key, line 3: a key is 32 bytes");
});

test("a token is asked for, over HTTP and by fetch alike", async () => {
  await using node = await open({ token: "secret", http: { host: "127.0.0.1", port: 0 } });
  const bare = await open(node.url!);
  await expect(bare.kv.get("a")).rejects.toMatchObject({ code: "unauthenticated", outcome: "none" });
  await using told = await open(node.url!, { token: "secret" });
  expect(await told.kv.get("a")).toBeNull();
  expect((await told.fetch(new Request("http://any/v1/kv/a"))).status).toBe(404);
  expect((await node.fetch(new Request("http://any/v1/kv/a"))).status).toBe(401);
  expect((await node.fetch(new Request("http://any/livez"))).status).toBe(200);
});

test("a page that calls itself by another name does not get at a node on loopback", async () => {
  await using node = await open({ http: { host: "127.0.0.1", port: 0 } });
  const rebound = await fetch(`${node.url}/v1/kv/a`, { headers: { host: "evil.example" } });
  expect([rebound.status, (await rebound.json() as { code: string }).code]).toEqual([403, "forbidden"]);
});

test("three nodes are one store: any answers, one may go, and comes back", async () => {
  const [a, b, c] = await three("cluster") as [LocalCarillon, LocalCarillon, LocalCarillon];
  const put = await a.kv.put("k", "1");
  expect((await c.kv.get("k"))!.text()).toBe("1");
  const status = await b.status();
  expect(status.nodes.map((node) => [node.name, node.region, node.connected])).toEqual([["n1", "r1", true], ["n2", "r2", true], [
    "n3",
    "r3",
    true,
  ]]);
  expect(status.nodes[1]!.http).toBe(b.url!);
  await a.close();
  const swapped = await b.kv.put("k", "2", { ifVersion: put.ok ? put.version : "" });
  expect(swapped.ok).toBeTrue();
  expect((await c.kv.get("k"))!.text()).toBe("2");
  await Promise.all([b.close(), c.close()]);
}, 30_000);

test("a client of several nodes goes on when one of them goes: reads, writes, and a tail without a gap", async () => {
  const [a, b, c] = await three("failover") as [LocalCarillon, LocalCarillon, LocalCarillon];
  await using client = await open([a.url!, b.url!, c.url!]);
  const log = client.log("audit");
  await log.create();
  await log.appendAll(["0", "1"]);
  const seen: string[] = [];
  for await (const record of log.tail({ from: 0 })) {
    seen.push(`${record.offset}${record.text()}`);
    // The node the tail hangs on leaves in the middle of it.
    if (seen.length === 2) {
      await a.close();
      for (const text of ["2", "3", "4"]) await log.append(text);
    }
    if (seen.length === 5) break;
  }
  expect(seen).toEqual(["00", "11", "22", "33", "44"]);
  expect((await client.kv.put("k", "v")).ok).toBeTrue();
  expect((await client.kv.get("k"))!.text()).toBe("v");
  await Promise.all([b.close(), c.close()]);
  const error = await client.kv.get("k", { timeoutMs: 2_000 }).catch((thrown) => thrown);
  expect([error.code, error.outcome]).toEqual(["unreachable", "none"]);
}, 30_000);

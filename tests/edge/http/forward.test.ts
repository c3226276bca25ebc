/** Any node answers any request: through a node that learns what is asked for, over real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseTopology } from "../../../core/topology.ts";
import { locator } from "../../../edge/http/locate.ts";
import { startNodes, type TestCluster } from "./nodes.ts";

const groups = [
  { name: "eu", learners: ["n1", "n2"], keys: [{ to: "m" }] },
  { name: "us", learners: ["n1", "n2", "n3"], keys: [{ from: "m" }] },
];

describe("who is asked", () => {
  const nodes = ["n1", "n2", "n3", "n4"].map((name, index) => ({ name, http: `http://${name}`, region: index === 0 ? "far" : "near" }));
  const all = { name: "all", spans: ["eu", "us"], learners: ["n1", "n2"] };
  const topology = parseTopology({ nodes, groups: [...groups, all] });

  test("nobody, where this node learns it", () => {
    const [atN1, atN3] = [locator(topology, 1), locator(topology, 3)];
    expect([atN1("key", "a"), atN1("log", "x"), atN1("groups", "eu,us"), atN1("scan", "")]).toEqual([null, null, null, null]);
    expect([atN3("key", "z"), atN3("scan", "x"), atN3("key", Uint8Array.of(0xff))]).toEqual([null, null, null]);
  });

  test("else whoever learns all of it, the nearest first", () => {
    const at = locator(topology, 3);
    const both = ["http://n2", "http://n1"];
    expect([at("key", "a"), at("scan", ""), at("scan", "l"), at("log", "x"), at("logs", "")]).toEqual([both, both, both, both, both]);
    // What spans a group reaches it, and this node would miss it.
    expect([at("groups", "us"), at("groups", "eu,us")]).toEqual([both, both]);
    expect(locator(topology, 4)("key", "z")).toEqual(["http://n2", "http://n3", "http://n1"]);
  });

  test("nobody, where nobody can or the name means nothing", () => {
    const apart = parseTopology({
      nodes,
      groups: [{ name: "a", learners: ["n1"], keys: [{ to: "m" }] }, { name: "b", learners: ["n2"], keys: [{ from: "m" }] }],
    });
    expect([locator(apart, 3)("scan", ""), locator(topology, 3)("groups", "none")]).toEqual([null, null]);
  });
});

describe("asking", () => {
  let cluster: TestCluster;
  const servers = new Map<string, ReturnType<typeof Bun.serve>>();
  const url = (name: string): string => `http://127.0.0.1:${servers.get(name)!.port}`;
  beforeAll(async () => {
    for (const name of ["n1", "n2", "n3"]) {
      const fetch = (request: Request): Response | Promise<Response> =>
        cluster.nodes.find((node) => node.name === name)!.app.fetch(request);
      servers.set(name, Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch }));
    }
    const nodes = ["n1", "n2", "n3"].map((name) => ({ name, http: url(name) }));
    cluster = await startNodes({ nodes, groups }, (name, topology) => ({
      locate: locator(topology, topology.nodes.find((node) => node.name === name)!.id),
    }));
  });
  afterAll(async () => {
    for (const server of servers.values()) await server.stop(true);
    await cluster[Symbol.asyncDispose]();
  });

  test("reads, writes and conditions work at a node that has none of it", async () => {
    const at = `${url("n3")}/v1/kv/ada?timeout=5s`;
    const written = await fetch(at, { method: "PUT", body: "hello", headers: { "content-type": "text/plain" } });
    expect([written.status, written.headers.get("carillon-via")]).toEqual([201, "n3"]);
    expect(["n1", "n2"]).toContain(written.headers.get("carillon-served-by")!);
    const lost = await fetch(at, { method: "PUT", body: "again", headers: { "if-none-match": "*" } });
    expect([lost.status, lost.headers.get("etag")]).toEqual([412, written.headers.get("etag")]);
    const read = await fetch(at, { headers: { "accept-encoding": "gzip" } });
    expect([read.headers.get("etag"), await read.text(), read.headers.get("content-type")]).toEqual([
      written.headers.get("etag"),
      "hello",
      "text/plain",
    ]);
    const head = await fetch(at, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "5"]);
    expect((await fetch(at, { method: "DELETE" })).status).toBe(204);
    expect((await fetch(at)).status).toBe(404);
    // What it does learn it answers itself.
    expect((await fetch(`${url("n3")}/v1/kv/zoe`, { method: "PUT", body: "x" })).headers.get("carillon-via")).toBe(null);
  });

  test("bad requests are refused the same way through another node", async () => {
    const limit = await fetch(`${url("n3")}/v1/kv/big`, { method: "PUT", body: "x".repeat((1 << 20) + 1) });
    expect([limit.status, (await limit.json()).limit]).toEqual([413, 1 << 20]);
    const far = await fetch(`${url("n3")}/v1/kv/big`, { method: "PUT", body: "x".repeat(3 << 20) });
    expect(far.status).toBe(413);
    expect((await fetch(`${url("n3")}/v1/kv/a?x=1`)).status).toBe(400);
    expect((await fetch(`${url("n3")}/v1/logs/none/records`)).status).toBe(404);
  });

  test("streams are passed on as they come, and end at the other node when the client leaves", async () => {
    const n3 = url("n3");
    expect((await fetch(`${n3}/v1/logs/l`, { method: "PUT" })).status).toBe(201);
    expect(
      (await fetch(`${n3}/v1/logs/l/records`, { method: "POST", body: "1\n2", headers: { "content-type": "application/x-ndjson" } }))
        .status,
    ).toBe(201);
    const both = await fetch(`${n3}/v1/append`, { method: "POST", body: '{"logs":["l"],"records":[{"text":"3"}]}' });
    expect(await both.json()).toMatchObject({ results: [{ log: "l", first: 2 }] });
    const client = new AbortController();
    const tail = await fetch(`${n3}/v1/logs/l/records?from=1`, { headers: { accept: "text/event-stream" }, signal: client.signal });
    const reader = tail.body!.getReader();
    let text = "";
    const until = async (part: string): Promise<void> => {
      while (!text.includes(part)) text += new TextDecoder().decode((await reader.read()).value);
    };
    await until("id: 2");
    await fetch(`${n3}/v1/logs/l/records`, { method: "POST", body: "4" });
    await until("id: 3");
    const streams = (): number => cluster.nodes.reduce((sum, { services }) => sum + services.stats().streams, 0);
    expect(streams()).toBe(1);
    client.abort();
    for (let turn = 0; turn < 200 && streams() > 0; turn++) await Bun.sleep(5);
    expect(streams()).toBe(0);
  });

  test("two nodes that take each other for the one to ask do not ask for ever", async () => {
    const response = await fetch(`${url("n3")}/v1/kv/ada`, { headers: { "carillon-hop": "n9" } });
    expect(response.status).toBe(508);
    expect(await response.json()).toMatchObject({ code: "unreachable", outcome: "none" });
  });
});

describe("when the other node does not answer", () => {
  /** A node that learns nothing and takes these for the ones to ask. */
  const lost = async (urls: readonly string[]): Promise<TestCluster> =>
    await startNodes({ nodes: [{ name: "n1" }] }, () => ({ locate: () => urls }));
  const nobody = "http://127.0.0.1:9";

  test("a refused connection is certainly no write, and the next one is tried", async () => {
    await using other = await startNodes({ nodes: [{ name: "other" }] });
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => other.nodes[0]!.app.fetch(request) });
    await using cluster = await lost([nobody, `http://127.0.0.1:${server.port}/`]);
    const written = await cluster.nodes[0]!.request("/v1/kv/k", { method: "PUT", body: "x" });
    expect([written.status, written.headers.get("carillon-served-by")]).toEqual([201, "other"]);
    await server.stop(true);
    const refused = await cluster.nodes[0]!.request("/v1/kv/k", { method: "PUT", body: "y" });
    expect(refused.status).toBe(502);
    expect(await refused.json()).toMatchObject({ code: "unreachable", outcome: "none", retryable: true });
  });

  test("a write whose connection breaks may have happened; a read goes to the next", async () => {
    const breaking = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end() },
    });
    await using cluster = await lost([`http://127.0.0.1:${breaking.port}`, nobody]);
    const written = await cluster.nodes[0]!.request("/v1/kv/k", { method: "PUT", body: "x" });
    expect(written.status).toBe(502);
    expect(await written.json()).toMatchObject({ code: "unreachable", outcome: "unknown" });
    expect(await (await cluster.nodes[0]!.request("/v1/kv/k")).json()).toMatchObject({ code: "unreachable", outcome: "none" });
    breaking.stop(true);
  });

  test("a write with a key goes to the next although its connection broke; where nobody is left, it may have happened", async () => {
    await using other = await startNodes({ nodes: [{ name: "other" }] });
    const node = other.nodes[0]!;
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => node.app.fetch(request) });
    // Has the write carried out, and breaks off instead of answering.
    const breaking = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: async (socket) => {
          await node.request("/v1/kv/k", { method: "PUT", body: "x", headers: { "idempotency-key": "1" } });
          socket.end();
        },
      },
    });
    const broken = `http://127.0.0.1:${breaking.port}`;
    const init = { method: "PUT", body: "x", headers: { "idempotency-key": "1" } };
    await using cluster = await lost([broken, `http://127.0.0.1:${server.port}`]);
    const written = await cluster.nodes[0]!.request("/v1/kv/k", init);
    expect([written.status, written.headers.get("idempotent-replayed")]).toEqual([201, "true"]);
    await using alone = await lost([broken, nobody]);
    const doubtful = await alone.nodes[0]!.request("/v1/kv/k", init);
    expect(await doubtful.json()).toMatchObject({ code: "unreachable", outcome: "unknown", retryable: true });
    breaking.stop(true);
    await server.stop(true);
  });

  test("the other node is given the time that is left, and a request without any left is not sent", async () => {
    const seen: (string | null)[][] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch({ url, headers }) {
        seen.push([new URL(url).pathname + new URL(url).search, headers.get("carillon-timeout")]);
        return new Response(null, { status: 204 });
      },
    });
    await using cluster = await lost([`http://127.0.0.1:${server.port}`]);
    const node = cluster.nodes[0]!;
    const slowly = (ms: number): ReadableStream<Uint8Array> =>
      new ReadableStream({
        async start(controller) {
          await new Promise((resolve) => setTimeout(resolve, ms));
          controller.close();
        },
      });
    const put = (path: string, ms: number, headers: Record<string, string> = {}): Promise<Response> =>
      node.request(path, { method: "PUT", body: slowly(ms), headers, duplex: "half" } as RequestInit);
    expect((await put("/v1/kv/a%2Fb?timeout=5s", 100)).status).toBe(204);
    expect((await put("/v1/kv/k", 100, { "carillon-timeout": "5s" })).status).toBe(204);
    const late = await put("/v1/kv/k?timeout=50ms", 100);
    expect([late.status, await late.json()]).toMatchObject([504, { code: "timeout", outcome: "none" }]);
    expect(seen.map(([path]) => path)).toEqual(["/v1/kv/a%2Fb", "/v1/kv/k"]);
    for (const [, left] of seen) {
      expect(left).toMatch(/^\d+ms$/);
      expect(parseInt(left!)).toBeLessThanOrEqual(4_950);
      expect(parseInt(left!)).toBeGreaterThan(1_000);
    }
    await server.stop(true);
  });

  test("a node that says nothing is given up behind the deadline", async () => {
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    await using cluster = await lost([`http://127.0.0.1:${silent.port}`]);
    const response = await cluster.nodes[0]!.request("/v1/kv/k?timeout=50ms", { method: "PUT", body: "x" });
    expect(await response.json()).toMatchObject({ code: "unreachable", outcome: "unknown" });
    silent.stop(true);
  });
});

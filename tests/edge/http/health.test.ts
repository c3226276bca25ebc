/** Status, health, metrics, and who may ask. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Histogram } from "../../../edge/http/app.ts";
import { problems } from "../../../edge/http/problems.ts";
import { Tokens } from "../../../edge/http/tokens.ts";
import { startNodes, type TestCluster, type TestNode, udpLink } from "./nodes.ts";

const syncs = new Histogram();
syncs.observe(0.0002);
syncs.observe(0.3);
let failed: string | undefined;
let draining = false;
const tokens = new Tokens(["open sesame"]);
let cluster: TestCluster;
beforeAll(async () => {
  const groups = [{ name: "main", keys: [{}] }, { name: "side" }, { name: "both", spans: ["main", "side"] }];
  cluster = await startNodes(
    { nodes: [{ name: "n1", region: "eu" }, { name: "n2", region: "us" }], groups },
    (name) =>
      name === "n2" ? { tokens } : {
        runtime: "bun 1",
        hosts: ["localhost", "127.0.0.1", "[::1]"],
        draining: () => draining,
        metrics: {
          services: () => cluster.nodes[0]!.services.stats(),
          journal: () => ({ bytes: 4_096, syncSeconds: syncs, batches: 2, ...(failed === undefined ? {} : { failed }) }),
          links: () => [udpLink, { ...udpLink, peer: 'n"3', driver: "h2", mtuBytes: null, lost: null, connectedMs: null, udp: null }],
          linkCounts: () => ({ handshakes: 7, handshakesRefused: 6, datagramsIgnored: 5 }),
          process: () => ({ eventLoopDelayMs: 1.5, residentBytes: 1_000, cpuSeconds: 0.25 }),
        },
      },
  );
});
afterAll(() => cluster[Symbol.asyncDispose]());

const node = (): TestNode => cluster.nodes[0]!;
const request = (path: string, init?: RequestInit): Promise<Response> => node().request(path, init);
const json = async (path: string): Promise<Record<string, unknown>> => await (await request(path)).json();

describe("the cluster", () => {
  test("is shown whole and in parts", async () => {
    const whole = await json("/v1/cluster");
    expect(whole).toMatchObject({ cluster: "carillon", node: "n1", merge: "ts", notReady: [] });
    expect((await json("/v1/nodes")).nodes).toEqual(whole.nodes as never);
    expect((await json("/v1/groups")).groups).toMatchObject([{ name: "main", acceptors: ["n1", "n2"] }, {}, {}]);
    const { links, counts } = await json("/v1/links");
    expect(links).toEqual([
      { ...udpLink, region: "us", connected: true, suspected: false, learnedKey: null, heardMsAgo: expect.any(Number) },
    ]);
    expect(counts).toEqual({ handshakes: 7, handshakesRefused: 6, datagramsIgnored: 5 });
    expect((await request("/v1/cluster?x")).status).toBe(400);
  });

  test("comes as CBOR on request", async () => {
    const { decodeCbor } = await import("../../../edge/codec/cbor.ts");
    const response = await request("/v1/nodes", { headers: { accept: "text/html;q=0.1, application/cbor;q=0.9, application/json;q=0.5" } });
    expect(response.headers.get("content-type")).toBe("application/cbor");
    expect(decodeCbor(new Uint8Array(await response.arrayBuffer()))).toMatchObject({ nodes: [{ name: "n1" }, { name: "n2" }] });
  });

  test("version", async () => {
    expect(await json("/version")).toEqual({ name: "carillon", version: "0.0.0-test", api: "v1", node: "n1", runtime: "bun 1" });
  });
});

describe("health", () => {
  test("a healthy node is live and ready", async () => {
    expect(await json("/livez")).toEqual({ status: "live" });
    expect(await json("/readyz")).toEqual({ status: "ready" });
    const { checks } = await json("/readyz?verbose&exclude=lag,draining");
    expect(checks).toEqual(["joined", "quorum", "journal"].map((name) => ({ name, ok: true, reason: "" })));
    expect((await request("/readyz?exclude=lagg")).status).toBe(400);
  });

  test("a node that is stopping is live, not ready, and says why", async () => {
    draining = true;
    const response = await request("/readyz");
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await response.json()).toMatchObject({
      code: "draining",
      title: "Not ready",
      detail: "Cannot call this node ready: draining: the node has been told to stop",
    });
    expect((await request("/livez")).status).toBe(200);
    expect((await request("/readyz?exclude=draining")).status).toBe(200);
    draining = false;
  });

  test("a node whose journal has failed is neither", async () => {
    failed = "no space left on device";
    expect(await (await request("/livez")).json()).toMatchObject({
      status: 503,
      detail: expect.stringContaining("no space left on device"),
    });
    expect((await request("/readyz")).status).toBe(503);
    failed = undefined;
  });
});

describe("metrics", () => {
  test("every line is a comment or a sample, families stand together, histograms add up", async () => {
    await request("/v1/kv/x", { method: "PUT", body: "x" });
    await request("/v1/kv/nobody");
    await request("/v1/kv/x", { method: "PATCH" });
    const text = await (await request("/metrics")).text();
    expect(text.endsWith("\n")).toBe(true);
    const families: string[] = [];
    const samples = new Map<string, number>();
    for (const line of text.trimEnd().split("\n")) {
      if (line.startsWith("# HELP ")) continue;
      if (line.startsWith("# TYPE ")) {
        families.push(line.split(" ")[2]!);
        continue;
      }
      const [, name, labels = "", value] = /^([a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? (\S+)$/.exec(line) ??
        [];
      expect(name, line).toBeDefined();
      expect(name!.startsWith(families.at(-1)!)).toBe(true);
      expect(Number.isFinite(Number(value)), line).toBe(true);
      expect(samples.has(name! + labels), line).toBe(false);
      samples.set(name! + labels, Number(value));
    }
    expect(new Set(families).size).toBe(families.length);
    const put = '{route="/v1/kv/{key}",method="PUT",code="201"';
    expect(samples.get(`carillon_http_request_duration_seconds_count${put}}`)).toBe(1);
    expect(samples.get(`carillon_http_request_duration_seconds_bucket${put},le="+Inf"}`)).toBe(1);
    expect(samples.get('carillon_http_request_duration_seconds_count{route="/v1/kv/{key}",method="GET",code="404"}')).toBe(1);
    expect(samples.get('carillon_http_request_duration_seconds_count{route="unmatched",method="other",code="405"}')).toBe(1);
    expect(samples.get('carillon_build_info{version="0.0.0-test",runtime="bun 1",node="n1"}')).toBe(1);
    expect(samples.get('carillon_journal_sync_duration_seconds_bucket{le="0.00025"}')).toBe(1);
    expect(samples.get('carillon_journal_sync_duration_seconds_bucket{le="0.5"}')).toBe(2);
    expect(samples.get("carillon_journal_sync_duration_seconds_sum")).toBeCloseTo(0.3002);
    expect(samples.get("carillon_journal_batches_total")).toBe(2);
    expect(samples.get("carillon_journal_bytes")).toBe(4_096);
    expect(samples.get('carillon_link_rtt_seconds{peer="n2",transport="udp"}')).toBe(0.0885);
    const ofLinks = [
      "connected",
      "loss_ratio",
      "mtu_bytes",
      "congestion_window_bytes",
      "lost_total",
      "retransmits_total",
      "sent_bytes_total",
    ];
    const linkSamples = (peer: string) => ofLinks.map((name) => samples.get(`carillon_link_${name}{peer="${peer}"}`));
    expect(linkSamples("n2")).toEqual([1, 0.25, 1_232, 24_640, 4, 5, 17]);
    expect(linkSamples('n\\"3')).toEqual([0, 0.25, undefined, 24_640, undefined, 5, 17]);
    const counts = ["handshakes", "handshakes_refused", "datagrams_ignored"].map((name) => samples.get(`carillon_link_${name}_total`));
    expect(counts).toEqual([7, 6, 5]);
    expect(samples.get("carillon_process_event_loop_delay_seconds")).toBe(0.0015);
    expect(samples.get('carillon_link_suspected{peer="n2"}')).toBe(0);
    expect(samples.get('carillon_kv_entries{group="main",merges="main"}')).toBe(1);
    expect(samples.get('carillon_log_records{group="main",merges="main+both"}')).toBe(0);
    const decided = samples.get('carillon_group_decided_total{group="main"}')!;
    expect(decided).toBeGreaterThan(1);
    await request("/v1/kv/x", { method: "PUT", body: "y" });
    expect(await (await request("/metrics")).text()).toContain(`carillon_group_decided_total{group="main"} ${decided + 1}`);
  });
});

describe("who may ask", () => {
  test("with a token, whoever sends it; health is for everybody", async () => {
    const secured = cluster.nodes[1]!;
    const status = async (path: string, authorization?: string): Promise<number> =>
      (await secured.request(path, authorization === undefined ? {} : { headers: { authorization } })).status;
    expect([await status("/livez"), await status("/readyz"), await status("/version")]).toEqual([200, 200, 200]);
    for (const path of ["/v1/kv", "/v1/kv/x", "/v1/logs", "/v1/cluster", "/v1/deliveries?groups=main", "/metrics"]) {
      expect([path, await status(path)]).toEqual([path, 401]);
      expect([path, await status(path, "Bearer open sesam")]).toEqual([path, 401]);
      expect([path, await status(path, "open sesame")]).toEqual([path, 401]);
    }
    expect(await status("/v1/kv", "Bearer open sesame")).toBe(200);
    const refused = await secured.request("/v1/kv/x", { method: "PUT", body: "x" });
    expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    expect(await refused.json()).toMatchObject({ code: "unauthenticated", outcome: "none" });
  });

  test("while two are listed either does; with one that is gone a stream ends, a long poll tells nothing, and a write is told how it went", async () => {
    const secured = cluster.nodes[1]!;
    const as = (token: string, more: RequestInit = {}) => ({
      headers: { authorization: `Bearer ${token}`, accept: "application/x-ndjson" },
      ...more,
    });
    const streams = ["/v1/deliveries?groups=main", "/v1/watch?prefix=none/&after=00000000000000000000", "/v1/events?follow"];
    expect(tokens.change(["open sesame", "another"])).toEqual({ added: 1, gone: 0 });
    const [old, young] = await Promise.all(
      ["open sesame", "another"].map((token) =>
        Promise.all(streams.map(async (path) => (await secured.request(path, as(token))).body!.getReader()))
      ),
    );
    for (const reader of [...old!, ...young!]) await reader.read();
    const poll = secured.request("/v1/kv/nothing?wait=10s", as("open sesame"));
    const write = secured.request("/v1/kv/something", as("open sesame", { method: "PUT", body: "x" }));
    const begun = secured.services.stats().waiting;
    expect(begun).toBeGreaterThan(0);
    expect(tokens.change(["another"])).toEqual({ added: 0, gone: 1 });
    for (const reader of old!) {
      let text = "";
      for (let read = await reader.read(); !read.done; read = await reader.read()) text += new TextDecoder().decode(read.value);
      expect(text.trimEnd().split("\n").at(-1)).toContain('"code":"unauthenticated"');
    }
    expect((await write).status).toBe(201);
    await cluster.nodes[0]!.request("/v1/kv/nothing", { method: "PUT", body: "secret" });
    const told = await poll;
    expect([told.status, (await told.text()).includes("secret")]).toEqual([401, false]);
    expect((await secured.request("/v1/kv/something", as("open sesame"))).status).toBe(401);
    expect((await secured.request("/v1/kv/something", as("another"))).status).toBe(200);
    for (const reader of young!) await reader.cancel();
    tokens.change(["open sesame"]);
  });

  test("without a token, no page of another origin and no name that is not ours", async () => {
    const fetch = async (url: string, headers: Record<string, string> = {}): Promise<number> =>
      (await node().app.fetch(new Request(url, { method: "POST", body: "x", headers }))).status;
    const path = "/v1/multicast?groups=main";
    expect(await fetch(`http://localhost:4100${path}`)).toBe(201);
    expect(await fetch(`http://[::1]:4100${path}`)).toBe(201);
    expect(await fetch(`http://localhost:4100${path}`, { origin: "http://localhost:4100" })).toBe(201);
    expect(await fetch(`http://localhost:4100${path}`, { origin: "https://evil.example" })).toBe(403);
    expect(await fetch(`http://localhost:4100${path}`, { origin: "null" })).toBe(403);
    // A page whose name has been made to mean 127.0.0.1 sends its own name.
    expect(await fetch(`http://evil.example:4100${path}`, { origin: "http://evil.example:4100" })).toBe(403);
  });

  test("there is no CORS", async () => {
    const preflight = await request("/v1/kv/x", { method: "OPTIONS", headers: { origin: "http://localhost" } });
    expect([preflight.status, preflight.headers.get("allow")]).toEqual([204, "GET, HEAD, PUT, DELETE, OPTIONS"]);
    expect([...preflight.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("problems", () => {
  test("the page behind a problem's type explains it", async () => {
    for (const code of Object.keys(problems)) {
      expect(await json(`/problems/${code}`)).toMatchObject({ code, meaning: expect.stringMatching(/^[A-Z].*\.$/) });
    }
    expect((await request("/problems/toString")).status).toBe(404);
  });
});

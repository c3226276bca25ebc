/**
 * Bad input to every route: each line of the table is refused with a problem document that says what and that nothing
 * happened, and afterwards the node holds exactly what it held before.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { defaultServiceLimits } from "../../../services/limits.ts";
import { startNodes, type TestCluster } from "./nodes.ts";

let cluster: TestCluster;
let before: Readonly<Record<string, string>>;
beforeAll(async () => {
  cluster = await startNodes({ nodes: [{ name: "n1" }] });
  const { services } = cluster.nodes[0]!;
  await services.kv.put("k", "v");
  await services.log("l").create();
  await services.log("l").append("r");
  before = services.digest();
});
afterAll(() => cluster[Symbol.asyncDispose]());

const version = "0000000a3f2100010000";
const big = "x".repeat(defaultServiceLimits.valueBytesMax + 1);
const json = { "content-type": "application/json" };
const ndjson = { "content-type": "application/x-ndjson" };
const cborSeq = { "content-type": "application/cbor-seq" };
const records = { "content-type": "application/vnd.carillon.records+json" };
const sse = { accept: "text/event-stream" };

type Row = readonly [status: number, code: string, method: string, path: string, headers?: Record<string, string>, body?: BodyInit];

const table: readonly Row[] = [
  // Paths and methods.
  [404, "not-found", "GET", "/"],
  [404, "not-found", "GET", "/v1"],
  [404, "not-found", "GET", "/v2/kv/k"],
  [404, "not-found", "GET", "/v1/logs/"],
  [404, "not-found", "GET", "/v1/logs//records"],
  [404, "not-found", "GET", "/v1/logs/l/records/0/more"],
  [404, "not-found", "GET", "/v1/cluster/"],
  [404, "not-found", "GET", "/%"],
  [404, "not-found", "POST", "/problems"],
  [404, "not-found", "GET", "/problems/__proto__"],
  [405, "bad-request", "POST", "/v1/kv/k"],
  [405, "bad-request", "PATCH", "/v1/kv/k"],
  [405, "bad-request", "POST", "/v1/kv"],
  [405, "bad-request", "DELETE", "/v1/logs/l"],
  [405, "bad-request", "PUT", "/v1/logs/l/records"],
  [405, "bad-request", "DELETE", "/v1/logs/l/records/0"],
  [405, "bad-request", "GET", "/v1/logs/l/trim"],
  [405, "bad-request", "GET", "/v1/append"],
  [405, "bad-request", "GET", "/v1/multicast"],
  [405, "bad-request", "POST", "/v1/deliveries"],
  [405, "bad-request", "POST", "/v1/cluster"],
  [405, "bad-request", "DELETE", "/metrics"],
  [405, "bad-request", "PUT", "/livez"],
  // Keys.
  [400, "bad-key", "GET", "/v1/kv/"],
  [400, "bad-key", "PUT", "/v1/kv/", {}, "x"],
  [400, "bad-key", "DELETE", "/v1/kv/"],
  [400, "bad-key", "GET", "/v1/kv/%"],
  [400, "bad-key", "GET", "/v1/kv/%zz"],
  [400, "bad-key", "PUT", "/v1/kv/%ff%fe", {}, "x"],
  [400, "bad-key", "DELETE", "/v1/kv/%c0%80"],
  [413, "too-large", "GET", `/v1/kv/${"k".repeat(2_049)}`],
  [413, "too-large", "PUT", `/v1/kv/${"%C3%A9".repeat(1_025)}`, {}, "x"],
  [400, "bad-key", "GET", "/v1/kv?key64=***"],
  [400, "bad-key", "GET", "/v1/kv?key64="],
  [400, "bad-key", "PUT", "/v1/kv?key64=a", {}, "x"],
  [400, "bad-request", "PUT", "/v1/kv", {}, "x"],
  [400, "bad-request", "DELETE", "/v1/kv"],
  [400, "bad-request", "GET", "/v1/kv?key64=aa&prefix=a"],
  // Conditions and versions.
  [400, "bad-position", "PUT", "/v1/kv/k", { "if-match": '"7"' }, "x"],
  [400, "bad-position", "PUT", "/v1/kv/k", { "if-match": `"${version.toUpperCase()}"` }, "x"],
  [400, "bad-position", "DELETE", "/v1/kv/k", { "if-match": '"ffffffffffffffffffff"' }],
  [400, "bad-request", "PUT", "/v1/kv/k", { "if-match": version }, "x"],
  [400, "bad-request", "PUT", "/v1/kv/k", { "if-match": `W/"${version}"` }, "x"],
  [400, "bad-request", "PUT", "/v1/kv/k", { "if-none-match": `"${version}"` }, "x"],
  [400, "bad-request", "PUT", "/v1/kv/k", { "if-match": "*", "if-none-match": "*" }, "x"],
  [400, "bad-request", "DELETE", "/v1/kv/k", { "if-none-match": "*" }],
  [412, "check-failed", "PUT", "/v1/kv/k", { "if-match": `"${version}"` }, "x"],
  [412, "check-failed", "PUT", "/v1/kv/k", { "if-none-match": "*" }, "x"],
  [412, "check-failed", "GET", "/v1/kv/k", { "if-match": `"${version}"` }],
  // Bodies and types.
  [413, "too-large", "PUT", "/v1/kv/k", {}, big],
  [413, "too-large", "PUT", "/v1/kv/k", { "content-length": String(big.length) }, big],
  [413, "too-large", "POST", "/v1/logs/l/records", {}, big],
  [413, "too-large", "POST", "/v1/multicast?groups=main", {}, big],
  [413, "too-large", "POST", "/v1/append?logs=l", {}, big],
  [413, "too-large", "POST", "/v1/logs/l/records", ndjson, "1\n".repeat(defaultServiceLimits.batchRecordsMax + 1)],
  [413, "too-large", "POST", "/v1/logs/l/records", ndjson, `"${big}"`],
  [413, "too-large", "PUT", "/v1/logs/l", json, " ".repeat(3 << 20)],
  [400, "bad-request", "PUT", "/v1/kv/k", { "content-type": `text/${"x".repeat(300)}` }, "x"],
  [400, "bad-request", "PUT", "/v1/kv/k", { "carillon-ttl": "30" }, "x"],
  [400, "bad-request", "DELETE", "/v1/kv/k", { "idempotency-key": "" }],
  [400, "bad-request", "DELETE", "/v1/kv/k", { "idempotency-key": '"a' }],
  [400, "bad-request", "PUT", "/v1/kv/k", { "idempotency-key": "k".repeat(256) }, "x"],
  [400, "bad-request", "PUT", "/v1/logs/new", { "idempotency-key": "a" }],
  [400, "bad-request", "POST", "/v1/multicast?groups=main", { "idempotency-key": '"a' }, "x"],
  [400, "bad-request", "POST", "/v1/logs/l/records", { "producer-id": "a" }, "x"],
  // Events.
  [400, "bad-request", "GET", "/v1/events?after=yesterday"],
  [400, "bad-request", "GET", "/v1/events?follow"],
  [400, "bad-request", "GET", "/v1/events", { accept: "text/event-stream", "last-event-id": "-1" }],
  // Queries.
  [400, "bad-request", "GET", "/v1/kv/k?consistency=strong"],
  [400, "bad-request", "GET", "/v1/kv/k?consistency=local&consistency=local"],
  [400, "bad-request", "GET", "/v1/kv/k?limit=1"],
  [400, "bad-request", "GET", "/v1/kv/k?timeout=0"],
  [400, "bad-request", "GET", "/v1/kv/k?timeout=1h"],
  [400, "bad-request", "GET", "/v1/kv/k", { "carillon-timeout": "soon" }],
  [400, "bad-request", "PUT", "/v1/kv/k?consistency=local", {}, "x"],
  [400, "bad-request", "GET", "/v1/kv/k?%ff=1"],
  [400, "bad-position", "GET", "/v1/kv/k?consistency=session", { "carillon-position": "yesterday" }],
  [400, "bad-request", "GET", "/v1/kv?limit=0"],
  [400, "bad-request", "GET", "/v1/kv?limit=-1"],
  [400, "bad-request", "GET", "/v1/kv?limit=10001"],
  [400, "bad-request", "GET", "/v1/kv?limit=ten"],
  [400, "bad-request", "GET", "/v1/kv?reverse=maybe"],
  [400, "bad-request", "GET", "/v1/kv?prefix=a&prefix64=YQ"],
  [400, "bad-request", "GET", "/v1/kv?prefx=a"],
  [400, "bad-key", "GET", "/v1/kv?start64=!"],
  [400, "bad-cursor", "GET", "/v1/kv?cursor=made-up"],
  [400, "bad-request", "GET", "/v1/kv?wait=1s"],
  [400, "bad-request", "GET", "/v1/kv/k?wait=61s"],
  [400, "bad-request", "GET", "/v1/kv/k?wait=long"],
  [400, "bad-request", "GET", "/v1/kv?key64=aw&wait=-1s"],
  [404, "not-found", "GET", "/v1/kv/none?wait=10ms"],
  [400, "bad-request", "PUT", "/v1/kv/k?wait=1s", {}, "x"],
  // Watches.
  [405, "bad-request", "POST", "/v1/watch"],
  [400, "bad-request", "GET", "/v1/watch?keys=k"],
  [400, "bad-request", "GET", "/v1/watch?key=k&prefix=k"],
  [400, "bad-request", "GET", "/v1/watch?key64=aw&start=a"],
  [400, "bad-request", "GET", "/v1/watch?key=k&key64=aw"],
  [400, "bad-request", "GET", "/v1/watch?prefix=&limit=0"],
  [400, "bad-request", "GET", "/v1/watch?prefix=&wait=1s"],
  [400, "bad-key", "GET", "/v1/watch?key="],
  [400, "bad-key", "GET", "/v1/watch?prefix64=!"],
  [413, "too-large", "GET", `/v1/watch?key=${"k".repeat(2_049)}`],
  [413, "too-large", "GET", `/v1/watch?end=${"k".repeat(2_049)}`, sse],
  [422, "no-partition", "GET", "/v1/watch?start=b&end=a"],
  [400, "bad-position", "GET", "/v1/watch?prefix=&after=start"],
  [400, "bad-position", "GET", "/v1/watch?prefix=", { ...sse, "last-event-id": "7" }],
  // Logs.
  [400, "bad-request", "GET", "/v1/logs?prefix=l"],
  [404, "not-found", "GET", "/v1/logs/none"],
  [404, "not-found", "GET", "/v1/logs/none/records"],
  [404, "not-found", "GET", "/v1/logs/none/records", sse],
  [404, "not-found", "GET", "/v1/logs/none/records/0"],
  [404, "not-found", "POST", "/v1/logs/none/records", {}, "x"],
  [404, "not-found", "POST", "/v1/logs/none/trim?before=0"],
  [400, "bad-request", "PUT", "/v1/logs/%00"],
  [400, "bad-request", "PUT", "/v1/logs/%ff"],
  [400, "bad-request", "PUT", "/v1/logs/a%2Fb"],
  [400, "bad-request", "PUT", `/v1/logs/${"n".repeat(300)}`],
  [400, "bad-request", "PUT", "/v1/logs/new", json, "{"],
  [400, "bad-request", "PUT", "/v1/logs/new", json, "[]"],
  [400, "bad-request", "PUT", "/v1/logs/new", json, "null"],
  [400, "bad-request", "PUT", "/v1/logs/new", json, '{"grup":"main"}'],
  [400, "bad-request", "PUT", "/v1/logs/new", json, '{"group":7}'],
  [404, "not-found", "PUT", "/v1/logs/new", json, '{"group":"none"}'],
  [415, "unsupported-type", "PUT", "/v1/logs/new", { "content-type": "text/plain" }, "{}"],
  [400, "bad-request", "POST", "/v1/logs/l/records", ndjson, "{"],
  [400, "bad-request", "POST", "/v1/logs/l/records", ndjson, ""],
  [400, "bad-request", "POST", "/v1/logs/l/records", cborSeq, Uint8Array.of(0xff)],
  [400, "bad-request", "POST", "/v1/logs/l/records", cborSeq, new Uint8Array(1_000).fill(0x81)],
  [400, "bad-request", "POST", "/v1/logs/l/records", records, "{}"],
  [400, "bad-request", "POST", "/v1/logs/l/records", records, '{"records":[{}]}'],
  [400, "bad-request", "POST", "/v1/logs/l/records", records, "[".repeat(100_000)],
  [400, "bad-request", "POST", "/v1/logs/l/records", { "carillon-expect-offset": "-1" }, "x"],
  [400, "bad-request", "POST", "/v1/logs/l/records", { "carillon-expect-offset": "1.0" }, "x"],
  [412, "unexpected-offset", "POST", "/v1/logs/l/records", { "carillon-expect-offset": "9" }, "x"],
  [400, "bad-request", "GET", "/v1/logs/l/records?from=-1"],
  [400, "bad-request", "GET", "/v1/logs/l/records?from=tail"],
  [400, "bad-request", "GET", "/v1/logs/l/records?from=9007199254740993"],
  [400, "bad-request", "GET", "/v1/logs/l/records?limit=-5"],
  [400, "bad-request", "GET", "/v1/logs/l/records?bytes=0"],
  [400, "bad-request", "GET", "/v1/logs/l/records?bytes=16777217"],
  [400, "bad-request", "GET", "/v1/logs/l/records?wait=61s"],
  [400, "bad-request", "GET", "/v1/logs/l/records?wait=1s", sse],
  [400, "bad-request", "GET", "/v1/logs/l/records?follow"],
  [416, "past-tail", "GET", "/v1/logs/l/records?from=2"],
  [416, "past-tail", "GET", "/v1/logs/l/records?from=2", sse],
  [416, "past-tail", "GET", "/v1/logs/l/records/1"],
  [400, "bad-request", "GET", "/v1/logs/l/records", { ...sse, "last-event-id": "-1" }],
  [400, "bad-request", "GET", "/v1/logs/l/records/-1"],
  [400, "bad-request", "GET", "/v1/logs/l/records/x"],
  [400, "bad-request", "GET", "/v1/logs/l/records/99999999999999999999"],
  [400, "bad-request", "POST", "/v1/logs/l/trim"],
  [400, "bad-request", "POST", "/v1/logs/l/trim?before=-1"],
  [400, "bad-request", "POST", "/v1/logs/l/trim?before=1", json, '{"before":1}'],
  [400, "bad-request", "POST", "/v1/logs/l/trim", json, '{"before":"1"}'],
  [400, "bad-request", "POST", "/v1/logs/l/trim", json, '{"before":1.5}'],
  [416, "past-tail", "POST", "/v1/logs/l/trim?before=2"],
  [400, "bad-request", "POST", "/v1/append", json, ""],
  [400, "bad-request", "POST", "/v1/append", json, '{"logs":[],"records":[{"text":"a"}]}'],
  [400, "bad-request", "POST", "/v1/append", json, '{"logs":"l","records":[{"text":"a"}]}'],
  [400, "bad-request", "POST", "/v1/append", json, '{"logs":["l","l"],"records":[{"text":"a"}]}'],
  [400, "bad-request", "POST", "/v1/append", json, '{"logs":["l"],"records":[]}'],
  [400, "bad-request", "POST", "/v1/append", json, '{"logs":["l"],"records":[{"text":"a"}],"x":1}'],
  [404, "not-found", "POST", "/v1/append", json, '{"logs":["l","none"],"records":[{"text":"a"}]}'],
  [415, "unsupported-type", "POST", "/v1/append", { "content-type": "text/plain" }, "x"],
  [400, "bad-request", "POST", "/v1/append?logs=l", { "carillon-expect-offset": "1" }, "x"],
  [400, "bad-request", "POST", "/v1/append?logs=", {}, "x"],
  [400, "bad-request", "POST", "/v1/append?logs=l,,l", {}, "x"],
  // Multicast.
  [400, "bad-request", "POST", "/v1/multicast", {}, "x"],
  [400, "bad-request", "POST", "/v1/multicast?groups=", {}, "x"],
  [400, "bad-request", "POST", "/v1/multicast?groups=main,main", {}, "x"],
  [400, "bad-request", "POST", "/v1/multicast?group=main", {}, "x"],
  [404, "not-found", "POST", "/v1/multicast?groups=none", {}, "x"],
  [400, "bad-request", "GET", "/v1/deliveries"],
  [404, "not-found", "GET", "/v1/deliveries?groups=none"],
  [400, "bad-position", "GET", "/v1/deliveries?groups=main&after=0"],
  [400, "bad-position", "GET", "/v1/deliveries?groups=main", { ...sse, "last-event-id": "7" }],
  [400, "bad-request", "GET", "/v1/deliveries?groups=main&limit=0"],
  // The rest.
  [400, "bad-request", "GET", "/v1/cluster?verbose"],
  [400, "bad-request", "GET", "/v1/nodes?region=eu"],
  [400, "bad-request", "GET", "/v1/groups?name=main"],
  [400, "bad-request", "GET", "/v1/links?x=1"],
  [400, "bad-request", "GET", "/livez?verbos"],
  [400, "bad-request", "GET", "/readyz?verbose=perhaps"],
  [400, "bad-request", "GET", "/readyz?exclude=everything"],
  [400, "bad-request", "GET", "/metrics?format=json"],
  [400, "bad-request", "GET", "/version?x"],
];

const nameOf = ([status, code, method, path, headers = {}, body]: Row): string => {
  const said = Object.entries(headers).map(([name, value]) => `${name}: ${value.slice(0, 24)}`).join(", ");
  const sent = body === undefined ? "" : ` ${typeof body === "string" ? JSON.stringify(body.slice(0, 24)) : "bytes"}`;
  return `${method} ${path.slice(0, 64)} ${said}${sent} → ${status} ${code}`;
};

test.each(table.map((row) => [nameOf(row), row] as const))("%s", async (_name, [status, code, method, path, headers = {}, body]) => {
  const response = await cluster.nodes[0]!.request(path, { method, headers, ...(body === undefined ? {} : { body }) });
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = await response.json();
  expect({ status: response.status, code: problem.code }).toEqual({ status, code });
  expect(problem).toMatchObject({ type: `/problems/${code}`, status, outcome: "none", detail: expect.stringMatching(/^Cannot /) });
  expect(problem.title).toBeString();
  expect(response.headers.get("carillon-position")).toMatch(/^[0-9a-f]{20}$/);
});

test("every route of the API is in the table", () => {
  const routes = cluster.nodes[0]!.app.routes.map(({ method, path }) => `${method} ${path}`);
  const uncovered = routes.filter((route) => {
    const [method, path] = route.split(" ") as [string, string];
    const pattern = new RegExp(
      `^${path.split("/").map((part) => part.startsWith(":") ? (part.includes("{") ? ".+" : "[^/]+") : part).join("/")}$`,
    );
    return !table.some(([status, , sent, url]) => status !== 405 && sent === method && pattern.test(url.split("?")[0]!));
  });
  expect(uncovered).toEqual([]);
});

test("none of it changed anything", () => {
  expect(cluster.nodes[0]!.services.digest()).toEqual(before);
});

/** `Idempotency-Key`: the first answer again, at any node, and what is said where it cannot be. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { failure } from "../../harness/failure.ts";
import { startNodes, type TestCluster, type TestNode } from "./nodes.ts";

let cluster: TestCluster;
let a: TestNode;
let b: TestNode;

beforeAll(async () => {
  cluster = await startNodes({ nodes: [{ name: "n1" }, { name: "n2" }, { name: "n3" }] });
  [a, b] = cluster.nodes as [TestNode, TestNode];
  for (const log of ["audit", "billing"]) await a.request(`/v1/logs/${log}`, { method: "PUT" });
  await a.request("/v1/kv/there", { method: "PUT", body: "there" });
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** All of an answer that is about the write, not about who answered when. */
async function told(response: Response): Promise<unknown> {
  const names = ["etag", "location", "carillon-position", "carillon-tail", "carillon-first"];
  return [response.status, ...names.map((name) => response.headers.get(name)), await response.text()];
}

const writes: readonly (readonly [number, string, string, Record<string, string>, string | null])[] = [
  [201, "PUT", "/v1/kv/new", {}, "x"],
  [204, "PUT", "/v1/kv/there", {}, "x"],
  [412, "PUT", "/v1/kv/there", { "if-none-match": "*" }, "x"],
  [412, "PUT", "/v1/kv/there", { "if-match": '"00000000000000010000"' }, "x"],
  [204, "DELETE", "/v1/kv/there", {}, null],
  [204, "DELETE", "/v1/kv/nothing", {}, null],
  [412, "DELETE", "/v1/kv/nothing", { "if-match": "*" }, null],
  [201, "POST", "/v1/logs/audit/records", {}, "x"],
  [201, "POST", "/v1/logs/audit/records", { "content-type": "application/x-ndjson" }, "1\n2\n"],
  [412, "POST", "/v1/logs/audit/records", { "carillon-expect-offset": "1000" }, "x"],
  [201, "POST", "/v1/append?logs=billing,audit", {}, "x"],
  [201, "POST", "/v1/append", {}, '{"logs":["audit","billing"],"records":[{"text":"x"}]}'],
  [200, "POST", "/v1/logs/audit/trim?before=1", {}, null],
  [416, "POST", "/v1/logs/audit/trim?before=1000", {}, null],
];

test.each(writes)("%d %s %s %j: again at another node", async (status, method, path, headers, body) => {
  const key = `"${crypto.randomUUID()}"`;
  const init = { method, headers: { ...headers, "idempotency-key": key }, ...(body === null ? {} : { body }) };
  const first = await a.request(path, init);
  expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([status, null]);
  const answer = await told(first);
  // The world goes on.
  await b.request("/v1/append?logs=billing,audit", { method: "POST", body: "between" });
  await a.request("/v1/kv/there", { method: "PUT", body: "there" });
  await a.request("/v1/kv/nothing", { method: "PUT", body: "something" });
  for (const node of [b, a]) {
    const again = await node.request(path, init);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    // A problem document also says in its facts that it is replayed.
    const replayed = await told(again) as string[];
    expect(replayed.map((part) => typeof part === "string" ? part.replace(',"replayed":true', "") : part)).toEqual(answer as string[]);
  }
  await a.request("/v1/kv/nothing", { method: "DELETE" });
});

test("a key in quotes is the same as one without", async () => {
  const first = await a.request("/v1/kv/quotes", { method: "PUT", body: "x", headers: { "idempotency-key": '"a \\"b\\" \\\\c"' } });
  const again = await b.request("/v1/kv/quotes", { method: "PUT", body: "x", headers: { "idempotency-key": 'a "b" \\c' } });
  expect([first.status, again.status, again.headers.get("idempotent-replayed")]).toEqual([201, 201, "true"]);
});

test("another request under the same key is 422, and changes nothing", async () => {
  const headers = { "idempotency-key": "once" };
  await a.request("/v1/kv/reused", { method: "PUT", body: "x", headers });
  const other = await b.request("/v1/kv/reused", { method: "PUT", body: "y", headers });
  expect(other.status).toBe(422);
  expect(await other.json()).toMatchObject({ code: "key-reused", outcome: "none", retryable: false, idempotencyKey: "once" });
  expect(await (await a.request("/v1/kv/reused")).text()).toBe("x");
});

test("while the first request is running at the same node, the second is 409", async () => {
  const init = { method: "PUT", body: "x", headers: { "idempotency-key": "twice" } };
  const [first, second] = await Promise.all([a.request("/v1/kv/running", init), a.request("/v1/kv/running", init)]);
  expect([first.status, second.status]).toEqual([201, 409]);
  expect(await second.json()).toMatchObject({ code: "in-progress", outcome: "unknown", retryable: true, retryAfterMs: 100 });
  expect((await a.request("/v1/kv/running", init)).headers.get("idempotent-replayed")).toBe("true");
});

test("a value that has been written since is left out where a lost condition is told again", async () => {
  await a.request("/v1/kv/gone", { method: "PUT", body: "first" });
  const headers = { "idempotency-key": "gone", "if-none-match": "*", prefer: "return=representation" };
  const first = await (await a.request("/v1/kv/gone", { method: "PUT", body: "x", headers })).json();
  expect(first.current.text).toBe("first");
  await a.request("/v1/kv/gone", { method: "PUT", body: "second" });
  const again = await (await b.request("/v1/kv/gone", { method: "PUT", body: "x", headers })).json();
  expect(again.current).toEqual({ key: "gone", version: first.current.version });
});

test("embedded and HTTP share their keys", async () => {
  const first = await a.services.kv.put("shared", "x", { idempotencyKey: "shared" });
  const headers = { "idempotency-key": "shared", "content-type": "text/plain;charset=utf-8" };
  const again = await b.request("/v1/kv/shared", { method: "PUT", body: "x", headers });
  expect([again.status, again.headers.get("etag"), again.headers.get("idempotent-replayed")]).toEqual([
    201,
    `"${first.ok ? first.version : ""}"`,
    "true",
  ]);
  expect((await failure(b.services.kv.put("shared", "y", { idempotencyKey: "shared" }))).code).toBe("key-reused");
});

/** Logs over HTTP, against a real core. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encodeCbor } from "../../../edge/codec/cbor.ts";
import { startNodes, type TestCluster } from "./nodes.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startNodes({
    nodes: [{ name: "n1" }],
    groups: [{ name: "eu", keys: [{}] }, { name: "us" }, { name: "all", spans: ["eu", "us"] }],
  });
});
afterAll(() => cluster[Symbol.asyncDispose]());

const request = (path: string, init?: RequestInit): Promise<Response> => cluster.nodes[0]!.request(path, init);
const post = (path: string, body: BodyInit, headers: Record<string, string> = {}): Promise<Response> =>
  request(path, { method: "POST", body, headers });
const json = async (path: string, init?: RequestInit): Promise<Record<string, unknown>> => await (await request(path, init)).json();

/** A new log with these records. */
async function logOf(name: string, ...records: string[]): Promise<string> {
  expect((await request(`/v1/logs/${name}`, { method: "PUT" })).status).toBe(201);
  for (const record of records) expect((await post(`/v1/logs/${name}/records`, record, { "content-type": "text/plain" })).status).toBe(201);
  return `/v1/logs/${name}`;
}

describe("logs", () => {
  test("creating finds what exists, unless it differs", async () => {
    const created = await request("/v1/logs/made", {
      method: "PUT",
      body: '{"group":"us"}',
      headers: { "content-type": "application/json" },
    });
    expect([created.status, created.headers.get("location")]).toEqual([201, "/v1/logs/made"]);
    expect(await created.json()).toMatchObject({ name: "made", group: "us", first: 0, next: 0, bytes: 0, created: true });
    expect((await request("/v1/logs/made", { method: "PUT", body: '{"group":"us"}' })).status).toBe(200);
    const other = await request("/v1/logs/made", { method: "PUT", body: '{"group":"eu"}' });
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ code: "exists-differently", outcome: "none" });
    expect((await request("/v1/logs/made", { method: "PUT", body: '{"group":"nowhere"}' })).status).toBe(404);
  });

  test("one log and all logs", async () => {
    const path = await logOf("listed", "a", "b");
    const info = await request(path);
    expect(info.headers.get("carillon-tail")).toBe("2");
    expect(await info.json()).toMatchObject({ name: "listed", first: 0, next: 2, bytes: 2 });
    const head = await request(path, { method: "HEAD" });
    expect([head.status, head.headers.get("carillon-tail"), await head.text()]).toEqual([200, "2", ""]);
    const { logs } = await json("/v1/logs");
    expect(logs).toContainEqual(expect.objectContaining({ name: "listed", next: 2 }));
    expect((await request("/v1/logs/unheard-of")).status).toBe(404);
  });
});

describe("appending", () => {
  test("one body is one record", async () => {
    const path = await logOf("one");
    const response = await post(`${path}/records`, "hi", { "content-type": "text/plain" });
    expect([response.status, response.headers.get("location"), response.headers.get("carillon-tail")]).toEqual([
      201,
      `${path}/records/0`,
      "1",
    ]);
    const answer = await response.json();
    expect(answer).toEqual({ log: "one", first: 0, next: 1, position: response.headers.get("carillon-position")! });
  });

  test("a batch is contiguous in each of its forms", async () => {
    const path = await logOf("batch");
    const append = async (body: BodyInit, type: string): Promise<unknown> => {
      const { first, next } = await (await post(`${path}/records`, body, { "content-type": type })).json();
      return [first, next];
    };
    expect(await append('{"n":1}\n{"n":2}\n', "application/x-ndjson")).toEqual([0, 2]);
    expect(await append(Uint8Array.from([...encodeCbor({ n: 3 }), ...encodeCbor("four")]), "application/cbor-seq")).toEqual([2, 4]);
    expect(await append('{"records":[{"text":"five"},{"base64":"/w=="}]}', "application/vnd.carillon.records+json")).toEqual([4, 6]);
    const { records } = await json(`${path}/records`);
    expect((records as Record<string, unknown>[]).map(({ type, text, base64 }) => [type, text ?? base64])).toEqual([
      ["application/json", '{"n":1}'],
      ["application/json", '{"n":2}'],
      ["application/cbor", "oWFuAw=="],
      ["application/cbor", "dfour"],
      ["text/plain;charset=utf-8", "five"],
      ["", "/w=="],
    ]);
  });

  test("an expected offset makes an append happen at most once", async () => {
    const path = await logOf("expected", "a");
    const at = (offset: number): Promise<Response> => post(`${path}/records`, "b", { "carillon-expect-offset": String(offset) });
    const replies = await Promise.all([at(1), at(1), at(1)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 412, 412]);
    const lost = await at(1);
    expect([lost.status, lost.headers.get("carillon-tail")]).toEqual([412, "2"]);
    expect(await lost.json()).toMatchObject({ code: "unexpected-offset", outcome: "none", next: 2 });
  });

  test("several logs are appended to in one step", async () => {
    await logOf("several-a", "x");
    expect((await request("/v1/logs/several-b", { method: "PUT", body: '{"group":"us"}' })).status).toBe(201);
    const body = JSON.stringify({ logs: ["several-b", "several-a"], records: [{ json: { n: 1 } }, { text: "t" }] });
    const both = await post("/v1/append", body, { "content-type": "application/json" });
    expect(both.status).toBe(201);
    expect((await both.json()).results).toEqual([{ log: "several-b", first: 0, next: 2 }, { log: "several-a", first: 1, next: 3 }]);
    const plain = await post("/v1/append?logs=several-a,several-b", "raw");
    expect((await plain.json()).results).toEqual([{ log: "several-a", first: 3, next: 4 }, { log: "several-b", first: 2, next: 3 }]);
    expect((await post("/v1/append?logs=several-a,unknown", "raw")).status).toBe(404);
  });
});

describe("reading", () => {
  test("from an offset or from the tail, bounded", async () => {
    const path = await logOf("read", "r0", "r1", "r2", "r3");
    const page = async (query: string): Promise<unknown[]> => {
      const { records, next, tail } = await json(`${path}/records?${query}`);
      return [(records as { text: string }[]).map(({ text }) => text), next, tail];
    };
    expect(await page("")).toEqual([["r0", "r1", "r2", "r3"], 4, 4]);
    expect(await page("from=1&limit=2")).toEqual([["r1", "r2"], 3, 4]);
    expect(await page("from=tail-1")).toEqual([["r3"], 4, 4]);
    expect(await page("from=tail-100")).toEqual([["r0", "r1", "r2", "r3"], 4, 4]);
    expect(await page("from=4")).toEqual([[], 4, 4]);
    expect(await page("bytes=1")).toEqual([["r0"], 1, 4]);
    expect(await page("from=9&clamp")).toEqual([[], 4, 4]);
    const past = await request(`${path}/records?from=9`);
    expect(past.status).toBe(416);
    expect(await past.json()).toMatchObject({ code: "past-tail", outcome: "none" });
  });

  test("a reader may wait for a first record", async () => {
    const path = await logOf("waited");
    const waiting = json(`${path}/records?wait=5s`);
    const started = performance.now();
    expect(await json(`${path}/records?from=0&wait=30ms`)).toMatchObject({ records: [], next: 0 });
    expect(performance.now() - started).toBeGreaterThan(15);
    await post(`${path}/records`, "at last");
    expect(await waiting).toMatchObject({ records: [{ offset: 0, text: "at last" }] });
  });

  test("one record is its payload, and may be kept for ever", async () => {
    const path = await logOf("single", "first");
    const record = await request(`${path}/records/0`);
    expect([record.status, await record.text(), record.headers.get("content-type")]).toEqual([200, "first", "text/plain"]);
    expect(record.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const again = await request(`${path}/records/0`, { headers: { "if-none-match": record.headers.get("etag")! } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const next = await request(`${path}/records/1`);
    expect([next.status, next.headers.get("cache-control")]).toEqual([416, "no-store"]);
    expect(await next.json()).toMatchObject({ code: "past-tail", next: 1 });
    expect((await request(`${path}/records/7`)).status).toBe(416);
  });

  test("what is trimmed is gone, and says what is left", async () => {
    const path = await logOf("trimmed", "a", "b", "c");
    const trim = await request(`${path}/trim?before=2`, { method: "POST" });
    expect(await trim.json()).toMatchObject({ first: 2, next: 3 });
    expect((await post(`${path}/trim`, '{"before":1}')).status).toBe(200);
    for (const gone of [`${path}/records?from=0`, `${path}/records/1`]) {
      const response = await request(gone);
      expect([response.status, response.headers.get("cache-control")]).toEqual([410, "no-store"]);
      expect(await response.json()).toMatchObject({ code: "trimmed", oldest: 2 });
    }
    expect(await json(`${path}/records?clamp`)).toMatchObject({ records: [{ offset: 2, text: "c" }] });
    expect((await request(`${path}/trim?before=9`, { method: "POST" })).status).toBe(416);
  });
});

describe("streams", () => {
  const events = { accept: "text/event-stream" };

  test("NDJSON ends at the tail", async () => {
    const path = await logOf("lines", "a", "b", "c");
    const response = await request(`${path}/records?from=1`, { headers: { accept: "application/x-ndjson" } });
    expect((await response.text()).trim().split("\n").map((line) => JSON.parse(line).text)).toEqual(["b", "c"]);
    expect(await (await request(`${path}/records?from=3`, { headers: { accept: "application/x-ndjson" } })).text()).toBe("");
    expect((await request(`${path}/records?from=4`, { headers: { accept: "application/x-ndjson" } })).status).toBe(416);
  });

  test("more than one page is one stream", async () => {
    const path = await logOf("pages");
    for (let batch = 0; batch < 3; batch++) {
      const lines = Array.from({ length: 400 }, (_, index) => batch * 400 + index).join("\n");
      expect((await post(`${path}/records`, lines, { "content-type": "application/x-ndjson" })).status).toBe(201);
    }
    const response = await request(`${path}/records`, { headers: { accept: "application/x-ndjson" } });
    const got = (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
    expect(got.map(({ offset }) => offset)).toEqual(Array.from({ length: 1_200 }, (_, index) => index));
    expect(got.every(({ offset, text }) => text === String(offset))).toBe(true);
  });

  test("a follower gets what was, then what comes, and resumes behind what it saw last", async () => {
    const path = await logOf("followed", "a", "b");
    const follower = (await request(`${path}/records?from=0`, { headers: events })).body!.getReader();
    let text = "";
    const until = async (part: string): Promise<void> => {
      while (!text.includes(part)) text += new TextDecoder().decode((await follower.read()).value);
    };
    await until('"text":"b"');
    await post(`${path}/records`, "c");
    await until('"text":"c"');
    await follower.cancel();
    expect(text.split("\n").filter((line) => line.startsWith("id: "))).toEqual(["id: 0", "id: 1", "id: 2"]);

    await post(`${path}/records`, "d");
    const resumed = await request(`${path}/records?from=0&limit=1`, { headers: { ...events, "last-event-id": "2" } });
    expect(await resumed.text()).toMatch(/^event: record\nid: 3\ndata: \{"offset":3,"position":"[0-9a-f]{20}","type":"","text":"d"\}\n\n$/);
  });

  test("without a place to start, a follower starts at the tail", async () => {
    const path = await logOf("tailed", "old");
    const response = await request(`${path}/records?limit=1`, { headers: events });
    const body = response.text();
    await post(`${path}/records`, "new");
    expect(await body).toContain('"text":"new"');
    const lines = await request(`${path}/records?follow&limit=2&from=0`, { headers: { accept: "application/x-ndjson" } });
    expect((await lines.text()).trim().split("\n").length).toBe(2);
  });

  test("a stream that cannot begin has a status", async () => {
    const path = await logOf("no-stream", "a");
    expect((await request(`${path}/records?from=7`, { headers: events })).status).toBe(416);
    expect((await request("/v1/logs/unknown/records", { headers: events })).status).toBe(404);
    expect((await request(`${path}/records`, { headers: { ...events, "last-event-id": "x" } })).status).toBe(400);
    expect((await request(`${path}/records?from=0`, { headers: events, method: "HEAD" })).headers.get("content-type")).toBe(
      "text/event-stream",
    );
    expect(cluster.nodes[0]!.services.stats().streams).toBe(0);
  });
});

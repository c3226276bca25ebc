/** Watches and the long poll over HTTP, between three nodes: forms, resuming at another node, ends, and what has been forgotten. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startNodes, type TestCluster } from "./nodes.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startNodes({
    nodes: [{ name: "n1" }, { name: "n2" }, { name: "n3" }],
    groups: [{ name: "eu", keys: [{ to: "m" }] }, { name: "us", keys: [{ from: "m" }] }],
  });
});
afterAll(() => cluster[Symbol.asyncDispose]());

const request = (node: number, path: string, init?: RequestInit): Promise<Response> => cluster.nodes[node]!.request(path, init);
const sse = { accept: "text/event-stream" };

async function put(node: number, key: string, body: string): Promise<string> {
  const response = await request(node, `/v1/kv/${key}`, { method: "PUT", body, headers: { "content-type": "text/plain" } });
  return response.headers.get("carillon-position")!;
}

async function del(node: number, key: string): Promise<string> {
  return (await request(node, `/v1/kv/${key}`, { method: "DELETE" })).headers.get("carillon-position")!;
}

async function lines(node: number, query: string): Promise<Record<string, unknown>[]> {
  const text = await (await request(node, `/v1/watch?${query}`)).text();
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)).filter(({ kind }) => kind !== "caught-up");
}

test("changes of both partitions come in one order at every node, and go on behind any of them at any other", async () => {
  const start = await put(0, "order/0", "first");
  await Promise.all(Array.from({ length: 40 }, (_, n) => put(n % 3, `${n % 2 ? "order" : "zorder"}/${n % 5}`, `${n}`)));
  const [a, b] = await Promise.all([lines(0, `after=${start}&limit=40`), lines(2, `after=${start}&limit=40`)]);
  expect(a.length).toBe(40);
  expect(b).toEqual(a);
  const positions = a.map(({ version }) => version as string);
  expect(positions).toEqual([...new Set(positions)].sort());
  expect(await lines(1, `after=${positions[24]}&limit=15`)).toEqual(a.slice(25));
  const own = a.slice(1).filter(({ key }) => (key as string).startsWith("zorder"));
  expect(own.length).toBeGreaterThan(18);
  expect(await lines(1, `prefix=zorder&after=${positions[0]}&limit=${own.length}`)).toEqual(own);
});

test("events have the name of what happened and its position, which Last-Event-ID resumes at another node", async () => {
  const first = await put(0, "events/k", "1");
  const second = await put(1, "events/k", "2");
  const gone = await del(2, "events/k");
  const events = async (node: number, headers: Record<string, string>, limit: number): Promise<string[]> => {
    const response = await request(node, `/v1/watch?key=events/k&after=${first}&limit=${limit}`, { headers: { ...sse, ...headers } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    return (await response.text()).split("\n\n").filter((event) => event !== "" && !event.startsWith(":") && !event.includes("caught-up"));
  };
  const written = `event: put\nid: ${second}\ndata: ${
    JSON.stringify({ kind: "put", key: "events/k", version: second, type: "text/plain", text: "2" })
  }`;
  const deleted = `event: delete\nid: ${gone}\ndata: ${JSON.stringify({ kind: "delete", key: "events/k", position: gone })}`;
  expect(await events(1, {}, 2)).toEqual([written, deleted]);
  expect(await events(2, { "last-event-id": second }, 1)).toEqual([deleted]);
});

test("without a place it begins with what there is, and has a place to go on from once it has caught up", async () => {
  await put(0, "snap/a", "1");
  await put(0, "snap/b", "2");
  const response = await request(1, "/v1/watch?prefix=snap/", { headers: sse });
  const reader = response.body!.getReader();
  let text = "";
  const until = async (part: string): Promise<void> => {
    while (!text.includes(part)) text += new TextDecoder().decode((await reader.read()).value);
  };
  await until("event: caught-up");
  await until("\n\n");
  const before = text.slice(0, text.indexOf("event: caught-up"));
  expect([before.includes("snap/a"), before.includes("snap/b"), before.includes("id:")]).toEqual([true, true, false]);
  expect(text.slice(before.length)).toMatch(/^event: caught-up\nid: [0-9a-f]{20}\ndata: /);
  const position = await del(2, "snap/a");
  await until(`event: delete\nid: ${position}`);
  expect(cluster.nodes[1]!.services.stats().streams).toBe(1);
  await reader.cancel();
  for (let turn = 0; turn < 50 && cluster.nodes[1]!.services.stats().streams > 0; turn++) await Bun.sleep(2);
  expect(cluster.nodes[1]!.services.stats().streams).toBe(0);
});

test("bytes that are no text, as keys and as values, come whole", async () => {
  const start = await put(0, "start", "");
  await request(0, "/v1/kv?key64=__4", { method: "PUT", body: Uint8Array.of(255, 0) });
  await request(0, "/v1/kv?key64=__4", { method: "DELETE" });
  const [written, deleted] = await lines(1, `prefix64=_w&after=${start}&limit=2`);
  expect(written).toMatchObject({ kind: "put", key64: "__4", type: "", base64: "/wA=" });
  expect(deleted).toMatchObject({ kind: "delete", key64: "__4" });
  expect(await lines(1, `key64=__4&after=${start}&limit=1`)).toEqual([written!]);
});

test("HEAD shows the headers without starting anything", async () => {
  const response = await request(0, "/v1/watch?prefix=", { method: "HEAD", headers: sse });
  expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([200, "text/event-stream", ""]);
  expect(cluster.nodes[0]!.services.stats().streams).toBe(0);
});

test("a poll waits until the entry is another one than the client's", async () => {
  const tag = `"${await put(0, "poll", "old")}"`;
  const poll = (node: number, headers: Record<string, string>, key = "poll"): Promise<Response> =>
    request(node, `/v1/kv/${key}?wait=20s`, { headers });
  // At once: it has another tag, or none.
  expect(await (await poll(1, { "if-none-match": '"00000000000000010000"' })).text()).toBe("old");
  expect(await (await poll(1, {})).text()).toBe("old");
  const waiting = poll(1, { "if-none-match": tag });
  await Bun.sleep(30);
  await put(2, "poll-not", "other");
  const version = await put(2, "poll", "new");
  const changed = await waiting;
  expect([changed.status, changed.headers.get("etag"), await changed.text()]).toEqual([200, `"${version}"`, "new"]);
  const deletion = poll(0, { "if-none-match": `"${version}"` });
  await Bun.sleep(30);
  await del(1, "poll");
  expect((await deletion).status).toBe(404);
  // Who has nothing waits for something.
  const creation = poll(2, {});
  await Bun.sleep(30);
  await put(0, "poll", "again");
  expect(await (await creation).text()).toBe("again");
  expect(cluster.nodes.map(({ services }) => services.stats().streams)).toEqual([0, 0, 0]);
});

test("a poll that sees no change answers as if it had not waited", async () => {
  const tag = `"${await put(0, "still", "here")}"`;
  const began = performance.now();
  const unchanged = await request(1, "/v1/kv/still?wait=80ms", { headers: { "if-none-match": tag } });
  expect([unchanged.status, unchanged.headers.get("etag"), await unchanged.text()]).toEqual([304, tag, ""]);
  expect(performance.now() - began).toBeGreaterThanOrEqual(75);
  const absent = await request(1, "/v1/kv?key64=bmV2ZXI&wait=30ms");
  expect([absent.status, (await absent.json()).code]).toEqual([404, "not-found"]);
});

test("a poll whose client leaves is forgotten", async () => {
  const tag = `"${await put(0, "left", "behind")}"`;
  const client = new AbortController();
  const answer = cluster.nodes[0]!.app.fetch(
    new Request("http://h/v1/kv/left?wait=20s", { headers: { "if-none-match": tag }, signal: client.signal }),
  );
  await Bun.sleep(30);
  expect(cluster.nodes[0]!.services.stats().streams).toBe(1);
  client.abort();
  expect((await answer).status).toBe(304);
  expect(cluster.nodes[0]!.services.stats().streams).toBe(0);
});

test("what has been forgotten is 410 with the oldest place there is, and a reader too slow is told so at its end", async () => {
  await using small = await startNodes({ nodes: [{ name: "n1" }] });
  const { services, request: ask } = small.nodes[0]!;
  const first = await services.kv.put("k", "first");
  const slow = (await ask("/v1/watch?prefix=k", { headers: sse })).body!.getReader();
  const value = "x".repeat(1 << 19);
  for (let n = 0; n < 40; n++) await services.kv.put("k", `${n}${value}`);
  const response = await ask(`/v1/watch?key=k&after=${first.ok ? first.version : ""}`, { headers: sse });
  const problem = await response.json();
  expect([response.status, problem.code]).toEqual([410, "compacted"]);
  const kept = await ask(`/v1/watch?key=k&after=${problem.oldest}&limit=1`);
  expect((await kept.text()).includes('"kind":"put"')).toBe(true);
  let last = "";
  for (;;) {
    const { done, value } = await slow.read();
    if (done) break;
    last = (last + new TextDecoder().decode(value)).slice(-2_000);
  }
  expect(last).toContain("event: problem\ndata: ");
  expect(last).toContain('"code":"compacted"');
}, 20_000);

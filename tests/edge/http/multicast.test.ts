/** Multicast and its streams over HTTP, between two nodes: both see one order. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startNodes, type TestCluster } from "./nodes.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startNodes({
    nodes: [{ name: "n1" }, { name: "n2" }, { name: "n3" }],
    groups: [{ name: "eu", keys: [{}] }, { name: "us" }, { name: "apart" }, { name: "all", spans: ["eu", "us"] }],
  });
});
afterAll(() => cluster[Symbol.asyncDispose]());

const request = (node: number, path: string, init?: RequestInit): Promise<Response> => cluster.nodes[node]!.request(path, init);
const send = async (node: number, groups: string, body: string): Promise<string> => {
  const response = await request(node, `/v1/multicast?groups=${groups}`, {
    method: "POST",
    body,
    headers: { "content-type": "text/plain" },
  });
  expect(response.status).toBe(201);
  return (await response.json()).position;
};
const messages = async (node: number, query: string, headers: Record<string, string> = {}): Promise<Record<string, unknown>[]> => {
  const text = await (await request(node, `/v1/deliveries?${query}`, { headers })).text();
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)).filter(({ kind }) => kind === "message");
};

test("listeners at different nodes see one order, whatever they sent where", async () => {
  await Promise.all(Array.from({ length: 30 }, (_, index) => send(index % 3, ["eu", "us", "eu,us"][index % 3]!, `m${index}`)));
  const query = "groups=eu,us&after=start&limit=30";
  const [first, second] = await Promise.all([messages(0, query), messages(2, query)]);
  expect(first.length).toBe(30);
  expect(second).toEqual(first);
  const positions = first.map(({ position }) => position as string);
  expect(positions).toEqual([...positions].sort());
  // Listeners to one group see theirs in that same order.
  const eu = await messages(1, "groups=eu&after=start&limit=20");
  expect(eu).toEqual(first.filter(({ groups }) => (groups as string[]).includes("eu")));
});

test("a message with a key is heard once, and its place told again, at another node too", async () => {
  const ask = (node: number, body: string) =>
    request(node, "/v1/multicast?groups=eu,us", { method: "POST", body, headers: { "idempotency-key": '"once"' } });
  const before = await send(0, "eu,us", "before");
  const first = await ask(0, "m");
  const again = await ask(1, "m");
  const { position } = await first.json();
  expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([201, null]);
  expect([again.status, again.headers.get("idempotent-replayed"), (await again.json()).position]).toEqual([201, "true", position]);
  const other = await ask(2, "another");
  expect([other.status, (await other.json()).code]).toEqual([422, "key-reused"]);
  await send(2, "us", "after");
  const heard = await messages(2, `groups=us&after=${before}&limit=2`);
  expect(heard.map(({ text, position }) => [text, position])).toEqual([["m", position], ["after", heard[1]!["position"]]]);
});

test("a stream resumes behind a position, in each of its forms", async () => {
  const positions = [await send(0, "us", "r0"), await send(1, "us", "r1"), await send(2, "us", "r2")];
  expect((await messages(1, `groups=us&after=${positions[0]}&limit=2`)).map(({ text }) => text)).toEqual(["r1", "r2"]);
  const events = { accept: "text/event-stream", "last-event-id": positions[1]! };
  const text = await (await request(2, "/v1/deliveries?groups=us&after=start&limit=1", { headers: events })).text();
  const message = text.split("\n\n").find((event) => event.includes("event: message"));
  expect(message?.split("\n")).toEqual([
    "event: message",
    `id: ${positions[2]}`,
    `data: ${JSON.stringify({ kind: "message", position: positions[2], groups: ["us"], type: "text/plain", text: "r2" })}`,
  ]);
});

// A group that nothing spans: what it has decided it could have delivered.
test("without a place to start it starts now, and says when it has caught up", async () => {
  await send(0, "apart", "before");
  const response = await request(0, "/v1/deliveries?groups=apart", { headers: { accept: "text/event-stream" } });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const reader = response.body!.getReader();
  let text = "";
  const until = async (part: string): Promise<void> => {
    while (!text.includes(part)) text += new TextDecoder().decode((await reader.read()).value);
  };
  await until("event: caught-up");
  await send(1, "apart", "after");
  await until('"text":"after"');
  expect(text).not.toContain('"text":"before"');
  await reader.cancel();
});

test("groups that nothing spans, and groups that are not there, have statuses", async () => {
  const apart = await request(0, "/v1/multicast?groups=eu,apart", { method: "POST", body: "x" });
  expect(apart.status).toBe(422);
  expect(await apart.json()).toMatchObject({ code: "no-spanning-group", outcome: "none", groups: ["eu", "apart"] });
  expect((await request(0, "/v1/multicast?groups=nowhere", { method: "POST", body: "x" })).status).toBe(404);
  expect((await request(0, "/v1/deliveries?groups=nowhere")).status).toBe(404);
  expect((await request(0, "/v1/deliveries")).status).toBe(400);
  expect((await request(0, "/v1/deliveries?groups=eu&after=7")).status).toBe(400);
});

test("a listener that leaves is forgotten", async () => {
  const client = new AbortController();
  const response = await cluster.nodes[0]!.app.fetch(
    new Request("http://h/v1/deliveries?groups=eu&after=start", { signal: client.signal }),
  );
  const reader = response.body!.getReader();
  await reader.read();
  expect(cluster.nodes[0]!.services.stats().streams).toBe(1);
  client.abort();
  for (let turn = 0; turn < 50 && cluster.nodes[0]!.services.stats().streams > 0; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(cluster.nodes[0]!.services.stats().streams).toBe(0);
  // What was queued may still be read; then it ends.
  while (!(await reader.read()).done);
});

/** The one door: what is let in, what is turned away and how, and that whoever looks after the node always gets in. */
import { describe, expect, test } from "bun:test";
import { Admission, type AdmissionLimits } from "../../../edge/http/admission.ts";
import { runtime } from "#runtime";
import { startNodes, type TestCluster, type TestNode } from "./nodes.ts";

const utf8 = new TextEncoder();

async function withDoor(limits: Partial<AdmissionLimits>): Promise<{ cluster: TestCluster; node: TestNode; admission: Admission }> {
  const admission = new Admission(limits);
  const cluster = await startNodes({ nodes: [{ name: "n1" }] }, () => ({ admission, limits: { heartbeatMs: 20 } }));
  return { cluster, node: cluster.nodes[0]!, admission };
}

/** A PUT whose body comes when it is told to. */
class Upload {
  readonly response: Promise<Response>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  cancelled = false;

  constructor(node: TestNode, key: string, headers: Record<string, string> = {}) {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      cancel: () => void (this.cancelled = true),
    });
    this.response = node.request(`/v1/kv/${key}`, { method: "PUT", body, headers, duplex: "half" } as RequestInit);
  }

  send(bytes: number): void {
    this.#controller.enqueue(new Uint8Array(bytes).fill(97));
  }

  async end(): Promise<number> {
    this.#controller.close();
    return (await this.response).status;
  }
}

const until = async (met: () => boolean): Promise<void> => {
  while (!met()) await new Promise((resolve) => setTimeout(resolve, 1));
};

describe("a full house", () => {
  test("turns the newest away at once, before its body is read, and lets it in when somebody has left", async () => {
    const { cluster, node, admission } = await withDoor({ requestsMax: 2 });
    await using _ = cluster;
    const first = new Upload(node, "first");
    const second = new Upload(node, "second");
    await until(() => admission.stats().requests === 2);
    let asked = false;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        asked = true;
        controller.enqueue(utf8.encode("x"));
        controller.close();
      },
    }, { highWaterMark: 0 });
    const refused = await node.request("/v1/kv/third", { method: "PUT", body, duplex: "half" } as RequestInit);
    expect([refused.status, refused.headers.get("retry-after"), asked]).toEqual([429, "1", false]);
    expect(await refused.json()).toMatchObject({
      code: "overloaded",
      detail: "Cannot take this on now: as many requests as it can bear are under way in this node",
      outcome: "none",
      retryable: true,
      retryAfterMs: 1_000,
    });
    for (const path of ["/v1/kv/first", "/v1/kv?prefix=", "/v1/logs", "/v1/deliveries?groups=main"]) {
      expect([path, (await node.request(path)).status]).toEqual([path, 429]);
    }
    expect([await first.end(), await second.end()]).toEqual([201, 201]);
    expect((await node.request("/v1/kv/third", { method: "PUT", body: "x" })).status).toBe(201);
    expect(admission.stats()).toEqual({ requests: 0, room: 2, bytes: 0, streams: 0, refused: 5 });
  });

  test("answers over a connection before the body has been sent, also while many ask at once", async () => {
    const { cluster, node, admission } = await withDoor({ requestsMax: 1 });
    await using _ = cluster;
    const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, node.app.fetch);
    const inside = new Upload(node, "inside");
    await until(() => admission.stats().requests === 1);
    const asked = Array.from({ length: 100 }, (_, index) => {
      const answer = Promise.withResolvers<string>();
      let text = "";
      const opened = Bun.connect({
        hostname: server.host,
        port: server.port,
        socket: {
          open: (socket) => void socket.write(`PUT /v1/kv/${index} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n`),
          data(_socket, bytes) {
            text += new TextDecoder().decode(bytes);
            if (text.includes('"code"')) answer.resolve(text);
          },
          close: () => answer.reject(new Error(`Closed after ${JSON.stringify(text)}`)),
        },
      });
      return answer.promise.finally(async () => (await opened).end());
    });
    for (const text of await Promise.all(asked)) {
      expect(text.split("\r\n")[0]).toBe("HTTP/1.1 429 Too Many Requests");
      expect(text).toMatch(/^retry-after: 1\r$/im);
    }
    expect(admission.stats()).toMatchObject({ requests: 1, bytes: 0, refused: 100 });
    expect(await inside.end()).toBe(201);
    await server.close();
  });

  test("is no reason to lock out whoever looks after the node", async () => {
    const { cluster, node, admission } = await withDoor({ requestsMax: 0 });
    await using _ = cluster;
    expect((await node.request("/v1/kv/x")).status).toBe(429);
    for (const path of ["/livez", "/readyz", "/metrics", "/version", "/problems/overloaded"]) {
      expect([path, (await node.request(path)).status]).toEqual([path, 200]);
    }
    for (const path of ["/v1/cluster", "/v1/nodes", "/v1/groups", "/v1/links", "/v1/events"]) {
      expect([path, (await node.request(path)).status]).toEqual([path, 200]);
    }
    expect((await node.request("/nothing")).status).toBe(404);
    const head = await node.request("/v1/kv/x", { method: "HEAD" });
    expect([head.status, await head.text(), head.headers.get("carillon-served-by")]).toEqual([429, "", "n1"]);
    expect(head.headers.get("carillon-position")).toMatch(/^[0-9a-f]{20}$/);
    expect(admission.stats().refused).toBe(2);
    expect(await (await node.request("/metrics")).text()).toContain("\ncarillon_admission_refused_total 2\n");
  });

  test("says where the node is, as of a moment ago", async () => {
    const { cluster, node, admission } = await withDoor({ requestsMax: 1 });
    await using _ = cluster;
    const refusedAt = async () => (await node.request("/v1/kv/x")).headers.get("carillon-position")!;
    const first = new Upload(node, "first");
    await until(() => admission.stats().requests === 1);
    const before = await refusedAt();
    expect(await first.end()).toBe(201);
    const written = (await first.response).headers.get("carillon-position")!;
    expect(before < written).toBe(true);
    const second = new Upload(node, "second");
    await until(() => admission.stats().requests === 1);
    while (await refusedAt() < written) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(await second.end()).toBe(201);
  });

  test("is full of bytes too: of those announced, and of those that only come", async () => {
    const { cluster, node, admission } = await withDoor({ requestBytesMax: 1_000 });
    await using _ = cluster;
    const announced = new Upload(node, "announced", { "content-length": "600" });
    await until(() => admission.stats().bytes === 600);
    const more = await node.request("/v1/kv/more", { method: "PUT", body: "x".repeat(401), headers: { "content-length": "401" } });
    expect([more.status, (await more.json()).detail]).toEqual([
      429,
      "Cannot take this on now: 600 bytes of requests are under way in this node",
    ]);
    const growing = new Upload(node, "growing");
    growing.send(300);
    await until(() => admission.stats().bytes === 900);
    growing.send(101);
    const refused = await growing.response;
    expect([refused.status, (await refused.json()).outcome]).toEqual([429, "none"]);
    await until(() => growing.cancelled);
    expect(admission.stats()).toMatchObject({ requests: 1, bytes: 600 });
    announced.send(600);
    expect(await announced.end()).toBe(201);
    expect((await node.request("/v1/kv/growing")).status).toBe(404);
    expect(admission.stats()).toMatchObject({ requests: 0, bytes: 0 });
  });

  test("what claims more than any body may have is refused for that, whatever else is under way", async () => {
    const { cluster, node } = await withDoor({ requestBytesMax: 4 << 20 });
    await using _ = cluster;
    const huge = await node.request("/v1/kv/huge", { method: "PUT", body: "x", headers: { "content-length": String(2 ** 40) } });
    expect(huge.status).toBe(413);
  });
});

test("a node whose event loop runs late takes on less at a time, and more again once it keeps up", () => {
  const admission = new Admission({ requestsMax: 1_000, requestsMin: 100 });
  const room = (): number => admission.stats().room;
  admission.adapt(10);
  expect(room()).toBe(1_000);
  admission.adapt(80);
  expect(room()).toBe(750);
  for (let look = 0; look < 20; look++) admission.adapt(500);
  expect(room()).toBe(100);
  const inside = Array.from({ length: 100 }, () => admission.enter(new Request("http://n/"), 0));
  expect(admission.full).toBe(true);
  admission.adapt(0);
  expect([room(), admission.full]).toEqual([164, false]);
  for (let look = 0; look < 20; look++) admission.adapt(0);
  expect(room()).toBe(1_000);
  // Whoever is in stays in.
  for (let look = 0; look < 20; look++) admission.adapt(500);
  expect(admission.stats()).toMatchObject({ requests: 100, room: 100 });
  for (const admitted of inside) admitted.leave();
  expect(admission.stats().requests).toBe(0);
});

describe("whoever only waits", () => {
  test("takes no room from those who work, and has a bound of its own", async () => {
    const { cluster, node, admission } = await withDoor({ requestsMax: 1, streamsMax: 2 });
    await using _ = cluster;
    const leave = new AbortController();
    const watching = await node.request("/v1/watch", { signal: leave.signal });
    const polling = node.request("/v1/kv/soon?wait=30s");
    await until(() => admission.stats().streams === 2);
    expect(admission.stats().requests).toBe(0);
    const third = await node.request("/v1/deliveries?groups=main");
    expect([third.status, (await third.json()).detail]).toEqual([429, "Cannot take this on now: 2 streams are open in this node"]);
    expect((await node.request("/v1/kv/soon", { method: "PUT", body: "x" })).status).toBe(201);
    expect((await polling).status).toBe(200);
    expect(admission.stats().streams).toBe(1);
    leave.abort();
    await watching.text();
    await until(() => admission.stats().streams === 0);
    expect(admission.stats()).toMatchObject({ requests: 0, bytes: 0 });
  });

  test("a stream that ends by itself, or never begins, leaves nothing behind", async () => {
    const { cluster, node, admission } = await withDoor({});
    await using _ = cluster;
    await node.request("/v1/kv/a", { method: "PUT", body: "x" });
    expect(await node.request("/v1/kv?prefix=", { headers: { accept: "application/x-ndjson" } }).then((answer) => answer.text())).toContain(
      '"a"',
    );
    expect((await node.request("/v1/watch", { method: "HEAD" })).status).toBe(200);
    expect((await node.request("/v1/deliveries?groups=nowhere")).status).toBe(404);
    expect((await node.request("/v1/logs/none/records", { headers: { accept: "text/event-stream" } })).status).toBe(404);
    expect(admission.stats()).toMatchObject({ requests: 0, bytes: 0, streams: 0 });
  });
});

describe("a deadline", () => {
  test("counts from the arrival: a write whose body came too late is not begun", async () => {
    const { cluster, node } = await withDoor({});
    await using _ = cluster;
    const late = new Upload(node, "late", { "carillon-timeout": "30ms" });
    late.send(10);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await late.end();
    const answer = await late.response;
    expect([answer.status, await answer.json()]).toMatchObject([504, {
      code: "timeout",
      outcome: "none",
      retryable: true,
      detail: "Cannot begin with this request: its 30 ms are over",
    }]);
    expect((await node.request("/v1/kv/late")).status).toBe(404);
  });
});

/** A client that asks again by itself: over connections that break when the request is through and the answer is not. */
import { expect, test } from "bun:test";
import { connect as dial, createServer, type Socket } from "node:net";
import { type Carillon, CarillonError, open } from "../../mod.ts";

interface Relay extends AsyncDisposable {
  readonly url: string;
  /** Answers that have been swallowed, with the connection cut. */
  readonly cuts: number;
}

/** Passes everything on to `url`, but cuts the connection instead of passing on the first `count` answers. */
async function cutting(url: string, count: number): Promise<Relay> {
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const { hostname, port } = new URL(url);
    const node = dial(Number(port), hostname);
    for (const socket of [client, node]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        node.destroy();
      });
    }
    client.pipe(node);
    node.on("data", (answer) => {
      if (cuts >= count) return void client.write(answer);
      cuts++;
      client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    get cuts() {
      return cuts;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const anyNode = { durability: "memory", http: { host: "127.0.0.1", port: 0 } } as const;

async function failure(action: Promise<unknown>): Promise<CarillonError> {
  const error = await action.then(() => null, (thrown) => thrown);
  if (!(error instanceof CarillonError)) throw new Error(`Cannot go on: expected a CarillonError, got ${error}`);
  return error;
}

const writes: readonly (readonly [string, (carillon: Carillon, idempotencyKey: string) => Promise<object>])[] = [
  ["put", ({ kv }, idempotencyKey) => kv.put("k", "v", { idempotencyKey })],
  ["insert", ({ kv }, idempotencyKey) => kv.insert("k", "v", { idempotencyKey })],
  ["delete", ({ kv }, idempotencyKey) => kv.delete("there", { idempotencyKey })],
  ["append", (carillon, idempotencyKey) => carillon.log("audit").append("x", { idempotencyKey })],
  ["append at an offset", (carillon, idempotencyKey) => carillon.log("audit").append("x", { idempotencyKey, expect: 1 })],
  ["trim", (carillon, idempotencyKey) => carillon.log("audit").trim(1, { idempotencyKey })],
  ["append to several", async (carillon, idempotencyKey) => (await carillon.append(["audit"], ["x"], { idempotencyKey }))[0]!],
];

test.each(writes)("%s with a key is asked for again until there is an answer, and made once", async (_, write) => {
  await using node = await open(anyNode);
  await node.log("audit").create();
  await node.log("audit").append("before");
  await node.kv.put("there", "x");
  await using relay = await cutting(node.url!, 3);
  await using client = await open(relay.url);
  const result = await write(client, 'a "key" with \\ in it');
  expect([relay.cuts, (result as { replayed?: true }).replayed]).toEqual([3, true]);
  // As the node itself tells it, under the very same key; and a second time without one it would be another outcome.
  expect(await write(node, 'a "key" with \\ in it')).toEqual(result);
  expect((await node.log("audit").info()).next).toBeLessThanOrEqual(2);
});

test("without a key nobody asks again", async () => {
  await using node = await open(anyNode);
  await node.log("audit").create();
  await using relay = await cutting(node.url!, 1);
  await using client = await open([relay.url, node.url!]);
  expect(await failure(client.log("audit").append("x"))).toMatchObject({ code: "unreachable", outcome: "unknown" });
  expect([relay.cuts, (await node.log("audit").info()).next]).toEqual([1, 1]);
});

test("the next node is asked first, and the deadline ends it", async () => {
  await using node = await open(anyNode);
  await using relay = await cutting(node.url!, Infinity);
  await using two = await open([relay.url, node.url!]);
  expect(await two.kv.put("k", "v", { idempotencyKey: "1" })).toMatchObject({ ok: true, created: true, replayed: true });
  expect(relay.cuts).toBe(1);

  await using one = await open(relay.url);
  const started = performance.now();
  const error = await failure(one.kv.put("k", "v", { idempotencyKey: "2", timeoutMs: 300 }));
  expect([error.code, error.outcome]).toEqual(["timeout", "unknown"]);
  expect(performance.now() - started).toBeLessThan(5_000);
  expect(relay.cuts).toBeGreaterThan(2);
  expect(await node.kv.put("k", "v", { idempotencyKey: "2" })).toMatchObject({ ok: true, created: false, replayed: true });
});

test("what the last node says about itself does not undo the doubt about the first", async () => {
  await using node = await open(anyNode);
  await using guarded = await open({ ...anyNode, token: "a token nobody has told us" });
  await using relay = await cutting(node.url!, Infinity);
  await using client = await open([relay.url, guarded.url!]);
  const error = await failure(client.kv.put("k", "v", { idempotencyKey: "1" }));
  expect([error.code, error.outcome]).toEqual(["unauthenticated", "unknown"]);
});

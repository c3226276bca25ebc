/** What a client makes of a network and of servers that do not behave: above all, whether a write may have happened. */
import { expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { CarillonError, open } from "../../mod.ts";

interface Raw extends AsyncDisposable {
  readonly url: string;
  readonly requests: number;
}

/** A server that reads each request to its end and then does as it is told with the connection. */
async function raw(answer: (socket: Socket, request: number, text: string) => void): Promise<Raw> {
  let requests = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const head = text.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
      const chunked = /^transfer-encoding: chunked/im.test(text);
      if (chunked ? !text.endsWith("0\r\n\r\n") : text.length < head + 4 + length) return;
      const whole = text;
      text = "";
      answer(socket, ++requests, whole);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    get requests() {
      return requests;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function reply(status: string, headers: Record<string, string>, body: string): string {
  const lines = Object.entries({ "content-length": String(body.length), ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`;
}

const position = "0".repeat(19) + "1";
const created = reply("201 Created", { etag: `"${position}"`, "carillon-position": position }, "");

async function failure(action: Promise<unknown>): Promise<[string, string]> {
  const error = await action.then(() => null, (thrown) => thrown);
  if (!(error instanceof CarillonError)) throw new Error(`Cannot go on: expected a CarillonError, got ${error}`);
  return [error.code, error.outcome];
}

test("a connection that breaks after a write was sent leaves it unknown, and nobody else is asked", async () => {
  await using breaks = await raw((socket) => socket.destroy());
  await using other = await raw((socket) => socket.write(created));
  await using client = await open([breaks.url, other.url]);
  expect(await failure(client.kv.put("k", "v"))).toEqual(["unreachable", "unknown"]);
  expect(other.requests).toBe(0);
});

test("the same break is no harm to a read: the next node is asked", async () => {
  await using breaks = await raw((socket) => socket.destroy());
  await using other = await raw((socket) =>
    socket.write(reply("200 OK", { etag: `"${position}"`, "carillon-position": position, "content-type": "text/plain" }, "hello"))
  );
  await using client = await open([breaks.url, other.url]);
  expect((await client.kv.get("k"))!.text()).toBe("hello");
});

test("a write that certainly did not happen goes to the next node", async () => {
  const problem = JSON.stringify({ status: 503, code: "draining", detail: "Cannot serve: stopping", outcome: "none", retryable: true });
  await using drains = await raw((socket) =>
    socket.write(reply("503 Service Unavailable", { "content-type": "application/problem+json" }, problem))
  );
  await using other = await raw((socket) => socket.write(created));
  await using client = await open([drains.url, other.url]);
  expect(await client.kv.put("k", "v")).toEqual({ ok: true, version: position, created: true });
  // The one that answered is asked first from now on.
  await client.kv.put("k", "v");
  expect([drains.requests, other.requests]).toEqual([1, 2]);
});

test("a node's own word about the outcome is passed on", async () => {
  const problem = JSON.stringify({
    status: 504,
    code: "timeout",
    detail: "Cannot put: no answer",
    outcome: "unknown",
    retryable: true,
    group: "eu",
  });
  await using node = await raw((socket) =>
    socket.write(reply("504 Gateway Timeout", { "content-type": "application/problem+json" }, problem))
  );
  await using client = await open(node.url);
  const error = await client.kv.put("k", "v").catch((thrown) => thrown);
  expect([error.message, error.code, error.outcome, error.retryable, error.facts]).toEqual([
    "Cannot put: no answer",
    "timeout",
    "unknown",
    true,
    { group: "eu" },
  ]);
});

test("silence ends after the time-out: a read is not done, a write may be", async () => {
  await using silent = await raw(() => {});
  await using client = await open(silent.url);
  const started = performance.now();
  expect(await failure(client.kv.get("k", { timeoutMs: 50 }))).toEqual(["timeout", "none"]);
  expect(await failure(client.kv.put("k", "v", { timeoutMs: 50 }))).toEqual(["timeout", "unknown"]);
  expect(performance.now() - started).toBeLessThan(3_000);
});

test("cancelling ends at once, with the same doubt about a write", async () => {
  await using silent = await raw(() => {});
  await using client = await open(silent.url);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 20);
  expect(await failure(client.kv.put("k", "v", { signal: abort.signal }))).toEqual(["cancelled", "unknown"]);
});

test("closing ends what is under way", async () => {
  await using silent = await raw(() => {});
  const client = await open(silent.url);
  setTimeout(() => void client.close(), 20);
  expect(await failure(client.kv.get("k"))).toEqual(["closed", "none"]);
});

test("a server that is no node is told apart from one", async () => {
  await using web = await raw((socket) => socket.write(reply("200 OK", { "content-type": "text/html" }, "<h1>It works!</h1>")));
  await using client = await open(web.url);
  const error = await client.kv.get("k").catch((thrown) => thrown);
  expect([error.message, error.outcome]).toEqual([`Cannot use the answer of ${web.url}: it is no Carillon node's`, "none"]);
  expect(await failure(client.kv.put("k", "v"))).toEqual(["internal", "unknown"]);
  await using gateway = await raw((socket) => socket.write(reply("502 Bad Gateway", { "content-type": "text/html" }, "<h1>Oops</h1>")));
  await using through = await open(gateway.url);
  expect(await failure(through.kv.put("k", "v"))).toEqual(["internal", "unknown"]);
});

test("a stream goes on behind the last event when its connection breaks, at the same node", async () => {
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncarillon-position: 0\r\nconnection: close\r\n\r\n";
  const event = (offset: number): string =>
    `event: record\nid: ${offset}\ndata: {"offset":${offset},"position":"${position}","type":"","text":"r${offset}"}\n\n`;
  const asked: string[] = [];
  await using node = await (async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (chunk) => {
        asked.push(/from=\S+/.exec(chunk.toString())![0]);
        // The second event is cut in the middle: it must come again, once.
        if (asked.length === 1) socket.end(head + event(7) + event(8).slice(0, 30));
        else socket.write(head + event(8) + event(9));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
      [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
    };
  })();
  await using client = await open(node.url);
  const seen: number[] = [];
  for await (const record of client.log("audit").tail({ from: 7 })) {
    seen.push(record.offset);
    if (seen.length === 3) break;
  }
  expect([seen, asked]).toEqual([[7, 8, 9], ["from=7", "from=8"]]);
});

test("a node that has frozen in the middle of a stream is left for the next one", async () => {
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncarillon-position: 0\r\n\r\n";
  const event = (offset: number): string =>
    `event: record\nid: ${offset}\ndata: {"offset":${offset},"position":"${position}","type":"","text":"r${offset}"}\n\n`;
  await using frozen = await raw((socket) => socket.write(head + event(0)));
  await using other = await raw((socket) => socket.write(head + event(1)));
  await using client = await open([frozen.url, other.url], { quietMs: 100 });
  const seen: number[] = [];
  for await (const record of client.log("audit").tail({ from: 0 })) {
    seen.push(record.offset);
    if (seen.length === 2) break;
  }
  expect([seen, frozen.requests, other.requests]).toEqual([[0, 1], 1, 1]);
});

test("a node that says nothing is not asked first again", async () => {
  await using silent = await raw(() => {});
  await using other = await raw((socket) => socket.write(created));
  await using client = await open([silent.url, other.url]);
  expect(await failure(client.kv.put("k", "v", { timeoutMs: 30 }))).toEqual(["timeout", "unknown"]);
  expect((await client.kv.put("k", "v", { timeoutMs: 1_000 })).ok).toBeTrue();
});

const watchHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const placeOf = (n: number): string => String(n).padStart(20, "0");
const putEvent = (n: number, id: boolean): string =>
  `event: put\n${id ? `id: ${placeOf(n)}\n` : ""}data: {"kind":"put","key":"k","version":"${placeOf(n)}","type":"","text":"${n}"}\n\n`;

test("a watch that breaks goes on at the next node behind the last it heard", async () => {
  const asked: string[] = [];
  const serve = (events: string) => (socket: Socket, _request: number, text: string): void => {
    asked.push(text.split(" ")[1]!);
    socket.end(watchHead + events);
  };
  const caughtUp = `event: caught-up\nid: ${placeOf(2)}\ndata: {"kind":"caught-up","position":"${placeOf(2)}"}\n\n`;
  await using first = await raw(serve(putEvent(1, false) + caughtUp + putEvent(3, true) + putEvent(9, true).slice(0, -10)));
  await using second = await raw(serve(putEvent(4, true)));
  await using client = await open([first.url, second.url]);
  const seen: string[] = [];
  for await (const change of client.kv.watch({ prefix: "k" })) {
    seen.push(change.kind === "put" ? change.entry.text() : change.kind);
    if (seen.length === 3) await first[Symbol.asyncDispose]();
    if (seen.length === 4) break;
  }
  // What was cut off in the middle is nothing.
  expect([seen, asked]).toEqual([["1", "caught-up", "3", "4"], ["/v1/watch?prefix=k", `/v1/watch?prefix=k&after=${placeOf(3)}`]]);
});

test("a watch that breaks before it has caught up ends: a new beginning would repeat what was told", async () => {
  await using breaks = await raw((socket) => socket.end(watchHead + putEvent(1, false)));
  await using client = await open(breaks.url);
  const seen: string[] = [];
  const reading = (async () => {
    for await (const change of client.kv.watch({})) seen.push(change.kind);
  })();
  expect([await failure(reading), seen, breaks.requests]).toEqual([["unreachable", "none"], ["put"], 1]);
});

test("a watch that breaks before it has told anything begins again", async () => {
  await using breaks = await raw((socket, request) => socket.end(watchHead + (request === 1 ? ": still here\n\n" : putEvent(1, false))));
  await using client = await open(breaks.url);
  for await (const change of client.kv.watch({})) {
    expect(change.kind).toBe("put");
    break;
  }
  expect(breaks.requests).toBe(2);
});

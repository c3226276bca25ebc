/** What every HTTP server of `edge/runtime` promises, over HTTP/1.1 and over HTTP/2 without TLS on the same port. */
import { connect } from "node:net";
import type { HttpServer, Runtime } from "../../edge/runtime.ts";
import { equal, eventually, ok, rejects, test } from "./check.ts";
import { ask2 } from "./http2_client.ts";

interface Seen {
  waiting: number;
  aborted: number;
  cancelled: number;
  pulled: number;
}

const large = new Uint8Array(3_000_000).map((_, i) => i * 7);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function http(runtime: Runtime): void {
  const served = (body: (origin: string, seen: Seen, server: HttpServer) => Promise<void>) => async (): Promise<void> => {
    const seen: Seen = { waiting: 0, aborted: 0, cancelled: 0, pulled: 0 };
    const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, application(seen));
    try {
      await body(`http://127.0.0.1:${server.port}`, seen, server);
    } finally {
      await server.close();
    }
  };
  test("http: requests and answers arrive whole", served(exchanges));
  test("http: large bodies come back as they were sent, and may be left unread", served(bodies));
  test("http: a slow reader holds up the sender, and one that leaves ends it", served(endless));
  test("http: a client that leaves before the answer aborts the request", served(leaves));
  test("http: HTTP/2 is spoken on the same port", served(http2));
  test("http: garbage is refused and the server lives on", served(garbage));
  test("http: a port in use is an error", served(taken(runtime)));
  test("http: close ends what is open", served(closes));
}

/** A little application that uses everything ours does. */
function application(seen: Seen): (request: Request) => Response | Promise<Response> {
  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/hello":
        return new Response(`${request.method} ${searchParams.get("name")} ${request.headers.get("x-mark")}`, {
          status: 201,
          // The last two are about a connection, which an application knows nothing of; a framework may set them all the same.
          headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["etag", '"7"'], ["transfer-encoding", "chunked"]],
        });
      case "/echo":
        return new Response(request.body);
      case "/size":
        return new Response(String((await request.arrayBuffer()).byteLength));
      case "/empty":
        return new Response(null, { status: 204 });
      case "/ignore":
        return new Response("not read", { status: 413 });
      case "/throw":
        throw new Error("secret");
      case "/wait":
        seen.waiting++;
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        seen.aborted++;
        return new Response("too late");
      case "/endless":
        return new Response(
          new ReadableStream<Uint8Array>({
            pull(controller): void {
              seen.pulled++;
              controller.enqueue(new Uint8Array(65_536));
            },
            cancel(): void {
              seen.cancelled++;
            },
          }),
        );
      default:
        return new Response("none", { status: 404 });
    }
  };
}

async function exchanges(origin: string): Promise<void> {
  const hello = await fetch(`${origin}/hello?name=ada`, { headers: { "x-mark": "m" } });
  equal([hello.status, await hello.text()], [201, "GET ada m"]);
  equal(hello.headers.get("etag"), '"7"');
  equal(hello.headers.getSetCookie(), ["a=1", "b=2"]);
  const head = await fetch(`${origin}/hello?name=ada`, { method: "HEAD" });
  equal([head.status, await head.text()], [201, ""]);
  const empty = await fetch(`${origin}/empty`, { method: "DELETE" });
  equal([empty.status, await empty.text()], [204, ""]);
  const failed = await fetch(`${origin}/throw`);
  equal([failed.status, await failed.text()], [500, "Cannot answer: internal error\n"]);
}

async function bodies(origin: string): Promise<void> {
  const echoed = await fetch(`${origin}/echo`, { method: "POST", body: large });
  ok(same(new Uint8Array(await echoed.arrayBuffer())), "3 MB come back as they were sent");
  equal(await (await fetch(`${origin}/size`, { method: "PUT", body: large })).text(), "3000000");
  for (let i = 0; i < 3; i++) {
    const ignored = await fetch(`${origin}/ignore`, { method: "POST", body: large });
    equal([ignored.status, await ignored.text()], [413, "not read"]);
  }
  equal(await (await fetch(`${origin}/size`, { method: "PUT", body: "after" })).text(), "5");
}

const same = (bytes: Uint8Array): boolean => bytes.byteLength === large.byteLength && bytes.every((byte, i) => byte === large[i]);

async function endless(origin: string, seen: Seen): Promise<void> {
  // By hand: what a client library does with an aborted request is not our server's business.
  const socket = connect(Number(new URL(origin).port), "127.0.0.1", () => socket.write("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n"));
  socket.on("error", () => {});
  socket.pause();
  await eventually("the answer has begun", () => seen.pulled > 0);
  await sleep(300);
  const pulled = seen.pulled;
  await sleep(200);
  // 64 KiB each: what sockets and streams buffer, not all that could be produced.
  ok(pulled < 400 && seen.pulled - pulled < 50, `a slow reader holds up the sender (${pulled}, then ${seen.pulled - pulled} chunks)`);
  socket.destroy();
  await eventually("a reader that leaves cancels the body", () => seen.cancelled === 1);
}

/** Before the answer begins it is the signal that tells; after that, the cancelled body. */
async function leaves(origin: string, seen: Seen): Promise<void> {
  const leave = new AbortController();
  const waiting = fetch(`${origin}/wait`, { method: "POST", body: "x", signal: leave.signal });
  await eventually("the request is there", () => seen.waiting === 1);
  equal(seen.aborted, 0);
  leave.abort();
  await rejects(waiting);
  await eventually("a client that leaves aborts the request's signal", () => seen.aborted === 1);
}

async function http2(origin: string): Promise<void> {
  const hello = await ask2(origin, "/hello?name=bob", null);
  equal([hello.status, hello.bytes], [201, new TextEncoder().encode("GET bob m")]);
  const echo = await ask2(origin, "/echo", large);
  ok(echo.status === 200 && same(echo.bytes), "3 MB come back over HTTP/2");
  equal((await ask2(origin, "/throw", null)).status, 500);
  equal((await ask2(origin, "/empty", new Uint8Array(10))).status, 204);
  equal((await ask2(origin, "/nowhere", null)).status, 404);
}

async function garbage(origin: string): Promise<void> {
  const port = Number(new URL(origin).port);
  const answer = await raw(port, "GARBAGE\r\n\r\n");
  ok(answer === "" || answer.startsWith("HTTP/1.1 400"), `garbage is refused (${answer})`);
  await raw(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff garbage");
  await raw(port, "PRI * NOT HTTP\r\n\r\n");
  await raw(port, "GET / HTTP/1.1\r\nhost: \\\\:99999999\r\n\r\n");
  await raw(port, "PR");
  equal((await fetch(`${origin}/hello`)).status, 201);
}

/** Sends bytes and resolves to what came back until the end or for half a second. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk: Uint8Array) => answer += new TextDecoder().decode(chunk));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    setTimeout(() => socket.destroy(), 500);
  });
}

function taken(runtime: Runtime): (origin: string, seen: Seen, server: HttpServer) => Promise<void> {
  return async (_origin, _seen, { host, port }) => {
    const refused = await rejects(() => runtime.serveHttp({ host, port }, () => new Response()), "config");
    equal(refused.message, `Cannot listen on 127.0.0.1:${port}: the port is in use`);
    await rejects(() => runtime.serveHttp({ host: "no.such.host.invalid", port: 0 }, () => new Response()), "config");
  };
}

async function closes(origin: string, _seen: Seen, server: HttpServer): Promise<void> {
  const { body } = await fetch(`${origin}/endless`);
  const reader = body!.getReader();
  await reader.read();
  await server.close();
  const ended = async (): Promise<boolean> => {
    try {
      while (!(await reader.read()).done);
    } catch {
      // Broken is ended too.
    }
    return true;
  };
  ok(await Promise.race([ended(), sleep(3_000)]) === true, "a body that is being read ends");
  await rejects(() => fetch(`${origin}/hello`));
}

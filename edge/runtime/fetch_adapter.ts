/**
 * Node's requests and responses as `Request` and `Response`, for HTTP/1.1 and HTTP/2 alike: bodies
 * stream both ways, a slow side holds up the other, and a client that leaves aborts `request.signal`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Fetch } from "../runtime.ts";

type Incoming = IncomingMessage | Http2ServerRequest;
type Outgoing = ServerResponse | Http2ServerResponse;

/** About one connection, not about the message: HTTP/2 refuses them, with an exception that would end the process. */
const connectionHeaders = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"]);

/** How much of a body nobody reads is still taken in, so that its sender gets to see the answer. */
const unwantedBytesMax = 4 << 20;

export function answerWith(fetch: Fetch): (incoming: Incoming, outgoing: Outgoing) => void {
  return (incoming, outgoing) => {
    answer(fetch, incoming, outgoing).catch(() => outgoing.destroy());
  };
}

async function answer(fetch: Fetch, incoming: Incoming, outgoing: Outgoing): Promise<void> {
  const left = new AbortController();
  // A connection that breaks tells the request, the response or both; whoever listens to neither is ended by the process.
  incoming.on("error", () => left.abort());
  outgoing.on("error", () => left.abort());
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) left.abort();
  });
  const body = incoming.method === "GET" || incoming.method === "HEAD" ? null : new Body(incoming);
  const request = newRequest(incoming, body, left.signal);
  await respond(request === null ? malformed() : await settle(fetch, request), incoming, outgoing);
  body?.drop();
}

function malformed(): Response {
  return new Response("Cannot read the request: its address or a header is malformed\n", { status: 400 });
}

async function settle(fetch: Fetch, request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch {
    return new Response("Cannot answer: internal error\n", { status: 500 });
  }
}

function newRequest(incoming: Incoming, body: Body | null, signal: AbortSignal): Request | null {
  const headers = new Headers();
  const { rawHeaders, method = "GET" } = incoming;
  let host = "localhost";
  try {
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = rawHeaders[index]!.toLowerCase();
      const value = rawHeaders[index + 1]!;
      if (name === "host" || name === ":authority") host = value;
      if (!name.startsWith(":") && !connectionHeaders.has(name)) headers.append(name, value);
    }
    const path = incoming.url ?? "/";
    const url = path.startsWith("/") ? new URL(`http://${host}${path}`) : new URL(path);
    return new Request(url, { method, headers, signal, body: body?.stream ?? null, ...(body === null ? {} : { duplex: "half" }) });
  } catch {
    return null;
  }
}

/** A request's body, taken in no faster than it is read. */
class Body {
  readonly #incoming: Incoming;
  readonly stream: ReadableStream<Uint8Array>;
  /** Null once nobody reads any more. */
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #unwantedBytes = 0;

  constructor(incoming: Incoming) {
    this.#incoming = incoming;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        incoming.resume();
      },
      cancel: () => this.drop(),
    }, new ByteLengthQueuingStrategy({ highWaterMark: 65_536 }));
    incoming.pause();
    incoming.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    incoming.on("end", () => {
      this.#controller?.close();
      this.#controller = null;
    });
    incoming.on("close", () => {
      this.#controller?.error(new Error("Cannot read the request: the client has left"));
      this.#controller = null;
    });
  }

  /** An answer may come before the question is at its end. What is left is let go by, up to a point. */
  drop(): void {
    this.#controller = null;
    this.#incoming.resume();
  }

  #onData(chunk: Uint8Array): void {
    if (this.#controller === null) {
      this.#unwantedBytes += chunk.byteLength;
      if (this.#unwantedBytes > unwantedBytesMax) this.#incoming.destroy();
      return;
    }
    this.#controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (this.#controller.desiredSize! <= 0) this.#incoming.pause();
  }
}

async function respond(response: Response, incoming: Incoming, outgoing: Outgoing): Promise<void> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of response.headers) {
    if (!connectionHeaders.has(name) && name !== "set-cookie") headers[name] = value;
  }
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) headers["set-cookie"] = cookies;
  // Both kinds of response have it; their overloads only do not unite.
  (outgoing as ServerResponse).writeHead(response.status, headers);
  const bodiless = incoming.method === "HEAD" || response.status === 204 || response.status === 304;
  if (response.body === null || bodiless) {
    await response.body?.cancel();
    (outgoing as ServerResponse).end();
    return;
  }
  await send(response.body, outgoing as ServerResponse);
}

async function send(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  // A stream's reader wants to see the status before its first event.
  outgoing.flushHeaders?.();
  const reader = body.getReader();
  let wake = (): void => {};
  outgoing.on("drain", () => wake());
  outgoing.on("close", () => {
    wake();
    reader.cancel().catch(() => {});
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (outgoing.destroyed || outgoing.closed) return;
    if (done) break;
    if (outgoing.write(value)) continue;
    await new Promise<void>((resolve) => wake = resolve);
    if (outgoing.destroyed || outgoing.closed) return;
  }
  outgoing.end();
}

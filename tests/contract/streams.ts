/** What every outgoing stream of `edge/runtime` promises, against the same runtime's own server. */
import type { HttpServer, OutgoingStreamEvents, Runtime } from "../../edge/runtime.ts";
import { equal, eventually, ok, test } from "./check.ts";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function streams(runtime: Runtime): void {
  test("streams: small writes arrive one by one while the stream stays open", () => withSink(runtime, small(runtime)));
  test("streams: a reader that stands still is noticed, and nothing is lost", () => withSink(runtime, slow(runtime)));
  test("streams: the receiver sees the end", () => withSink(runtime, ends(runtime)));
  test("streams: onClose comes once, whatever the reason", () => withSink(runtime, closes(runtime)));
}

class Events implements OutgoingStreamEvents {
  opened = 0;
  drained = 0;
  readonly closed: string[] = [];
  onOpen(): void {
    this.opened++;
  }
  onDrain(): void {
    this.drained++;
  }
  onClose(reason: string): void {
    this.closed.push(reason);
  }
}

/** The receiving half, as a link has it. */
class Sink {
  received = 0;
  sum = 0;
  ended = 0;
  mark: string | null = null;
  /** While set, chunks wait for it before they are counted. */
  gate: Promise<void> | null = null;

  answer(request: Request): Response {
    if (request.url.endsWith("/refuse")) return new Response("no", { status: 403 });
    if (request.url.endsWith("/short")) return new Response("done");
    this.mark = request.headers.get("x-mark");
    let stop = (): void => {};
    const answer = new ReadableStream<Uint8Array>({
      start(controller): void {
        // Bun sends the status along with the first bytes and not before.
        controller.enqueue(new Uint8Array(1));
        stop = () => controller.close();
      },
      cancel(): void {
        stop = () => {};
      },
    });
    this.#read(request.body!).catch(() => {}).finally(() => {
      this.ended++;
      stop();
    });
    return new Response(answer);
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (this.gate !== null) await this.gate;
      this.received += chunk.byteLength;
      for (const byte of chunk) this.sum = (this.sum + byte) % 65_521;
    }
  }
}

async function withSink(runtime: Runtime, body: (origin: string, sink: Sink, server: HttpServer) => Promise<void>): Promise<void> {
  const sink = new Sink();
  const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, (request) => sink.answer(request));
  try {
    await body(`http://127.0.0.1:${server.port}`, sink, server);
  } finally {
    await server.close();
  }
}

type Story = (origin: string, sink: Sink, server: HttpServer) => Promise<void>;

function small(runtime: Runtime): Story {
  return async (origin, sink) => {
    const events = new Events();
    const stream = runtime.openStream(`${origin}/link`, { "x-mark": "m" }, events);
    equal(events.opened, 0);
    await eventually("a stream opens before anything is written", () => events.opened === 1);
    equal(sink.mark, "m");
    for (let round = 1; round <= 200; round++) {
      ok(stream.write(new Uint8Array(100).fill(round)), "there is room");
      await eventually("the bytes are there", () => sink.received === round * 100);
    }
    stream.close();
    await eventually("the stream is closed", () => events.closed.length === 1);
  };
}

function slow(runtime: Runtime): Story {
  return async (origin, sink) => {
    const events = new Events();
    const stream = runtime.openStream(`${origin}/link`, {}, events);
    await eventually("the stream is open", () => events.opened === 1);
    let open = (): void => {};
    sink.gate = new Promise((resolve) => open = resolve);
    const chunk = new Uint8Array(64 << 10).fill(2);
    let written = 0;
    // Until a whole quarter of a second brings no room: then every buffer on the way is full.
    for (let drained = -1; drained < events.drained;) {
      drained = events.drained;
      let room = true;
      while (room) {
        room = stream.write(chunk);
        written += chunk.byteLength;
        ok(written < 64 << 20, "a reader that stands still holds up the writer");
      }
      await sleep(250);
    }
    sink.gate = null;
    const before = events.drained;
    open();
    await eventually("onDrain comes when the reader goes on", () => events.drained === before + 1);
    await eventually("everything arrives", () => sink.received === written);
    equal(sink.sum, written * 2 % 65_521, "sum of the bytes");
    stream.close();
  };
}

function ends(runtime: Runtime): Story {
  return async (origin, sink) => {
    const events = new Events();
    const stream = runtime.openStream(`${origin}/link`, {}, events);
    await eventually("the stream is open", () => events.opened === 1);
    stream.write(new Uint8Array(10));
    await eventually("the bytes are there", () => sink.received === 10);
    stream.close();
    equal(events.closed, [], "closes inside the call");
    stream.close();
    equal(stream.write(new Uint8Array(10)), false);
    await eventually("the receiver sees the end", () => sink.ended === 1);
    await eventually("onClose comes", () => events.closed.length > 0);
    await sleep(50);
    equal(events.closed, ["closed here"]);
  };
}

function closes(runtime: Runtime): Story {
  return async (origin, _sink, server) => {
    const refused = new Events();
    runtime.openStream(`${origin}/refuse`, {}, refused).write(new Uint8Array(100));
    const short = new Events();
    runtime.openStream(`${origin}/short`, {}, short);
    await eventually("a refusal closes", () => refused.closed.length > 0);
    equal([refused.opened, refused.closed], [0, ["the peer answered 403"]]);
    await eventually("an answer that ends closes", () => short.closed.length > 0);

    const cut = new Events();
    const stream = runtime.openStream(`${origin}/link`, {}, cut);
    await eventually("the stream is open", () => cut.opened === 1);
    await server.close();
    await eventually("a server that stops closes", () => cut.closed.length > 0);
    stream.close();
    const nobody = new Events();
    runtime.openStream(`${origin}/link`, {}, nobody);
    await eventually("nobody there closes", () => nobody.closed.length > 0);
    equal(nobody.opened, 0);
    await sleep(50);
    equal([refused, short, cut, nobody].map((one) => one.closed.length), [1, 1, 1, 1], "closes");
  };
}

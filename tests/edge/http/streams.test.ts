/** Responses that go on: order, back-pressure, heartbeats, and who ends them. */
import { expect, test } from "bun:test";
import { CarillonError } from "../../../core/errors.ts";
import { type StreamOptions, streamReply } from "../../../edge/http/streams.ts";

const utf8 = new TextEncoder();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function options(open: StreamOptions["open"], more: Partial<StreamOptions> = {}): StreamOptions {
  return {
    format: "ndjson",
    heartbeatMs: 1_000,
    standstillMs: 60_000,
    signal: new AbortController().signal,
    headOnly: false,
    open,
    ...more,
  };
}

async function bodyOf(options: StreamOptions): Promise<ReadableStream<Uint8Array>> {
  const { body } = await streamReply(options);
  return (body as (ended: () => void) => ReadableStream<Uint8Array>)(() => {});
}

async function textOf(options: StreamOptions): Promise<string> {
  return await new Response(await bodyOf(options)).text();
}

/** Yields nothing until the stream ends, as a tail without records does. */
// deno-lint-ignore require-yield
async function* silence(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
}

test("items come out in order and the stream ends behind the last", async () => {
  const text = await textOf(options(async function* () {
    for (const item of ["a\n", "b\n", "c\n"]) yield utf8.encode(item);
  }));
  expect(text).toBe("a\nb\nc\n");
});

test("what fails at once is thrown, so that it gets a status", async () => {
  // deno-lint-ignore require-yield
  const failing = options(async function* () {
    throw new CarillonError("trimmed", "Cannot read: trimmed");
  });
  await expect(streamReply(failing)).rejects.toThrow("Cannot read: trimmed");
});

test("what fails later is the last item", async () => {
  const text = await textOf(options(async function* () {
    yield utf8.encode("a\n");
    throw new CarillonError("closed", "Cannot go on: the node is closing");
  }));
  const [first, problem, rest] = text.split("\n");
  expect(first).toBe("a");
  expect(JSON.parse(problem!)).toEqual({
    type: "/problems/closed",
    title: "Closed",
    status: 503,
    code: "closed",
    detail: "Cannot go on: the node is closing",
    outcome: "none",
    retryable: false,
  });
  expect(rest).toBe("");
});

test("a quiet stream opens at once and goes on saying so", async () => {
  const reader = (await bodyOf(options(silence, { heartbeatMs: 20, format: "sse" }))).getReader();
  for (let beat = 0; beat < 3; beat++) {
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(": still here\n\n");
  }
  await reader.cancel();
});

test("a client that does not read is not read for", async () => {
  let produced = 0;
  const body = await bodyOf(options(async function* () {
    for (;;) {
      produced++;
      yield new Uint8Array(16 << 10);
    }
  }, { heartbeatMs: 5 }));
  const reader = body.getReader();
  await sleep(50);
  const ahead = produced;
  expect(ahead).toBeLessThan(10);
  for (let read = 0; read < 20; read++) await reader.read();
  expect(produced).toBeGreaterThanOrEqual(20);
  expect(produced).toBeLessThan(20 + 10);
  await reader.cancel();
});

test("a client that stands still is cut off, and told where to go on behind what it has not read", async () => {
  let cuts = 0;
  let stopped = false;
  let last = 0;
  const body = await bodyOf(options(async function* (signal) {
    signal.addEventListener("abort", () => stopped = true);
    for (;;) yield utf8.encode(`${++last}${" ".repeat(16 << 10)}\n`);
  }, { standstillMs: 40, resume: () => ({ from: last + 1 }), onCut: () => cuts++ }));
  while (cuts === 0) await sleep(5);
  expect(stopped).toBe(true);
  const lines = (await new Response(body).text()).trimEnd().split("\n");
  expect(lines.slice(0, -1).map(Number)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  expect(last).toBeLessThan(10);
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ code: "slow-reader", retryable: true, outcome: "none", resume: { from: last + 1 } });
  expect(cuts).toBe(1);
});

test("a client that takes its time, but takes, is not cut off", async () => {
  const body = await bodyOf(options(async function* () {
    for (let item = 0; item < 12; item++) yield new Uint8Array(64 << 10).fill(10);
  }, { standstillMs: 40, onCut: () => expect.unreachable() }));
  let bytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.byteLength;
    await sleep(10);
  }
  expect(bytes).toBe(12 * (64 << 10));
});

test("a client that cancels ends what is behind it, also while it waits", async () => {
  let ended = false;
  const body = await bodyOf(options(async function* (signal) {
    yield utf8.encode("a\n");
    yield* silence(signal);
    ended = true;
  }));
  const reader = body.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("a\n");
  const waiting = reader.read();
  await sleep(1);
  await reader.cancel();
  expect((await waiting).done).toBe(true);
  await sleep(5);
  expect(ended).toBe(true);
});

test("a request that is aborted ends its stream", async () => {
  const client = new AbortController();
  let ended = false;
  const body = await bodyOf(options(async function* (signal) {
    yield* silence(signal);
    ended = true;
  }, { signal: client.signal }));
  const text = new Response(body).text();
  await sleep(5);
  client.abort();
  expect(await text).toBe("\n");
  expect(ended).toBe(true);
});

test("HEAD starts nothing", async () => {
  let started = false;
  const reply = await streamReply(options(async function* () {
    started = true;
    yield utf8.encode("a");
  }, { headOnly: true, format: "cbor-seq" }));
  expect(reply.headers?.["content-type"]).toBe("application/cbor-seq");
  expect(reply.body).toBeUndefined();
  expect(started).toBe(false);
});

/** Nodes linked over real connections: who gets in, what arrives, and what happens when a way is lost. */
import { afterEach, describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Message } from "../../core/message.ts";
import { describe as told } from "../../core/message.ts";
import { parseTopology } from "../../core/topology.ts";
import { messageVersion } from "../../edge/codec/message.ts";
import { FrameWriter } from "../../edge/link/frames.ts";
import { openHttp2Link } from "../../edge/link/http2.ts";
import type { Link } from "../../edge/link/link.ts";
import { Secret } from "../../edge/link/proof.ts";
import { headerNames, streamPath } from "../../edge/link/server.ts";
import type { OutgoingStream, Runtime } from "../../edge/runtime.ts";

const secret = "a secret of this test";
const topology = parseTopology({ cluster: "tests", nodes: [{ name: "a" }, { name: "b" }, { name: "c" }] });

interface Ear {
  readonly link: Link;
  readonly heard: { readonly from: number; readonly message: Message }[];
  readonly unreachable: number[];
  readonly notices: string[];
}

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function node(self: number, options: Partial<Parameters<typeof openHttp2Link>[0]> = {}): Promise<Ear> {
  const ear: Omit<Ear, "link"> = { heard: [], unreachable: [], notices: [] };
  const link = await openHttp2Link({ runtime, self, topology, secret, listen: { host: "127.0.0.1", port: 0 }, ...options }, {
    onMessage: (from, message) => ear.heard.push({ from, message }),
    onUnreachable: (peer) => ear.unreachable.push(peer),
    onNotice: (sentence) => ear.notices.push(sentence),
  });
  closers.push(() => link.close());
  return { link, ...ear };
}

function joinUp(...ears: readonly Ear[]): void {
  ears.forEach((ear, index) => {
    ears.forEach((other, at) => {
      if (at !== index) ear.link.open(at + 1, other.link.address);
    });
  });
}

async function until(what: string, holds: () => boolean, withinMs = 5_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Waited ${withinMs} ms: ${what}`);
    await Bun.sleep(2);
  }
}

const ask = (request: number): Message => ({ kind: "ask", group: 1, request });
const propose = (sequence: number, bytes: number): Message => ({
  kind: "propose",
  group: 1,
  batches: [{ origin: 2 ** 32 + 1, sequence, count: 1, bytes: new Uint8Array(bytes).fill(sequence) }],
});
const release: Message = { kind: "release", group: 1, ballot: 65_537 };

/** The same machine, with every write of every stream noted. */
function noting(): {
  readonly runtime: Runtime;
  readonly writes: { readonly lane: string; readonly bytes: Uint8Array }[];
  readonly headers: string[];
} {
  const writes: { lane: string; bytes: Uint8Array }[] = [];
  const headers: string[] = [];
  const openStream: Runtime["openStream"] = (url, said, events): OutgoingStream => {
    const stream = runtime.openStream(url, said, events);
    headers.push(JSON.stringify(said));
    return {
      write: (bytes) => {
        writes.push({ lane: said[headerNames.lane]!, bytes });
        return stream.write(bytes);
      },
      close: () => stream.close(),
    };
  };
  return { runtime: { ...runtime, openStream }, writes, headers };
}

describe("between nodes that know each other", () => {
  test("messages arrive as they were sent, in order within a lane, and are counted", async () => {
    const [a, b, c] = [await node(1), await node(2), await node(3)];
    joinUp(a, b, c);
    const sent = [1, 2, 3].map(ask);
    const large = [1, 2, 3].map((sequence) => propose(sequence, sequence * 300_000));
    for (const message of [...sent, ...large]) a.link.send({ to: [2, 3], message });
    b.link.send({ to: [1], message: release });
    for (const ear of [b, c]) {
      await until("all six have come", () => ear.heard.length === 6);
      const of = (kind: string) => ear.heard.filter(({ message }) => message.kind === kind).map(({ message }) => message);
      expect(of("ask")).toEqual(sent);
      expect(of("propose")).toEqual(large);
      expect(new Set(ear.heard.map(({ from }) => from))).toEqual(new Set([1]));
    }
    await until("the answer has come", () => a.heard.length === 1);
    expect(a.heard).toEqual([{ from: 2, message: release }]);
    const [toB] = a.link.stats();
    expect(toB).toMatchObject({
      peer: 2,
      driver: "h2",
      rttMs: null,
      lossRatio: null,
      udp: null,
      sent: 6,
      received: 1,
      dropped: 0,
      reconnects: 0,
      queuedBytes: 0,
    });
    expect(toB!.sentBytes).toBeGreaterThan(1_800_000);
    expect(toB!.connectedSince).toBeGreaterThan(0);
  });

  test("a turn's messages to a lane leave in one write, encoded once for all peers", async () => {
    const { runtime: noted, writes, headers } = noting();
    const [a, b, c] = [await node(1, { runtime: noted }), await node(2), await node(3)];
    joinUp(a, b, c);
    a.link.send({ to: [2, 3], message: release });
    a.link.send({ to: [2, 3], message: propose(1, 10) });
    await until("the lanes are open", () => b.heard.length === 2 && c.heard.length === 2);
    writes.length = 0;
    for (let request = 0; request < 50; request++) a.link.send({ to: [2, 3], message: ask(request) });
    for (let sequence = 1; sequence <= 50; sequence++) a.link.send({ to: [2, 3], message: propose(sequence, 100) });
    await until("all have come", () => b.heard.length === 102 && c.heard.length === 102);
    expect(writes.map(({ lane }) => lane).sort()).toEqual(["0", "0", "2", "2"]);
    const [first, second] = writes.filter(({ lane }) => lane === "2").map(({ bytes }) => bytes);
    expect(second!.buffer === first!.buffer && second!.byteOffset === first!.byteOffset).toBe(true);
    expect(headers.join()).not.toContain(secret);
  });

  test("a simulated distance delays and keeps the order", async () => {
    const [a, b] = [await node(1, { delayMs: (peer) => peer === 2 ? 60 : 0 }), await node(2)];
    joinUp(a, b);
    await until("it is connected", () => a.link.stats()[0]!.connectedSince !== null);
    const from = performance.now();
    for (let request = 0; request < 10; request++) {
      a.link.send({ to: [2], message: ask(request) });
      await Bun.sleep(2);
    }
    await until("the first has come", () => b.heard.length > 0);
    const tookMs = performance.now() - from;
    expect(tookMs).toBeGreaterThanOrEqual(60);
    await until("all have come", () => b.heard.length === 10);
    expect(b.heard.map(({ message }) => told(message))).toEqual(Array.from({ length: 10 }, (_, request) => `ask g1 #${request}`));
  });
});

describe("when the way is lost", () => {
  test("the host is told once, and a peer that comes back is heard again", async () => {
    const a = await node(1);
    let b = await node(2);
    joinUp(a, b);
    a.link.send({ to: [2], message: release });
    await until("it has come", () => b.heard.length === 1);
    const [host, port] = b.link.address.split(":");
    await b.link.close();
    await until("the host is told", () => a.unreachable.length > 0);
    b = await node(2, { listen: { host: host!, port: Number(port) } });
    await until("it is connected again", () => a.link.stats()[0]!.connectedSince !== null);
    a.link.send({ to: [2], message: release });
    await until("it has come", () => b.heard.length === 1);
    expect(a.unreachable).toEqual([2]);
    expect(a.link.stats()[0]).toMatchObject({ sent: 2, reconnects: 1, dropped: 0 });
  });

  test("messages to a peer that is not there are dropped and counted", async () => {
    const a = await node(1);
    const gone = await node(2);
    const { address } = gone.link;
    await gone.link.close();
    a.link.open(2, address);
    await Bun.sleep(100);
    for (let round = 0; round < 10; round++) {
      a.link.send({ to: [2], message: release });
      await Bun.sleep(10);
    }
    await until("all are dropped", () => a.link.stats()[0]!.dropped === 10);
    expect(a.link.stats()[0]).toMatchObject({ sent: 0, queuedBytes: 0, connectedSince: null });
  });

  test("a connection over which nothing ever comes back is made anew, and again", async () => {
    // Twenty times as fast.
    const { clock } = runtime;
    const fast: Runtime = {
      ...runtime,
      clock: {
        now: () => ({ mono: clock.now().mono * 20, wall: 0 }),
        wakeAt: (at, callback) => clock.wakeAt(at / 20, callback),
        soon: clock.soon,
      },
    };
    const [a, b] = [await node(1, { runtime: fast }), await node(2)];
    a.link.open(2, b.link.address);
    await until("it is made anew", () => a.link.stats()[0]!.reconnects >= 2);
    await until("the host is told each time", () => a.unreachable.length >= 2);
    b.link.open(1, a.link.address);
    const greetings = setInterval(() => b.link.send({ to: [1], message: release }), 2);
    await until("it is heard", () => a.heard.length > 0 && a.link.stats()[0]!.connectedSince !== null);
    const before = a.link.stats()[0]!.reconnects;
    // Half a minute of that clock's.
    await Bun.sleep(1_500);
    clearInterval(greetings);
    expect(a.link.stats()[0]!.reconnects).toBe(before);
  });

  test("a peer that takes nothing costs 32 MiB and no more, and the others nothing", async () => {
    const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, () =>
      new Response(
        new ReadableStream({
          start(controller): void {
            controller.enqueue(new Uint8Array(1));
          },
        }),
      ));
    closers.push(() => server.close());
    const [a, c] = [await node(1), await node(3)];
    a.link.open(2, `127.0.0.1:${server.port}`);
    a.link.open(3, c.link.address);
    for (let sequence = 1; sequence <= 100; sequence++) {
      a.link.send({ to: [2, 3], message: propose(sequence, 500_000) });
      await until("the other has it", () => c.heard.length === sequence);
    }
    const [toB, toC] = a.link.stats();
    expect(toB!.queuedBytes).toBeGreaterThan(31 << 20);
    expect(toB!.queuedBytes).toBeLessThanOrEqual(32 << 20);
    expect(toB!.dropped).toBeGreaterThan(20);
    expect(toC).toMatchObject({ sent: 100, dropped: 0 });
  });
});

test("a payload lane that is full to the brim costs payloads, and holds up no word of the protocol", async () => {
  /** The transport of payloads takes nothing any more, as when the way to the peer is stuffed. */
  const openStream: Runtime["openStream"] = (url, said, events) => {
    const stream = runtime.openStream(url, said, events);
    return { write: (bytes) => said[headerNames.lane] === "0" && stream.write(bytes), close: () => stream.close() };
  };
  const [a, b] = [await node(1, { runtime: { ...runtime, openStream } }), await node(2)];
  joinUp(a, b);
  await until("the control lane is open", () => a.link.stats()[0]!.connectedSince !== null);
  a.link.send({ to: [2], message: propose(1, 100) });
  await Bun.sleep(0);
  for (let round = 1; round <= 10; round++) {
    for (let sequence = 1; sequence <= 10; sequence++) a.link.send({ to: [2], message: propose(sequence, 500_000) });
    a.link.send({ to: [2], message: ask(round) });
    a.link.send({ to: [2], message: release });
    await until("both words are there", () => b.heard.length === 2 * round, 1_000);
  }
  expect(b.heard.map(({ message }) => message.kind)).toEqual(Array.from({ length: 10 }, () => ["ask", "release"]).flat() as never);
  const [toB] = a.link.stats();
  expect(toB!.queuedBytes).toBeGreaterThan(31 << 20);
  expect(toB!.queuedBytes).toBeLessThanOrEqual(32 << 20);
  // All that was lost are payloads.
  expect(toB!.dropped).toBeGreaterThan(20);
  expect(toB!.dropped).toBeLessThan(100);
});

describe("who gets in", () => {
  const said = (claim: { cluster: string; from: number; to: number; lane: number }): Record<string, string> => ({
    [headerNames.cluster]: claim.cluster,
    [headerNames.from]: String(claim.from),
    [headerNames.to]: String(claim.to),
    [headerNames.lane]: String(claim.lane),
  });
  const good = { cluster: "tests", from: 2, to: 1, lane: 0 };

  /** Answers the challenge with `key`. */
  async function knock(ear: Ear, claim: typeof good, key = secret): Promise<{ status: number; code: string; detail: string }> {
    const url = `http://${ear.link.address}${streamPath}`;
    const challenge = await fetch(url, { method: "POST", headers: said(claim), body: "x" });
    const nonce = challenge.headers.get(headerNames.nonce)!;
    const proof = new Secret(runtime, key).proof(claim, nonce);
    return await answer(
      fetch(url, { method: "POST", headers: { ...said(claim), [headerNames.nonce]: nonce, [headerNames.proof]: proof }, body: "x" }),
    );
  }

  async function answer(pending: Promise<Response>): Promise<{ status: number; code: string; detail: string }> {
    const response = await pending;
    if (response.status === 200) {
      await response.body?.cancel();
      return { status: 200, code: "", detail: "" };
    }
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const { status, code, detail } = await response.json() as { status: number; code: string; detail: string };
    expect(status).toBe(response.status);
    return { status, code, detail };
  }

  test("only who proves the secret and belongs here", async () => {
    const a = await node(1);
    const refusals = [];
    for (
      const [claim, key] of [
        [good, secret],
        [good, "another secret, alas"],
        [{ ...good, cluster: "other" }, secret],
        [{ ...good, from: 9 }, secret],
        [{ ...good, from: 1 }, secret],
        [{ ...good, to: 3 }, secret],
        [{ ...good, lane: 99 }, secret],
      ] as const
    ) refusals.push(await knock(a, claim, key));
    expect(refusals).toEqual([
      { status: 200, code: "", detail: "" },
      { status: 401, code: "unauthenticated", detail: "the proof does not fit our cluster secret" },
      { status: 403, code: "forbidden", detail: 'it belongs to cluster "other" and this is "tests"' },
      { status: 403, code: "forbidden", detail: "this cluster has no node 9" },
      { status: 403, code: "forbidden", detail: "this is node 1 itself" },
      { status: 403, code: "forbidden", detail: "it looks for node 3 and this is node 1" },
      { status: 403, code: "forbidden", detail: "there is no group for lane 99" },
    ]);
    expect(a.link.counts()).toEqual({ handshakes: 1, handshakesRefused: 6, datagramsIgnored: 0 });
    await knock(a, { ...good, from: 9 });
    await until("the notices are there", () => a.notices.length >= 6);
    expect(a.notices.filter((notice) => notice.endsWith("this cluster has no node 9"))).toEqual([
      "Cannot accept a link stream from node 9: this cluster has no node 9",
    ]);
  });

  test("a proof is good for one stream", async () => {
    const a = await node(1);
    const url = `http://${a.link.address}${streamPath}`;
    const nonce = (await fetch(url, { method: "POST", headers: said(good) })).headers.get(headerNames.nonce)!;
    const headers = { ...said(good), [headerNames.nonce]: nonce, [headerNames.proof]: new Secret(runtime, secret).proof(good, nonce) };
    expect((await answer(fetch(url, { method: "POST", headers, body: "x" }))).status).toBe(200);
    expect(await answer(fetch(url, { method: "POST", headers, body: "x" }))).toEqual({
      status: 401,
      code: "unauthenticated",
      detail: "the nonce is spent, too old or not ours",
    });
  });

  test("nodes with different secrets say so, once, and keep trying", async () => {
    const [a, b] = [await node(1), await node(2, { secret: "quite another secret" })];
    a.link.open(2, b.link.address);
    await until("both have said it", () => a.notices.length > 0 && b.notices.length > 0);
    await Bun.sleep(300);
    expect(a.notices).toEqual([
      `Cannot reach node b at ${b.link.address}: the peer answered 401 (another cluster secret, another cluster, or another node at this address)`,
    ]);
    expect(b.notices).toEqual(["Cannot accept a link stream from node 1: it does not have our cluster secret"]);
    expect([a.unreachable, b.heard]).toEqual([[], []]);
  });

  test("no secret worth the name, no link", async () => {
    await expect(node(1, { secret: "short" })).rejects.toThrow("Cannot link nodes: the cluster secret must have at least 16 characters");
  });

  test("a member that sends nonsense loses its stream, not the node", async () => {
    const [a, b] = [await node(1), await node(2)];
    joinUp(a, b);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
    const url = `http://${a.link.address}${streamPath}`;
    const claim = { ...good, from: 3 };
    for (
      const [bytes, sentence] of [
        [Uint8Array.of(5, 0, 0, 0, messageVersion, 99, 0, 0, 0), "99 is no kind of message"],
        [Uint8Array.of(0xff, 0xff, 0xff, 0xff), "a frame claims 4294967295 bytes"],
        [
          new FrameWriter().write(release).map((byte, index) => index === 4 ? 77 : byte),
          `the message has version 77 and this node speaks ${messageVersion}`,
        ],
      ] as const
    ) {
      const nonce = (await fetch(url, { method: "POST", headers: said(claim) })).headers.get(headerNames.nonce)!;
      const proof = new Secret(runtime, secret).proof(claim, nonce);
      let closed = "";
      const stream = runtime.openStream(url, { ...said(claim), [headerNames.nonce]: nonce, [headerNames.proof]: proof }, {
        onOpen: () => void stream.write(bytes),
        onDrain: () => {},
        onClose: (reason) => closed = reason,
      });
      await until("the stream is ended", () => closed !== "");
      await until("it is said", () => a.notices.includes(`Cannot read the link stream of node 3: Cannot decode: ${sentence}`));
    }
    b.link.send({ to: [1], message: release });
    await until("the others go on", () => a.heard.length === 2);
  });
});

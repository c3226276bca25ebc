/** Nodes linked over real connections: what arrives, and what happens when a way is lost. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import { describe as told } from "../../core/message.ts";
import { answerCall, headerNames } from "../../edge/link/call.ts";
import type { LinkDriver } from "../../edge/link/open.ts";
import type { OutgoingStream, Runtime } from "../../edge/runtime.ts";
import { testIdentity } from "../harness/identity.ts";
import { ask, closing, joinUp, node, paced, propose, release, topology, until } from "./link_kit.ts";

/** The same machine, with every write of every stream noted. */
function noting(): {
  readonly runtime: Runtime;
  readonly writes: { readonly lane: string; readonly bytes: Uint8Array }[];
} {
  const writes: { lane: string; bytes: Uint8Array }[] = [];
  const openStream: Runtime["openStream"] = (url, said, events): OutgoingStream => {
    const stream = runtime.openStream(url, said, events);
    return {
      write: (bytes) => {
        writes.push({ lane: said[headerNames.lane]!, bytes });
        return stream.write(bytes);
      },
      close: () => stream.close(),
    };
  };
  return { runtime: { ...runtime, openStream }, writes };
}

for (const driver of ["h2", "udp", "auto"] satisfies LinkDriver[]) {
  describe(`over ${driver}`, () => {
    test("messages arrive as they were sent, in order within a lane, and are counted", async () => {
      const [a, b, c] = [await node(1, { driver }), await node(2, { driver }), await node(3, { driver })];
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
        ...(driver === "h2" ? { driver, rttMs: null, lossRatio: null, udp: null } : { udp: { state: "open", failure: null } }),
        sent: 6,
        received: 1,
        dropped: 0,
        reconnects: 0,
        queuedBytes: 0,
      });
      expect(toB!.sentBytes).toBeGreaterThan(1_800_000);
      expect(toB!.connectedSince).toBeGreaterThan(0);
    });

    test("a simulated distance delays and keeps the order", async () => {
      const [a, b] = [await node(1, { driver, delayMs: (peer) => peer === 2 ? 60 : 0 }), await node(2, { driver })];
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

    test("the host is told once, and a peer that comes back is heard again", async () => {
      const a = await node(1, { driver });
      let b = await node(2, { driver });
      joinUp(a, b);
      a.link.send({ to: [2], message: release });
      await until("it has come", () => b.heard.length === 1);
      const [host, port] = b.link.address.split(":");
      await b.link.close();
      await until("the host is told", () => a.unreachable.length > 0);
      b = await node(2, { driver, listen: { host: host!, port: Number(port) } });
      await until("it is connected again", () => a.link.stats()[0]!.connectedSince !== null);
      a.link.send({ to: [2], message: release });
      await until("it has come", () => b.heard.length === 1);
      expect(a.unreachable).toEqual([2]);
      expect(a.link.stats()[0]).toMatchObject({ sent: 2, reconnects: driver === "auto" ? 2 : 1, dropped: 0 });
    });

    test("messages to a peer that is not there are dropped and counted", async () => {
      const a = await node(1, { driver });
      const gone = await node(2, { driver });
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
  });
}

describe("over h2", () => {
  test("a turn's messages to a lane leave in one write, each peer's sealed for it", async () => {
    const { runtime: noted, writes } = noting();
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
    expect(second!.byteLength).toBe(first!.byteLength);
    expect(second).not.toEqual(first!);
  });

  test("a connection over which nothing ever comes back is made anew, and again", async () => {
    const [a, b] = [await node(1, { runtime: paced(8) }), await node(2)];
    a.link.open(2, b.link.address);
    await until("it is made anew", () => a.link.stats()[0]!.reconnects >= 2);
    await until("the host is told each time", () => a.unreachable.length >= 2);
    b.link.open(1, a.link.address);
    const greetings = setInterval(() => b.link.send({ to: [1], message: release }), 2);
    await until("it is heard", () => a.heard.length > 0 && a.link.stats()[0]!.connectedSince !== null);
    const before = a.link.stats()[0]!.reconnects;
    // Sixteen seconds of that clock's: it takes four of silence.
    await Bun.sleep(2_000);
    clearInterval(greetings);
    expect(a.link.stats()[0]!.reconnects).toBe(before);
  });

  test("a peer that takes nothing costs 32 MiB and no more, and the others nothing", async () => {
    const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, ({ headers }) => {
      const message = headers.get(headerNames.handshake);
      if (message === null) return new Response("", { status: 401, headers: { [headerNames.nonce]: "n" } });
      const identity = testIdentity(runtime.cryptography, topology, 2);
      const answered = answerCall({ runtime, identity }, { from: 1, to: 2, lane: Number(headers.get(headerNames.lane)) }, {
        nonce: "n",
        message,
      });
      const body = new ReadableStream({
        start(controller): void {
          controller.enqueue(new Uint8Array(1));
        },
      });
      return "refusal" in answered ? new Response("", { status: 403 }) : new Response(body, { headers: answered.headers });
    });
    closing(() => server.close());
    const [a, c] = [await node(1), await node(3)];
    a.link.open(2, `127.0.0.1:${server.port}`);
    a.link.open(3, c.link.address);
    // Soon: a link over which nothing comes back for seconds is given up, and what waits for it with it.
    for (let sequence = 1; sequence <= 100; sequence++) {
      a.link.send({ to: [2], message: propose(sequence, 500_000) });
      await Bun.sleep(0);
    }
    const [toB] = a.link.stats();
    for (let sequence = 1; sequence <= 20; sequence++) {
      a.link.send({ to: [3], message: propose(sequence, 500_000) });
      await until("the other has it", () => c.heard.length === sequence);
    }
    const [, toC] = a.link.stats();
    expect(toB!.queuedBytes).toBeGreaterThan(31 << 20);
    expect(toB!.queuedBytes).toBeLessThanOrEqual(32 << 20);
    expect(toB!.dropped).toBeGreaterThan(20);
    expect(toC).toMatchObject({ sent: 20, dropped: 0 });
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

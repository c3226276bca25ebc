/** Which driver carries what, when UDP is let through and when it is not, and what bad ways do to a link. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Message } from "../../core/message.ts";
import type { Link } from "../../edge/link/link.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { Relay } from "../harness/relay.ts";
import { ask, closing, type Ear, node, propose, until } from "./link_kit.ts";

const entries = (last: number): Message => ({
  kind: "entries",
  group: 1,
  promised: 65_537,
  ballot: 0,
  base: 0,
  start: 0,
  last,
  decided: 0,
  entries: [],
});
const heartbeat = (sequence: number): Message => ({
  kind: "heartbeat",
  incarnation: 1,
  sequence,
  sentAt: 1,
  echoIncarnation: 0,
  echoSentAt: 0,
  echoHeldMs: 0,
  nextInMs: 50,
  hurry: false,
  beats: [],
});

/** The two find each other through a relay. */
async function joinThrough(a: Ear, b: Ear): Promise<Relay> {
  const port = ({ link }: Ear): number => Number(link.address.split(":")[1]);
  const relay = await Relay.start(new Map([["a", port(a)], ["b", port(b)]]));
  closing(() => relay[Symbol.asyncDispose]());
  return relay;
}

function open(relay: Relay, a: Ear, b: Ear): void {
  a.link.open(2, `127.0.0.1:${relay.port("a", "b")}`);
  b.link.open(1, `127.0.0.1:${relay.port("b", "a")}`);
}

const driver = (link: Link): string => link.stats()[0]!.driver;
const reason = (link: Link): string => link.stats()[0]!.reason;

/** Both say something every few milliseconds, as nodes do. */
function chatter(...ears: readonly Ear[]): () => void {
  let sequence = 0;
  const timer = setInterval(() => {
    sequence++;
    ears.forEach(({ link, identity: { self } }) => link.send({ to: [3 - self], message: heartbeat(sequence) }));
  }, 20);
  closing(() => Promise.resolve(clearInterval(timer)));
  return () => clearInterval(timer);
}

/** The same machine, with what leaves noted. */
function noting(): { readonly runtime: Runtime; readonly streamed: () => number; readonly batches: number[] } {
  let streamed = 0;
  const batches: number[] = [];
  return {
    runtime: {
      ...runtime,
      openStream: (url, headers, events) => {
        const stream = runtime.openStream(url, headers, events);
        return {
          write: (bytes) => {
            streamed += bytes.byteLength;
            return stream.write(bytes);
          },
          close: () => stream.close(),
        };
      },
      openDatagrams: async (address, events) => {
        const socket = await runtime.openDatagrams(address, events);
        return {
          ...socket,
          send: (datagrams) => {
            batches.push(datagrams.length);
            socket.send(datagrams);
          },
        };
      },
    },
    streamed: () => streamed,
    batches,
  };
}

describe("of both drivers", () => {
  test("UDP is used as soon as it answers, and HTTP/2 for what is much and not urgent", async () => {
    const noted = noting();
    const [a, b] = [await node(1, { driver: "auto", runtime: noted.runtime }), await node(2, { driver: "auto" })];
    a.link.open(2, b.link.address);
    b.link.open(1, a.link.address);
    await until("UDP is used", () => driver(a.link) === "udp" && driver(b.link) === "udp");
    expect(reason(a.link)).toBe("UDP works");
    await Bun.sleep(100);
    const before = noted.streamed();
    for (let request = 1; request <= 100; request++) a.link.send({ to: [2], message: ask(request) });
    for (let sequence = 1; sequence <= 20; sequence++) a.link.send({ to: [2], message: propose(sequence, 10_000) });
    await until("all have come", () => b.heard.length === 120);
    expect(noted.streamed()).toBe(before);
    expect(b.heard.filter(({ message }) => message.kind === "ask").map(({ message }) => message)).toEqual(
      Array.from({ length: 100 }, (_, index) => ask(index + 1)),
    );
    a.link.send({ to: [2], message: entries(7) });
    await until("the entries have come", () => b.heard.length === 121);
    expect(noted.streamed()).toBeGreaterThan(before);
    expect(a.link.stats()[0]).toMatchObject({ driver: "udp", sent: 121, dropped: 0, reconnects: 0, udp: { state: "open", failure: null } });
  });

  test("payloads take HTTP/2 while the way is short and clean and packets are short, and UDP when it is long or loses some", async () => {
    const noted = noting();
    const a = await node(1, { driver: "auto", runtime: noted.runtime, mtuBytesMax: 1_452 });
    const b = await node(2, { driver: "auto", mtuBytesMax: 1_452 });
    const relay = await joinThrough(a, b);
    open(relay, a, b);
    chatter(a, b);
    const proposes = (): number => b.heard.filter(({ message }) => message.kind === "propose").length;
    const short = "UDP works, and HTTP/2 for payloads: the way is short and clean";
    relay.delayAll(20);
    await until("UDP is used for all", () => reason(a.link) === "UDP works" && a.link.stats()[0]!.rttMs! > 30);
    const before = noted.streamed();
    a.link.send({ to: [2], message: propose(1, 50_000) });
    await until("it has come", () => proposes() === 1);
    expect(noted.streamed() - before).toBeLessThan(25_000);
    relay.delayAll(0);
    // Other work on this machine may make a short way long.
    await until("the way is found to be short", () => reason(a.link) === short, 30_000);
    a.link.send({ to: [2], message: propose(2, 50_000) });
    await until("it has come", () => proposes() === 2);
    expect(noted.streamed() - before).toBeGreaterThan(50_000);
    expect(driver(a.link)).toBe("udp");
    relay.set("a", "b", { lossRatio: 0.3 });
    await until("losses are noticed", () => reason(a.link) === "UDP works", 20_000);
  }, 60_000);

  test("where UDP is not let through HTTP/2 carries from the first message on, and the operator can see why", async () => {
    const [a, b] = [await node(1, { driver: "auto" }), await node(2, { driver: "auto" })];
    const relay = await joinThrough(a, b);
    relay.block("a", true);
    open(relay, a, b);
    a.link.send({ to: [2], message: ask(1) });
    await until("it has come", () => b.heard.length === 1);
    expect(a.link.stats()[0]).toMatchObject({ driver: "h2", reason: "UDP has not answered yet", sent: 1, dropped: 0 });
    await until("UDP is given up", () => reason(a.link).startsWith("UDP failed: "));
    expect(a.link.stats()[0]!.udp).toMatchObject({ state: "failing" });
    expect(a.unreachable).toEqual([]);
  }, 20_000);

  test("a member of the cluster that comes by itself, and goes, is heard and leaves nothing behind", async () => {
    const [a, b] = [await node(1, { driver: "auto" }), await node(2, { driver: "auto" })];
    // b has no reason to look for a: they have no group in common, or it has not come to that yet.
    a.link.open(2, b.link.address);
    await until("UDP is used", () => driver(a.link) === "udp");
    a.link.send({ to: [2], message: ask(1) });
    await until("it has come", () => b.heard.length === 1);
    b.link.send({ to: [1], message: ask(2) });
    await a.link.close();
    const keys = new Map([1, 2].map((id) => [id, id === 1 ? [] : b.identity.roster.keysOf(id)]));
    b.identity.roster.replace(keys);
    await until("b is done with a", () => b.link.stats().length === 0);
    expect([b.unreachable, b.heard.length]).toEqual([[], 1]);
  }, 20_000);

  test("UDP shut off: HTTP/2 within 3 s, nobody is called unreachable; let through again: UDP again", async () => {
    const [a, b] = [await node(1, { driver: "auto" }), await node(2, { driver: "auto" })];
    const relay = await joinThrough(a, b);
    open(relay, a, b);
    await until("UDP is used", () => driver(a.link) === "udp" && driver(b.link) === "udp");
    chatter(a, b);
    await until("they hear each other", () => a.heard.length > 0 && b.heard.length > 0);
    relay.block("a", true);
    await until("HTTP/2 is used", () => driver(a.link) === "h2" && driver(b.link) === "h2", 3_000);
    expect(reason(a.link)).toStartWith("UDP failed: ");
    const heard = b.heard.length;
    a.link.send({ to: [2], message: ask(1) });
    await until("a message finds its way", () => b.heard.slice(heard).some(({ message }) => message.kind === "ask"), 1_000);
    relay.block("a", false);
    await until("UDP is used again", () => driver(a.link) === "udp" && driver(b.link) === "udp", 20_000);
    expect(reason(a.link)).toBe("UDP works again");
    expect([a.unreachable, b.unreachable]).toEqual([[], []]);
  }, 40_000);

  test("a peer that is gone is reported once, whichever driver notices first", async () => {
    const [a, b] = [await node(1, { driver: "auto" }), await node(2, { driver: "auto" })];
    a.link.open(2, b.link.address);
    b.link.open(1, a.link.address);
    await until("UDP is used", () => driver(a.link) === "udp");
    await b.link.close();
    await until("the host is told", () => a.unreachable.length > 0);
    await Bun.sleep(300);
    expect(a.unreachable).toEqual([2]);
  });
});

describe("over UDP", () => {
  test("what a turn of the event loop sends leaves in one batch", async () => {
    const noted = noting();
    const [a, b] = [await node(1, { driver: "udp", runtime: noted.runtime }), await node(2, { driver: "udp" })];
    a.link.open(2, b.link.address);
    b.link.open(1, a.link.address);
    await until("it is connected", () => a.link.stats()[0]!.connectedSince !== null);
    await Bun.sleep(100);
    noted.batches.length = 0;
    for (let request = 0; request < 50; request++) a.link.send({ to: [2], message: ask(request) });
    for (let sequence = 1; sequence <= 3; sequence++) a.link.send({ to: [2], message: propose(sequence, 1_000) });
    await Promise.resolve();
    expect(noted.batches.length).toBe(1);
    expect(noted.batches[0]).toBeLessThanOrEqual(5);
    await until("all have come", () => b.heard.length === 53);
  });

  test("a heartbeat that was lost is not sent again, what matters is", async () => {
    const [a, b] = [await node(1, { driver: "udp" }), await node(2, { driver: "udp" })];
    const relay = await joinThrough(a, b);
    open(relay, a, b);
    await until("it is connected", () => a.link.stats()[0]!.connectedSince !== null && b.link.stats()[0]!.connectedSince !== null);
    relay.block("a", true);
    a.link.send({ to: [2], message: heartbeat(1) });
    a.link.send({ to: [2], message: ask(1) });
    await Bun.sleep(50);
    relay.block("a", false);
    await until("the question has come", () => b.heard.length > 0);
    a.link.send({ to: [2], message: ask(2) });
    await until("the next as well", () => b.heard.length > 1);
    expect(b.heard.map(({ message }) => message)).toEqual([ask(1), ask(2)]);
  });

  test("over a lossy, uneven, narrow way with a low limit on lengths everything arrives, in order", async () => {
    const [a, b] = [await node(1, { driver: "udp" }), await node(2, { driver: "udp" })];
    const relay = await joinThrough(a, b);
    for (const [from, to] of [["a", "b"], ["b", "a"]] as const) {
      relay.set(from, to, { lossRatio: 0.05, delayMs: 10, jitterMs: 5, bytesPerSecond: 2 << 20, datagramBytesMax: 1_300 });
    }
    open(relay, a, b);
    const sizes = Array.from({ length: 60 }, (_, index) => index % 10 === 0 ? 50_000 : 1_000);
    sizes.forEach((bytes, index) => a.link.send({ to: [2], message: propose(index + 1, bytes) }));
    await until("all have come", () => b.heard.length === sizes.length, 15_000);
    expect(b.heard.map(({ message }) => message)).toEqual(sizes.map((bytes, index) => propose(index + 1, bytes)));
    const [stats] = a.link.stats();
    expect(stats!.retransmitted).toBeGreaterThan(0);
    expect(stats!.rttMs).toBeGreaterThanOrEqual(20);
    expect(stats!.mtuBytes).toBeLessThanOrEqual(1_300);
  }, 30_000);

  test("a peer that takes nothing costs 32 MiB and no more, and the others nothing", async () => {
    const [a, b, c] = [await node(1, { driver: "udp" }), await node(2, { driver: "udp" }), await node(3, { driver: "udp" })];
    const relay = await joinThrough(a, b);
    open(relay, a, b);
    a.link.open(3, c.link.address);
    await until("both are connected", () => a.link.stats().every(({ connectedSince }) => connectedSince !== null));
    relay.block("b", true);
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
  }, 30_000);

  test("a name is looked up again when its host does not answer any more", async () => {
    const [b, c] = [await node(2, { driver: "udp" }), await node(2, { driver: "udp", listen: { host: "127.0.0.2", port: 0 } })];
    let host = "127.0.0.3";
    const moving: Runtime = { ...runtime, resolve: (name) => Promise.resolve(name === "b.example" ? host : name) };
    const a = await node(1, { driver: "udp", runtime: moving, listen: { host: "0.0.0.0", port: 0 } });
    void b;
    a.link.open(2, `b.example:${c.link.address.split(":")[1]}`);
    await until("it is given up", () => a.link.stats()[0]!.udp!.state === "failing", 10_000);
    host = "127.0.0.2";
    await until("it is found", () => a.link.stats()[0]!.connectedSince !== null, 10_000);
  }, 30_000);
});

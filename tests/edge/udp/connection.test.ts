/** Two connections over simulated paths: what is written arrives, whatever the path does. */
import { describe, expect, test } from "bun:test";
import { idleMs } from "../../../edge/link/udp/connection.ts";
import { qlogHead, qlogRecord, type TraceEvent } from "../../../edge/link/udp/trace.ts";
import { referenceCubic } from "../../wire/reference.ts";
import { Pair } from "./pair.ts";

describe("streams", () => {
  test("carry bytes both ways over a perfect path", () => {
    const pair = new Pair({ seed: 1 });
    pair.a.send(2, 1_000_000);
    pair.b.send(3, 300_000);
    pair.a.send(0, 10);
    expect(pair.finish(10_000)).toBe(true);
    expect(pair.b.received).toEqual(pair.a.written);
    expect(pair.a.received).toEqual(pair.b.written);
    // Nothing is taken for lost but what a full queue dropped.
    expect(pair.a.connection.stats().lostPackets).toBeLessThanOrEqual(pair.paths.there.counts.overflowed);
  });

  for (const seed of [1, 2, 3, 4]) {
    test(`arrive whole where packets are lost, doubled, reordered and damaged, seed ${seed}`, () => {
      const bad = { loss: 0.05, duplicate: 0.05, reorder: 0.1, reorderMs: 30, corrupt: 0.03 };
      const pair = new Pair({ seed, there: bad });
      for (let stream = 0; stream < 8; stream += 1) {
        pair.a.send(stream, 100_000);
        pair.b.send(stream, 40_000);
      }
      expect(pair.finish(120_000)).toBe(true);
      expect(pair.b.received).toEqual(pair.a.written);
      expect(pair.a.received).toEqual(pair.b.written);
    });
  }

  test("all of 2 000 finish", () => {
    const pair = new Pair({ seed: 5, there: { loss: 0.02 } });
    for (let stream = 0; stream < 2_000; stream += 1) pair.a.send(stream, 600);
    expect(pair.finish(30_000)).toBe(true);
    expect(pair.b.received.length).toBe(2_000);
    expect(pair.b.received).toEqual(pair.a.written);
  });

  test("survive the dark: 5 s with a path, 2 s without", () => {
    const pair = new Pair({ seed: 6, there: { blackOut: { everyMs: 7_000, darkMs: 2_000 } } });
    pair.a.send(2, 8_000_000);
    expect(pair.finish(60_000)).toBe(true);
    expect(pair.b.received).toEqual(pair.a.written);
    expect(pair.a.connection.stats().probeTimeouts).toBeGreaterThan(0);
  });

  test("go no slower with priorities: control overtakes a full order lane, order overtakes bulk", () => {
    const pair = new Pair({ seed: 7 });
    pair.a.send(3, 3_000_000);
    pair.a.send(2, 3_000_000);
    pair.net.run(1_000);
    pair.a.send(0, 1_000);
    expect(pair.net.run(1_100, () => pair.b.received.some((line) => line.startsWith("0 1000 ")))).toBe(true);
    pair.net.run(20_000, () => pair.b.received.some((line) => line.startsWith("2 3000000 ")));
    const bulk = Number(pair.b.received.find((line) => line.startsWith("3 "))?.split(" ")[1] ?? 0);
    // What left before the order lane had something.
    expect(bulk).toBeLessThan(20_000);
  });
});

describe("congestion control", () => {
  for (const seed of [1, 2, 3]) {
    test(`gets at least 70 % of a reference flow with 1 % loss at 150 ms, seed ${seed}`, () => {
      const path = { loss: 0.01, delayMs: 75, queue: 200 };
      const pair = new Pair({ seed, there: path, back: { delayMs: 75 }, mtuMax: 1_200 });
      pair.a.send(2, 100_000_000);
      pair.net.run(60_000);
      expect(pair.b.receivedBytes / 60 / referenceCubic(seed, path, 60_000).bytesPerSecond).toBeGreaterThan(0.7);
    });
  }

  test("is not taken in by a path that reorders a tenth of the packets by up to 20 ms", () => {
    const pair = new Pair({ seed: 5, there: { delayMs: 40, queue: 100, reorder: 0.1, reorderMs: 20 } });
    pair.a.send(2, 100_000_000);
    pair.net.run(8_000);
    // Of 1 250 000 bytes a second.
    expect(pair.b.receivedBytes / 8).toBeGreaterThan(1_000_000);
  });

  test("fills a clean path without losing more than one window", () => {
    const pair = new Pair({ seed: 4, there: { queue: 100 } });
    pair.a.send(2, 8_000_000);
    expect(pair.finish(20_000)).toBe(true);
    expect(pair.net.now).toBeLessThan((8_000_000 / 1_250) * 1.1);
    expect(pair.a.connection.stats().lossRate).toBeLessThan(0.02);
  });
});

describe("a connection", () => {
  test("with little to say over a path that loses half measures the path, and not the silence after a lost acknowledgement", () => {
    const longest = [4, 21, 38, Math.floor(Math.random() * 2 ** 32)].map((seed) => {
      let longestMs = 0;
      const pair: Pair = new Pair({
        seed,
        there: { delayMs: 40, loss: 0.5 },
        trace: (event) => {
          if (event.kind === "metrics_updated" && event.minRttMs !== Infinity) longestMs = Math.max(longestMs, event.smoothedRttMs);
        },
      });
      const { net, a, b } = pair;
      const say = (): void => {
        (net.prng.next() % 2 === 1 ? a : b).send(0, 10);
        net.queue.after(700, say);
      };
      net.queue.after(700, say);
      net.run(120_000, () => a.connection.closed !== null);
      return { seed, longestMs: Math.round(longestMs) };
    });
    expect(longest.filter(({ longestMs }) => longestMs > 100)).toEqual([]);
  });

  test("changes keys every two minutes while it is used", () => {
    const updates: TraceEvent[] = [];
    const pair = new Pair({ seed: 8, trace: (event) => void (event.kind === "key_updated" && updates.push(event)) });
    for (let minute = 1; minute <= 6; minute += 1) {
      pair.a.send(2, 50_000);
      pair.b.send(2, 50_000);
      pair.net.run(minute * 60_000);
    }
    expect(pair.b.received).toEqual(pair.a.written);
    expect(pair.a.received).toEqual(pair.b.written);
    expect(updates.length).toBeGreaterThanOrEqual(1);
    expect(pair.a.closed).toEqual([]);
  });

  for (const address of [{ port: 5_001 }, { host: "10.0.9.9", port: 5_001 }]) {
    test(`goes on when the ${address.host === undefined ? "port" : "host"} of a peer changes, on either side`, () => {
      const pair = new Pair({ seed: 9 });
      pair.a.send(2, 3_000_000);
      pair.b.send(2, 3_000_000);
      pair.net.run(1_000);
      pair.net.rebind(pair.a.host, address);
      pair.net.run(2_000);
      expect(pair.b.connection.address).toEqual(pair.a.host.address);
      pair.net.rebind(pair.b.host, { port: 6_001 });
      expect(pair.finish(20_000)).toBe(true);
      expect(pair.a.connection.address).toEqual(pair.b.host.address);
      expect(pair.b.received).toEqual(pair.a.written);
      expect(pair.a.received).toEqual(pair.b.written);
    });
  }

  test("does not follow a packet that somebody sends on from elsewhere", () => {
    const pair = new Pair({ seed: 10 });
    const packets: Uint8Array[] = [];
    pair.a.host.onSend = ({ bytes }) => void packets.push(bytes);
    pair.a.send(2, 100_000);
    pair.net.run(40);
    const known = pair.a.host.address;
    const elsewhere = { host: "10.6.6.6", port: 666 };
    // One that was delivered, and one that is newer than all, which nobody there can answer for.
    pair.net.inject(packets[0]!, elsewhere, pair.b.host);
    expect(pair.net.astray).toBe(0);
    pair.net.inject(packets.at(-1)!, elsewhere, pair.b.host);
    const sent: number[] = [];
    pair.b.host.onSend = ({ host, bytes }) => void (host === elsewhere.host && sent.push(bytes.byteLength));
    expect(pair.finish(10_000)).toBe(true);
    expect(pair.b.connection.address).toEqual(known);
    expect(sent.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(3 * packets.at(-1)!.byteLength);
  });

  test("finds the longest packet of a path, and falls back when long packets vanish", () => {
    const pair = new Pair({ seed: 11, mtuMax: 8_900, there: { bytesMax: 4_321, bytesPerMs: 12_500, queue: 100 } });
    pair.a.send(2, 10_000_000);
    pair.net.run(1_000);
    const { mtuBytes } = pair.a.connection.stats();
    expect(mtuBytes).toBeLessThanOrEqual(4_321);
    expect(mtuBytes).toBeGreaterThan(4_321 - 64);
    pair.a.send(2, 2_000_000);
    pair.net.run(1_020);
    for (const path of [pair.paths.there, pair.paths.back]) path.conditions = { ...path.conditions, bytesMax: 1_300 };
    // All that is out is long, so that nothing comes back. A datagram waits that will be too long in the end.
    pair.net.run(5_000, () => pair.a.connection.stats().probeTimeouts === 2);
    expect(pair.a.connection.datagram(new Uint8Array(4_000))).toBe(true);
    expect(pair.net.run(2_500, () => pair.a.connection.stats().mtuBytes === 1_200)).toBe(true);
    expect(pair.finish(10_000)).toBe(true);
    expect(pair.b.received).toEqual(pair.a.written);
    expect(pair.a.connection.stats().mtuBytes).toBeLessThanOrEqual(1_300);
    expect([pair.b.datagrams.length, pair.a.connection.stats().droppedDatagrams]).toEqual([0, 1]);
  });

  test("stays while nobody writes, and ends when nothing is heard", () => {
    const pair = new Pair({ seed: 12 });
    pair.net.run(60_000);
    expect([pair.a.closed, pair.b.closed]).toEqual([[], []]);
    for (const path of [pair.paths.there, pair.paths.back]) path.conditions = { ...path.conditions, loss: 1 };
    pair.net.run(60_000 + idleMs);
    const idle = [{ reason: "nothing was heard for too long", byPeer: false }];
    expect([pair.a.closed, pair.b.closed]).toEqual([idle, idle]);
    expect([pair.a.connection.wakeAt, pair.b.connection.wakeAt]).toEqual([Infinity, Infinity]);
  });

  test("tells the peer that it ends, also when the first word is lost", () => {
    const pair = new Pair({ seed: 13 });
    pair.net.run(100);
    pair.paths.there.conditions = { ...pair.paths.there.conditions, loss: 1 };
    pair.a.connection.close("enough");
    pair.a.turn();
    pair.net.run(200);
    expect(pair.a.closed).toEqual([{ reason: "enough", byPeer: false }]);
    expect(pair.b.closed).toEqual([]);
    pair.paths.there.conditions = { ...pair.paths.there.conditions, loss: 0 };
    pair.b.send(2, 10);
    pair.net.run(300);
    expect(pair.b.closed).toEqual([{ reason: "enough", byPeer: true }]);
    expect(pair.b.connection.write(2, new Uint8Array(1))).toBe(false);
    expect(pair.b.connection.take(300)).toBe(null);
  });

  test("sends nothing to an address that has not been proved", () => {
    const pair = new Pair({ seed: 14, there: { loss: 1 }, back: {} });
    pair.b.send(2, 1_000);
    pair.net.run(2_000);
    expect(pair.paths.back.counts.sent).toBe(0);
    pair.paths.there.conditions = { ...pair.paths.there.conditions, loss: 0 };
    expect(pair.finish(10_000)).toBe(true);
  });

  test("leaves a trace that is a qlog file", () => {
    const events: TraceEvent[] = [];
    const pair = new Pair({ seed: 15, there: { loss: 0.02, corrupt: 0.01 }, trace: (event) => void events.push(event) });
    pair.a.send(2, 400_000);
    pair.finish(60_000);
    pair.a.connection.close("done");
    const file = qlogHead("initiator") + events.map(qlogRecord).join("");
    const records = file.split("\x1e").slice(1).map((line) => JSON.parse(line));
    expect(records[0].file_schema).toBe("urn:ietf:params:qlog:file:sequential");
    expect([...new Set(records.slice(1).map(({ name }) => name))].sort()).toEqual([
      "quic:connection_closed",
      "quic:mtu_updated",
      "quic:packet_dropped",
      "quic:packet_lost",
      "quic:packet_received",
      "quic:packet_sent",
      "quic:recovery_metrics_updated",
    ]);
    const stats = pair.a.connection.stats();
    expect(events.filter(({ kind }) => kind === "packet_sent").length).toBe(stats.sentPackets);
    expect(events.filter(({ kind }) => kind === "packet_received").length).toBe(stats.receivedPackets);
  });
});

describe("datagrams", () => {
  test("arrive beside streams, the newest for each key, and none after its time", () => {
    const pair = new Pair({ seed: 16 });
    pair.net.run(100);
    const { connection } = pair.a;
    const text = (word: string): Uint8Array => new TextEncoder().encode(word);
    connection.datagram(text("old"), { key: "vote" });
    connection.datagram(text("heartbeat"), { key: "heartbeat", expiresAt: 100 });
    connection.datagram(text("new"), { key: "vote" });
    connection.datagram(text("other"));
    pair.a.send(2, 100_000);
    pair.net.run(1_000);
    expect(pair.b.datagrams.map((bytes) => new TextDecoder().decode(bytes))).toEqual(["new", "other"]);
    expect(connection.stats().droppedDatagrams).toBe(1);
  });

  test("are never sent again", () => {
    const pair = new Pair({ seed: 17 });
    pair.net.run(100);
    pair.paths.there.conditions = { ...pair.paths.there.conditions, loss: 1 };
    expect(pair.a.connection.datagram(new Uint8Array(100))).toBe(true);
    pair.a.turn();
    pair.paths.there.conditions = { ...pair.paths.there.conditions, loss: 0 };
    pair.a.send(2, 50_000);
    expect(pair.finish(5_000)).toBe(true);
    expect(pair.b.datagrams).toEqual([]);
  });

  test("fit up to a length that grows with the path, and the queue is bounded", () => {
    const pair = new Pair({ seed: 18 });
    const { connection } = pair.a;
    const first = connection.datagramBytesMax;
    expect(connection.datagram(new Uint8Array(first + 1))).toBe(false);
    pair.net.run(1_000);
    expect(connection.datagramBytesMax).toBe(first + 252);
    expect(connection.datagram(new Uint8Array(first + 252).fill(7))).toBe(true);
    pair.a.turn();
    pair.net.run(2_000);
    expect(pair.b.datagrams.map(({ byteLength }) => byteLength)).toEqual([first + 252]);
    let taken = 0;
    while (connection.datagram(new Uint8Array(10))) taken += 1;
    expect(taken).toBe(256);
  });

  test("of two ends that say something now and then are acknowledged by what the other says", () => {
    const pair = new Pair({ seed: 20 });
    pair.net.run(5_000);
    const sent = (): number => pair.a.connection.stats().sentPackets + pair.b.connection.stats().sentPackets;
    const before = sent();
    for (let beat = 0; beat < 40; beat += 1) {
      for (const end of [pair.a, pair.b]) {
        pair.net.run(pair.net.now + 125);
        end.connection.datagram(new Uint8Array(50));
        end.turn();
      }
    }
    pair.net.run(pair.net.now + 1_000);
    // Besides, one for the last of them, and one where a number was left out.
    expect(sent() - before).toBeLessThan(90);
    expect(pair.a.connection.stats().inFlightBytes + pair.b.connection.stats().inFlightBytes).toBe(0);
  });

  test("leave at once though a window is full of bulk", () => {
    const pair = new Pair({ seed: 19, there: { delayMs: 100, queue: 1_000 }, back: { delayMs: 100 } });
    pair.a.send(3, 10_000_000);
    pair.net.run(205);
    const sentAt = pair.net.now;
    pair.a.connection.datagram(new Uint8Array(50));
    pair.a.turn();
    pair.net.run(sentAt + 130, () => pair.b.datagrams.length > 0);
    expect(pair.b.datagrams.length).toBe(1);
  });
});

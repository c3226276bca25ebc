/** A member that has the keys and breaks the rules: the connection ends with a sentence, and never keeps more than its bounds. */
import { describe, expect, test } from "bun:test";
import { Connection } from "../../../edge/link/udp/connection.ts";
import { type FrameSink, FrameWriter, readFrames } from "../../../edge/link/udp/frames.ts";
import type { PacketProtection } from "../../../edge/link/udp/protection.ts";
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import { piecesMax } from "../../../edge/link/udp/receive_stream.ts";
import { highWaterBytes, lowWaterBytes } from "../../../edge/link/udp/send_stream.ts";
import { connectionWindowBytes, streamWindowBytes } from "../../../edge/link/udp/streams.ts";
import { Random } from "../../fuzz/random.ts";
import { protections } from "./pair.ts";

const address = { host: "10.0.0.2", port: 4000 };

/** The peer of one connection, written by hand. */
class Forger {
  readonly closed: string[] = [];
  /** Streams whose writers were called back. */
  readonly writable: number[] = [];
  readonly connection: Connection;
  readonly #packets = protections();
  readonly #writer = new FrameWriter(60_000);
  now = 0;
  #number = 0;

  constructor(failures = 0, mtuMax = 1_452) {
    this.connection = new Connection({
      role: "initiator",
      protection: failing(this.#packets.a, failures),
      address,
      validated: true,
      mtuMax,
      random: () => 7,
      now: 0,
      events: {
        onStream: () => {},
        onDatagram: () => {},
        onWritable: (stream) => void this.writable.push(stream),
        onClosed: (reason) => void this.closed.push(reason),
      },
    });
  }

  say(write: (writer: FrameWriter) => void, from = address): void {
    this.#writer.begin(60_000);
    write(this.#writer);
    expect(this.connection.receive(this.#packets.b.seal(this.#number++, this.#writer.view()), from, this.now)).toBe(true);
  }

  /** A packet that was damaged on its way. */
  garble(): void {
    const packet = this.#packets.b.seal(this.#number++, new Uint8Array(20));
    packet[packet.length - 1]! ^= 1;
    expect(this.connection.receive(packet, address, this.now)).toBe(false);
  }

  /** Takes all packets; their frames go to `sink`. */
  hear(sink: Partial<FrameSink> = {}): { readonly numbers: readonly number[]; readonly bytesTo: ReadonlyMap<string, number> } {
    const numbers: number[] = [];
    const bytesTo = new Map<string, number>();
    const nothing = (): void => {};
    const all: FrameSink = {
      onPing: nothing,
      onAck: nothing,
      onDatagram: nothing,
      onStream: nothing,
      onStreamWindow: nothing,
      onConnectionWindow: nothing,
      onChallenge: nothing,
      onAnswer: nothing,
      onClose: nothing,
      ...sink,
    };
    for (let packet = this.connection.take(this.now); packet !== null; packet = this.connection.take(this.now)) {
      const opened = this.#packets.b.open(packet.bytes)!;
      numbers.push(opened.packetNumber);
      bytesTo.set(packet.host, (bytesTo.get(packet.host) ?? 0) + packet.bytes.byteLength);
      readFrames(opened.payload, all);
    }
    return { numbers, bytesTo };
  }

  ack(first: number, last: number): void {
    const ranges = new Ranges();
    ranges.add(first, last + 1);
    this.say((writer) => writer.ack(ranges, 0));
  }

  stream(id: number, offset: number, length: number): void {
    this.say((writer) => {
      writer.stream(id, offset, length);
      writer.copy(new Uint8Array(length));
    });
  }
}

/** Protection that has failed so often before. */
function failing(protection: PacketProtection, failures: number): PacketProtection {
  return {
    overheadBytes: protection.overheadBytes,
    seal: (number, payload) => protection.seal(number, payload),
    open: (packet) => protection.open(packet),
    update: () => protection.update(),
    get confirmed() {
      return protection.confirmed;
    },
    get failures() {
      return protection.failures + failures;
    },
  };
}

describe("a connection ends when its peer", () => {
  test("acknowledges a packet that was never sent", () => {
    const forger = new Forger();
    expect(forger.hear().numbers).toEqual([0]);
    forger.ack(0, 1);
    expect(forger.closed).toEqual(["the peer acknowledges packet 1, which was never sent"]);
    let told = "";
    forger.hear({ onClose: (reason) => void (told = reason) });
    expect(told).toBe(forger.closed[0]!);
  });

  test("acknowledges a number that was left out", () => {
    const forger = new Forger();
    const sent = new Set<number>();
    for (let turn = 0; turn < 100 && forger.closed.length === 0; turn += 1) {
      forger.connection.write(2, new Uint8Array(5_000));
      forger.now += 10;
      const { numbers } = forger.hear();
      for (const number of numbers) sent.add(number);
      const newest = numbers.at(-1);
      // It claims to have everything, as one does who wants us to send faster than the path bears.
      if (newest !== undefined) forger.ack(0, newest);
    }
    const skipped = Array.from({ length: Math.max(...sent) }, (_, number) => number).filter((number) => !sent.has(number));
    expect(forger.closed).toEqual([`the peer acknowledges packet ${skipped[0]}, which was left out`]);
  });

  test("floods it with acknowledgements", () => {
    const forger = new Forger();
    forger.hear();
    for (let count = 0; count < 1_100 && forger.closed.length === 0; count += 1) forger.ack(0, 0);
    expect(forger.closed).toEqual(["the peer floods us with acknowledgements"]);
  });

  test("sends more than the credit of a stream, or of the connection", () => {
    const forger = new Forger();
    forger.stream(2, streamWindowBytes - 10, 10);
    expect(forger.closed).toEqual([]);
    forger.stream(2, streamWindowBytes, 1);
    expect(forger.closed).toEqual([`the peer sends ${streamWindowBytes + 1} bytes on stream 2, which may have ${streamWindowBytes}`]);

    const other = new Forger();
    const streams = connectionWindowBytes / streamWindowBytes;
    for (let stream = 0; stream < streams; stream += 1) other.stream(stream, streamWindowBytes - 10, 10);
    expect(other.closed).toEqual([]);
    other.stream(streams, 5, 1);
    expect(other.closed).toEqual(["the peer sends more than the connection's credit"]);
  });

  test("opens a stream that no lane has", () => {
    const forger = new Forger();
    forger.stream(131_072, 0, 1);
    expect(forger.closed).toEqual(["the peer opens stream 131072 beyond the 8192 allowed"]);
  });

  test("or somebody else, has sent a million packets that cannot be opened", () => {
    const forger = new Forger(999_998);
    forger.garble();
    expect(forger.closed).toEqual([]);
    forger.garble();
    expect(forger.closed).toEqual(["too many packets could not be opened"]);
  });

  test("sends what makes no sense", () => {
    const forger = new Forger();
    forger.say((writer) => writer.copy(Uint8Array.of(99)));
    expect(forger.closed).toEqual(["a packet of the peer makes no sense: Cannot decode: 99 is no type of frame"]);
  });

  test("and any bytes under its keys do nothing worse", () => {
    const random = new Random(1);
    for (let round = 0; round < 2_000; round += 1) {
      const forger = new Forger();
      forger.hear();
      const bytes = random.bytes(1 + random.below(60));
      bytes[0]! %= 11;
      forger.say((writer) => writer.copy(bytes));
      forger.hear();
      expect(forger.closed.length).toBeLessThanOrEqual(1);
    }
  });
});

describe("a connection keeps no more than its bounds", () => {
  test("pieces that wait for a gap: what finds no room is not acknowledged", () => {
    const forger = new Forger();
    for (let piece = 0; piece < piecesMax; piece += 1) forger.stream(2, 2 + piece * 2, 1);
    let acknowledged = -1;
    forger.hear({ onAck: ({ largest }) => void (acknowledged = largest) });
    expect(acknowledged).toBe(piecesMax - 1);
    forger.stream(2, 2 + piecesMax * 2, 1);
    forger.say((writer) => writer.ping());
    let ranges: readonly number[] = [];
    forger.hear({ onAck: (frame) => void (ranges = frame.ranges) });
    expect(ranges.slice(0, 2)).toEqual([piecesMax + 1, piecesMax + 1]);
    expect(ranges[3]).toBe(piecesMax - 1);
    // A ping in such a packet is not answered either, and must not keep us awake.
    forger.say((writer) => {
      writer.ping();
      writer.stream(2, 10 + piecesMax * 2, 1);
      writer.copy(new Uint8Array(1));
    });
    expect(forger.hear().numbers).toEqual([]);
    expect(forger.connection.wakeAt).toBeGreaterThan(forger.now);
    expect(forger.closed).toEqual([]);
  });

  test("paths: one challenge at a time, three tries, and never more than three times what came from there", () => {
    const forger = new Forger();
    forger.hear();
    let challenges = 0;
    const sink: Partial<FrameSink> = { onChallenge: () => void challenges++ };
    const hosts = new Map<string, number>();
    const hear = (): void => {
      for (const [host, bytes] of forger.hear(sink).bytesTo) hosts.set(host, (hosts.get(host) ?? 0) + bytes);
    };
    for (let port = 1; port <= 50; port += 1) forger.say((writer) => writer.ping(), { host: `10.7.0.${port}`, port });
    hear();
    expect(challenges).toBe(1);
    for (; forger.now < 9_000; forger.now += 50) {
      forger.connection.wake(forger.now);
      hear();
    }
    expect(challenges).toBeLessThanOrEqual(3);
    expect([...hosts.keys()].sort()).toEqual(["10.0.0.2", "10.7.0.1"]);
    const packetBytes = 29 + 1;
    expect(hosts.get("10.7.0.1")!).toBeLessThanOrEqual(3 * packetBytes);
    expect(forger.connection.address).toEqual(address);
  });

  test("what was sent and only acknowledges: now and then the peer is asked to acknowledge it", () => {
    const forger = new Forger();
    forger.hear();
    let pings = 0;
    for (let count = 0; count < 200; count += 1) {
      forger.say((writer) => writer.ping());
      forger.hear({ onPing: () => void pings++ });
    }
    expect(pings).toBeGreaterThanOrEqual(5);
  });
});

describe("a packet that fills a small window", () => {
  const pingsAlongWith = (forger: Forger, bytes: number): number => {
    let pings = 0;
    forger.connection.write(2, new Uint8Array(bytes));
    forger.hear({ onPing: () => void pings++ });
    return pings;
  };

  test("asks to be acknowledged at once, and one that leaves room does not", () => {
    const forger = new Forger();
    forger.hear();
    forger.ack(0, 0);
    // The probe for longer packets.
    expect(forger.hear().numbers).toEqual([1]);
    forger.ack(0, 1);
    expect(pingsAlongWith(forger, 100)).toBe(0);
    expect(pingsAlongWith(forger, 100_000)).toBe(1);
  });

  test("is told by its length: a short one on a path for long ones leaves room", () => {
    const forger = new Forger(0, 60_000);
    for (let { numbers } = forger.hear(); numbers.length > 0; { numbers } = forger.hear()) forger.ack(0, numbers.at(-1)!);
    expect(forger.connection.stats().mtuBytes).toBeGreaterThan(55_000);
    for (let count = 0; count < 3; count++) expect(pingsAlongWith(forger, 1_000)).toBe(0);
    expect(pingsAlongWith(forger, 200_000)).toBe(1);
  });
});

describe("credit", () => {
  test("is told again when the packet that told it is lost", () => {
    const forger = new Forger();
    forger.hear();
    forger.ack(0, 0);
    const limits: number[] = [];
    const sink: Partial<FrameSink> = { onStreamWindow: (_, limit) => void limits.push(limit) };
    for (let offset = 0; offset <= streamWindowBytes / 2; offset += 50_000) forger.stream(2, offset, 50_000);
    forger.hear(sink);
    expect(limits.length).toBe(1);
    let newest = 0;
    for (let count = 0; count < 3; count += 1) {
      forger.now += 10;
      forger.connection.write(2, new Uint8Array(10));
      newest = forger.hear(sink).numbers.at(-1)!;
    }
    forger.ack(newest, newest);
    forger.hear(sink);
    expect(limits).toEqual([limits[0]!, limits[0]!]);
  });

  test("lets a writer go on when a quarter of what is kept for it is left", () => {
    const forger = new Forger();
    expect(forger.connection.write(2, new Uint8Array(highWaterBytes))).toBe(true);
    expect(forger.connection.write(2, new Uint8Array(1))).toBe(false);
    let sent = 0;
    while (forger.writable.length === 0) {
      forger.now += 10;
      forger.connection.wake(forger.now);
      // What is taken with the call is counted after it.
      const before = sent;
      const { numbers } = forger.hear({ onStream: (_, offset, bytes) => void (sent = Math.max(sent, offset + bytes.byteLength)) });
      for (const number of numbers) forger.ack(number, number);
      if (forger.writable.length > 0) expect(sent).toBeGreaterThanOrEqual(highWaterBytes + 1 - lowWaterBytes);
      else expect(before).toBeLessThan(highWaterBytes + 1 - lowWaterBytes);
    }
    expect(forger.writable).toEqual([2]);
  });

  test("holds a writer until the peer gives more", () => {
    const forger = new Forger();
    forger.connection.write(2, new Uint8Array(streamWindowBytes + 100_000));
    let sent = 0;
    const turn = (): void => {
      forger.now += 10;
      forger.connection.wake(forger.now);
      const { numbers } = forger.hear({ onStream: (_, offset, bytes) => void (sent = Math.max(sent, offset + bytes.byteLength)) });
      for (const number of numbers) forger.ack(number, number);
    };
    for (let count = 0; count < 800; count += 1) turn();
    expect(sent).toBe(streamWindowBytes);
    forger.say((writer) => writer.streamWindow(2, streamWindowBytes + 60_000));
    for (let count = 0; count < 100; count += 1) turn();
    expect(sent).toBe(streamWindowBytes + 60_000);
    expect(forger.closed).toEqual([]);
  });

  test("of the connection holds all streams together", () => {
    const forger = new Forger();
    const streams = connectionWindowBytes / streamWindowBytes + 1;
    for (let stream = 0; stream < streams; stream += 1) forger.connection.write(stream, new Uint8Array(streamWindowBytes));
    const sent = new Map<number, number>();
    const total = (): number => [...sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    const turn = (): void => {
      forger.now += 10;
      forger.connection.wake(forger.now);
      const { numbers } = forger.hear({
        onStream: (id, offset, bytes) => void sent.set(id, Math.max(sent.get(id) ?? 0, offset + bytes.byteLength)),
      });
      for (const number of numbers) forger.ack(number, number);
    };
    for (let count = 0; count < 1_000; count += 1) turn();
    expect(total()).toBe(connectionWindowBytes);
    forger.say((writer) => writer.connectionWindow(connectionWindowBytes + 1_000));
    for (let count = 0; count < 10; count += 1) turn();
    expect(total()).toBe(connectionWindowBytes + 1_000);
  });
});

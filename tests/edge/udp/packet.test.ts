/** Packet protection: what is opened, what is not, and that the format stays what it is. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import { Packets } from "../../../edge/link/udp/packet.ts";
import { windowPackets } from "../../../edge/link/udp/replay_window.ts";
import { Random } from "../../fuzz/random.ts";

const there = new Uint8Array(32).fill(1);
const back = new Uint8Array(32).fill(2);
const idA = Uint8Array.from([0xa0, 1, 2, 3, 4, 5, 6, 7]);
const idB = Uint8Array.from([0xb0, 1, 2, 3, 4, 5, 6, 7]);
const text = new TextEncoder();

function pair(): readonly [Packets, Packets] {
  const { cryptography } = runtime;
  return [new Packets(cryptography, { send: there, receive: back }, idB), new Packets(cryptography, { send: back, receive: there }, idA)];
}

/** One end and its peer, with packet numbers that count up. */
class End {
  readonly #packets: Packets;
  #number: number;

  constructor(packets: Packets, first = 0) {
    this.#packets = packets;
    this.#number = first;
  }

  get packets(): Packets {
    return this.#packets;
  }

  say(what = "."): Uint8Array {
    return this.#packets.seal(this.#number++, text.encode(what));
  }

  /** Packets that nobody will ever see. */
  lose(count: number): void {
    this.#number += count;
  }

  hear(packet: Uint8Array): string | null {
    const got = this.#packets.open(packet);
    return got === null ? null : `${got.packetNumber} ${new TextDecoder().decode(got.payload)}`;
  }
}

function ends(first = 0): readonly [End, End] {
  const [a, b] = pair();
  return [new End(a, first), new End(b, first)];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("packets", () => {
  test("look like this, byte for byte", () => {
    const [a, b] = ends(1_000);
    const transcript = [hex(a.say("first")), hex(a.say(""))];
    expect(b.hear(Buffer.from(transcript[0]!, "hex"))).toBe("1000 first");
    transcript.push(hex(b.say("answer")));
    expect(a.hear(Buffer.from(transcript[2]!, "hex"))).toBe("1000 answer");
    expect(a.packets.update()).toBe(true);
    transcript.push(hex(a.say("next key")), hex(a.packets.seal(2 ** 40 + 5, text.encode("far on"))));
    expect(transcript).toEqual([
      "4db0010203040506073864385ed0155c3fe5ba29fd36a6d01dea74090d5f27995b6b",
      "50b001020304050607302ea0dc480b47b58cbe9a15b2d177ac69f534fc",
      "53a0010203040506072fcda497bca746b95c82bacf5a9992842132e57bf4e0eec32480",
      "4ab00102030405060772ce4e372ba9eef83b1ff7832f7bed5049548982f0d2b33492c05d5a",
      "5fb0010203040506071e016913cd34fe45f87c0205b50a1f117024434b7b5354b3b918",
    ]);
  });

  test("arrive as they were sent, in any order, once", () => {
    const [a, b] = ends();
    const packets = ["x", "", "yy", "z".repeat(1_400)].map((payload) => a.say(payload));
    expect(packets.map(({ byteLength }) => byteLength - a.packets.overheadBytes)).toEqual([1, 0, 2, 1_400]);
    expect([3, 0, 1, 2, 0, 3].map((index) => b.hear(packets[index]!))).toEqual([
      `3 ${"z".repeat(1_400)}`,
      "0 x",
      "1 ",
      "2 yy",
      null,
      null,
    ]);
    expect(b.packets.failures).toBe(0);
  });

  test("differ in everything but their id, also where they carry the same", () => {
    const [a] = ends();
    const packets = Array.from({ length: 200 }, () => a.say("same"));
    for (const packet of packets) expect([packet[0]! & 0xe0, hex(packet.subarray(1, 9))]).toEqual([0x40, hex(idB)]);
    // A hidden phase bit and number: both values of every bit are seen.
    for (const at of [0, 9, 10, 11, 12]) {
      const seen = packets.reduce((bits, packet) => bits | packet[at]!, 0) & (at === 0 ? 0x1f : 0xff);
      const always = packets.reduce((bits, packet) => bits & packet[at]!, 0xff) & (at === 0 ? 0x1f : 0xff);
      expect([seen, always]).toEqual([at === 0 ? 0x1f : 0xff, 0]);
    }
  });

  test("altered in any bit, or cut anywhere, are not opened and change nothing", () => {
    const [a, b] = ends();
    const packet = a.say("payload");
    for (let at = 0; at < packet.byteLength; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const altered = packet.slice();
        altered[at]! ^= 1 << bit;
        expect(b.hear(altered)).toBe(null);
      }
      expect(b.hear(packet.subarray(0, at))).toBe(null);
    }
    expect(b.hear(Uint8Array.from([...packet, 0]))).toBe(null);
    expect(b.hear(packet)).toBe("0 payload");
    expect(b.packets.confirmed).toBe(false);
    // All but the shapes that no packet has: two flag bits, and what is too short for a tag.
    expect(b.packets.failures).toBe(packet.byteLength * 8 - 2 + "payload".length + 1);
  });

  test("of the other direction, or of other secrets, are not opened", () => {
    const [a, b] = ends();
    expect(a.hear(a.say())).toBe(null);
    const stranger = new Packets(runtime.cryptography, { send: there.map((byte) => byte + 1), receive: back }, idB);
    expect(b.hear(stranger.seal(0, text.encode("x")))).toBe(null);
    const elsewhere = new Packets(runtime.cryptography, { send: there, receive: back }, idA);
    expect(b.packets.open(elsewhere.seal(0, text.encode("x")))?.packetNumber).toBe(0);
  });

  test("are found their whole number, around every edge of 32 bits", () => {
    for (const first of [0, 2 ** 31 - 2, 2 ** 32 - 2, 2 ** 33 + 2 ** 31 - 2]) {
      const [a, b] = ends(first);
      // The receiver knows the high bits only from packets before: it is led there in the largest steps it can follow.
      const lead = pair()[0];
      const step = 2 ** 31 - 1;
      for (let at = first % step; at < first; at += step) expect(b.packets.open(lead.seal(at, text.encode("lead")))?.packetNumber).toBe(at);
      const packets = [a.say("1"), a.say("2"), a.say("3"), a.say("4")];
      expect([2, 3, 0, 1].map((index) => b.hear(packets[index]!))).toEqual([
        `${first + 2} 3`,
        `${first + 3} 4`,
        `${first} 1`,
        `${first + 1} 2`,
      ]);
    }
  });

  test("are never sealed twice with a number, nor beyond the last", () => {
    const [a] = pair();
    a.seal(7, text.encode("x"));
    for (const number of [7, 6, Number.MAX_SAFE_INTEGER + 1]) expect(() => a.seal(number, text.encode("x"))).toThrow("Cannot seal");
    a.seal(Number.MAX_SAFE_INTEGER, text.encode("x"));
  });
});

describe("a packet that comes again", () => {
  test("is not opened while its number is remembered, nor when it is not any more", () => {
    const [a, b] = ends();
    const packets = Array.from({ length: windowPackets + 2 }, () => a.say());
    for (const packet of packets) expect(b.hear(packet)).not.toBe(null);
    for (const packet of packets) expect(b.hear(packet)).toBe(null);
    expect(b.packets.failures).toBe(0);
  });

  test("late by up to the window is opened, later not", () => {
    const [a, b] = ends();
    const packets = Array.from({ length: windowPackets + 1 }, (_, index) => a.say(`${index}`));
    b.hear(packets.at(-1)!);
    expect([0, 1, 2, 1].map((index) => b.hear(packets[index]!))).toEqual([null, "1 1", "2 2", null]);
  });

  test("is told from one whose place in the window was another's before", () => {
    const [a, b] = ends();
    const packets = new Map(Array.from({ length: 6_000 }, (_, index) => [index, a.say()]));
    // 2 048 late, in the place of 0, which has been seen; 2 and 1 too late, in places that have not.
    const heard = [0, 1_500, 2_500, 2_048, 4_400, 2, 1, 2_048].map((index) => b.hear(packets.get(index)!) !== null);
    expect(heard).toEqual([true, true, true, true, true, false, false, false]);
  });

  test("is not opened after a change of keys either, nor after two", () => {
    const [a, b] = ends();
    const recorded = [a.say("first")];
    b.hear(recorded[0]!);
    for (let changes = 0; changes < 4; changes++) {
      a.hear(b.say());
      expect(a.packets.update()).toBe(true);
      recorded.push(a.say(), a.say());
      expect(recorded.slice(-2).map((packet) => b.hear(packet) !== null)).toEqual([true, true]);
      for (const packet of recorded) expect(b.hear(packet)).toBe(null);
    }
  });

  test("random order, loss and doubling: each number is opened at most once", () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const [a, b] = ends();
    const flying: Uint8Array[] = [];
    const got = new Map<number, number>();
    for (let step = 0; step < 6_000; step++) {
      if (random.below(10) > 0) flying.push(a.say());
      else a.lose(random.below(20));
      if (random.below(50) === 0 && a.packets.confirmed) a.packets.update();
      const at = random.below(Math.min(flying.length, 300) || 1);
      const packet = flying[at];
      if (packet === undefined) continue;
      if (random.below(4) > 0) flying.splice(at, 1);
      const result = b.packets.open(packet);
      if (result !== null) got.set(result.packetNumber, (got.get(result.packetNumber) ?? 0) + 1);
      if (random.below(5) === 0) a.hear(b.say());
    }
    expect([...got.values()].filter((count) => count !== 1)).toEqual([]);
    expect(got.size).toBeGreaterThan(1_000);
  });
});

describe("keys change", () => {
  test("when one side begins; the other follows, and stragglers of the old key are still opened", () => {
    const [a, b] = ends();
    expect([a.packets.confirmed, a.packets.update()]).toEqual([false, false]);
    b.hear(a.say());
    a.hear(b.say());
    expect([a.packets.confirmed, b.packets.confirmed]).toEqual([true, false]);
    const straggler = a.say("old");
    expect(a.packets.update()).toBe(true);
    expect([a.packets.confirmed, a.packets.update()]).toEqual([false, false]);
    const behind = b.say("old too");
    expect(b.hear(a.say("new"))).toBe("2 new");
    expect(b.hear(straggler)).toBe("1 old");
    expect(a.hear(b.say("follows"))).toBe("2 follows");
    expect(a.hear(behind)).toBe("1 old too");
    expect([a.packets.confirmed, b.packets.confirmed]).toEqual([true, false]);
    expect(b.hear(a.say())).toBe("3 .");
    expect(b.packets.confirmed).toBe(true);
    expect([a.packets.failures, b.packets.failures]).toEqual([0, 0]);
  });

  test("when both begin at once, one change is made of it, and no second before each has seen it", () => {
    const [a, b] = ends();
    b.hear(a.say());
    a.hear(b.say());
    b.hear(a.say());
    expect([a.packets.update(), b.packets.update()]).toEqual([true, true]);
    const [fromA, fromB] = [a.say(), b.say()];
    expect([a.hear(fromB), b.hear(fromA)]).toEqual(["1 .", "2 ."]);
    // Each has seen the other's new key, but does not know that its own was seen.
    expect([a.packets.update(), b.packets.update()]).toEqual([false, false]);
    expect(b.hear(a.say())).toBe("3 .");
    expect(b.packets.update()).toBe(true);
    expect(a.hear(b.say())).toBe("2 .");
    expect(b.hear(a.say())).toBe("4 .");
    expect([a.packets.failures, b.packets.failures]).toEqual([0, 0]);
  });

  test("a packet of a key after the next, or of one forgotten, is not opened, and costs one try", () => {
    const [a, b] = ends();
    const first = a.say("forgotten");
    for (let changes = 0; changes < 2; changes++) {
      b.hear(a.say());
      a.hear(b.say());
      a.packets.update();
    }
    b.hear(a.say());
    const before = b.packets.failures;
    expect(b.hear(first)).toBe(null);
    expect(b.packets.failures).toBe(before + 1);
  });

  test("many times over, with everything late by a round, nothing is lost", () => {
    const [a, b] = ends();
    let [toB, toA]: [Uint8Array[], Uint8Array[]] = [[], []];
    let changes = 0;
    for (let round = 0; round < 400; round++) {
      const [arriveB, arriveA] = [toB, toA];
      [toB, toA] = [[a.say(), a.say()], [b.say(), b.say()]];
      for (const packet of arriveB.reverse()) expect(b.hear(packet)).not.toBe(null);
      for (const packet of arriveA.reverse()) expect(a.hear(packet)).not.toBe(null);
      if ((round % 3 === 0 ? a : b).packets.update()) changes++;
    }
    expect(changes).toBeGreaterThan(60);
  });
});

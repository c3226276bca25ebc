/** The parts a connection is made of, each by itself. */
import { describe, expect, test } from "bun:test";
import { Acks, packetsPerAckMax } from "../../../edge/link/udp/acks.ts";
import { Datagrams } from "../../../edge/link/udp/datagrams.ts";
import { FrameWriter, readFrames } from "../../../edge/link/udp/frames.ts";
import { bytesPerKeyMax, KeyAge, keyMsMax, packetsPerKeyMax } from "../../../edge/link/udp/key_age.ts";
import { Lanes } from "../../../edge/link/udp/lanes.ts";
import { Mtu } from "../../../edge/link/udp/mtu.ts";
import { Paths } from "../../../edge/link/udp/paths.ts";
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import { piecesMax, ReceiveStream } from "../../../edge/link/udp/receive_stream.ts";
import { SendStream } from "../../../edge/link/udp/send_stream.ts";
import { Random } from "../../fuzz/random.ts";
import { protections } from "./pair.ts";

describe("ranges", () => {
  test("are what a set of numbers is, whatever is added and removed", () => {
    const random = new Random(1);
    for (let round = 0; round < 300; round += 1) {
      const ranges = new Ranges();
      const set = new Set<number>();
      for (let step = 0; step < 60; step += 1) {
        const start = random.below(50);
        const end = start + random.below(8);
        const adds = random.chance(0.65);
        if (adds) ranges.add(start, end);
        else ranges.remove(start, end);
        for (let value = start; value < end; value += 1) {
          if (adds) set.add(value);
          else set.delete(value);
        }
      }
      const values = ranges.starts.flatMap((start, at) => Array.from({ length: ranges.ends[at]! - start }, (_, index) => start + index));
      expect(values).toEqual([...set].sort((a, b) => a - b));
      // Never touching: as few as can be.
      for (let at = 1; at < ranges.count; at += 1) expect(ranges.starts[at]!).toBeGreaterThan(ranges.ends[at - 1]!);
      for (let value = 0; value < 60; value += 1) expect(ranges.has(value)).toBe(set.has(value));
    }
  });
});

describe("acknowledgements", () => {
  /** Past the first hundred packets, with nothing owed. */
  function late(): Acks {
    const acks = new Acks();
    for (let number = 0; number < 100; number += 1) acks.received(number, "soon", false, 0);
    acks.sent();
    return acks;
  }

  test("are due after ten packets or 5 ms", () => {
    const acks = late();
    acks.received(100, "soon", false, 10);
    expect(acks.dueAt).toBe(15);
    for (let number = 101; number < 100 + packetsPerAckMax - 1; number += 1) acks.received(number, "soon", false, 11);
    expect(acks.dueAt).toBe(15);
    acks.received(109, "soon", false, 12);
    expect(acks.dueAt).toBe(12);
    acks.sent();
    expect(acks.dueAt).toBe(Infinity);
  });

  test("of datagrams alone are due after ten packets or half a second, and sooner with anything else", () => {
    const acks = late();
    acks.received(100, "later", false, 10);
    expect(acks.dueAt).toBe(510);
    acks.received(101, "soon", false, 20);
    expect(acks.dueAt).toBe(25);
    acks.sent();
    for (let number = 102; number < 102 + packetsPerAckMax; number += 1) acks.received(number, "later", false, 30);
    expect(acks.dueAt).toBe(30);
  });

  test("are due after two packets while a connection is young", () => {
    const acks = new Acks();
    acks.received(0, "soon", false, 0);
    expect(acks.dueAt).toBe(5);
    acks.received(1, "soon", false, 1);
    expect(acks.dueAt).toBe(1);
  });

  test("are due at once for a gap, for what fills one, and when asked", () => {
    for (const number of [101, 50]) {
      const acks = late();
      acks.received(number, "soon", false, 7);
      expect(acks.dueAt).toBe(7);
    }
    const acks = late();
    acks.received(100, "soon", true, 3);
    expect(acks.dueAt).toBe(3);
  });

  test("are not due for acknowledgements, and go along when something leaves", () => {
    const acks = late();
    acks.received(100, "nothing", false, 7);
    expect([acks.dueAt, acks.fresh]).toEqual([Infinity, true]);
  });

  test("keep 32 ranges, and none that the peer knows we have", () => {
    const acks = new Acks();
    for (let number = 0; number < 200; number += 2) acks.received(number, "soon", false, 0);
    expect([acks.ranges.count, acks.ranges.starts[0]]).toEqual([32, 136]);
    acks.confirmed(190);
    expect(acks.ranges.starts).toEqual([190, 192, 194, 196, 198]);
    acks.confirmed(198);
    expect(acks.ranges.starts).toEqual([198]);
  });
});

describe("a sending stream", () => {
  /** What `fill` wrote, with room for so many bytes. */
  function fill(stream: SendStream, room: number, credit = 1_000_000): string | null {
    const writer = new FrameWriter(room);
    const filled = stream.fill(writer, credit);
    if (filled === null) return null;
    let line = "";
    const sink = { onStream: (_: number, offset: number, bytes: Uint8Array): void => void (line = `${offset} ${bytes.join(",")}`) };
    readFrames(writer.view(), sink as never);
    return `${filled.isNew ? "new" : "again"} ${line}`;
  }

  function stream(limit = 1_000): SendStream {
    const result = new SendStream(2, limit);
    result.write(Uint8Array.of(0, 1, 2));
    result.write(Uint8Array.of());
    result.write(Uint8Array.of(3, 4, 5, 6, 7, 8, 9));
    return result;
  }

  test("fills packets across the writer's buffers", () => {
    expect(fill(stream(), 100)).toBe("new 0 0,1,2,3,4,5,6,7,8,9");
  });

  test("stops at the credit of the stream and of the connection", () => {
    expect(fill(stream(4), 100)).toBe("new 0 0,1,2,3");
    const held = stream();
    expect(fill(held, 100, 5)).toBe("new 0 0,1,2,3,4");
    expect([held.ready(0), held.ready(1)]).toEqual([false, true]);
    expect(fill(held, 100, 0)).toBe(null);
  });

  test("sends lost bytes again, first, without credit, and only those that have not arrived", () => {
    const one = stream();
    expect(fill(one, 100, 6)).toBe("new 0 0,1,2,3,4,5");
    one.acked(2, 4);
    one.lost(0, 6);
    expect(fill(one, 100, 0)).toBe("again 0 0,1");
    expect(fill(one, 100, 0)).toBe("again 4 4,5");
    expect(fill(one, 100)).toBe("new 6 6,7,8,9");
    one.acked(0, 2);
    one.acked(4, 10);
    expect([one.unackedBytes, one.ready(1_000)]).toEqual([0, false]);
  });

  test("does not send again what arrives after all", () => {
    const one = stream();
    fill(one, 100);
    one.lost(0, 10);
    one.acked(0, 10);
    expect(one.ready(1_000)).toBe(false);
  });

  test("forgets what is acknowledged, in whatever order that is", () => {
    const random = new Random(2);
    const one = new SendStream(2, 1_000_000);
    for (let count = 0; count < 200; count += 1) one.write(random.bytes(1 + random.below(9)));
    const open: (readonly [number, number])[] = [];
    while (one.unackedBytes > 0) {
      const writer = new FrameWriter(30 + random.below(20));
      const filled = one.fill(writer, 1_000);
      if (filled !== null) open.push([filled.start, filled.end]);
      if (filled !== null && random.chance(0.7)) continue;
      const [start, end] = open.splice(random.below(open.length), 1)[0]!;
      if (random.chance(0.3)) one.lost(start, end);
      else one.acked(start, end);
    }
    expect(one.ready(1_000)).toBe(false);
  });
});

describe("a receiving stream", () => {
  test("hands out every byte once and in order, however they come", () => {
    const random = new Random(3);
    for (let round = 0; round < 200; round += 1) {
      const all = random.bytes(300);
      const stream = new ReceiveStream(2, 1_000);
      const got: number[] = [];
      while (stream.delivered < all.length) {
        const start = random.below(all.length);
        const end = Math.min(all.length, start + 1 + random.below(40));
        expect(stream.receive(start, all.subarray(start, end), (bytes) => void got.push(...bytes))).toBe(true);
      }
      expect(got).toEqual([...all]);
      expect(stream.earlyPieces).toBe(0);
    }
  });

  test("does not keep a whole packet for a few bytes that wait", () => {
    const stream = new ReceiveStream(2, 1_000);
    const kept: number[] = [];
    stream.receive(1, new Uint8Array(1_400).subarray(100, 110), () => {});
    stream.receive(0, new Uint8Array(1), ({ buffer }) => void kept.push(buffer.byteLength));
    expect(kept).toEqual([1, 10]);
  });

  test("keeps only so many pieces", () => {
    const stream = new ReceiveStream(2, 1_000_000);
    const one = new Uint8Array(1);
    for (let piece = 0; piece < piecesMax; piece += 1) expect(stream.receive(1 + piece * 2, one, () => {})).toBe(true);
    expect(stream.receive(1 + piecesMax * 2, one, () => {})).toBe(false);
    // What fills gaps is welcome all the same.
    expect(stream.receive(0, one, () => {})).toBe(true);
    expect([stream.delivered, stream.earlyPieces]).toEqual([2, piecesMax - 1]);
  });
});

describe("lanes", () => {
  test("take turns: control, then even ones, then odd ones", () => {
    const lanes = new Lanes();
    const streams = new Map([5, 2, 0, 3, 4].map((id) => [id, new SendStream(id, 0)]));
    for (const stream of streams.values()) lanes.push(stream);
    lanes.push(streams.get(2)!);
    const order: number[] = [];
    for (let turn = 0; turn < 7; turn += 1) {
      const stream = lanes.shift()!;
      order.push(stream.id);
      if (turn === 1 || turn === 4) lanes.push(stream);
      if (turn === 2) lanes.unshift(stream);
    }
    expect(order).toEqual([0, 2, 4, 4, 2, 2, 5]);
    expect([lanes.shift()!.id, lanes.shift(), lanes.empty]).toEqual([3, null, true]);
  });
});

describe("datagrams that wait", () => {
  test("give way to newer ones of their key, are dropped when late, and are bounded in bytes", () => {
    const datagrams = new Datagrams();
    datagrams.push(Uint8Array.of(1), { key: "a" });
    datagrams.push(Uint8Array.of(2), { expiresAt: 10 });
    datagrams.push(Uint8Array.of(3), { key: "a", expiresAt: 20 });
    expect(datagrams.peek(5)).toEqual(Uint8Array.of(3));
    datagrams.shift();
    expect(datagrams.peek(10)).toBe(null);
    expect([datagrams.waiting, datagrams.dropped]).toEqual([false, 1]);
    for (let count = 0; count < 8; count += 1) expect(datagrams.push(new Uint8Array(32_768), {})).toBe(true);
    expect(datagrams.push(new Uint8Array(1), {})).toBe(false);
  });
});

describe("the size of packets", () => {
  /** Probes until the search ends, over a path that takes `most`. */
  function search(mtu: Mtu, most: number): number[] {
    const probes: number[] = [];
    while (mtu.probeAt <= 0) {
      const bytes = mtu.probeBytes;
      probes.push(bytes);
      mtu.probed(bytes);
      if (bytes <= most) mtu.probeAcked(bytes, 0);
      else mtu.probeLost(bytes, 0);
    }
    return probes;
  }

  test("is the longest at once where that gets through, and never looked for below 1200", () => {
    const mtu = new Mtu(1_452, 0);
    expect(search(mtu, 2_000)).toEqual([1_452]);
    expect([mtu.bytes, mtu.probeAt]).toEqual([1_452, Infinity]);
    expect(new Mtu(1_000, 0).probeAt).toBe(Infinity);
  });

  test("is found by halves, each tried three times, and again after ten minutes", () => {
    const mtu = new Mtu(1_452, 0);
    expect(search(mtu, 1_300)).toEqual([1_452, 1_452, 1_452, 1_326, 1_326, 1_326, 1_263, 1_295]);
    expect([mtu.bytes, mtu.probeAt, mtu.probeBytes]).toEqual([1_295, 600_000, 1_452]);
  });

  test("falls back when long packets vanish and short ones do not", () => {
    const mtu = new Mtu(1_452, 0);
    search(mtu, 2_000);
    for (let number = 1; number <= 5; number += 1) expect(mtu.lost(1_452, number, 0)).toBe(false);
    mtu.acked(1_000, 6);
    expect(mtu.lost(800, 7, 0)).toBe(false);
    expect(mtu.lost(1_452, 8, 0)).toBe(true);
    expect([mtu.bytes, mtu.probeAt]).toEqual([1_200, 10_000]);
    search(mtu, 2_000);
    expect(mtu.unanswered(3, 0)).toBe(false);
  });

  test("does not fall back for losses among long packets that get through", () => {
    const mtu = new Mtu(1_452, 0);
    search(mtu, 2_000);
    for (let number = 1; number <= 100; number += 2) {
      expect(mtu.lost(1_452, number, 0)).toBe(false);
      mtu.acked(1_452, number + 1);
    }
    // A full queue takes many in a row, and is not the path's doing.
    mtu.acked(1_452, 200);
    for (let number = 110; number < 130; number += 1) expect(mtu.lost(1_452, number, 0)).toBe(false);
  });
});

describe("paths", () => {
  const home = { host: "10.0.0.1", port: 1 };
  const away = { host: "10.0.0.1", port: 2 };

  test("change when the new address answers the challenge it got", () => {
    let bits = 0;
    const paths = new Paths(home, true, () => ++bits);
    paths.heard(away, 100, true, 1_000);
    expect(paths.takeChallenge(50, 30, 1_000)).toEqual({ to: away, token: { a: 1, b: 2 } });
    expect(paths.takeChallenge(50, 30, 1_000)).toBe(null);
    expect(paths.answered({ a: 1, b: 3 })).toBe(null);
    expect(paths.address).toEqual(home);
    expect(paths.answered({ a: 1, b: 2 })).toEqual({ otherHost: false });
    expect([paths.address, paths.challengeAt]).toEqual([away, Infinity]);
    expect(paths.answered({ a: 1, b: 2 })).toBe(null);
  });

  test("that are not proved get three times what came from there, answers included", () => {
    const paths = new Paths(home, true, () => 1);
    paths.heard(away, 50, true, 1_000);
    paths.challenged({ a: 7, b: 7 }, away);
    expect(paths.takeAnswer(50)).toEqual({ to: away, token: { a: 7, b: 7 } });
    const tries = [1_000, 1_030, 1_090, 1_210].map((now) => paths.takeChallenge(50, 30, now));
    expect(tries.map((challenge) => challenge !== null)).toEqual([true, true, false, false]);
  });

  test("are not looked at for old packets, nor more often than five times a second", () => {
    const paths = new Paths(home, true, () => 1);
    paths.heard(away, 100, false, 1_000);
    expect(paths.challengeAt).toBe(Infinity);
    paths.heard(away, 100, true, 1_000);
    paths.takeChallenge(50, 30, 1_000);
    paths.answered({ a: 1, b: 1 });
    paths.heard(home, 100, true, 1_100);
    expect(paths.challengeAt).toBe(Infinity);
    paths.heard(home, 100, true, 1_200);
    expect(paths.challengeAt).toBe(1_200);
  });
});

describe("a key", () => {
  const old: Readonly<Record<string, (age: KeyAge) => number>> = {
    "has sealed enough packets": (age) => {
      for (let count = 0; count < packetsPerKeyMax; count += 1) age.sealed(1);
      return 0;
    },
    "has sealed enough bytes": (age) => {
      age.sealed(bytesPerKeyMax);
      return 0;
    },
    "is old enough": () => keyMsMax,
  };
  for (const [why, use] of Object.entries(old)) {
    test(`is changed when it ${why}, once the peer has it`, () => {
      const { a, b } = protections();
      const age = new KeyAge(0);
      const now = use(age);
      expect(age.renew(a, now)).toBe(false);
      b.open(a.seal(0, Uint8Array.of(1)));
      a.open(b.seal(0, Uint8Array.of(1)));
      expect([age.renew(a, now), age.renew(a, now)]).toEqual([true, false]);
    });
  }
});

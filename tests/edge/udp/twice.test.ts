/** What orders is said twice where that is worth it: once lost is a few milliseconds late, and nothing else pays for it. */
import { describe, expect, test } from "bun:test";
import { Pair } from "./pair.ts";

const delayMs = 75;

/** Two ends that have talked, and know the round trip. */
function far(twice: boolean): Pair {
  const pair = new Pair({ seed: 1, there: { delayMs }, back: { delayMs } });
  pair.a.send(0, 100);
  pair.b.send(0, 100);
  expect(pair.finish(2_000)).toBe(true);
  pair.net.run(3_000);
  pair.a.connection.sayTwice(twice);
  return pair;
}

/** When 200 bytes are there, of which the first packet is lost. */
function arrivesAfter(pair: Pair, stream: number): number {
  const sentAt = pair.net.now;
  const { there } = pair.paths;
  there.conditions = { ...there.conditions, drop: [there.counts.sent + 1] };
  pair.a.send(stream, 200);
  expect(pair.finish(sentAt + 5_000)).toBe(true);
  expect(pair.b.received).toEqual(pair.a.written);
  return pair.net.now - sentAt;
}

describe("a message that is lost", () => {
  test("is there a few milliseconds later if it is said twice", () => {
    expect(arrivesAfter(far(true), 2)).toBeLessThan(delayMs + 25);
    expect(arrivesAfter(far(true), 0)).toBeLessThan(delayMs + 25);
  });

  test("takes a round trip more otherwise, and what is bulk always does", () => {
    expect(arrivesAfter(far(false), 2)).toBeGreaterThan(2 * delayMs);
    expect(arrivesAfter(far(true), 3)).toBeGreaterThan(2 * delayMs);
  });
});

test("twice is twice: what has come is not said a third time", () => {
  const pair = far(true);
  const before = pair.a.connection.stats();
  pair.a.send(2, 200);
  pair.net.run(pair.net.now + 2_000);
  const after = pair.a.connection.stats();
  expect(after.retransmittedBytes - before.retransmittedBytes).toBe(200);
  expect(after.lostPackets).toBe(before.lostPackets);
});

test("it goes along with what is said next, in no more packets", () => {
  const packets = (twice: boolean): number => {
    const pair = far(twice);
    const before = pair.a.connection.stats().sentPackets;
    for (let count = 0; count < 50; count += 1) {
      pair.a.send(2, 200);
      pair.net.run(pair.net.now + 10);
    }
    return pair.a.connection.stats().sentPackets - before;
  };
  const once = packets(false);
  expect(once).toBeGreaterThanOrEqual(50);
  expect(packets(true)).toBeLessThanOrEqual(once + 2);
});

test("a window that is filled has no room for it", () => {
  const seconds = 4;
  const carried = (twice: boolean): number => {
    const pair = far(twice);
    const { receivedBytes } = pair.b;
    pair.a.send(2, 10_000_000);
    pair.net.run(pair.net.now + seconds * 1_000);
    return pair.b.receivedBytes - receivedBytes;
  };
  expect(carried(true)).toBeGreaterThan(0.9 * carried(false));
});

/** Two connections over simulated paths: what is written arrives, whatever the path does. */
import { describe, expect, test } from "bun:test";
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
    expect(pair.a.connection.stats().lostPackets).toBe(pair.paths.there.counts.overflowed);
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
});

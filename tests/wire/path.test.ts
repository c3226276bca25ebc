/** The simulated path does what its conditions say, and the reference flow over it gets what theory promises. */
import { expect, test } from "bun:test";
import { Prng } from "../sim/prng.ts";
import { EventQueue } from "../sim/queue.ts";
import { clear, type Conditions, Path } from "./path.ts";
import { referenceCubic } from "./reference.ts";

const seed = Number(process.env["WIRE_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
console.log(`WIRE_SEED=${seed}`);

/** Sends numbered datagrams, one every `everyMs`, and says which arrived when. */
function send(
  conditions: Partial<Conditions>,
  count: number,
  everyMs: number,
  bytes = 100,
): { number: number; at: number; whole: boolean }[] {
  const queue = new EventQueue();
  const path = new Path(queue, new Prng(seed), { ...clear, bytesPerMs: Infinity, ...conditions });
  const arrived: { number: number; at: number; whole: boolean }[] = [];
  for (let number = 0; number < count; number++) {
    queue.at(
      number * everyMs,
      () =>
        path.send(new Uint8Array(bytes).fill(7), (got) => arrived.push({ number, at: queue.now, whole: got.every((byte) => byte === 7) })),
    );
  }
  while (queue.step(Infinity));
  return arrived;
}

test("a clear path delays and does nothing else", () => {
  expect(send({ delayMs: 20 }, 3, 5)).toEqual([0, 1, 2].map((number) => ({ number, at: 20 + number * 5, whole: true })));
});

test("a rate spreads a burst, and the queue has an end", () => {
  // 128 bytes with their headers, at 12.8 per millisecond.
  const arrived = send({ delayMs: 0, bytesPerMs: 12.8, queue: 25 }, 40, 0);
  expect(arrived.map(({ number }) => number)).toEqual(Array.from({ length: 26 }, (_, number) => number));
  expect(arrived.at(-1)!.at).toBeCloseTo(260, 6);
});

test("losses are as many as said, and never more in a row", () => {
  const got = new Set(send({ loss: 0.3, burstMax: 3 }, 5_000, 1).map(({ number }) => number));
  expect(got.size / 5_000).toBeGreaterThan(0.67);
  expect(got.size / 5_000).toBeLessThan(0.75);
  let inARow = 0;
  let most = 0;
  for (let number = 0; number < 5_000; number++) {
    inARow = got.has(number) ? 0 : inARow + 1;
    most = Math.max(most, inARow);
  }
  expect(most).toBe(3);
});

test("duplicates, damage and lateness", () => {
  expect(send({ duplicate: 1 }, 10, 1)).toHaveLength(20);
  const damaged = send({ corrupt: 0.5 }, 1_000, 1).filter(({ whole }) => !whole).length;
  expect(Math.abs(damaged - 500)).toBeLessThan(100);
  const order = send({ reorder: 0.2, reorderMs: 20 }, 1_000, 1).map(({ number }) => number);
  expect(order).not.toEqual(order.toSorted((a, b) => a - b));
  expect(order).toHaveLength(1_000);
});

test("too long, dropped by number, or in the dark", () => {
  expect(send({ bytesMax: 99 }, 3, 1)).toEqual([]);
  expect(send({ drop: [1, 3] }, 4, 1).map(({ number }) => number)).toEqual([1, 3]);
  const seconds = send({ blackOut: { everyMs: 7_000, darkMs: 2_000 } }, 14, 1_000).map(({ number }) => number);
  expect(seconds).toEqual([0, 1, 2, 3, 4, 7, 8, 9, 10, 11]);
});

test("the reference flow fills a path without losses", () => {
  const { bytesPerSecond } = referenceCubic(seed, { delayMs: 25, queue: 60 }, 20_000);
  expect(bytesPerSecond / 1_250_000).toBeGreaterThan(0.9);
  expect(bytesPerSecond / 1_250_000).toBeLessThanOrEqual(1);
});

test("with losses the reference flow gets what CUBIC's response function says", () => {
  // At 1 % and 150 ms the Reno-friendly region rules: about 1.2 / sqrt(p) segments a round trip, by RFC 9438.
  const { bytesPerSecond } = referenceCubic(seed, { delayMs: 75, loss: 0.01 }, 300_000);
  const segments = bytesPerSecond * 0.15 / 1_200;
  expect(segments).toBeGreaterThan(9);
  expect(segments).toBeLessThan(18);
});

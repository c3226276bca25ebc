/** When a connection counts as one that works. */
import { expect, test } from "bun:test";
import type { ConnectionStats } from "../../../edge/link/udp/connection.ts";
import { Pulse } from "../../../edge/link/udp/pulse.ts";

const stats = (change: Partial<ConnectionStats>): ConnectionStats =>
  ({ rttMs: 0, rttMinMs: Infinity, sentPackets: 0, lostPackets: 0, receivedPackets: 0, ...change }) as ConnectionStats;

test("a peer is silent when it leaves several packets unanswered for a second, or for some round trips, and until it answers", () => {
  const pulse = new Pulse(0);
  const looks: readonly (readonly [number, Partial<ConnectionStats>])[] = [
    [100, { receivedPackets: 5, sentPackets: 9 }],
    // The last word was ours, and needs no answer.
    [60_000, { receivedPackets: 5, sentPackets: 10 }],
    [60_250, { receivedPackets: 5, sentPackets: 30 }],
    [60_999, { receivedPackets: 5, sentPackets: 40 }],
    [61_000, { receivedPackets: 5, sentPackets: 40 }],
    [61_250, { receivedPackets: 6, sentPackets: 41 }],
    // Far away.
    [61_500, { receivedPackets: 7, sentPackets: 42, rttMs: 500, rttMinMs: 500 }],
    [62_999, { receivedPackets: 7, sentPackets: 60, rttMs: 500, rttMinMs: 500 }],
    [63_000, { receivedPackets: 7, sentPackets: 60, rttMs: 500, rttMinMs: 500 }],
  ];
  const silent = looks.map(([now, counts]) => {
    pulse.feel(stats(counts), now);
    return pulse.silent;
  });
  expect(silent).toEqual([false, false, false, false, true, false, false, false, true]);
});

test("the share of lost packets is that of the last few thousand, and there is no round trip before an answer", () => {
  const pulse = new Pulse(0);
  pulse.feel(stats({ sentPackets: 10, lostPackets: 0 }), 1);
  expect([pulse.rttMs, pulse.lossRatio]).toEqual([null, 0]);
  pulse.feel(stats({ sentPackets: 2_010, lostPackets: 200, rttMs: 50, rttMinMs: 48 }), 2);
  expect([pulse.rttMs, pulse.lossRatio]).toEqual([50, 0.05]);
  for (let round = 1; round <= 20; round++) pulse.feel(stats({ sentPackets: 2_010 + round * 1_000, lostPackets: 200 }), 2 + round);
  expect(pulse.lossRatio).toBeLessThan(0.0005);
});

/** How long a round trip is taken to be: RFC 9002 section 5, as numbers. */
import { describe, expect, test } from "bun:test";
import { Rtt } from "../../../edge/link/udp/rtt.ts";

describe("round trips", () => {
  test("are smoothed, without what the peer waited, but never below the shortest", () => {
    const rtt = new Rtt();
    rtt.measure(100, 0, 1);
    expect([rtt.smoothedMs, rtt.variationMs, rtt.minMs, rtt.probeMs]).toEqual([100, 50, 100, 305]);
    rtt.measure(112, 4, 2);
    expect([rtt.smoothedMs, rtt.variationMs]).toEqual([101, 39.5]);
    // A peer that claims to have waited an hour is believed 5 ms.
    rtt.measure(109, 3_600_000, 3);
    expect([rtt.smoothedMs, rtt.variationMs]).toEqual([101.375, 30.375]);
    rtt.measure(101, 4, 4);
    expect(rtt.smoothedMs).toBe(101.328125);
  });

  test("are guessed by how long the handshake took, before one is measured, and not for longer than without", () => {
    const rtt = new Rtt();
    rtt.expect(40);
    expect([rtt.smoothedMs, rtt.probeMs, rtt.measuredSince]).toEqual([40, 125, Infinity]);
    rtt.measure(30, 0, 1);
    expect(rtt.smoothedMs).toBe(30);
    const late = new Rtt();
    late.expect(5_000);
    expect(late.probeMs).toBe(new Rtt().probeMs);
  });
});

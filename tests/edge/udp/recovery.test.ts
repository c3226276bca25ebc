/** Loss recovery and congestion, on packets written by hand: RFC 9002, 9406 and 9438 as numbers. */
import { describe, expect, test } from "bun:test";
import type { Acked, Congestion } from "../../../edge/link/udp/congestion.ts";
import { Cubic } from "../../../edge/link/udp/cubic.ts";
import { HyStart } from "../../../edge/link/udp/hystart.ts";
import { Overtaken } from "../../../edge/link/udp/overtaken.ts";
import { Pacer } from "../../../edge/link/udp/pacer.ts";
import { Recovery } from "../../../edge/link/udp/recovery.ts";

/** Recovery that says in lines what became of packets. */
class Story {
  readonly lines: string[] = [];
  readonly congestion: Cubic = new Cubic(1_200);
  readonly recovery: Recovery = new Recovery(this.congestion, {
    onAcked: ({ number }) => void this.lines.push(`acked ${number}`),
    onLost: ({ number }) => void this.lines.push(`lost ${number}`),
    onProbe: (packets) => void this.lines.push(`probe ${packets}`),
  });

  send(at: number, options: { readonly eliciting?: boolean; readonly probeBytes?: number } = {}): void {
    const { eliciting = true, probeBytes = 0 } = options;
    const number = this.recovery.next;
    this.recovery.sent({
      number,
      sentAt: at,
      bytes: 1_200,
      eliciting,
      patient: false,
      ackLargest: -1,
      pieces: [],
      windows: [],
      probeBytes,
    });
  }

  ack(first: number, last: number, now: number, delayMs = 0): void {
    expect(this.recovery.onAck({ largest: last, delayMs, ranges: [first, last] }, now)).toBe(null);
  }

  /** What has been said since last asked. */
  get told(): readonly string[] {
    return this.lines.splice(0);
  }
}

describe("a sample", () => {
  test("is not taken of a packet that nobody had to acknowledge, and whose acknowledgement waited", () => {
    const story = new Story();
    story.send(0);
    story.ack(0, 0, 100);
    story.send(200);
    // Its acknowledgement is lost. Then we acknowledge something, and hear no more until the peer has to say something of its own.
    story.send(210, { eliciting: false });
    story.ack(1, 2, 2_500, 2_190);
    expect([story.recovery.rtt.smoothedMs, story.recovery.rtt.tripMs]).toEqual([100, 100]);
    story.send(3_000);
    story.send(3_001, { eliciting: false });
    story.ack(3, 4, 3_109, 4);
    expect(story.recovery.rtt.smoothedMs).toBe(100.5);
    // Of one that has to be acknowledged it is: the peer is slow.
    story.send(4_000);
    story.ack(5, 5, 4_185, 80);
    expect(story.recovery.rtt.tripMs).toBe(185);
  });
});

describe("a packet", () => {
  test("is lost when one is acknowledged that was sent three later", () => {
    const story = new Story();
    for (let number = 0; number < 5; number += 1) story.send(number);
    story.ack(2, 2, 100);
    expect(story.told).toEqual(["acked 2"]);
    story.ack(3, 3, 101);
    expect(story.told).toEqual(["acked 3", "lost 0"]);
    story.ack(4, 4, 102);
    expect(story.told).toEqual(["acked 4", "lost 1"]);
    expect([story.recovery.inFlightBytes, story.recovery.outstanding, story.recovery.lostPackets]).toEqual([0, 0, 2]);
  });

  test("is lost 9/8 of a round trip after it was sent, when a later one has been acknowledged", () => {
    const story = new Story();
    story.send(0);
    story.send(4);
    story.ack(1, 1, 84);
    expect(story.recovery.timerAt).toBe(90);
    story.recovery.onTimer(89);
    expect(story.told).toEqual(["acked 1"]);
    story.recovery.onTimer(90);
    expect(story.told).toEqual(["lost 0"]);
    expect(story.recovery.timerAt).toBe(Infinity);
  });

  test("that nothing answers is asked after, and again at least every 350 ms or a probe time-out", () => {
    const story = new Story();
    story.send(0);
    story.ack(0, 0, 40);
    story.send(200);
    const times: number[] = [];
    for (let count = 0; count < 6; count += 1) {
      const at = story.recovery.timerAt;
      times.push(at);
      story.recovery.onTimer(at - 1);
      story.recovery.onTimer(at);
    }
    expect(times).toEqual([325, 575, 925, 1_275, 1_625, 1_975]);
    expect(story.told).toEqual(["acked 0", "probe 1", "probe 2", "probe 2", "probe 2", "probe 2", "probe 2"]);
    expect([...story.recovery.unanswered()].map(({ number }) => number)).toEqual([1]);
    expect(story.recovery.probeTimeouts).toBe(6);
    story.ack(1, 1, 9_000);
    expect([story.recovery.probes, story.recovery.timerAt]).toEqual([0, Infinity]);
  });

  test("that only acknowledges is never lost, in flight, or waited for", () => {
    const story = new Story();
    for (let number = 0; number < 5; number += 1) story.send(number, { eliciting: false });
    expect([story.recovery.inFlightBytes, story.recovery.timerAt]).toEqual([0, Infinity]);
    story.send(5);
    story.ack(5, 5, 50);
    expect(story.told).toEqual(["acked 5"]);
  });

  test("that probes for size may be lost and tells nothing of congestion", () => {
    const story = new Story();
    const before = story.congestion.windowBytes;
    story.send(0, { probeBytes: 1_452 });
    expect(story.recovery.inFlightBytes).toBe(0);
    for (let number = 1; number < 4; number += 1) story.send(1);
    story.ack(3, 3, 50);
    expect(story.told).toEqual(["acked 3", "lost 0"]);
    expect([story.recovery.lostPackets, story.congestion.windowBytes >= before]).toEqual([0, true]);
  });
});

describe("an acknowledgement", () => {
  test("of what was never sent, or was left out, is told", () => {
    const { recovery } = new Story();
    expect(recovery.onAck({ largest: 0, delayMs: 0, ranges: [0, 0] }, 1)).toBe("the peer acknowledges packet 0, which was never sent");
    recovery.skip();
    const story = new Story();
    story.send(0);
    story.recovery.skip();
    story.send(1);
    expect(story.recovery.onAck({ largest: 2, delayMs: 0, ranges: [2, 2] }, 9)).toBe(null);
    expect(story.recovery.onAck({ largest: 2, delayMs: 0, ranges: [0, 2] }, 9)).toBe("the peer acknowledges packet 1, which was left out");
  });

  test("is counted once, and old packets are forgotten", () => {
    const story = new Story();
    for (let round = 0; round < 1_000; round += 1) {
      story.send(round);
      story.ack(0, round, round + 0.5);
    }
    expect(story.told.length).toBe(1_000);
    expect(story.recovery.inFlightBytes).toBe(0);
  });
});

describe("a path that reorders", () => {
  test("is learnt from packets that were given up and came: losses are judged later, and the window is as before", () => {
    const story = new Story();
    for (let number = 0; number < 20; number += 1) story.send(number);
    const before = story.congestion.windowBytes;
    story.ack(6, 6, 50);
    expect(story.told).toEqual(["acked 6", "lost 0", "lost 1", "lost 2", "lost 3"]);
    expect(story.congestion.windowBytes).toBeLessThan(before);
    story.ack(0, 2, 52);
    expect(story.congestion.windowBytes).toBeLessThan(before);
    story.ack(3, 3, 53);
    expect(story.congestion.windowBytes).toBe(before);
    // Packet 0 was overtaken by six, and came 52 ms after it was sent.
    story.told;
    story.ack(13, 13, 54);
    expect(story.told).toEqual(["acked 13", "lost 4", "lost 5"]);
  });

  test("does not take an older event's packets for those of the newest", () => {
    const overtaken = new Overtaken();
    const come = (number: number): boolean =>
      overtaken.acknowledged({ largest: number, delayMs: 0, ranges: [number, number] }, number + 5, 50, 60);
    overtaken.lost(0, 0, true);
    overtaken.lost(5, 0, true);
    expect([come(0), come(5), come(5)]).toEqual([false, true, false]);
  });

  test("is not believed in for what belongs to an older loss", () => {
    const story = new Story();
    for (let number = 0; number < 40; number += 1) story.send(number);
    story.ack(5, 5, 60);
    for (let number = 40; number < 60; number += 1) story.send(62);
    story.ack(50, 50, 120);
    const after = story.congestion.windowBytes;
    // Of the first event all have come, of the second not one.
    story.ack(0, 2, 121);
    expect(story.congestion.windowBytes).toBe(after);
  });
});

describe("congestion control", () => {
  const ack = (bytes: number, largest = 0, options: Partial<Acked> = {}): Acked => ({
    bytes,
    largest,
    latestMs: 100,
    smoothedMs: 100,
    limited: false,
    ...options,
  });

  /** Acknowledges a window every round trip of 100 ms, and says how many packets the window has after each. */
  function rounds(cubic: Congestion, count: number, start: number): number[] {
    const packets: number[] = [];
    for (let round = 1; round <= count; round += 1) {
      const window = Math.floor(cubic.windowBytes / 1_200);
      for (let packet = 0; packet < window; packet += 1) cubic.acked(ack(1_200), start + round * 100 + (packet / window) * 100);
      packets.push(Math.round(cubic.windowBytes / 1_200));
    }
    return packets;
  }

  test("begins with ten packets and doubles them each round trip", () => {
    const cubic = new Cubic(1_200);
    expect(cubic.windowBytes).toBe(12_000);
    expect(rounds(cubic, 3, 0)).toEqual([20, 40, 80]);
  });

  test("does not grow for what did not fill it", () => {
    const cubic = new Cubic(1_200);
    for (let count = 0; count < 100; count += 1) cubic.acked(ack(1_200, 0, { limited: true }), count);
    expect(cubic.windowBytes).toBe(12_000);
  });

  test("goes back to 70 % once for all losses of a round trip", () => {
    const cubic = new Cubic(1_200);
    rounds(cubic, 4, 0);
    const before = cubic.windowBytes;
    cubic.lost(900, 1_000);
    cubic.lost(950, 1_010);
    cubic.lost(1_000, 1_020);
    expect(cubic.windowBytes).toBeCloseTo(before * 0.7);
    cubic.lost(1_001, 1_100);
    expect(cubic.windowBytes).toBeCloseTo(before * 0.49);
  });

  test("returns to the height of the loss along a cubic: fast, slow at the height, fast again", () => {
    const cubic = new Cubic(1_200);
    while (cubic.windowBytes < 1_200 * 1_000) cubic.acked(ack(12_000), 0);
    cubic.lost(0.5, 1);
    // K is the cube root of 300 / 0.4: about 9.1 seconds.
    const windows = rounds(cubic, 140, 0);
    const at = (second: number): number => windows[second * 10 - 1]!;
    expect(at(9)).toBeGreaterThan(980);
    expect(at(9)).toBeLessThan(1_010);
    const steps = [at(2) - at(1), at(9) - at(8), at(14) - at(13)];
    expect(steps[0]!).toBeGreaterThan(5 * steps[1]!);
    expect(steps[2]!).toBeGreaterThan(5 * steps[1]!);
  });

  test("is never slower than Reno where the window is small", () => {
    const cubic = new Cubic(1_200);
    cubic.lost(0, 1);
    const windows = rounds(cubic, 20, 1);
    // 3 (1 − β) / (1 + β), about 0.53 packets each round trip; one each from the old height on.
    expect(windows.at(-1)!).toBeGreaterThanOrEqual(7 + 10);
  });

  test("does not move along the curve while the window is not used", () => {
    const [busy, idle] = [new Cubic(1_200), new Cubic(1_200)];
    for (const cubic of [busy, idle]) {
      rounds(cubic, 6, 0);
      cubic.lost(700, 701);
      cubic.acked(ack(1_200), 800);
    }
    idle.acked(ack(1_200, 0, { limited: true }), 30_800);
    busy.acked(ack(1_200), 900);
    idle.acked(ack(1_200), 30_900);
    expect(idle.windowBytes).toBe(busy.windowBytes);
  });

  test("takes back what it did for losses that were none", () => {
    const cubic = new Cubic(1_200);
    rounds(cubic, 3, 0);
    const before = cubic.windowBytes;
    cubic.lost(400, 401);
    cubic.undo();
    expect([cubic.windowBytes, cubic.slowStart]).toEqual([before, true]);
    cubic.undo();
    expect(cubic.windowBytes).toBe(before);
  });

  test("makes room for another after two losses in a row", () => {
    const height = (losses: number): number => {
      const cubic = new Cubic(1_200);
      while (cubic.windowBytes < 1_200 * 1_000) cubic.acked(ack(12_000), 0);
      for (let loss = 0; loss < losses; loss += 1) cubic.lost(loss * 10 + 1, loss * 10 + 1);
      const from = cubic.windowBytes;
      return rounds(cubic, 60, 100).at(-1)! / (from / 1_200);
    };
    expect(height(2)).toBeLessThan(height(1));
  });

  test("falls to two packets when the path was dead for three probe time-outs", () => {
    const story = new Story();
    story.send(0);
    story.ack(0, 0, 50);
    story.send(100);
    story.send(2_000);
    story.send(2_001);
    for (let number = 4; number < 8; number += 1) story.send(3_000);
    story.ack(7, 7, 3_050);
    expect(story.told).toEqual(["acked 0", "acked 7", "lost 1", "lost 2", "lost 3", "lost 4"]);
    // And one more for the packet that came through.
    expect(story.congestion.windowBytes).toBe(2_400 + 1_200);
  });

  test("does not take two losses with something acknowledged in between for a dead path", () => {
    for (const between of [true, false]) {
      const story = new Story();
      story.send(0);
      story.ack(0, 0, 50);
      for (const at of [100, 400, 700, 710, 710, 710]) story.send(at);
      const frame = { largest: 6, delayMs: 0, ranges: between ? [6, 6, 2, 2] : [6, 6] };
      expect(story.recovery.onAck(frame, 760)).toBe(null);
      expect(story.congestion.windowBytes > 6_000).toBe(between);
    }
  });
});

describe("slow start", () => {
  /** Rounds of ten packets whose round trips are told; gives growth per byte of each round. */
  function growth(trips: readonly number[]): number[] {
    const hystart = new HyStart();
    let number = 0;
    return trips.map((tripMs) => {
      let grown = 0;
      const first = number;
      for (let packet = 0; packet < 10; packet += 1) hystart.sent(number++);
      for (let packet = 0; packet < 10; packet += 1) grown += hystart.growth(100, first + packet, tripMs);
      return hystart.done ? -1 : grown / 1_000;
    });
  }

  test("slows down when round trips grow by an eighth, and ends five rounds later", () => {
    expect(growth([100, 100, 100, 100])).toEqual([1, 1, 1, 1]);
    const slower = growth([100, 100, 113, 113, 113, 113, 113, 113, 113]);
    expect(slower.slice(0, 2)).toEqual([1, 1]);
    expect(slower.slice(3, 7)).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(slower.at(-1)).toBe(-1);
  });

  test("goes on at full speed when the rise was chance", () => {
    const rates = growth([100, 100, 113, 100, 100, 100]);
    expect(rates[2]!).toBeGreaterThan(0.25);
    expect(rates.slice(4)).toEqual([1, 1]);
  });
});

describe("the pacer", () => {
  test("lets a burst go, and then as much as the window is for its round trip", () => {
    const pacer = new Pacer();
    const cubic = new Cubic(1_200);
    while (cubic.windowBytes < 120_000) cubic.acked({ bytes: 12_000, largest: 0, latestMs: 100, smoothedMs: 100, limited: false }, 0);
    cubic.lost(0, 1);
    const sentAt: number[] = [];
    for (let now = 0; now < 1_000;) {
      const next = pacer.nextAt(cubic, 100, 1_200, now);
      if (next > now) {
        now = next;
        continue;
      }
      sentAt.push(now);
      pacer.sent(1_200);
    }
    expect(sentAt.filter((at) => at === 0).length).toBe(10);
    const perSecond = sentAt.length - 10;
    const windows = (perSecond * 1_200) / cubic.windowBytes;
    expect(windows).toBeGreaterThan(12.3);
    expect(windows).toBeLessThan(12.7);
    const pauses = sentAt.slice(1).map((at, index) => at - sentAt[index]!).filter((pause) => pause > 0);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(1);
  });
});

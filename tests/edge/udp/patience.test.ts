/** Packets of datagrams alone: nobody sends them again, so nobody asks after them, and what they waited for their acknowledgement is not the path's. */
import { expect, test } from "bun:test";
import { Cubic } from "../../../edge/link/udp/cubic.ts";
import { Recovery } from "../../../edge/link/udp/recovery.ts";

class Story {
  readonly congestion = new Cubic(1_200);
  readonly recovery: Recovery = new Recovery(this.congestion, { onAcked: () => {}, onLost: () => {}, onProbe: () => {} });

  send(at: number, { patient = false }: { readonly patient?: boolean } = {}): void {
    const number = this.recovery.next;
    this.recovery.sent({
      number,
      sentAt: at,
      bytes: 1_200,
      eliciting: true,
      patient,
      ackLargest: -1,
      pieces: [],
      windows: [],
      probeBytes: 0,
    });
  }

  ack(first: number, last: number, now: number, delayMs = 0): void {
    expect(this.recovery.onAck({ largest: last, delayMs, ranges: [first, last] }, now)).toBe(null);
  }
}

test("a packet of datagrams alone is in flight, and no probe asks for it; what its acknowledgement waited is none of the path's", () => {
  const story = new Story();
  story.send(0);
  story.ack(0, 0, 40);
  story.send(100, { patient: true });
  expect([story.recovery.inFlightBytes, story.recovery.timerAt]).toEqual([1_200, Infinity]);
  story.ack(1, 1, 340, 200);
  expect([story.recovery.inFlightBytes, story.recovery.rtt.latestMs, story.recovery.rtt.minMs]).toEqual([0, 45, 40]);
  // With anything else on the way, that is what is asked after.
  story.send(400);
  const { timerAt } = story.recovery;
  story.send(401, { patient: true });
  expect(story.recovery.timerAt).toBe(timerAt);
});

test("a packet of datagrams alone, lost now and then, does not tell that nothing comes through", () => {
  for (const patient of [false, true]) {
    const story = new Story();
    story.send(0);
    story.ack(0, 0, 10);
    const before = story.congestion.windowBytes;
    for (const at of [250, 500, 750, 1_000]) story.send(at, { patient });
    story.ack(4, 4, 1_010);
    expect(story.recovery.lostPackets).toBe(3);
    expect(story.congestion.windowBytes > before / 2).toBe(patient);
  }
});

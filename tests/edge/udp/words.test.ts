/** What a UDP link makes of messages before they are bytes on a wire, and of bytes when they arrive. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Message } from "../../../core/message.ts";
import { FrameWriter } from "../../../edge/link/frames.ts";
import { Incoming } from "../../../edge/link/udp/incoming.ts";
import { isWorthRepeating, Repeats, wordOf } from "../../../edge/link/udp/words.ts";
import { messageVersion } from "../../../edge/codec/message.ts";

const heartbeat: Message = {
  kind: "heartbeat",
  incarnation: 1,
  sequence: 1,
  sentAt: 1,
  echoIncarnation: 0,
  echoSentAt: 0,
  echoHeldMs: 0,
  nextInMs: 250,
  hurry: false,
  beats: [],
};
const vote = (change: Partial<Message & { readonly kind: "vote" }> = {}): Message => ({
  kind: "vote",
  group: 1,
  ballot: 65_537,
  ring: false,
  votes: [{ node: 2, upTo: 7, clock: 1 }],
  ...change,
});
const ask: Message = { kind: "ask", group: 1, request: 7 };

describe("words", () => {
  test("a newer one takes the place of an older only if it says all that did", () => {
    expect(wordOf(heartbeat)).toEqual({ key: "heartbeat", goodForMs: 250 });
    expect(wordOf(vote())).toEqual(wordOf(vote({ votes: [{ node: 2, upTo: 9, clock: 3 }] })));
    const keys = [
      vote(),
      vote({ group: 2 }),
      vote({ ballot: 65_538 }),
      vote({ votes: [{ node: 3, upTo: 7, clock: 1 }] }),
      vote({ ring: true, votes: [{ node: 2, upTo: 7, clock: 1 }, { node: 3, upTo: 7, clock: 1 }] }),
    ].map((message) => wordOf(message)!.key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(wordOf(ask)).toBeNull();
  });

  test("they are said twice only where loss is likely and an answer far away", () => {
    expect(isWorthRepeating({ rttMs: 80, lossRatio: 0.001 })).toBe(true);
    for (const way of [{ rttMs: 80, lossRatio: 0.0005 }, { rttMs: 40, lossRatio: 0.1 }, { rttMs: null, lossRatio: 0.1 }]) {
      expect(isWorthRepeating(way)).toBe(false);
    }
  });

  test("the second time comes a little later, and is the newest's", async () => {
    const repeats = new Repeats(runtime.clock);
    const said: string[] = [];
    const from = performance.now();
    await new Promise<void>((resolve) => {
      repeats.add("a", () => said.push("older"));
      repeats.add("a", () => said.push("newer"));
      repeats.add("b", () => resolve());
    });
    expect(performance.now() - from).toBeGreaterThanOrEqual(3);
    expect(said).toEqual(["newer"]);
    repeats.add("a", () => said.push("never"));
    repeats.close();
    await Bun.sleep(10);
    expect(said).toEqual(["newer"]);
  });
});

describe("what comes in", () => {
  function listening(): { readonly incoming: Incoming; readonly heard: Message[]; readonly nonsense: string[] } {
    const heard: Message[] = [];
    const nonsense: string[] = [];
    const incoming = new Incoming(new Set([0, 2]), {
      onMessage: (message) => heard.push(message),
      onNonsense: (reason) => nonsense.push(reason),
    });
    return { incoming, heard, nonsense };
  }
  const frame = new FrameWriter().write(ask);

  test("streams are cut into messages wherever their pieces end, each for itself; a datagram is one", () => {
    const { incoming, heard, nonsense } = listening();
    incoming.stream(0, frame.subarray(0, 6));
    incoming.stream(2, frame);
    incoming.datagram(frame.subarray(4));
    incoming.stream(0, frame.subarray(6));
    expect(heard).toEqual([ask, ask, ask]);
    expect(nonsense).toEqual([]);
  });

  test("after nonsense nothing is read any more, and it is said once", () => {
    const bad = frame.slice();
    bad[4] = 77;
    for (
      const [spoil, reason] of [
        [(incoming: Incoming) => incoming.stream(4, frame), "there is no group for lane 4"],
        [(incoming: Incoming) => incoming.stream(0, Uint8Array.of(255, 255, 255, 255)), "Cannot decode: a frame claims 4294967295 bytes"],
        [
          (incoming: Incoming) => incoming.datagram(bad.subarray(4)),
          `Cannot decode: the message has version 77 and this node speaks ${messageVersion}`,
        ],
        [(incoming: Incoming) => incoming.datagram(new Uint8Array(0)), expect.stringContaining("Cannot decode")],
      ] as const
    ) {
      const { incoming, heard, nonsense } = listening();
      incoming.stream(0, frame);
      for (let again = 0; again < 2; again++) spoil(incoming);
      incoming.stream(0, frame);
      incoming.datagram(frame.subarray(4));
      expect(nonsense as unknown[]).toEqual([reason]);
      expect(heard).toEqual([ask]);
    }
  });
});

/** Frames: what is written is read, each in one form only, and no bytes do worse than a DecodeError. */
import { describe, expect, test } from "bun:test";
import { DecodeError } from "../../../edge/codec/bytes.ts";
import { ackRangesMax, closeReasonBytesMax, type FrameSink, FrameWriter, readFrames } from "../../../edge/link/udp/frames.ts";
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import { Random } from "../../fuzz/random.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Every frame as a line. */
function read(payload: Uint8Array): string[] {
  const lines: string[] = [];
  const sink: FrameSink = {
    onPing: () => void lines.push("ping"),
    onAck: ({ largest, delayMs, ranges }) => void lines.push(`ack ${largest} ${delayMs} ${ranges.join(" ")}`),
    onDatagram: (bytes) => void lines.push(`datagram ${hex(bytes)}`),
    onStream: (id, offset, bytes) => void lines.push(`stream ${id} ${offset} ${hex(bytes)}`),
    onStreamWindow: (id, limit) => void lines.push(`window ${id} ${limit}`),
    onConnectionWindow: (limit) => void lines.push(`window ${limit}`),
    onChallenge: ({ a, b }) => void lines.push(`challenge ${a} ${b}`),
    onAnswer: ({ a, b }) => void lines.push(`answer ${a} ${b}`),
    onClose: (reason) => void lines.push(`close ${reason}`),
  };
  lines.push(readFrames(payload, sink));
  return lines;
}

function written(write: (writer: FrameWriter) => void, bytesMax = 2_000): Uint8Array {
  const writer = new FrameWriter(2_000);
  writer.begin(bytesMax);
  write(writer);
  return writer.view().slice();
}

function ranges(...pairs: readonly (readonly [number, number])[]): Ranges {
  const result = new Ranges();
  for (const [first, last] of pairs) result.add(first, last + 1);
  return result;
}

const bytes = Uint8Array.of(1, 2, 3);

describe("frames", () => {
  test("are read as they were written", () => {
    const payload = written((writer) => {
      writer.ack(ranges([0, 2], [5, 5], [7, 20]), 1.5);
      writer.ping();
      writer.datagram(bytes);
      writer.stream(131_071, Number.MAX_SAFE_INTEGER - 3, 3);
      writer.copy(bytes);
      writer.streamWindow(2, 16_384);
      writer.connectionWindow(2 ** 40 + 1);
      writer.challenge({ a: 4_000_000_000, b: 1 });
      writer.answer({ a: 2, b: 0xffff_ffff });
      writer.close("no more");
      writer.pad();
    }, 200);
    expect(payload.byteLength).toBe(200);
    expect(read(payload)).toEqual([
      "ack 20 1.5 7 20 5 5 0 2",
      "ping",
      "datagram 010203",
      "stream 131071 9007199254740988 010203",
      "window 2 16384",
      "window 1099511627777",
      "challenge 4000000000 1",
      "answer 2 4294967295",
      "close no more",
      "soon",
    ]);
  });

  test("have these bytes, for good", () => {
    const payload = written((writer) => {
      writer.ack(ranges([0, 2], [5, 5], [7, 20]), 1.5);
      writer.stream(300, 70_000, 3);
      writer.copy(bytes);
      writer.connectionWindow(2 ** 40 + 1);
    });
    expect(hex(payload)).toBe("021445dc020d000001020" + "4412c80011170" + "03010203" + "06c000010000000001");
  });

  test("carry numbers of every length", () => {
    for (const limit of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      expect(read(written((writer) => writer.connectionWindow(limit)))).toEqual([`window ${limit}`, "soon"]);
    }
  });

  test("that only acknowledge, fill or end ask for no acknowledgement", () => {
    expect(read(written((writer) => writer.ack(ranges([3, 3]), 0)))).toEqual(["ack 3 0 3 3", "nothing"]);
    expect(read(written((writer) => writer.close("x")))).toEqual(["close x", "nothing"]);
    expect(read(Uint8Array.of(0, 0, 0))).toEqual(["nothing"]);
  });

  test("of datagrams alone can be acknowledged later", () => {
    const alone = (writer: FrameWriter): void => {
      writer.ack(ranges([3, 3]), 0);
      writer.datagram(bytes);
      writer.pad();
    };
    expect(read(written(alone, 60)).at(-1)).toBe("later");
    const withPing = (writer: FrameWriter): void => {
      writer.ping();
      writer.datagram(bytes);
    };
    expect(read(written(withPing)).at(-1)).toBe("soon");
    const withWindow = (writer: FrameWriter): void => {
      writer.datagram(bytes);
      writer.connectionWindow(20);
    };
    expect(read(written(withWindow)).at(-1)).toBe("soon");
  });

  test("acknowledge the newest ranges, as many as fit", () => {
    const many = ranges(...Array.from({ length: 50 }, (_, index) => [index * 3, index * 3] as const));
    const [full] = read(written((writer) => writer.ack(many, 0)));
    expect(full!.split(" ").length).toBe(3 + ackRangesMax * 2);
    expect(full).toStartWith("ack 147 0 147 147 144 144");
    const [small] = read(written((writer) => writer.ack(many, 0), 60));
    expect(small).toBe("ack 147 0 147 147 144 144 141 141");
  });

  test("cut a reason that is too long, between characters", () => {
    const [line] = read(written((writer) => writer.close("ä".repeat(200))));
    expect(line).toBe(`close ${"ä".repeat(closeReasonBytesMax / 2)}`);
  });
});

describe("a payload is refused that", () => {
  const refused: Readonly<Record<string, string>> = {
    "is empty": "",
    "has an unknown type": "0a",
    "ends early": "0301",
    "writes a number longer than needed": "064001",
    "writes a number of four bytes that needs two": "0680000040",
    "writes a number of eight bytes that needs four": "06c000000000000001",
    "has a number above 2^53 − 1": "06c020000000000000",
    "has an empty STREAM": "04020000",
    "has a stream beyond 2^53 − 1": "0402c01fffffffffffff01aa",
    "acknowledges below 0": "0202000003",
    "acknowledges below 0 in a later range": "02050001020200",
    "acknowledges too many ranges": "0240640020",
    "has padding that is not empty": "0001",
    "has a reason that is not UTF-8": "0901ff",
    "has a reason that is too long": "094101",
  };
  for (const [why, payload] of Object.entries(refused)) {
    test(why, () => expect(() => read(Uint8Array.from(Buffer.from(payload, "hex")))).toThrow(DecodeError));
  }

  test("is damaged in any way, with nothing but a DecodeError", () => {
    const random = new Random(7);
    for (let round = 0; round < 20_000; round += 1) {
      const payload = random.bytes(1 + random.below(40));
      payload[0]! %= 10;
      try {
        read(payload);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }
  });
});

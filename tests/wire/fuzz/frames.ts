/** Frames, after decryption: any peer may send any of them, and what is accepted has one encoding. */
import { type FrameSink, FrameWriter, readFrames } from "../../../edge/link/udp/frames.ts";
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import type { Random } from "../../fuzz/random.ts";
import { accepts, type Target } from "./target.ts";

const roomBytes = 64 << 10;
const writer = new FrameWriter(roomBytes);

export const framesTarget: Target = {
  name: "frames",
  make: (random) => {
    writer.begin(1_200);
    for (let frames = 1 + random.below(4); frames > 0 && writer.room > 800; frames--) writeFrame(writer, random);
    if (random.chance(0.1)) {
      writer.begin(writer.length + random.below(20));
      writeFrame(writer, random);
      writer.pad();
    }
    return writer.view().slice();
  },
  check: (payload) => {
    writer.begin(roomBytes);
    if (!accepts(() => readFrames(payload, again(writer)))) return { accepted: false, read: 1 };
    const rest = payload.subarray(writer.length);
    // The reader takes padding without a word.
    if (rest.some((byte) => byte !== 0)) throw new Error("bytes were left unread");
    if (Buffer.compare(writer.view(), payload.subarray(0, writer.length)) !== 0) {
      throw new Error(`it is written as ${Buffer.from(writer.view()).toString("hex")}`);
    }
    return { accepted: true, read: 1 };
  },
};

function writeFrame(writer: FrameWriter, random: Random): void {
  const bytes = random.bytes(random.below(60));
  switch (random.below(9)) {
    case 0:
      return writer.ping();
    case 1:
      return writer.ack(randomRanges(random), random.number(20) / 1_000);
    case 2:
      return writer.datagram(bytes);
    case 3:
      writer.stream(random.number(16), random.number(40), bytes.byteLength + 1);
      writer.copy(bytes);
      return writer.copy(Uint8Array.of(7));
    case 4:
      return writer.streamWindow(random.number(16), random.number(53));
    case 5:
      return writer.connectionWindow(random.number(53));
    case 6:
      return writer.challenge({ a: random.u32(), b: random.u32() });
    case 7:
      return writer.answer({ a: random.u32(), b: random.u32() });
    default:
      return writer.close(random.pick(["", "over", "a ♪ in the reason"]));
  }
}

function randomRanges(random: Random): Ranges {
  const ranges = new Ranges();
  let at = random.number(30);
  for (let count = 1 + random.below(6); count > 0; count--) {
    const end = at + 1 + random.below(100);
    ranges.add(at, end);
    at = end + 1 + random.below(50);
  }
  return ranges;
}

/** Writes each frame once more. */
function again(writer: FrameWriter): FrameSink {
  return {
    onPing: () => writer.ping(),
    onAck: ({ delayMs, ranges }) => {
      const all = new Ranges();
      for (let at = 0; at < ranges.length; at += 2) all.add(ranges[at]!, ranges[at + 1]! + 1);
      writer.ack(all, delayMs);
    },
    onDatagram: (bytes) => writer.datagram(bytes),
    onStream: (stream, offset, bytes) => {
      writer.stream(stream, offset, bytes.byteLength);
      writer.copy(bytes);
    },
    onStreamWindow: (stream, limit) => writer.streamWindow(stream, limit),
    onConnectionWindow: (limit) => writer.connectionWindow(limit),
    onChallenge: (token) => writer.challenge(token),
    onAnswer: (token) => writer.answer(token),
    onClose: (reason) => writer.close(reason),
  };
}

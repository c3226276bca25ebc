/** What a link is made of: frames cut from chunks, the outgoing queue, sealed records, words good once. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Message } from "../../core/message.ts";
import { DecodeError } from "../../edge/codec/bytes.ts";
import { decodeMessage } from "../../edge/codec/message.ts";
import { frameBytesMax, FrameReader, FrameWriter } from "../../edge/link/frames.ts";
import { Bucket } from "../../edge/link/bucket.ts";
import { nonceLifeMs, Nonces } from "../../edge/link/nonces.ts";
import { Queue } from "../../edge/link/queue.ts";
import { Opener, recordBytesMax, recordsPerKey, Sealer } from "../../edge/link/records.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { Random, randomMessage } from "../fuzz/random.ts";

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

describe("frames", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);

  test(`messages survive any cutting into chunks (seed ${seed})`, () => {
    const random = new Random(seed);
    const writer = new FrameWriter();
    const messages = Array.from({ length: 300 }, () => randomMessage(random));
    const stream = joined(messages.map((message) => writer.write(message)));
    for (const most of [1, 3, 50, 5_000, 200_000]) {
      const got: Message[] = [];
      const reader = new FrameReader((frame) => got.push(decodeMessage(frame, false)));
      for (let at = 0; at < stream.length;) {
        const end = at + 1 + random.below(most);
        reader.push(stream.slice(at, end));
        at = end;
      }
      expect(got).toEqual(messages);
    }
  });

  test("frames lie side by side in memory until the buffer is full, and stay as they were", () => {
    const random = new Random(3);
    const writer = new FrameWriter();
    const messages = Array.from({ length: 2_000 }, () => randomMessage(random));
    const frames = messages.map((message) => writer.write(message));
    const copies = frames.map((frame) => frame.slice());
    writer.write({ kind: "propose", group: 1, batches: [{ origin: 1, sequence: 1, count: 1, bytes: new Uint8Array(1 << 20) }] });
    expect(frames).toEqual(copies);
    expect(frames[1]!.byteOffset).toBe(frames[0]!.byteOffset + frames[0]!.byteLength);
    const buffers = new Set(frames.map((frame) => frame.buffer)).size;
    expect(buffers).toBeLessThan(2 + copies.reduce((sum, frame) => sum + frame.length, 0) / 50_000);
  });

  test("a length that no frame has is refused before anything is allocated for it", () => {
    const reader = () => new FrameReader(() => {});
    const header = (length: number) => new Uint8Array(Uint32Array.of(length).buffer);
    expect(() => reader().push(header(frameBytesMax + 1))).toThrow(DecodeError);
    expect(() => reader().push(header(0xffff_ffff))).toThrow("a frame claims 4294967295 bytes");
    expect(() => reader().push(header(0))).toThrow(DecodeError);
    const split = reader();
    split.push(header(0xffff_ffff).subarray(0, 3));
    expect(() => split.push(header(0xffff_ffff).subarray(3))).toThrow(DecodeError);
  });
});

describe("the outgoing queue", () => {
  test("neighbours leave as one piece without a copy", () => {
    const queue = new Queue(1_000);
    const buffer = Uint8Array.from({ length: 300 }, (_, index) => index);
    for (let at = 0; at < 300; at += 100) expect(queue.push(buffer.subarray(at, at + 100))).toBe(true);
    const { bytes, frames } = queue.take()!;
    expect([bytes.buffer === buffer.buffer, bytes.byteLength, frames, queue.bytes, queue.take()]).toEqual([true, 300, 3, 0, null]);
  });

  test("strangers are gathered while they are small; large ones leave as they are", () => {
    const queue = new Queue(1 << 20);
    const large = new Uint8Array(100_000).fill(9);
    for (const piece of [new Uint8Array(10).fill(1), new Uint8Array(10).fill(2), large, new Uint8Array(10).fill(3)]) queue.push(piece);
    expect(queue.take()).toEqual({ bytes: joined([new Uint8Array(10).fill(1), new Uint8Array(10).fill(2)]), frames: 2 });
    expect(queue.take()!.bytes.buffer).toBe(large.buffer);
    expect(queue.take()).toEqual({ bytes: new Uint8Array(10).fill(3), frames: 1 });
    expect(queue.take()).toBe(null);
  });

  test("what does not fit is refused, and what was queued stays", () => {
    const queue = new Queue(250);
    const results = [1, 2, 3].map((fill) => queue.push(new Uint8Array(100).fill(fill)));
    expect([results, queue.bytes]).toEqual([[true, true, false], 200]);
    expect(queue.take()!.bytes).toEqual(joined([new Uint8Array(100).fill(1), new Uint8Array(100).fill(2)]));
    expect(queue.push(new Uint8Array(250))).toBe(true);
    expect([queue.clear(), queue.bytes, queue.take()]).toEqual([1, 0, null]);
  });

  test("any mixture comes out whole and in order", () => {
    const random = new Random(17);
    const queue = new Queue(1 << 30);
    const put: Uint8Array[] = [];
    const got: Uint8Array[] = [];
    let frames = 0;
    for (let round = 0; round < 3_000; round++) {
      if (random.chance(0.6)) {
        const slab = random.bytes(random.pick([5, 50, 20_000]));
        const cut = random.below(slab.length);
        for (const piece of [slab.subarray(0, cut), slab.subarray(cut)]) {
          put.push(piece);
          queue.push(piece);
        }
      } else {
        const next = queue.take();
        if (next !== null) got.push(next.bytes);
        frames += next?.frames ?? 0;
      }
    }
    for (let next = queue.take(); next !== null; next = queue.take()) {
      got.push(next.bytes);
      frames += next.frames;
    }
    expect(frames).toBe(put.length);
    expect(Buffer.compare(joined(got), joined(put))).toBe(0);
  });
});

describe("records", () => {
  const { cryptography } = runtime;
  const key = new Uint8Array(32).fill(7);
  const opened: Uint8Array[] = [];
  const opener = () => {
    opened.length = 0;
    return new Opener(cryptography, key, (plain) => opened.push(plain));
  };

  test("what was sealed comes out, whatever the cuts, and nothing of it can be read on the way", () => {
    const random = new Random(5);
    const canary = new TextEncoder().encode("a canary in the mine");
    const plains = [canary, new Uint8Array(0), random.bytes(300), random.bytes(recordBytesMax), canary];
    const sealer = new Sealer(cryptography, key);
    const stream = joined(plains.map((plain) => sealer.seal(plain)));
    expect(stream.length).toBe(plains.reduce((sum, plain) => sum + plain.length + 20, 0));
    expect(Buffer.from(stream).includes(Buffer.from(canary))).toBe(false);
    for (const most of [1, 7, 5_000, 200_000]) {
      const ours = opener();
      for (let at = 0; at < stream.length;) {
        const end = at + 1 + random.below(most);
        ours.push(stream.slice(at, end));
        at = end;
      }
      expect(opened.map((plain) => Buffer.from(plain).toString("base64"))).toEqual(
        plains.map((plain) => Buffer.from(plain).toString("base64")),
      );
    }
  });

  test("a record that is changed, left out, repeated or of another key ends it", () => {
    const sealer = new Sealer(cryptography, key);
    const records = ["one", "two", "three"].map((word) => sealer.seal(new TextEncoder().encode(word)));
    const [one, two] = records as [Uint8Array, Uint8Array];
    const changed = (at: number) => one.map((byte, index) => index === at ? byte ^ 1 : byte);
    for (
      const stream of [[changed(4)], [changed(one.length - 1)], [two], [one, one], [one, records[2]!], [
        new Sealer(cryptography, new Uint8Array(32)).seal(one),
      ]]
    ) {
      const ours = opener();
      expect(() => stream.forEach((record) => ours.push(record))).toThrow("a record was not sealed by the peer, or not as the next one");
      expect(opened.length).toBe(stream.length - 1);
    }
    expect(() => opener().push(new Uint8Array(Uint32Array.of(recordBytesMax + 17).buffer))).toThrow(
      `a frame claims ${recordBytesMax + 17} bytes`,
    );
  });

  test("both ends replace the key at the same record, without a word", () => {
    const [sealer, ours] = [new Sealer(cryptography, key), opener()];
    const plain = Uint8Array.of(1, 2, 3);
    for (let count = 1; count <= 2 * recordsPerKey + 1; count++) {
      const record = sealer.seal(plain);
      ours.push(record);
      if (count !== recordsPerKey && count !== recordsPerKey + 1) continue;
      const nonce = new Uint8Array(12);
      new DataView(nonce.buffer).setUint32(8, count - 1);
      const underTheFirst = cryptography.aead(key).open(nonce, new Uint8Array(0), record.subarray(4));
      expect(underTheFirst).toEqual(count === recordsPerKey ? plain : null);
    }
    expect(opened.length).toBe(2 * recordsPerKey + 1);
  });
});

test("a bucket lets so many through at once, and so many a second", () => {
  const bucket = new Bucket({ perSecond: 10, atOnce: 3 });
  const taken = (now: number) => Array.from({ length: 5 }, () => bucket.take(now)).filter((took) => took).length;
  expect([taken(0), taken(0), taken(99), taken(200), taken(100_000)]).toEqual([3, 0, 0, 2, 3]);
});

describe("a nonce", () => {
  let mono = 1_000;
  const still: Runtime = { ...runtime, clock: { ...runtime.clock, now: () => ({ mono, wall: 0 }) } };
  const spend = (nonces: Nonces, nonce: string): boolean => {
    const good = nonces.isGood(nonce);
    if (good) nonces.spend(nonce);
    return good;
  };

  test("is good once, for a while, and only where it came from", () => {
    const nonces = new Nonces(still);
    const [first, second, third] = [nonces.issue(), nonces.issue(), nonces.issue()];
    expect([spend(nonces, first), spend(nonces, first)]).toEqual([true, false]);
    mono += nonceLifeMs;
    expect(spend(nonces, second)).toBe(true);
    mono += 2;
    expect(spend(nonces, third)).toBe(false);
    expect(new Nonces(still).isGood(nonces.issue())).toBe(false);
    const longer = nonces.issue().replace(/^0000000/, "0000001");
    expect(nonces.isGood(longer)).toBe(false);
    for (const junk of ["", "x".repeat(78), "0".repeat(78)]) expect(nonces.isGood(junk)).toBe(false);
  });

  test("is remembered when spent, within bounds, and forgotten in time", () => {
    const nonces = new Nonces(still);
    let spent = 0;
    while (spend(nonces, nonces.issue())) spent++;
    expect(spent).toBe(4_096);
    mono += nonceLifeMs + 2;
    expect(spend(nonces, nonces.issue())).toBe(true);
  });
});

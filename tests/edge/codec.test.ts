/** Messages, records and entries in bytes: one encoding each, nothing pinned, nothing believed. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../core/assert.ts";
import type { Message } from "../../core/message.ts";
import { DecodeError, Reader, Writer } from "../../edge/codec/bytes.ts";
import { decodeMessage, encodeMessage } from "../../edge/codec/message.ts";
import { decodeRecord, encodeRecord } from "../../edge/codec/record.ts";
import { messageKinds, Random, randomMessage, randomRecord, recordKinds } from "../fuzz/random.ts";

function encoded(message: Message): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  encodeMessage(writer, message);
  return writer.copy();
}

const small: Message = {
  kind: "accept",
  group: 3,
  ballot: 65_538,
  base: 4,
  start: 5,
  ring: true,
  decided: 6,
  clock: 2 ** 50 + 1,
  entry: {
    instance: 7,
    ballot: 65_538,
    stamp: 2 ** 50,
    count: 3,
    slotBase: 9,
    slots: 3,
    kind: "batch",
    batches: [
      { origin: 2 ** 33 + 1, sequence: 1, count: 2, bytes: Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 42) },
      { origin: 2 ** 33 + 1, sequence: 2, count: 1, bytes: new Uint8Array(0) },
    ],
  },
};

describe("messages", () => {
  for (const kind of messageKinds) {
    test(`${kind} comes back as it was`, () => {
      const random = new Random(7);
      for (let round = 0; round < 100; round++) {
        const message = randomMessage(random, kind);
        expect(decodeMessage(encoded(message))).toEqual(message);
      }
    });
  }

  test("an accept has this layout", () => {
    const hex = (text: string) => text.replaceAll(" ", "");
    expect(Buffer.from(encoded(small)).toString("hex")).toBe(
      hex("02 04 0300 0200010000000000 0400000000000000 0500000000000000 01 0600000000000000 0100000000000400") +
        hex("0700000000000000 0200010000000000 0000000000000400 03000000 0900000000000000 0300000000000000 00 02000000") +
        hex("0100000002000000 0100000000000000 02000000 09000000 0100000002000000 0200000000000000 01000000 00000000") +
        hex("00000000010000002a"),
    );
  });

  test("every proper prefix is refused, and so is anything behind the end", () => {
    const bytes = encoded(small);
    for (let length = 0; length < bytes.length; length++) expect(() => decodeMessage(bytes.subarray(0, length))).toThrow(DecodeError);
    expect(() => decodeMessage(Uint8Array.of(...bytes, 0))).toThrow("1 bytes are left over");
  });

  test("another version is refused by name", () => {
    const bytes = encoded(small);
    bytes[0] = 9;
    expect(() => decodeMessage(bytes)).toThrow("Cannot decode: the message has version 9 and this node speaks 2");
  });

  test("a claimed count is checked before anything is allocated", () => {
    const bytes = encoded({ kind: "vote", group: 1, ballot: 1, ring: false, votes: [] });
    new DataView(bytes.buffer).setUint32(bytes.length - 4, 0xffff_ffff, true);
    expect(() => decodeMessage(bytes)).toThrow("4294967295 × 18 bytes are claimed and 0 left");
  });

  test("numbers above 2^53 − 1 and numbers that are not finite are refused", () => {
    const ask = encoded({ kind: "ask", group: 1, request: 2 ** 53 - 1 });
    expect(decodeMessage(ask)).toEqual({ kind: "ask", group: 1, request: 2 ** 53 - 1 });
    ask[ask.length - 2] = 0x20;
    expect(() => decodeMessage(ask)).toThrow("above 2^53");
    const beat = encoded(randomMessage(new Random(1), "heartbeat"));
    new DataView(beat.buffer).setFloat64(14, NaN, true);
    expect(() => decodeMessage(beat)).toThrow("not finite");
  });

  test("our own broken numbers never reach the wire", () => {
    for (const request of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(() => encoded({ kind: "ask", group: 1, request })).toThrow(AssertionError);
    }
    expect(() => encoded({ kind: "ask", group: 65_536, request: 1 })).toThrow(AssertionError);
  });
});

describe("what a decoded message pins", () => {
  const payload = (message: Message) => message.kind === "propose" ? message.batches[0]!.bytes : new Uint8Array(0);
  const propose = (bytes: number): Uint8Array<ArrayBuffer> =>
    encoded({ kind: "propose", group: 1, batches: [{ origin: 1, sequence: 1, count: 1, bytes: new Uint8Array(bytes).fill(7) }] });

  test("a small payload is copied out of its chunk", () => {
    const chunk = new Uint8Array(65_536);
    const frame = propose(100);
    chunk.set(frame, 500);
    const bytes = payload(decodeMessage(chunk.subarray(500, 500 + frame.length), false));
    expect(bytes).toEqual(new Uint8Array(100).fill(7));
    expect(bytes.buffer.byteLength).toBe(100);
  });

  test("a payload that fills its chunk stays there, unless the chunk is lent", () => {
    const frame = propose(60_000);
    expect(payload(decodeMessage(frame, false)).buffer).toBe(frame.buffer);
    expect(payload(decodeMessage(frame)).buffer).not.toBe(frame.buffer);
  });

  test("a Buffer is copied too, although its slice would not", () => {
    const frame = Buffer.from(propose(50));
    const bytes = payload(decodeMessage(frame));
    frame.fill(0);
    expect(bytes).toEqual(new Uint8Array(50).fill(7));
  });

  test("all batches of an entry share one copy", () => {
    const random = new Random(11);
    const batches = [1, 2, 3].map((sequence) => ({ origin: 1, sequence, count: 1, bytes: random.bytes(sequence * 10) }));
    const message = decodeMessage(encoded({ kind: "propose", group: 1, batches }));
    expect(message).toEqual({ kind: "propose", group: 1, batches });
    if (message.kind === "propose") expect(message.batches.map((batch) => batch.bytes.buffer.byteLength)).toEqual([60, 60, 60]);
  });
});

describe("records", () => {
  for (const kind of recordKinds) {
    test(`${kind} comes back as it was, and the reader stands behind it`, () => {
      const random = new Random(5);
      for (let round = 0; round < 50; round++) {
        const records = [randomRecord(random, kind), randomRecord(random)];
        const writer = new Writer(16);
        for (const record of records) encodeRecord(writer, record);
        const reader = new Reader(writer.view());
        expect([decodeRecord(reader), decodeRecord(reader)]).toEqual(records);
        reader.end();
      }
    });
  }
});

describe("bytes", () => {
  test("text comes back, byte order mark and all", () => {
    const writer = new Writer(1);
    for (const text of ["", "ä€😀", "\ufeffx"]) writer.utf8(text);
    const reader = new Reader(writer.copy());
    expect([reader.utf8(), reader.utf8(), reader.utf8()]).toEqual(["", "ä€😀", "\ufeffx"]);
    const wrong = new Writer();
    wrong.u32(1);
    wrong.u8(0xff);
    expect(() => new Reader(wrong.view()).utf8()).toThrow(DecodeError);
  });

  test("a frame's length can be filled in afterwards, and the writer used again", () => {
    const writer = new Writer(2);
    for (const text of ["first", "second, longer"]) {
      writer.clear();
      const at = writer.skip(4);
      writer.utf8(text);
      writer.patchU32(at, writer.length - 4);
      const reader = new Reader(writer.view());
      expect([reader.u32(), reader.utf8(), reader.remaining]).toEqual([4 + text.length, text, 0]);
    }
  });
});

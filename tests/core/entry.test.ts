/** Batch bodies come from other nodes: what was packed is found again, and a body that lies is refused, not over-read. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { eachCommand, packCommands } from "../../core/entry.ts";

function unpack(bytes: Uint8Array): Uint8Array[] {
  const commands: Uint8Array[] = [];
  eachCommand(bytes, (payload, index) => {
    expect(index).toBe(commands.length);
    commands.push(payload);
  });
  return commands;
}

test("what was packed is unpacked", () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
  fc.assert(fc.property(payloads, (commands) => expect(unpack(packCommands(commands))).toEqual(commands)));
});

test("commands are views into the body, not copies", () => {
  const body = packCommands([new Uint8Array([1]), new Uint8Array([2])]);
  expect(unpack(body).map((payload) => payload.buffer === body.buffer)).toEqual([true, true]);
});

test("a body cut anywhere but between commands is refused", () => {
  const body = packCommands([new Uint8Array(3), new Uint8Array(0), new Uint8Array(5)]);
  const between = new Set([0, 7, 11, 20]);
  const refusals = Array.from({ length: body.byteLength + 1 }, (_, length) => {
    try {
      unpack(body.subarray(0, length));
      return "read";
    } catch (error) {
      return error instanceof RangeError ? "refused" : "broken";
    }
  });
  expect(refusals).toEqual(refusals.map((_, length) => between.has(length) ? "read" : "refused"));
});

test("a length of four gigabytes is refused, also where a signed number would be negative", () => {
  for (const length of [0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const body = new Uint8Array(8);
    new DataView(body.buffer).setUint32(0, length, true);
    expect(() => unpack(body)).toThrow("Cannot read a batch: it ends inside a command");
  }
});

test("random bytes are read within their bounds or refused with a RangeError", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    try {
      const total = unpack(bytes).reduce((sum, payload) => sum + 4 + payload.byteLength, 0);
      expect(total).toBe(bytes.byteLength);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
    }
  }));
});

/** CBOR values of users: what comes back, and what is refused before cbor-x sees it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CarillonError } from "../../core/errors.ts";
import { DecodeError } from "../../edge/codec/bytes.ts";
import { cborItemsMax, decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

describe("values come back", () => {
  for (
    const [bytes, value] of [
      ["00", 0],
      ["1b001ffffffffffffe", 2 ** 53 - 2],
      ["3903e7", -1_000],
      ["f93c00", 1],
      ["fb3ff8000000000000", 1.5],
      ["f6", null],
      ["43010203", Uint8Array.of(1, 2, 3)],
      ["62c3a4", "ä"],
      ["83 01 02 03", [1, 2, 3]],
      ["a2 6161 01 6162 82 f5 f4", { a: 1, b: [true, false] }],
      ["c1 1a3b9aca00", new Date(1_000_000_000_000)],
      ["d90102 82 01 02", new Set([1, 2])],
      ["d90103 a2 01 6161 6131 6162", new Map<unknown, unknown>([[1, "a"], ["1", "b"]])],
    ] as const
  ) {
    test(bytes, () => expect(decodeCbor(hex(bytes))).toEqual(value));
  }

  test("anything JSON can say, and bytes", () => {
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small", maxDepth: 10 },
        fc.string({ unit: "binary" }),
        // Zero has one sign here, as in JSON.
        fc.double({ noNaN: true }).map((number) => number + 0),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.uint8Array(),
        fc.array(tie("value"), { maxLength: 5 }),
        fc.dictionary(fc.string().filter((key) => key !== "__proto__"), tie("value"), { maxKeys: 5, noNullPrototype: true }),
      ),
    })).value;
    fc.assert(fc.property(value, (value) => {
      expect(decodeCbor(encodeCbor(value))).toEqual(value);
    }));
  });

  test("byte strings are plain, untagged and pin nothing", () => {
    const bytes = encodeCbor({ u: Uint8Array.of(7) });
    expect(Buffer.from(bytes).toString("hex")).toBe("a161754107");
    const value = decodeCbor(Buffer.from(bytes)) as { u: Uint8Array };
    expect([value.u.constructor, value.u.buffer.byteLength]).toEqual([Uint8Array, 1]);
  });
});

describe("refused", () => {
  const cases: readonly (readonly [what: string, bytes: string, sentence: string])[] = [
    ["nothing", "", "ends inside an item"],
    ["a second value", "00 00", "1 bytes follow"],
    ["17 levels", "81".repeat(17) + "00", "nested deeper than 16"],
    ["a hundred thousand levels", "81".repeat(100_000) + "00", "nested deeper than 16"],
    ["a long chain of tags", "c1".repeat(1_000) + "00", "nested deeper than 16"],
    ["an array that claims 4 billion", "9affffffff", "claims 4294967295 items"],
    ["a map that claims more than there is", "a3 6161 01", "claims 6 items"],
    ["bytes that claim 2^53", "5b001fffffffffffff", "beyond 2^53"],
    ["bytes that claim a gigabyte", "5a40000000 00", "ends inside an item"],
    ["an integer that no number holds", "1bffffffffffffffff", "beyond 2^53"],
    ["a bignum", "c2 49 010000000000000000", "tag 2"],
    ["a constructor call", "d81b 83 66526567457870 6178 6167", "tag 27"],
    ["packed values", "d833 84 81 01 80 80 00", "tag 51"],
    ["shared references", "d81c 80", "tag 28"],
    ["a record", "d9dfff 83 19e000 81 6161 01", "tag 57343"],
    ["indefinite length", "9f ff", "indefinite"],
    ["a key twice", "a2 6161 01 6161 02", "key twice"],
    ["a number key twice, in two widths", "d90103 a2 01 00 1801 00", "key twice"],
    ["__proto__", "a1 69 5f5f70726f746f5f5f a0", "__proto__"],
    ["a number as an object's key", "a1 01 02", "not text"],
    ["text that is not UTF-8", "61 ff", "not UTF-8"],
    ["a length that is longer than needed", "5801 00", "longer than needed"],
    ["simple value 255", "f8ff", "unknown simple value"],
  ];
  for (const [what, bytes, sentence] of cases) {
    test(what, () => {
      expect(() => decodeCbor(hex(bytes))).toThrow(DecodeError);
      expect(() => decodeCbor(hex(bytes))).toThrow(sentence);
    });
  }

  test("ten million empty arrays, within a moment", () => {
    const bytes = new Uint8Array(10_000_005).fill(0x80);
    bytes.set(hex("9a00989680"));
    const from = performance.now();
    expect(() => decodeCbor(bytes)).toThrow(`more than ${cborItemsMax} items`);
    expect(performance.now() - from).toBeLessThan(500);
  });

  test("encoding what could not be decoded", () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    let deep: unknown = 1;
    for (let level = 0; level < 17; level++) deep = [deep];
    for (const value of [cycle, deep, 2n ** 70n, /x/, new Map([[{}, 1]]), () => 1, Symbol("x")]) {
      expect(() => encodeCbor(value)).toThrow(CarillonError);
      expect(() => encodeCbor(value)).toThrow("Cannot encode the value as CBOR: ");
    }
  });
});

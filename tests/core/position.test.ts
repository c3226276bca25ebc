/** The one thing every position must keep: text, numbers and order say the same. The examples are in tests/contract/core.ts. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { comparePositions, formatPosition, parsePosition, type Position, slotPosition, start } from "../../core/position.ts";

const position: fc.Arbitrary<Position> = fc.record({
  major: fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 3 })),
  group: fc.oneof(fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 0, max: 2 })),
  minor: fc.integer({ min: 0, max: 255 }),
});

test("a position survives being printed", () => {
  fc.assert(fc.property(position, (a) => expect(parsePosition(formatPosition(a))).toEqual(a)));
});

test("text sorts the way positions compare", () => {
  fc.assert(fc.property(position, position, (a, b) => {
    const [textA, textB] = [formatPosition(a), formatPosition(b)];
    const order = textA < textB ? -1 : textA > textB ? 1 : 0;
    expect(Math.sign(comparePositions(a, b))).toBe(order);
  }));
});

test("whatever parses prints back as it was", () => {
  const digit = fc.constantFrom(..."0123456789abcdefABCDEF -g".split(""));
  fc.assert(fc.property(fc.string({ unit: digit, minLength: 18, maxLength: 22 }), (text) => {
    const parsed = parsePosition(text);
    if (parsed !== null) expect(formatPosition(parsed)).toBe(text);
  }));
});

test("nothing comes before the start", () => {
  fc.assert(fc.property(position, (a) => expect(comparePositions(start, a)).toBeLessThanOrEqual(0)));
});

test("slots of one group keep their order, and a turn never needs more than its byte", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 256 }), fc.integer({ min: 0, max: 2 ** 40 }), (turn, slot) => {
    const [here, next] = [slotPosition(turn, 1, slot), slotPosition(turn, 1, slot + 1)];
    expect(comparePositions(here, next)).toBeLessThan(0);
    expect(here.minor).toBeLessThanOrEqual(255);
    expect(here.major * turn + here.minor).toBe(slot);
  }));
});

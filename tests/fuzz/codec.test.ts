/** Damaged bytes: a decoder answers with a value or a DecodeError, soon, and what it accepts has one encoding. */
import { expect, test } from "bun:test";
import { DecodeError, Reader, Writer } from "../../edge/codec/bytes.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { decodeMessage, encodeMessage } from "../../edge/codec/message.ts";
import { decodeRecord, encodeRecord } from "../../edge/codec/record.ts";
import { mutate } from "./mutate.ts";
import { Random, randomMessage, randomRecord } from "./random.ts";

const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const inputs = Number(process.env.FUZZ_INPUTS ?? 20_000);
/** Bytes a decoder may take its time over; generous, because the machine may be busy elsewhere. */
const slowMs = 250;

interface Target {
  /** A valid input. */
  make(random: Random): Uint8Array;
  /** Decodes, and encodes again if there is only one way to. */
  check(bytes: Uint8Array): Uint8Array | null;
}

/** How many of the inputs were accepted: a fuzzer that never gets past the first byte finds nothing. */
function fuzz(target: Target): number {
  console.log(`FUZZ_SEED=${seed} FUZZ_INPUTS=${inputs}`);
  const random = new Random(seed);
  let accepted = 0;
  let other: Uint8Array = new Uint8Array(0);
  for (let index = 0; index < inputs; index++) {
    const good = target.make(random);
    const bytes = index % 10 === 9 ? random.bytes(random.below(200)) : mutate(random, good, other);
    other = good;
    const from = performance.now();
    try {
      const again = target.check(bytes);
      accepted++;
      if (again !== null) expect(Buffer.from(again).toString("hex")).toBe(Buffer.from(bytes).toString("hex"));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw new Error(`input ${Buffer.from(bytes).toString("hex")}`, { cause: error });
    }
    const tookMs = performance.now() - from;
    if (tookMs > slowMs) throw new Error(`input ${Buffer.from(bytes).toString("hex")} took ${tookMs} ms`);
  }
  return accepted;
}

test("damaged messages", () => {
  const writer = new Writer();
  const accepted = fuzz({
    make: (random) => {
      writer.clear();
      encodeMessage(writer, randomMessage(random));
      return writer.copy();
    },
    check: (bytes) => {
      const message = decodeMessage(bytes);
      writer.clear();
      encodeMessage(writer, message);
      return writer.view();
    },
  });
  expect(accepted).toBeGreaterThan(inputs / 50);
});

test("damaged journal records", () => {
  const writer = new Writer();
  const accepted = fuzz({
    make: (random) => {
      writer.clear();
      encodeRecord(writer, randomRecord(random));
      return writer.copy();
    },
    check: (bytes) => {
      const reader = new Reader(bytes);
      const record = decodeRecord(reader);
      reader.end();
      writer.clear();
      encodeRecord(writer, record);
      return writer.view();
    },
  });
  expect(accepted).toBeGreaterThan(inputs / 50);
});

test("damaged CBOR", () => {
  const accepted = fuzz({
    make: (random) => encodeCbor(randomValue(random, 0)),
    check: (bytes) => {
      // Two CBOR texts may mean the same (a float in two widths), but ours is the same from then on.
      const ours = encodeCbor(decodeCbor(bytes));
      expect(encodeCbor(decodeCbor(ours))).toEqual(ours);
      return null;
    },
  });
  expect(accepted).toBeGreaterThan(inputs / 50);
});

function randomValue(random: Random, depth: number): unknown {
  const leaf = random.below(depth > 4 ? 8 : 12);
  switch (leaf) {
    case 0:
      return random.number(53);
    case 1:
      return -1 - random.number(31);
    case 2:
      return random.number(40) / 7;
    case 3:
      return random.pick([true, false, null, undefined]);
    case 4:
      return String.fromCharCode(...Array.from({ length: random.below(30) }, () => 32 + random.below(900)));
    case 5:
      return random.bytes(random.below(40));
    case 6:
      return new Date(random.number(31) * 1_000);
    case 7:
      return new Float64Array(random.below(4));
    case 8:
      return new Map([[random.number(20), randomValue(random, depth + 1)]]);
    case 9:
      return Array.from({ length: random.below(5) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(Array.from({ length: random.below(5) }, (_, index) => [`k${index}`, randomValue(random, depth + 1)]));
  }
}

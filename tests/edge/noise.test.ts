/** Noise handshakes: everything that must make them fail does. That they are the official ones is a contract (tests/contract/noise.ts). */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import { Cipher } from "../../edge/link/noise/cipher.ts";
import { Handshake, type HandshakeOptions } from "../../edge/link/noise/handshake.ts";
import type { KeyPair } from "../../edge/link/identity.ts";
import { newKeyPair, randomBytes } from "../../edge/link/node_key.ts";

const { cryptography } = runtime;
const hex = (digits: string): Uint8Array => new Uint8Array(Buffer.from(digits, "hex"));
const digits = (bytes: Uint8Array | null): string => Buffer.from(bytes!).toString("hex");
const text = (string: string): Uint8Array => new TextEncoder().encode(string);
const nothing = new Uint8Array(0);

const [caller, answerer, other] = [1, 2, 3].map(() => newKeyPair(cryptography, runtime.entropy)) as [
  KeyPair,
  KeyPair,
  KeyPair,
];

function sides(change: { readonly first?: Partial<HandshakeOptions>; readonly second?: Partial<HandshakeOptions> } = {}) {
  const common = { cryptography, prologue: text("here") };
  const fresh = () => randomBytes(32, runtime.entropy);
  return [
    new Handshake({ ...common, role: "initiator", own: caller, ephemeral: fresh(), remote: answerer.publicKey, ...change.first }),
    new Handshake({ ...common, role: "responder", own: answerer, ephemeral: fresh(), ...change.second }),
  ] as const;
}

describe("a handshake", () => {
  /** Runs until somebody fails; says how many messages were accepted. */
  function accepted(
    [first, second]: ReturnType<typeof sides>,
    alter: (message: Uint8Array, at: number) => Uint8Array = (same) => same,
  ): number {
    for (let at = 0; !second.isDone || !first.isDone; at++) {
      const [writer, reader] = at % 2 === 0 ? [first, second] : [second, first];
      const message = writer.write(text(`payload ${at}`));
      if (message === null) return at;
      const payload = reader.read(alter(message, at));
      if (payload === null) {
        // Of no further use, to anybody.
        expect(() => reader.write(nothing)).toThrow("the handshake has failed or is done");
        expect(() => reader.split()).toThrow("the handshake is not done");
        return at;
      }
      expect(payload).toEqual(text(`payload ${at}`));
    }
    expect(first.split().send).toEqual(second.split().receive);
    expect(first.split().receive).toEqual(second.split().send);
    return 2;
  }

  test("two sides that agree have the same keys, two runs never", () => {
    const [once, again] = [sides(), sides()];
    expect([accepted(once), accepted(again)]).toEqual([2, 2]);
    expect(digits(once[0].split().send)).not.toBe(digits(again[0].split().send));
    expect(digits(once[0].split().send)).not.toBe(digits(once[0].split().receive));
    expect([once[0].remote, once[1].remote]).toEqual([answerer.publicKey, caller.publicKey]);
  });

  test("another prologue fails with the first message", () => {
    expect(accepted(sides({ second: { prologue: text("there") } }))).toBe(0);
  });

  test("a damaged or cut message is not accepted, wherever it is damaged", () => {
    for (let message = 0; message < 2; message++) {
      const length = [32 + 48 + 25, 32 + 25][message]!;
      for (let at = 0; at < length; at += 7) {
        const damage = (bytes: Uint8Array, nth: number) =>
          nth === message ? bytes.map((byte, index) => index === at ? byte ^ 1 : byte) : bytes;
        expect(accepted(sides(), damage)).toBe(message);
        const cut = (bytes: Uint8Array, nth: number) => nth === message ? bytes.subarray(0, at) : bytes;
        expect(accepted(sides(), cut)).toBe(message);
      }
      const longer = (bytes: Uint8Array, nth: number) => nth === message ? new Uint8Array([...bytes, 0]) : bytes;
      expect(accepted(sides(), longer)).toBe(message);
    }
  });

  test("a public key of low order is refused, whoever sends it", () => {
    const lowOrder = [
      "00".repeat(32),
      "01" + "00".repeat(31),
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    for (const key of lowOrder) {
      for (let message = 0; message < 2; message++) {
        const result = accepted(
          sides(),
          (bytes, nth) => nth === message ? new Uint8Array([...hex(key), ...bytes.subarray(32)]) : bytes,
        );
        expect(result).toBe(message);
      }
    }
    for (const key of lowOrder) expect(sides({ first: { remote: hex(key) } })[0].write(nothing)).toBe(null);
  });

  test("whom the other does not know gets no further", () => {
    const asked: string[] = [];
    const knows = (publicKey: Uint8Array): boolean => {
      asked.push(digits(publicKey));
      return false;
    };
    expect(accepted(sides({ second: { knows } }))).toBe(0);
    expect(asked).toEqual([digits(caller.publicKey)]);
  });

  test("a message has a length", () => {
    const [first, second] = sides();
    expect(() => first.write(new Uint8Array(65_535))).toThrow("the message is too long");
    expect(second.read(new Uint8Array(65_536))).toBe(null);
  });

  test("each side speaks when it is its turn, and a handshake is not begun without what it takes", () => {
    const [first, second] = sides();
    expect(() => second.write(nothing)).toThrow("it is the other side's turn");
    expect(() => first.read(nothing)).toThrow("it is the other side's turn");
    expect(() => first.split()).toThrow("the handshake is not done");
    expect(() => sides({ second: { remote: caller.publicKey } })).toThrow("the other's key is not to be told");
  });
});

test("an initiator that means another responder is not understood, nor one that has not the key it shows", () => {
  const [meant] = sides({ first: { remote: other.publicKey } });
  expect(sides()[1].read(meant.write(nothing)!)).toBe(null);
  const [impostor] = sides({ first: { own: { publicKey: caller.publicKey, privateKey: other.privateKey } } });
  expect(sides()[1].read(impostor.write(nothing)!)).toBe(null);
});

describe("a cipher", () => {
  const key = randomBytes(32, runtime.entropy);
  const both = () => [new Cipher(cryptography, key), new Cipher(cryptography, key)] as const;

  test("opens things once, in order, and unchanged; the room before them is the caller's", () => {
    const [near, far] = both();
    const [one, two] = [near.seal(nothing, text("one"), 4), near.seal(text("header"), text("two"))];
    expect(one.byteLength).toBe(4 + 3 + 16);
    expect(far.open(text("header"), two)).toBe(null);
    expect(far.open(nothing, one.subarray(4))).toEqual(text("one"));
    expect(far.open(nothing, one.subarray(4))).toBe(null);
    expect(far.open(text("headed"), two)).toBe(null);
    expect(far.open(text("header"), two)).toEqual(text("two"));
    expect([near.counter, far.counter]).toEqual([2, 2]);
    expect(far.open(nothing, new Uint8Array(15))).toBe(null);
  });

  test("goes over to another key with its other end, and not without", () => {
    const [near, far] = both();
    near.rekey();
    const sealed = near.seal(nothing, text("new"));
    expect(far.open(nothing, sealed)).toBe(null);
    far.rekey();
    expect(far.open(nothing, sealed)).toEqual(text("new"));
    // REKEY of the specification: 32 zeros under the last nonce there is.
    const next = cryptography.aead(key).seal(new Uint8Array(12).fill(0xff), nothing, new Uint8Array(32)).slice(0, 32);
    expect(new Cipher(cryptography, next).seal(nothing, text("new"))).toEqual(sealed);
  });
});

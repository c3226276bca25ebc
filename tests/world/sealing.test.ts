/** The cheap cipher refuses what the real one refuses, and a run under it is the same run; long plans are quiet most of the time. */
import { describe as suite, expect, test } from "bun:test";
import { Cipher } from "../../edge/link/noise/cipher.ts";
import { cryptography } from "../../edge/runtime/cryptography.ts";
import { drawPlan } from "./plan.ts";
import { runPlan } from "./run.ts";
import { cheapCryptography } from "./sealing.ts";

const key = new Uint8Array(32).fill(7);
const header = Uint8Array.of(1, 2, 3);
const plain = new TextEncoder().encode("what is sealed");

suite("the cheap cipher", () => {
  for (const [name, one] of [["real", cryptography], ["cheap", cheapCryptography]] as const) {
    test(`opens, as the ${name} one, only what is next and nobody has touched`, () => {
      const [sealer, opener] = [new Cipher(one, key), new Cipher(one, key)];
      const [first, second] = [sealer.seal(header, plain), sealer.seal(header, plain)];
      expect(first.byteLength).toBe(plain.byteLength + 16);
      expect(first).not.toEqual(second);
      expect(opener.open(header, second)).toBeNull();
      for (let bit = 0; bit < first.byteLength * 8; bit++) {
        const touched = first.slice();
        touched[bit >> 3]! ^= 1 << (bit & 7);
        expect(opener.open(header, touched)).toBeNull();
      }
      for (let length = 0; length < first.byteLength; length++) expect(opener.open(header, first.slice(0, length))).toBeNull();
      expect(opener.open(Uint8Array.of(1, 2, 4), first)).toBeNull();
      expect(new Cipher(one, new Uint8Array(32)).open(header, first)).toBeNull();
      expect(opener.open(header, first)).toEqual(plain);
      sealer.rekey();
      const renewed = sealer.seal(header, plain);
      expect(opener.open(header, second)).toEqual(plain);
      expect(opener.open(header, renewed)).toBeNull();
      opener.rekey();
      expect(opener.open(header, renewed)).toEqual(plain);
    });
  }

  test("makes no other run than the real one", async () => {
    const plan = { ...drawPlan(11), safetyMs: 1_000 };
    const real = await runPlan({ ...plan, sealing: "real" });
    expect(real.failure).toBeNull();
    expect(await runPlan({ ...plan, sealing: "cheap" })).toEqual(real);
  }, 120_000);
});

suite("long plans", () => {
  test("have the users and faults of short ones, in bursts with quiet in between", () => {
    let quiet = 0;
    let faults = 0;
    for (let seed = 1; seed <= 50; seed++) {
      const [short, long] = [drawPlan(seed), drawPlan(seed, { longSeconds: 120 })];
      expect(long.safetyMs).toBe(120_000);
      const busyMs = long.bursts.reduce((sum, { from, until }) => sum + until - from, 0);
      expect(busyMs).toBeCloseTo(short.safetyMs);
      expect(long.bursts[0]!.from).toBe(0);
      long.bursts.slice(1).forEach(({ from }, index) => expect(from).toBeGreaterThan(long.bursts[index]!.until));
      expect(long.bursts.at(-1)!.until).toBeLessThan(120_000);
      expect(long.faults.map(({ kind }) => kind).sort()).toEqual(short.faults.map(({ kind }) => kind).sort());
      faults += long.faults.length;
      quiet += long.faults.filter(({ at }) => !long.bursts.some(({ from, until }) => from <= at && at <= until)).length;
    }
    expect(quiet / faults).toBeGreaterThan(0.1);
    expect(quiet / faults).toBeLessThan(0.3);
  });

  test("are replayed like any other, and their users rest", async () => {
    const plan = drawPlan(8, { longSeconds: 20 });
    const first = await runPlan(plan);
    expect(first.failure).toBeNull();
    expect(first.counts["virtualMs"]).toBeGreaterThan(20_000);
    expect(await runPlan(drawPlan(8, { longSeconds: 20 }))).toEqual(first);
    const calls = (await runPlan({ ...plan, bursts: [{ from: 0, until: Infinity }] })).counts["calls"]!;
    expect(first.counts["calls"]!).toBeLessThan(calls / 2);
  }, 120_000);
});

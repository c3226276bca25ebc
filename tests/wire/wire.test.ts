/** Every measured fact about links over UDP holds, at the sizes a test run has time for. `bun tests/wire/cli.ts` has the large ones. */
import { describe as suite, expect, test } from "bun:test";
import { cases } from "./cases.ts";
import { flood } from "./flood.ts";
import { measureStalls, settings } from "./stalls.ts";

const seed = Number(process.env["WIRE_SEED"] ?? Math.floor(Math.random() * 1_000_000_000));
console.log(`WIRE_SEED=${seed}`);

suite("links over UDP", () => {
  for (const { name, promise, run } of cases) {
    test(`${name}: ${promise}`, () => {
      const { figure, holds } = run(seed, "short");
      if (!holds) throw new Error(`${figure}\nreplay: bun tests/wire/cli.ts ${name} --short --seed ${seed}`);
    }, 60_000);
  }
});

suite("groups on one lossy link", () => {
  for (const setting of settings.filter(({ loss, packetsPerSecond }) => loss === 0.01 && packetsPerSecond === 500)) {
    test(`wait as long as losses of their own make them, at ${setting.rttMs} ms`, () => {
      const { perGroup, perGroupExpected, twice, oneStream } = measureStalls(seed, setting, 40_000);
      expect(perGroup / perGroupExpected).toBeGreaterThan(1 / 1.5);
      expect(perGroup / perGroupExpected).toBeLessThan(1.5);
      // Of a stream that all share most of the time is gone at 150 ms, so that less than eight times as much can be.
      expect(oneStream / perGroup).toBeGreaterThan(4);
      expect(oneStream / twice).toBeGreaterThan(50);
    }, 60_000);
  }
});

test("damaged datagrams without end do a node no harm", () => {
  const { figure, holds } = flood(seed, 10_000);
  if (!holds) throw new Error(`${figure}\nreplay: bun tests/wire/cli.ts flood --inputs 10000 --seed ${seed}`);
}, 60_000);

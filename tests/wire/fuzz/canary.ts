/**
 * A parser with a fault that only a fuzzer finds that sees where it has been: behind four bytes, each looked at only if the
 * one before was right.
 */
import type { Target } from "./target.ts";

export const canary: Target = {
  name: "canary",
  cost: 1,
  keyed: false,
  make: () => Uint8Array.of(0, 0, 0, 0),
  check: (bytes) => {
    if (bytes.length < 4) return false;
    if (bytes[0] !== 0x43) return false;
    if (bytes[1] !== 0x61) return false;
    if (bytes[2] !== 0x6e) return false;
    if (bytes[3] !== 0x61) return true;
    throw new RangeError("the canary sings");
  },
};

export const targets: readonly (() => Target)[] = [() => canary];

/**
 * A parser with a fault that only a fuzzer finds that sees where it has been: behind four bytes, each looked at only if the
 * one before was right.
 */
import type { Target } from "./target.ts";

export const canary: Target = {
  name: "canary",
  make: () => Uint8Array.of(0, 0, 0, 0),
  check: (bytes) => {
    const wrong = { accepted: false, read: 1 };
    if (bytes.length < 4) return wrong;
    if (bytes[0] !== 0x43) return wrong;
    if (bytes[1] !== 0x61) return wrong;
    if (bytes[2] !== 0x6e) return wrong;
    if (bytes[3] !== 0x61) return { accepted: true, read: 1 };
    throw new RangeError("the canary sings");
  },
};

export const targets: readonly Target[] = [canary];

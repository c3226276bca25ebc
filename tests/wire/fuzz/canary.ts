/**
 * A parser with a fault that only a fuzzer finds that sees where it has been: behind four bytes, each looked at only if the
 * one before was right. Run as a script on Node, it says after how many inputs the fault was found.
 */
import { DecodeError } from "../../../edge/codec/bytes.ts";
import { Random } from "../../fuzz/random.ts";
import { v8Coverage } from "./coverage.ts";
import { Broken, type Coverage, fuzz, type Target } from "./engine.ts";

const canary: Target = {
  name: "canary",
  cost: 1,
  make: () => Uint8Array.of(0, 0, 0, 0),
  check: (bytes) => {
    if (bytes.length < 4) throw new DecodeError("too short");
    if (bytes[0] !== 0x43) throw new DecodeError("the first byte");
    if (bytes[1] !== 0x61) throw new DecodeError("the second byte");
    if (bytes[2] !== 0x6e) throw new DecodeError("the third byte");
    if (bytes[3] !== 0x61) return;
    throw new RangeError("the canary sings");
  },
};

const inputsMax = 200_000;

/** Whether the fault is found. */
export function sings(seed: number, coverage?: Coverage): boolean {
  try {
    fuzz(canary, new Random(seed), {
      inputs: inputsMax,
      corpus: [canary.make(new Random(seed))],
      ...(coverage === undefined ? {} : { coverage }),
    });
    return false;
  } catch (error) {
    if (error instanceof Broken && error.message.endsWith("the canary sings")) return true;
    throw error;
  }
}

if (import.meta.main) console.log(sings(Number(process.argv[2]), v8Coverage(import.meta.url)) ? "found" : "not found");

/** A parser to be fuzzed. */
import { DecodeError } from "../../../edge/codec/bytes.ts";
import type { Random } from "../../fuzz/random.ts";

export interface Target {
  readonly name: string;
  /** How many times as long as a plain parser it takes: it gets so many times fewer inputs. */
  readonly cost: number;
  /** Its inputs are worth nothing under other keys, and each run has its own: they are not kept. */
  readonly keyed: boolean;
  /** A valid input. */
  make(random: Random): Uint8Array;
  /** Whether the input is accepted. Throws for a fault: the parser's own, or what is untrue of an accepted input. */
  check(bytes: Uint8Array): boolean;
}

/** False if it ends with a DecodeError, the one way to refuse. */
export function accepts(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

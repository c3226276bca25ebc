/** A parser to be fuzzed, alone or in its place. */
import { DecodeError } from "../../../edge/codec/bytes.ts";
import type { Random } from "../../fuzz/random.ts";

export interface Target {
  readonly name: string;
  /** A valid input. */
  make(random: Random): Uint8Array;
  /** Throws for a fault: the parser's own, or what must never be true. The same for the same input. */
  check(bytes: Uint8Array): Checked;
}

export interface Checked {
  /** The input gets somewhere: it is accepted, or something in it is. */
  readonly accepted: boolean;
  /** What was given to be read: packets, messages or datagrams. */
  readonly read: number;
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

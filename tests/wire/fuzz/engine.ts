/**
 * Fuzzing of one parser: inputs are mutations of a corpus, and the corpus grows by those that went where none had gone
 * before, if somebody can tell. An input may be refused, soon, and in no other way.
 */
import { mutate } from "../../fuzz/mutate.ts";
import type { Random } from "../../fuzz/random.ts";
import type { Target } from "./target.ts";

/** Tells whether the parser, since the last call, went where it had not gone before; remembers that it has, if asked to. */
export type Coverage = (remember: boolean) => boolean;

export interface FuzzResult {
  readonly inputs: number;
  readonly accepted: number;
  /** With what was given at the beginning. */
  readonly corpus: readonly Uint8Array[];
  readonly slowestMs: number;
}

/** An input that broke a parser, in a form that can be replayed. */
export class Broken extends Error {
  readonly input: Uint8Array;

  constructor(target: Target, input: Uint8Array, cause: unknown) {
    super(`${target.name} breaks on ${Buffer.from(input).toString("hex")}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.input = input;
  }
}

/** How many inputs share one look at the coverage, which takes as long as thousands of inputs. */
const roundInputs = 1_000;
/** A parser may take so long over an input; measured again before it counts, because the machine may be busy elsewhere. */
const slowMs = 50;

export function fuzz(
  target: Target,
  random: Random,
  options: {
    readonly inputs: number;
    readonly corpus: readonly Uint8Array[];
    readonly coverage?: Coverage;
    readonly onProgress?: (inputs: number, corpus: number) => void;
  },
): FuzzResult {
  const corpus = [...options.corpus];
  const { coverage } = options;
  let accepted = 0;
  let slowestMs = 0;
  for (const input of corpus) if (isAccepted(target, input)) accepted++;
  coverage?.(true);
  let done = corpus.length;
  while (done < options.inputs) {
    const round = Array.from({ length: Math.min(roundInputs, options.inputs - done) }, () => next(target, random, corpus));
    for (const input of round) {
      const from = performance.now();
      if (isAccepted(target, input)) accepted++;
      const tookMs = performance.now() - from;
      slowestMs = Math.max(slowestMs, tookMs > slowMs ? soonest(target, input) : tookMs);
    }
    done += round.length;
    if (coverage?.(false)) corpus.push(...newcomers(target, round, coverage));
    options.onProgress?.(done, corpus.length);
  }
  return { inputs: done, accepted, corpus, slowestMs };
}

function next(target: Target, random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random.chance(0.05)) return random.bytes(random.below(100));
  if (random.chance(0.05)) return target.make(random);
  const fresh = corpus.length === 0 || random.chance(0.3);
  const other = corpus.length === 0 ? target.make(random) : random.pick(corpus);
  return mutate(random, fresh ? target.make(random) : random.pick(corpus), other);
}

function isAccepted(target: Target, input: Uint8Array): boolean {
  try {
    return target.check(input);
  } catch (error) {
    throw new Broken(target, input, error);
  }
}

/** Which inputs of a round go somewhere new, found by halves: few do. */
function newcomers(target: Target, round: readonly Uint8Array[], coverage: Coverage): Uint8Array[] {
  for (const input of round) isAccepted(target, input);
  if (!coverage(false)) return [];
  if (round.length === 1) return [trimmed(target, round[0]!, coverage)];
  const middle = round.length >> 1;
  return [...newcomers(target, round.slice(0, middle), coverage), ...newcomers(target, round.slice(middle), coverage)];
}

/** As much of its beginning as goes somewhere new: in a short input it is more likely that a mutation hits what matters. */
function trimmed(target: Target, input: Uint8Array, coverage: Coverage): Uint8Array {
  let best = input;
  for (let cut = best.length >> 1; cut > 0; cut >>= 1) {
    const shorter = best.subarray(0, best.length - cut);
    isAccepted(target, shorter);
    if (coverage(false)) best = shorter;
  }
  isAccepted(target, best);
  coverage(true);
  // Whatever else made it look new does not make it look so again.
  isAccepted(target, input);
  coverage(true);
  return best.slice();
}

function soonest(target: Target, input: Uint8Array): number {
  let least = Infinity;
  for (let again = 0; again < 5; again++) {
    const from = performance.now();
    isAccepted(target, input);
    least = Math.min(least, performance.now() - from);
  }
  if (least > slowMs) throw new Broken(target, input, new Error(`it takes ${least.toFixed(0)} ms`));
  return least;
}

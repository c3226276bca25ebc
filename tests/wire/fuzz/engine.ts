/**
 * Fuzzing of one parser: inputs are mutations of a corpus, and the corpus grows by those that went where none had gone
 * before, if somebody can tell. An input may be refused, soon, and in no other way.
 */
import { mutate } from "../../fuzz/mutate.ts";
import type { Random } from "../../fuzz/random.ts";
import type { Checked, Target } from "./target.ts";

/** Tells whether the parser, since the last call, went where it had not gone before; remembers that it has, if asked to. */
export type Coverage = (remember: boolean) => boolean;

export interface FuzzResult {
  readonly inputs: number;
  /** Packets, messages or datagrams in them. */
  readonly read: number;
  readonly accepted: number;
  /** With what was given at the beginning. */
  readonly corpus: readonly Uint8Array[];
  readonly slowestMs: number;
}

/** An input that broke a parser, in a form that can be replayed: as a line of its corpus, where it stays. */
export class Broken extends Error {
  readonly input: Uint8Array;

  constructor(target: Target, input: Uint8Array, cause: unknown) {
    super(`${target.name} breaks on ${Buffer.from(input).toString("hex")}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.input = input;
  }
}

/** How many inputs share one look at the coverage, which takes as long as many inputs. */
const roundInputsMin = 16;
const roundInputsMax = 1_000;
/** A parser may take so long over an input; measured again before it counts, because the machine may be busy elsewhere. */
const slowMs = 50;

export function fuzz(
  target: Target,
  random: Random,
  options: {
    /** So many packets, messages or datagrams are to be read at least. */
    readonly reads: number;
    readonly corpus: readonly Uint8Array[];
    readonly coverage?: Coverage;
    readonly onProgress?: (read: number, corpus: number) => void;
  },
): FuzzResult {
  const corpus = [...options.corpus];
  const { coverage } = options;
  let [inputs, read, accepted, slowestMs] = [0, 0, 0, 0];
  const take = (input: Uint8Array): void => {
    const from = performance.now();
    const checked = check(target, input);
    const tookMs = performance.now() - from;
    slowestMs = Math.max(slowestMs, tookMs > slowMs ? soonest(target, input) : tookMs);
    inputs++;
    read += checked.read;
    if (checked.accepted) accepted++;
  };
  corpus.forEach(take);
  coverage?.(true);
  let roundInputs = roundInputsMin;
  while (read < options.reads) {
    const round: Uint8Array[] = [];
    while (round.length < roundInputs && read < options.reads) {
      const input = next(target, random, corpus);
      round.push(input);
      take(input);
    }
    const found = coverage?.(false) ? newcomers(target, round, coverage) : [];
    corpus.push(...found);
    // Finding them is several times as dear as the round, and there are many at the beginning.
    roundInputs = found.length > 0 ? Math.max(roundInputsMin, roundInputs >> 2) : Math.min(roundInputsMax, roundInputs * 2);
    options.onProgress?.(read, corpus.length);
  }
  return { inputs, read, accepted, corpus, slowestMs };
}

function next(target: Target, random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random.chance(0.05)) return random.bytes(random.below(100));
  if (random.chance(0.05)) return target.make(random);
  const fresh = corpus.length === 0 || random.chance(0.3);
  const other = corpus.length === 0 ? target.make(random) : random.pick(corpus);
  return mutate(random, fresh ? target.make(random) : random.pick(corpus), other);
}

function check(target: Target, input: Uint8Array): Checked {
  try {
    return target.check(input);
  } catch (error) {
    throw new Broken(target, input, error);
  }
}

/** Which inputs of a round go somewhere new, found by halves: few do. */
function newcomers(target: Target, round: readonly Uint8Array[], coverage: Coverage): Uint8Array[] {
  for (const input of round) check(target, input);
  if (!coverage(false)) return [];
  if (round.length === 1) return [trimmed(target, round[0]!, coverage)];
  const middle = round.length >> 1;
  return [...newcomers(target, round.slice(0, middle), coverage), ...newcomers(target, round.slice(middle), coverage)];
}

/** As much of its beginning as goes somewhere new: in a short input it is more likely that a mutation hits what matters. */
function trimmed(target: Target, input: Uint8Array, coverage: Coverage): Uint8Array {
  let best = input;
  for (let cut = best.length >> 1; cut > best.length >> 4; cut >>= 1) {
    const shorter = best.subarray(0, best.length - cut);
    check(target, shorter);
    if (coverage(false)) best = shorter;
  }
  check(target, best);
  coverage(true);
  // Whatever else made it look new does not make it look so again.
  check(target, input);
  coverage(true);
  return best.slice();
}

function soonest(target: Target, input: Uint8Array): number {
  let least = Infinity;
  for (let again = 0; again < 5; again++) {
    const [from, used] = [performance.now(), process.cpuUsage()];
    check(target, input);
    const { user, system } = process.cpuUsage(used);
    // Others have the processor as well.
    least = Math.min(least, performance.now() - from, (user + system) / 1_000);
  }
  if (least > slowMs) throw new Broken(target, input, new Error(`it takes ${least.toFixed(0)} ms`));
  return least;
}

/**
 * The only source of chance in a simulated run. One stream per concern, split by name from the run's
 * seed, so that a change in one concern does not reshuffle the others. Only 32-bit integer steps and
 * `+ - * /`: `Math.log` and friends may differ in the last bit between JavaScript engines.
 */

/** FNV-1a over the UTF-16 units of `text`, starting from `hash`. */
export function hashText(text: string, hash = 0x811c9dc5): number {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Mixes one 32-bit number into a rolling hash (a murmur3 round). */
export function mix(hash: number, value: number): number {
  let k = Math.imul(value | 0, 0xcc9e2d51);
  k = Math.imul(k << 15 | k >>> 17, 0x1b873593);
  hash ^= k;
  return (Math.imul(hash << 13 | hash >>> 19, 5) + 0xe6546b64) | 0;
}

export class Prng {
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    let state = this.seed;
    const word = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ state >>> 16;
      z = Math.imul(z, 0x21f0aaad);
      z = Math.imul(z ^ z >>> 15, 0x735a2d97);
      return z ^ z >>> 15;
    };
    this.#a = word();
    this.#b = word();
    this.#c = word();
    for (let i = 0; i < 12; i++) this.next();
  }

  /** A stream of its own, whatever has been drawn from this one. */
  split(name: string): Prng {
    return new Prng(mix(hashText(name), this.seed) >>> 0);
  }

  /** 0 … 2^32 − 1 (SFC32). */
  next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21 | this.#c >>> 11) + t) | 0;
    return t >>> 0;
  }

  /** 0 ≤ x < 1. */
  unit(): number {
    return this.next() / 4_294_967_296;
  }

  /** A whole number, 0 ≤ x < `end`. */
  int(end: number): number {
    return Math.floor(this.unit() * end);
  }

  /** A whole number, both ends included. */
  between(min: number, max: number): number {
    return min + this.int(max - min + 1);
  }

  range(min: number, max: number): number {
    return min + this.unit() * (max - min);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** A positive number around `typical` with a long tail (up to 50 times as much, rarely). */
  longTail(typical: number): number {
    const u = this.unit();
    return typical * u / (1.02 - u);
  }

  pick<T>(things: readonly T[]): T {
    return things[this.int(things.length)]!;
  }

  shuffle<T>(things: readonly T[]): T[] {
    const result = [...things];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  /** `count` different things in random order. */
  sample<T>(things: readonly T[], count: number): T[] {
    return this.shuffle(things).slice(0, count);
  }
}

/**
 * What was asked of a command of the tests: `--name value`, `--name` and words, on every runtime. A wrong call is told in one
 * sentence and ends with exit code 2.
 */
import { parseArgs } from "node:util";

declare const Deno: { readonly args: string[]; exit(code: number): never } | undefined;

export function exit(code: number): never {
  return typeof Deno === "undefined" ? process.exit(code) : Deno.exit(code);
}

export class Wishes {
  readonly words: readonly string[];
  readonly #act: string;
  readonly #values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

  /** `act` finishes "Cannot …". Of `lists` there may be several. */
  constructor(
    act: string,
    names: { readonly values: readonly string[]; readonly lists?: readonly string[]; readonly flags: readonly string[] },
  ) {
    this.#act = act;
    const { values, lists = [], flags } = names;
    const options = Object.fromEntries([
      ...values.map((name) => [name, { type: "string" as const }] as const),
      ...lists.map((name) => [name, { type: "string" as const, multiple: true }] as const),
      ...flags.map((name) => [name, { type: "boolean" as const }] as const),
    ]);
    try {
      const parsed = parseArgs({ args: typeof Deno === "undefined" ? process.argv.slice(2) : Deno.args, options, allowPositionals: true });
      this.#values = parsed.values;
      this.words = parsed.positionals;
    } catch (error) {
      this.complain((error as Error).message);
    }
  }

  complain(what: string): never {
    console.error(`Cannot ${this.#act}: ${what}`);
    return exit(2);
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | null {
    const value = this.#values[name];
    return typeof value === "string" ? value : null;
  }

  whole(name: string): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const value = Number(text);
    return Number.isSafeInteger(value) && value >= 0 ? value : this.complain(`--${name} needs a whole number`);
  }

  oneOf<T extends string>(name: string, known: readonly T[]): T | null {
    const text = this.text(name);
    return text === null ? null : this.#known(name, text, known);
  }

  someOf<T extends string>(name: string, known: readonly T[]): T[] {
    const values = this.#values[name] ?? [];
    return (values as readonly string[]).map((text) => this.#known(name, text, known));
  }

  #known<T extends string>(name: string, text: string, known: readonly T[]): T {
    return known.find((one) => one === text) ?? this.complain(`--${name} needs one of: ${known.join(", ")}`);
  }
}

/** A seed to begin with that nobody has chosen. */
export function anySeed(): number {
  return Math.floor(Math.random() * 1_000_000_000);
}

/** `12 events, 3 calls`. */
export function tellCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([name, value]) => `${value} ${name}`).join(", ");
}

/**
 * `parseArgs`, for places where JSR's `@std/cli` cannot be fetched: written from its documentation, same names, same
 * results for what is listed here. Whoever has JSR deletes the `links` line in deno.json and gets the original.
 *
 *     parseArgs(["put", "--url=x", "-v"], { string: ["url", "_"], boolean: ["verbose"], alias: { v: "verbose" } })
 *     // → { _: ["put"], url: "x", verbose: true, v: true }
 */

export interface ParseOptions {
  /** Puts what follows `--` into `result["--"]` instead of `result._`. */
  readonly "--"?: boolean;
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  /** `true`: every `--name` that is not a declared string. Declared ones are `false` when absent. */
  readonly boolean?: boolean | string | readonly string[];
  readonly default?: Readonly<Record<string, unknown>>;
  /** Everything from the first positional on is positional. */
  readonly stopEarly?: boolean;
  /** Never turned into numbers; `"_"` means the positionals. `""` when the value is missing. */
  readonly string?: string | readonly string[];
  /** May be repeated; always an array. */
  readonly collect?: string | readonly string[];
  /** `--no-name` sets `name` to false. */
  readonly negatable?: string | readonly string[];
  /** Called for what is not declared: `(argument, key?, value?)`; returning false leaves it out. */
  readonly unknown?: (
    argument: string,
    key?: string,
    value?: unknown,
  ) => unknown;
}

// deno-lint-ignore no-explicit-any
export type Args = Record<string, any> & { _: (string | number)[] };

export function parseArgs(
  args: readonly string[],
  options: ParseOptions = {},
): Args {
  return new Parser(options).parse(args);
}

class Parser {
  readonly #options: ParseOptions;
  /** Every name → all its names, itself included. */
  readonly #names = new Map<string, readonly string[]>();
  readonly #strings: ReadonlySet<string>;
  readonly #booleans: ReadonlySet<string>;
  readonly #collected: ReadonlySet<string>;
  readonly #negatable: ReadonlySet<string>;
  readonly #known: ReadonlySet<string>;
  readonly #result: Args = { _: [] };
  readonly #given = new Set<string>();

  constructor(options: ParseOptions) {
    this.#options = options;
    for (const [name, others] of Object.entries(options.alias ?? {})) {
      const all = [name, ...list(others)];
      for (const each of all) this.#names.set(each, all);
    }
    this.#strings = this.#withAliases(list(options.string));
    this.#booleans = this.#withAliases(
      typeof options.boolean === "boolean" ? [] : list(options.boolean),
    );
    this.#collected = this.#withAliases(list(options.collect));
    this.#negatable = this.#withAliases(list(options.negatable));
    this.#known = this.#withAliases([
      ...this.#strings,
      ...this.#booleans,
      ...this.#collected,
      ...this.#negatable,
      ...this.#names.keys(),
      ...Object.keys(options.default ?? {}),
    ]);
  }

  parse(args: readonly string[]): Args {
    const dashes = args.indexOf("--");
    const rest = dashes < 0 ? [] : args.slice(dashes + 1);
    const words = dashes < 0 ? args : args.slice(0, dashes);
    let at = 0;
    while (at < words.length) {
      const word = words[at]!;
      const next = words[at + 1];
      if (/^--./.test(word)) at += this.#long(word, next);
      else if (/^-[^-]/.test(word)) at += this.#short(word, next);
      else {
        this.#positional(word);
        at += 1;
        if (this.#options.stopEarly) {
          for (; at < words.length; at++) this.#positional(words[at]!);
        }
      }
    }
    this.#fillIn();
    if (this.#options["--"]) this.#result["--"] = [...rest];
    else for (const word of rest) this.#result._.push(word);
    return this.#result;
  }

  /** Returns how many words it used, as does `#short`. */
  #long(word: string, next: string | undefined): 1 | 2 {
    const equals = word.indexOf("=");
    if (equals > 0) {
      const key = word.slice(2, equals);
      const text = word.slice(equals + 1);
      this.#set(key, this.#isBoolean(key) ? text !== "false" : text, word);
      return 1;
    }
    const key = word.slice(2);
    const positive = key.startsWith("no-") ? key.slice(3) : "";
    if (positive !== "" && this.#negatable.has(positive)) {
      this.#set(positive, false, word);
      return 1;
    }
    return this.#valueOf(key, next, word);
  }

  #short(word: string, next: string | undefined): 1 | 2 {
    for (let at = 1; at < word.length; at++) {
      const key = word[at]!;
      const rest = word.slice(at + 1);
      if (rest === "") return this.#valueOf(key, next, word);
      if (rest.startsWith("=")) {
        this.#set(
          key,
          this.#isBoolean(key) ? rest.slice(1) !== "false" : rest.slice(1),
          word,
        );
        return 1;
      }
      // "-n5" and "-ofile": the remainder is the value of an option that takes one.
      if (
        this.#strings.has(key) ||
        (!this.#isBoolean(key) && /^-?\d+(\.\d+)?$/.test(rest))
      ) {
        this.#set(key, rest, word);
        return 1;
      }
      this.#set(key, true, word);
    }
    return 1;
  }

  #valueOf(key: string, next: string | undefined, word: string): 1 | 2 {
    if (this.#isBoolean(key)) {
      if (next === "true" || next === "false") {
        this.#set(key, next === "true", word);
        return 2;
      }
      this.#set(key, true, word);
      return 1;
    }
    if (next !== undefined && (next === "-" || !next.startsWith("-"))) {
      this.#set(key, next, word);
      return 2;
    }
    this.#set(key, this.#strings.has(key) ? "" : true, word);
    return 1;
  }

  #isBoolean(key: string): boolean {
    return this.#booleans.has(key) ||
      (this.#options.boolean === true && !this.#strings.has(key));
  }

  #set(key: string, value: string | boolean, word: string): void {
    const final = typeof value === "string" && !this.#strings.has(key) ? numberIfItIs(value) : value;
    if (
      !this.#known.has(key) &&
      this.#options.unknown?.(word, key, final) === false
    ) return;
    for (const name of this.#names.get(key) ?? [key]) {
      if (this.#collected.has(key) && this.#given.has(name)) {
        (read(this.#result, name) as unknown[]).push(final);
      } else {
        write(this.#result, name, this.#collected.has(key) ? [final] : final);
      }
      this.#given.add(name);
    }
  }

  #positional(word: string): void {
    if (
      this.#options.unknown !== undefined &&
      this.#options.unknown(word) === false
    ) return;
    this.#result._.push(this.#strings.has("_") ? word : numberIfItIs(word));
  }

  #fillIn(): void {
    const defaults = new Map<string, unknown>();
    for (const name of this.#booleans) defaults.set(name, false);
    for (const name of this.#collected) defaults.set(name, []);
    for (const [name, value] of Object.entries(this.#options.default ?? {})) {
      for (const each of this.#names.get(name) ?? [name]) {
        defaults.set(each, value);
      }
    }
    for (const [name, value] of defaults) {
      if (name !== "_" && !this.#given.has(name)) {
        write(this.#result, name, value);
      }
    }
  }

  #withAliases(names: readonly string[]): ReadonlySet<string> {
    return new Set(names.flatMap((name) => this.#names.get(name) ?? [name]));
  }
}

function list(
  value: string | readonly string[] | undefined,
): readonly string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}

function numberIfItIs(text: string): string | number {
  return /^0x[0-9a-f]+$/i.test(text) ||
      /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text)
    ? Number(text)
    : text;
}

/** Dots nest: `--a.b 1` is `{ a: { b: 1 } }`. Names that would reach a prototype are kept flat. */
function path(name: string): readonly string[] {
  const parts = name.split(".");
  return parts.some((part) => part === "" || part === "__proto__" || part === "constructor") ? [name] : parts;
}

function read(target: Record<string, unknown>, name: string): unknown {
  let value: unknown = target;
  for (const part of path(name)) {
    value = (value as Record<string, unknown> | undefined)?.[part];
  }
  return value;
}

function write(
  target: Record<string, unknown>,
  name: string,
  value: unknown,
): void {
  const parts = path(name);
  let inner = target;
  for (const part of parts.slice(0, -1)) {
    const there = Object.hasOwn(inner, part) ? inner[part] : undefined;
    const next = typeof there === "object" && there !== null ? there as Record<string, unknown> : {};
    inner[part] = next;
    inner = next;
  }
  Object.defineProperty(inner, parts.at(-1)!, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/**
 * What a command is: one row of a table from which parsing, help and "did you mean" all follow. The row is light; what
 * it does is loaded when it is called.
 */
import type { Output } from "./output.ts";

export interface Flag {
  /** Without the dashes. May hold a dot: `listen.http`. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What stands for the value in help; absent for a switch. */
  readonly value?: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** `--name=` is a value too. */
  readonly maybeEmpty?: boolean;
  readonly help: string;
}

export interface Operand {
  readonly name: string;
  readonly help: string;
  readonly optional?: boolean;
  /** Takes all that are left. */
  readonly many?: boolean;
}

export interface Command {
  /** `["kv", "put"]`. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly operands?: readonly Operand[];
  readonly flags?: readonly Flag[];
  /** Talks to a node: takes `--url`, `--token`, `--timeout` as well. */
  readonly client?: boolean;
  /** As typed, without `carillon `; a comment after two spaces and `#`. */
  readonly examples: readonly string[];
  /** Paragraphs after the flags. */
  readonly notes?: readonly string[];
  /** Resolves to the exit code. */
  readonly run: (call: Call) => Promise<number>;
}

/** Exit codes, so that a script can tell why. */
export const exits = {
  fine: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  precondition: 4,
  unavailable: 5,
  unknown: 6,
  forbidden: 7,
  interrupted: 130,
} as const;

/** The command line makes no sense; `next` is what to try. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly next: string;

  constructor(message: string, next: string) {
    super(message);
    this.next = next;
  }
}

/** One command line, understood. */
export class Call {
  readonly command: Command;
  readonly operands: readonly string[];
  readonly output: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly #flags: ReadonlyMap<string, string | boolean | readonly string[]>;

  constructor(options: {
    readonly command: Command;
    readonly operands: readonly string[];
    readonly flags: ReadonlyMap<string, string | boolean | readonly string[]>;
    readonly output: Output;
    readonly environment: Readonly<Record<string, string | undefined>>;
  }) {
    this.command = options.command;
    this.operands = options.operands;
    this.output = options.output;
    this.environment = options.environment;
    this.#flags = options.flags;
  }

  on(name: string): boolean {
    return this.#flags.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#flags.get(name);
    return typeof value === "string" ? value : undefined;
  }

  all(name: string): readonly string[] {
    const value = this.#flags.get(name);
    return Array.isArray(value) ? value : [];
  }

  /** A whole number from `min` to `max`. */
  number(name: string, { min = 0, max = Number.MAX_SAFE_INTEGER }: { readonly min?: number; readonly max?: number } = {}):
    | number
    | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      this.fail(`--${name} must be a whole number ${range}, not "${text}"`);
    }
    return value;
  }

  /** `1500ms`, `2s`, `1m`; a bare number is seconds. In milliseconds. */
  duration(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
    if (match === null) this.fail(`--${name} must be a duration such as 500ms, 2s or 1m, not "${text}"`);
    const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] ?? "s"]!;
    return Math.round(Number(match[1]) * unit);
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined || choices.includes(text as T)) return text as T | undefined;
    this.fail(`--${name} must be ${choices.join(" or ")}, not "${text}"`);
  }

  fail(message: string): never {
    throw new UsageError(
      `Cannot run "carillon ${this.command.words.join(" ")}": ${message}`,
      `carillon ${this.command.words.join(" ")} --help`,
    );
  }
}

/** From words to a command and its flags, by the table; everything the table does not know is a usage error with a guess. */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean, suggest } from "../suggest.ts";
import { type Command, type Flag, UsageError } from "./command.ts";

/** For every command. */
export const commonFlags: readonly Flag[] = [
  { name: "help", short: "h", help: "explain this command" },
  { name: "json", help: "one JSON document instead of text" },
  { name: "ndjson", help: "one JSON document a line, where there are several" },
  { name: "color", value: "WHEN", help: "auto, always or never; NO_COLOR and FORCE_COLOR are heeded" },
];

/** For commands that talk to a node. */
export const clientFlags: readonly Flag[] = [
  {
    name: "url",
    value: "URL",
    help: "node to ask, several separated by commas (default: $CARILLON_URL, else http://localhost:4100)",
  },
  { name: "token", value: "TOKEN", help: "sent as `Authorization: Bearer …` (default: $CARILLON_TOKEN)" },
  { name: "timeout", value: "TIME", help: "give up after this long, e.g. 500ms, 2s (default: 10s)" },
];

export interface Parsed {
  /** Null: nothing but flags was given. */
  readonly command: Command | null;
  /** The words that led there, or as far as they made sense. */
  readonly operands: readonly string[];
  readonly flags: ReadonlyMap<string, string | boolean | readonly string[]>;
}

export function flagsOf(command: Command): readonly Flag[] {
  return [...(command.flags ?? []), ...(command.client ? clientFlags : []), ...commonFlags];
}

/** Throws UsageError. `help` among the flags means that operands were not checked. */
export function parseCommandLine(commands: readonly Command[], argv: readonly string[]): Parsed {
  const command = findCommand(commands, argv);
  if (command === null) {
    const flags = [...commonFlags, { name: "version", short: "V", help: "" }];
    return { command, ...parseFlags(flags, argv, "carillon help") };
  }
  const called = `carillon ${command.words.join(" ")}`;
  const { operands, flags } = parseFlags(flagsOf(command), argv, `${called} --help`);
  const own = operands.slice(command.words.length);
  if (flags.get("help") !== true) checkOperands(command, own, called);
  return { command, operands: own, flags };
}

/** Null: no word at all. */
function findCommand(commands: readonly Command[], argv: readonly string[]): Command | null {
  const words = leadingWords(commands, argv);
  if (words.length === 0) return null;
  const fits = commands.filter((command) => command.words.every((word, index) => words[index] === word));
  const command = fits.sort((a, b) => b.words.length - a.words.length)[0];
  if (command !== undefined) return command;
  const family = commands.filter((candidate) => candidate.words.length > 1 && candidate.words[0] === words[0]);
  if (family.length > 0) {
    const verbs = family.map((candidate) => candidate.words[1]!);
    if (words[1] === undefined) {
      throw new UsageError(`Cannot run "carillon ${words[0]}": it needs one of ${verbs.join(", ")}`, `carillon help ${words[0]}`);
    }
    const guess = suggest(words[1], verbs);
    throw new UsageError(
      `Cannot run "carillon ${words[0]} ${words[1]}": "${words[0]}" has ${verbs.join(", ")}${didYouMean(words[1], verbs)}`,
      guess === null ? `carillon help ${words[0]}` : `carillon ${words[0]} ${guess}`,
    );
  }
  const firsts = [...new Set(commands.map((candidate) => candidate.words[0]!))];
  const guess = suggest(words[0]!, firsts);
  throw new UsageError(
    `Cannot run "carillon ${words[0]}": there is no such command${didYouMean(words[0]!, firsts)}`,
    guess === null ? "carillon help" : `carillon ${guess} --help`,
  );
}

/** Words before it is known which command it is: a value of any command's flag is none. */
function leadingWords(commands: readonly Command[], argv: readonly string[]): string[] {
  const valued = [...commands.flatMap(flagsOf), ...clientFlags].filter((flag) => flag.value !== undefined);
  const { _ } = parseArgs([...argv], { string: ["_", ...new Set(valued.map((flag) => flag.name))], boolean: true, "--": true });
  return _.map(String);
}

function parseFlags(flags: readonly Flag[], argv: readonly string[], next: string): Omit<Parsed, "command"> {
  const valued = flags.filter((flag) => flag.value !== undefined);
  const raw: Record<string, unknown> & { _: (string | number)[] } = parseArgs([...argv], {
    string: ["_", ...valued.map((flag) => flag.name)],
    boolean: flags.filter((flag) => flag.value === undefined).map((flag) => flag.name),
    collect: flags.filter((flag) => flag.many).map((flag) => flag.name),
    alias: Object.fromEntries(flags.filter((flag) => flag.short !== undefined).map((flag) => [flag.name, flag.short!])),
    "--": true,
    unknown: (argument: string, key?: string): unknown => {
      if (key === undefined) return true;
      const guess = suggest(key, flags.map((flag) => flag.name));
      const operand = /^-\d/.test(argument) ? " (what is no flag goes behind --)" : "";
      const hint = guess === null ? operand : `; did you mean --${guess}?`;
      throw new UsageError(`Cannot use ${argument.split("=")[0]}: there is no such flag${hint}`, next);
    },
  });
  const found = new Map<string, string | boolean | readonly string[]>();
  for (const flag of flags) {
    const value = flag.name.split(".").reduce<unknown>((inner, part) => (inner as Record<string, unknown> | undefined)?.[part], raw);
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue;
    if (flag.value !== undefined && !flag.maybeEmpty && (value === "" || (Array.isArray(value) && value.includes("")))) {
      throw new UsageError(`Cannot use --${flag.name}: it needs a value, ${flag.value}`, next);
    }
    found.set(flag.name, value as string | boolean | readonly string[]);
  }
  const literal = (raw["--"] as readonly string[] | undefined) ?? [];
  return { operands: [...raw._.map(String), ...literal], flags: found };
}

function checkOperands(command: Command, operands: readonly string[], called: string): void {
  const wanted = command.operands ?? [];
  const missing = wanted.find((operand, index) => !operand.optional && operands[index] === undefined);
  if (missing !== undefined) throw new UsageError(`Cannot run "${called}": ${missing.name} is missing`, `${called} --help`);
  const most = wanted.some((operand) => operand.many) ? Infinity : wanted.length;
  if (operands.length > most) {
    throw new UsageError(
      `Cannot run "${called}": "${operands[most]}" is one word too many (quote what belongs together)`,
      `${called} --help`,
    );
  }
}

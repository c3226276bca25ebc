/** One command line, from words to exit code. */
import { parseCommandLine } from "./arguments.ts";
import { Call, exits, UsageError } from "./command.ts";
import { commands } from "./commands.ts";
import { failureOf } from "./failure.ts";
import { commandHelp, familyHelp, overview } from "./help.ts";
import { Output } from "./output.ts";
import { version } from "../version.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Never throws; says what went wrong on standard error. */
export async function run(argv: readonly string[], environment: Environment): Promise<number> {
  let output = new Output("text", "auto", environment);
  let words: readonly string[] = [];
  let given: readonly string[] = [];
  try {
    const [first, ...rest] = argv;
    if (first === "help") return await help(output, rest);
    if (rest.length === 1 && ["--help", "-h"].includes(rest[0]!) && isFamily(first!)) return await help(output, [first!]);
    const { command, operands, flags } = parseCommandLine(commands, argv);
    output = outputOf(flags, environment);
    if (command === null) {
      if (flags.get("version") === true) await output.line(version);
      else await overview(output);
      return exits.fine;
    }
    words = command.words;
    given = operands;
    if (flags.get("help") === true) {
      await commandHelp(output, command);
      return exits.fine;
    }
    return await command.run(new Call({ command, operands, flags, output, environment }));
  } catch (error) {
    const failure = failureOf(error, words, given);
    await output.note(`${output.paint("red", "✗", "stderr")} ${failure.message}`);
    await output.note(`  try: ${failure.next}`);
    return failure.exit;
  }
}

/** A word that is no command by itself, but begins some: `kv`. */
function isFamily(word: string): boolean {
  return commands.some((command) => command.words.length > 1 && command.words[0] === word);
}

/** `carillon help`, `carillon help kv`, `carillon help kv put`. */
async function help(output: Output, words: readonly string[]): Promise<number> {
  if (words.length === 0) {
    await overview(output);
    return exits.fine;
  }
  const exact = commands.find((command) => command.words.join(" ") === words.join(" "));
  const family = commands.filter((command) => command.words[0] === words[0]);
  if (exact !== undefined) await commandHelp(output, exact);
  else if (words.length === 1 && family.length > 0) await familyHelp(output, family);
  // The parser knows best how to complain about words that lead nowhere.
  else return await run([...words, "--help"], {});
  return exits.fine;
}

function outputOf(flags: ReadonlyMap<string, unknown>, environment: Environment): Output {
  const colour = flags.get("color") ?? "auto";
  if (colour !== "auto" && colour !== "always" && colour !== "never") {
    throw new UsageError(`Cannot use --color: it must be auto, always or never, not "${colour}"`, "carillon help");
  }
  const format = flags.get("ndjson") === true ? "ndjson" : flags.get("json") === true ? "json" : "text";
  return new Output(format, colour, environment);
}

/** Help, from the command table: examples first, because that is what people read. */
import { version } from "../version.ts";
import { flagsOf } from "./arguments.ts";
import type { Command, Flag } from "./command.ts";
import type { Output } from "./output.ts";

const families: readonly (readonly [title: string, rows: readonly (readonly [name: string, what: string])[]])[] = [
  ["Start", [
    ["dev", "one node, in memory, nothing to set up"],
    ["demo", "several regions on this machine, with real distances"],
    ["init", "a node's key, and its lines for carillon.toml"],
    ["start", "a node of a cluster (reads carillon.toml)"],
  ]],
  ["Data", [
    ["kv", "get · put · insert · update · cas · del · ls"],
    ["log", "create · append · read · tail · trim · ls · info"],
    ["multicast", "send · listen"],
  ]],
  ["Look", [
    ["status", "is everything well? where is what?"],
    ["links", "how nodes reach each other"],
    ["doctor", "what is wrong, and what to do about it"],
    ["events", "what has happened"],
    ["config", "check · show"],
    ["journal", "inspect · verify · adopt"],
    ["version", "this program, and the node it reaches"],
  ]],
];

/** `carillon` alone. */
export async function overview(output: Output): Promise<void> {
  await output.line(`${output.paint("bold", `carillon ${version}`)} — ordered, replicated data at the edge`);
  await output.line();
  for (const [title, rows] of families) {
    for (const [index, [name, what]] of rows.entries()) {
      await output.line(`  ${(index === 0 ? title : "").padEnd(9)}${output.paint("cyan", name.padEnd(11))}${what}`);
    }
  }
  await output.line();
  await output.line("Try:  carillon dev            then:  carillon kv put hello world");
  await output.line("Help: carillon <command> --help");
}

/** `carillon kv` or `carillon help kv`: what belongs to one word. */
export async function familyHelp(output: Output, commands: readonly Command[]): Promise<void> {
  const width = Math.max(...commands.map((command) => usage(command).length));
  for (const command of commands) await output.line(`  ${usage(command).padEnd(width + 2)}${command.summary}`);
  await output.line();
  await output.line(`Help: carillon ${commands[0]!.words[0]} <verb> --help`);
}

export async function commandHelp(output: Output, command: Command): Promise<void> {
  await output.line(`${output.paint("bold", `carillon ${command.words.join(" ")}`)} — ${command.summary}`);
  await output.line();
  for (const example of command.examples) {
    const [typed, why] = example.split("  # ");
    await output.line(`  ${output.paint("dim", "$")} carillon ${typed}${why === undefined ? "" : output.paint("dim", `   # ${why}`)}`);
  }
  await output.line();
  await output.line(`Usage: ${usage(command)}`);
  const operands = (command.operands ?? []).map((operand): [string, string] => [operand.name, operand.help]);
  const own = (command.flags ?? []).map(flagRow);
  const shared = flagsOf(command).filter((flag) => !(command.flags ?? []).includes(flag)).map(flagRow);
  const width = Math.max(...[...operands, ...own, ...shared].map(([name]) => name.length));
  for (const rows of [operands, own, shared]) {
    if (rows.length === 0) continue;
    await output.line();
    for (const [name, what] of rows) await output.line(`  ${output.paint("cyan", name.padEnd(width + 2))}${what}`);
  }
  for (const note of command.notes ?? []) {
    await output.line();
    await output.line(note);
  }
}

function usage(command: Command): string {
  const operands = (command.operands ?? []).map(({ name, optional, many }) => {
    const shown = many ? `${name}…` : name;
    return optional ? `[${shown}]` : shown;
  });
  return ["carillon", ...command.words, ...operands, ...((command.flags ?? []).length > 0 ? ["[flags]"] : [])].join(" ");
}

function flagRow(flag: Flag): [string, string] {
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const value = flag.value === undefined ? "" : ` ${flag.value}`;
  return [`${short}--${flag.name}${value}${flag.many ? " …" : ""}`, flag.help];
}

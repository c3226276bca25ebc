/** The command line: what is understood, and what is answered to what is not. */
import { describe, expect, test } from "bun:test";
import { parseArgs } from "@std/cli/parse-args";
import { clientFlags, commonFlags, flagsOf, parseCommandLine } from "../../edge/cli/arguments.ts";
import { UsageError } from "../../edge/cli/command.ts";
import { commands } from "../../edge/cli/commands.ts";
import { align } from "../../edge/cli/output.ts";
import { suggest } from "../../edge/suggest.ts";

describe("parseArgs does what @std/cli documents", () => {
  const cases: [string, string[], Parameters<typeof parseArgs>[1], Record<string, unknown>][] = [
    ["positionals, and numbers among them", ["a", "1", "0x10", "1e3", "-"], {}, { _: ["a", 1, 16, 1000, "-"] }],
    ["positionals as text", ["1"], { string: ["_"] }, { _: ["1"] }],
    ["a value behind = or behind a space", ["--a=1", "--b", "2", "--c=x=y"], {}, { _: [], a: 1, b: 2, c: "x=y" }],
    ["a text stays text", ["--a=1", "--b", "2"], { string: ["a", "b"] }, { _: [], a: "1", b: "2" }],
    ["a text without a value is empty", ["--a"], { string: "a" }, { _: [], a: "" }],
    ["a switch takes no value", ["--a", "b"], { boolean: ["a"] }, { _: ["b"], a: true }],
    ["a switch takes true and false", ["--a", "false", "--b=false"], { boolean: ["a", "b"] }, { _: [], a: false, b: false }],
    ["an absent switch is false", [], { boolean: ["a"] }, { _: [], a: false }],
    ["every unknown flag a switch", ["--a", "b"], { boolean: true }, { _: ["b"], a: true }],
    ["short flags in a row", ["-abc", "x"], {}, { _: [], a: true, b: true, c: "x" }],
    ["a short flag with its number", ["-n5"], {}, { _: [], n: 5 }],
    ["an alias sets both", ["-v"], { boolean: ["verbose"], alias: { verbose: "v" } }, { _: [], v: true, verbose: true }],
    ["a default", [], { default: { a: 1 } }, { _: [], a: 1 }],
    ["a default does not beat what is given", ["--a", "2"], { default: { a: 1 } }, { _: [], a: 2 }],
    ["the last one wins", ["--a=1", "--a=2"], {}, { _: [], a: 2 }],
    ["unless it is collected", ["--a=1", "--a=2"], { collect: ["a"], string: ["a"] }, { _: [], a: ["1", "2"] }],
    ["a collected flag that is absent", [], { collect: ["a"] }, { _: [], a: [] }],
    ["a negatable flag", ["--no-a"], { negatable: ["a"], boolean: ["a"], default: { a: true } }, { _: [], a: false }],
    ["otherwise --no-a is a flag of its own", ["--no-a"], {}, { _: [], "no-a": true }],
    ["what follows -- is positional", ["a", "--", "--b"], {}, { _: ["a", "--b"] }],
    ["or is kept apart", ["a", "--", "--b"], { "--": true }, { _: ["a"], "--": ["--b"] }],
    ["stopEarly", ["a", "--b"], { stopEarly: true }, { _: ["a", "--b"] }],
    ["dots nest", ["--a.b=1", "--a.c=2"], {}, { _: [], a: { b: 1, c: 2 } }],
    ["unknown flags can be dropped", ["--a", "--b"], { boolean: ["a"], unknown: (_, key) => key === undefined }, { _: [], a: true }],
  ];
  for (const [name, argv, options, expected] of cases) test(name, () => expect(parseArgs(argv, options)).toEqual(expected as never));

  test("no flag reaches a prototype", () => {
    parseArgs(["--__proto__.polluted=1", "--constructor.prototype.polluted=1"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("a line becomes a command", () => {
  const understood = (line: string): unknown => {
    const { command, operands, flags } = parseCommandLine(commands, line.split(" ").filter((word) => word !== ""));
    return [command?.words.join(" "), operands, Object.fromEntries(flags)];
  };
  const refused = (line: string): [string, string] => {
    try {
      understood(line);
    } catch (error) {
      if (error instanceof UsageError) return [error.message, error.next];
      throw error;
    }
    throw new Error("Cannot go on: the line was accepted");
  };

  test("flags may stand anywhere, also before the command", () => {
    const expected = ["kv put", ["a", "1"], { url: "x:1", json: true }];
    expect(understood("--url x:1 kv put a 1 --json")).toEqual(expected);
    expect(understood("kv --json put a --url=x:1 1")).toEqual(expected);
  });

  test("values stay text, whatever they look like", () => {
    expect(understood("kv put 007 1e3")).toEqual(["kv put", ["007", "1e3"], {}]);
  });

  test("standard input is a value, and -- ends the flags", () => {
    expect(understood("kv put a -")).toEqual(["kv put", ["a", "-"], {}]);
    expect(understood("kv put a -- --json")).toEqual(["kv put", ["a", "--json"], {}]);
  });

  test("settings with dots are flags", () => {
    expect(understood("start --listen.http :1 --node.name a")).toEqual(["start", [], { "listen.http": ":1", "node.name": "a" }]);
  });

  test("a flag that may come often", () => {
    expect(understood("log append a x --also b --also c")).toEqual(["log append", ["a", "x"], { also: ["b", "c"] }]);
  });

  test("an empty text is a value only where it can be meant", () => {
    expect(understood("kv ls --start=")).toEqual(["kv ls", [], { start: "" }]);
    expect(refused("kv get a --url=")[0]).toBe("Cannot use --url: it needs a value, URL");
  });

  test("help needs no operands", () => expect(understood("kv put --help")).toEqual(["kv put", [], { help: true }]));

  test("slips are answered with what was meant, and what to type next", () => {
    expect(refused("stauts")).toEqual([
      'Cannot run "carillon stauts": there is no such command; did you mean "status"?',
      "carillon status --help",
    ]);
    expect(refused("kv got a")).toEqual([
      'Cannot run "carillon kv got": "kv" has get, put, insert, update, cas, del, ls, watch; did you mean "get"?',
      "carillon kv get",
    ]);
    expect(refused("kv")).toEqual([
      'Cannot run "carillon kv": it needs one of get, put, insert, update, cas, del, ls, watch',
      "carillon help kv",
    ]);
    expect(refused("kv get a --jsn")).toEqual(["Cannot use --jsn: there is no such flag; did you mean --json?", "carillon kv get --help"]);
    expect(refused("kv get a -x")[0]).toBe("Cannot use -x: there is no such flag");
    expect(refused("kv put a")).toEqual(['Cannot run "carillon kv put": VALUE is missing', "carillon kv put --help"]);
    expect(refused("kv put a b c")[0]).toBe('Cannot run "carillon kv put": "c" is one word too many (quote what belongs together)');
    expect(refused("xyzzy")).toEqual(['Cannot run "carillon xyzzy": there is no such command', "carillon help"]);
  });

  test("nothing is no command", () => expect(understood("")).toEqual([undefined, [], {}]));
});

describe("the table", () => {
  test("a flag is a switch everywhere or takes a value everywhere: words are found before the command is", () => {
    const kinds = new Map<string, boolean>();
    for (const flag of [...commands.flatMap(flagsOf), ...clientFlags, ...commonFlags]) {
      expect([flag.name, kinds.get(flag.name) ?? flag.value !== undefined]).toEqual([flag.name, flag.value !== undefined]);
      kinds.set(flag.name, flag.value !== undefined);
    }
  });

  test("no command has two flags of one name or letter", () => {
    for (const command of commands) {
      const names = flagsOf(command).flatMap((flag) => [flag.name, ...(flag.short === undefined ? [] : [flag.short])]);
      expect([command.words, names.length]).toEqual([command.words, new Set(names).size]);
    }
  });

  test("every example is a line the parser understands, of the command it stands with", () => {
    for (const command of commands) {
      for (const example of command.examples) {
        const line = example.split("  # ")[0]!.split(/ [|<&]/)[0]!;
        const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
        expect([example, parseCommandLine(commands, words).command?.words]).toEqual([example, command.words]);
      }
    }
  });
});

test("a suggestion is a slip away, not a guess", () => {
  expect(suggest("stauts", ["start", "status"])).toBe("status");
  expect(suggest("htpp", ["http", "link"])).toBe("http");
  expect(suggest("zzz", ["start", "status"])).toBeNull();
});

test("columns are as wide as their widest cell, and end at the terminal's edge", () => {
  expect(align(["A", "B"], [["long", "x"], ["s", "a very long cell"]], 12)).toEqual(["A     B", "long  x", "s     a ver…"]);
});

/** The users' tokens in a configuration: where they come from, and that nothing says what they are. */
import { expect, test } from "bun:test";
import { type Config, loadConfig } from "../../edge/config.ts";

function load(token: string, environment: Record<string, string> = {}): Config {
  return loadConfig({
    file: { path: "carillon.toml", text: `[listen]\ntoken = ${token}` },
    environment,
    flags: new Map(),
    hostName: "box",
    readSecret: (path) => {
      if (path === "/secrets/token") return "only users know";
      throw new Error("no such file");
    },
  });
}

test("tokens come from files and variables, one or several, and are never shown", () => {
  const configs = [load('"env:TOKEN"', { TOKEN: "t" }), load('"plain"'), load('["plain", "file:/secrets/token", "plain"]')];
  expect(configs.map(({ tokens }) => tokens)).toEqual([["t"], ["plain"], ["plain", "only users know"]]);
  expect(configs.map(({ tokenFiles }) => tokenFiles)).toEqual([[], [], ["/secrets/token"]]);
  const shown = configs.map(({ origins }) => origins.find((origin) => origin.key === "listen.token")!.value);
  expect(shown).toEqual(["env:TOKEN", "***", "***, file:/secrets/token, ***"]);
});

test("what is wrong with one is said without repeating it", () => {
  const slips: readonly (readonly [string, string])[] = [
    ['"file:/nope"', "Cannot use listen.token: /nope cannot be read (no such file)"],
    ['"env:NOPE"', "Cannot use listen.token: the variable NOPE is not set"],
    ["[]", "Cannot use listen.token: it must be one text or a list of 1 to 8"],
    ["4711", "Cannot use listen.token: each must be a text, not empty"],
    ['["4711", 4711]', "Cannot use listen.token: each must be a text, not empty"],
    ['["4711", ""]', "Cannot use listen.token: each must be a text, not empty"],
    ['"4711', "Cannot use carillon.toml, line 2, column "],
  ];
  for (const [token, complaint] of slips) {
    let said = "";
    try {
      load(token);
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toStartWith(complaint);
    expect(said).not.toContain("4711");
  }
});

/** What an operator does with a join token: two lines from one command, pasted as they are, and what is said of one that cannot be used. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newToken } from "../../edge/link/join/token.ts";
import { newNodeKey } from "../../mod.ts";
import { runtime } from "#runtime";
import { runProgram } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "carillon-join-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const init = (...args: string[]) => runProgram(["init", ...args], { cwd: directory });
const config = join(directory, "carillon.toml");
const tokenFile = join(directory, "data", "join.token");

function write(token: string, line: string): void {
  mkdirSync(join(directory, "data"), { recursive: true });
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  writeFileSync(
    config,
    `[node]\nname = "n3"\n[[nodes]]\nname = "n1"\nlink = "127.0.0.1:4201"\nkey = "${newNodeKey().publicKey}"\n` +
      `[[nodes]]\nname = "n3"\nlink = "127.0.0.1:4203"\n${line}\n`,
  );
}
const check = () => runProgram(["config", "check", "--config", config, "--node.data", join(directory, "data")]);

test("init --token prints two lines, which a configuration takes as they are", async () => {
  const { code, stdout, stderr } = await init("--token", "n3", "--valid", "2h");
  expect(code).toBe(0);
  const [token, line, ...rest] = stdout.split("\n") as [string, string, ...string[]];
  expect(rest).toEqual([""]);
  expect(stderr).not.toContain(token.split(" ")[1]!);
  write(token, line);
  expect(await check()).toMatchObject({ code: 0, stderr: "" });
  const shown = await runProgram(["config", "show", "--config", config]);
  expect(shown.stdout).toContain(/cj1_[\w-]+/.exec(line)![0]);
  const before = Date.now();
  const { expires } = JSON.parse((await init("--token", "n3", "--json")).stdout) as { expires: string };
  // An hour, rounded up to a minute.
  expect(Date.parse(expires)).toBeWithin(before + 3_600_000, Date.now() + 3_660_001);
});

test("what it cannot do it says", async () => {
  for (
    const [args, sentence] of [
      [["--valid", "1h"], "it goes with --token NODE"],
      [["--token", "n3", "--rotate"], "--token is for a node whose key is not known yet"],
      [["--token", "n3", "--valid", "30s"], "--valid must be from 1m to 168h"],
      [["--token", "n3", "--valid", "169h"], "--valid must be from 1m to 168h"],
    ] as const
  ) expect(await init(...args)).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(sentence) });
});

test("config check says of a token what is wrong with it", async () => {
  const [one, other] = [newToken(runtime, Date.now() + 3_600_000), newToken(runtime, Date.now() - 60_000)];
  write(one.token, `join = "${other.listing.text}"`);
  expect(await check()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`Cannot be node "n3": ${tokenFile} is for another listing than ${other.listing.text}`),
  });
  write(other.token, `join = "${other.listing.text}"`);
  expect(await check()).toMatchObject({ code: 0, stderr: expect.stringContaining('the join token of node "n3" has expired') });
  chmodSync(tokenFile, 0o644);
  expect(await check()).toMatchObject({ code: 2, stderr: expect.stringContaining("others on this machine may read it") });
  rmSync(tokenFile);
  expect(await check()).toMatchObject({ code: 0, stderr: expect.stringContaining(`there is no join token ${tokenFile} here`) });
});

/** A node's key file: made once, for its owner alone, never overwritten; what is wrong with one is said with what to do. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addKey, checkListed, dropKeys, makeKeyFile, readKeyFile } from "../../edge/link/key_file.ts";
import { type KeyPair, keyText } from "../../edge/link/identity.ts";
import { heldKeysMax } from "../../edge/link/node_key.ts";
import { newNodeKey } from "../../mod.ts";
import { runtime } from "#runtime";
import { runProgram } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "carillon-keys-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
let path = "";
beforeEach(() => path = join(directory, String(count++), "node.key"));

const { cryptography } = runtime;
const texts = (keys: readonly KeyPair[]): string[] => keys.map(({ publicKey }) => keyText(publicKey));
const mode = (): number => statSync(path).mode & 0o777;

async function complaint(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "no complaint", (error: Error) => error.message);
}

describe("the file", () => {
  test("is made for its owner alone, and what is there is left as it is", async () => {
    const first = await makeKeyFile(path, runtime);
    const text = readFileSync(path, "utf8");
    expect([first.made, first.keys.length, mode()]).toEqual([true, 1, 0o600]);
    const again = await makeKeyFile(path, runtime);
    expect([again.made, texts(again.keys), readFileSync(path, "utf8")]).toEqual([false, texts(first.keys), text]);
    expect(texts(await readKeyFile(path, cryptography))).toEqual(texts(first.keys));
  });

  test("gets another key behind the first, and forgets those that are not listed", async () => {
    const { keys: [first] } = await makeKeyFile(path, runtime);
    const [old, young] = texts(await addKey(path, runtime)) as [string, string];
    expect([old, mode()]).toEqual([keyText(first!.publicKey), 0o600]);
    expect((await dropKeys(path, [old, young], runtime)).dropped).toEqual([]);
    expect(texts(await readKeyFile(path, cryptography))).toEqual([old, young]);
    expect((await dropKeys(path, [young, "ck1_somebody else's"], runtime)).dropped).toEqual([old]);
    expect([texts(await readKeyFile(path, cryptography)), mode()]).toEqual([[young], 0o600]);
  });

  test("is never left without a key, nor filled with keys", async () => {
    const { keys } = await makeKeyFile(path, runtime);
    expect(await complaint(dropKeys(path, [], runtime))).toBe(
      `Cannot use the key file ${path}: of its keys ${
        texts(keys)
      } none is listed for this node, and all would be gone; list one of them first`,
    );
    for (let held = 1; held < heldKeysMax; held++) await addKey(path, runtime);
    expect(await complaint(addKey(path, runtime))).toContain("it holds 4 keys, which are the most; list those that are needed and run");
    expect(await readKeyFile(path, cryptography)).toHaveLength(heldKeysMax);
  });

  test("that others may read is not used", async () => {
    await makeKeyFile(path, runtime);
    for (const open of [0o640, 0o604, 0o620]) {
      chmodSync(path, open);
      const sentence = await complaint(readKeyFile(path, cryptography));
      expect(sentence).toBe(
        `Cannot use the key file ${path}: others on this machine may read it or write to it; run "chmod 600 ${path}", and if anybody may have, change the key with "carillon init --rotate"`,
      );
      expect(await complaint(makeKeyFile(path, runtime))).toBe(sentence);
    }
  });

  test("that is missing or damaged is said so, without a word of what is in it", async () => {
    expect(await complaint(readKeyFile(path, cryptography))).toBe(
      `Cannot use the key file ${path}: there is no such file; run "carillon init" to make it`,
    );
    await makeKeyFile(path, runtime);
    const whole = readFileSync(path, "utf8");
    const secret = /carillon-private-key-1 (\S+)/.exec(whole)![1]!;
    for (
      const damaged of [whole.replace(secret, secret.slice(1)), whole.slice(0, 80), "", whole.replace("private-key-1", "private-key-9")]
    ) {
      writeFileSync(path, damaged);
      const sentence = await complaint(readKeyFile(path, cryptography));
      expect(sentence).toStartWith(`Cannot read private keys from ${path}`);
      expect(sentence).toEndWith('put back the file as "carillon init" made it, or move it away, run "carillon init" and list the new key');
      expect(sentence).not.toContain(secret.slice(1, 20));
      // Nor is it made anew: it may be the only copy of a key that can still be mended.
      expect([await complaint(makeKeyFile(path, runtime)), readFileSync(path, "utf8")]).toEqual([sentence, damaged]);
    }
  });

  test("of another node is told from this node's", async () => {
    const { keys } = await makeKeyFile(path, runtime);
    const [own] = texts(keys) as [string];
    checkListed("fra-1", keys, new Map([["fra-1", ["ck1_other", own]]]), path);
    expect(() => checkListed("fra-1", keys, new Map([["fra-1", ["ck1_other"]]]), path)).toThrow(
      `Cannot be node "fra-1": ${path} holds ${own}, and ck1_other is listed for it; put its own line there on every node, ` +
        `key = "${own}", or name the right file with node.key`,
    );
    expect(() => checkListed("fra-1", keys, new Map(), path)).toThrow("and no key is listed for it");
    // A directory that was copied: nobody should be led to list the key twice.
    expect(() => checkListed("fra-1", keys, new Map([["fra-1", ["ck1_other"]], ["iad-1", [own]]]), path)).toThrow(
      `Cannot be node "fra-1": ${path} holds the key of node "iad-1"; name its own directory with node.data, or its own file with node.key`,
    );
  });
});

describe("carillon init", () => {
  const init = (...args: string[]) => runProgram(["init", ...args], { cwd: directory });

  test("prints lines for the cluster's file and says the rest beside; rotation is three commands", async () => {
    const config = join(directory, "rotation.toml");
    const flags = ["--node.name", "a", "--node.data", "rotation", "--config", config];
    writeFileSync(config, "");
    const made = await init(...flags, "--listen.link", "127.0.0.1:4201", "--node.region", "fra");
    const key = /^key = "(ck1_\S{43})"$/m.exec(made.stdout)![1]!;
    expect(made).toEqual({
      code: 0,
      stdout: `[[nodes]]\nname = "a"\nregion = "fra"\nlink = "127.0.0.1:4201"\nkey = "${key}"\n`,
      stderr: "rotation/node.key is the private key of node a: it stays on this machine\nfor the cluster's file, the same on every node:\n",
    });
    writeFileSync(config, made.stdout);
    const again = await init(...flags);
    expect([again.stdout, again.stderr]).toEqual([
      made.stdout,
      "rotation/node.key was there already, and is as it was\nthe cluster's file lists it:\n",
    ]);

    const rotated = await init(...flags, "--rotate");
    const keys = /^keys = \["(\S+)", "(\S+)"\]$/m.exec(rotated.stdout)!;
    expect([rotated.code, keys[1]]).toEqual([0, key]);
    writeFileSync(config, made.stdout.replace(key, keys[2]!));
    const dropped = await init(...flags, "--drop");
    expect(dropped).toEqual({
      code: 0,
      stdout: made.stdout.replace(key, keys[2]!),
      stderr: `rotation/node.key: forgot ${key}\nthe cluster's file lists for a:\n`,
    });
    const json = JSON.parse((await init(...flags, "--json")).stdout);
    expect(json).toEqual({ node: "a", keys: [keys[2]], file: "rotation/node.key", lines: dropped.stdout.trimEnd().split("\n") });
  });

  test("a command line that asks for too much is refused with the next thing to try", async () => {
    expect(await init("--rotate", "--drop")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("between the two the cluster has to learn the new one\n  try: carillon init --help"),
    });
    expect(await init("--rotate", "--node.data", "nowhere")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('run "carillon init" to make it\n  try: carillon init --help'),
    });
  });
});

test("config check looks at the key file as well, and config show at the public keys", async () => {
  const config = join(directory, "check.toml");
  const flags = ["--node.name", "a", "--node.data", "check", "--listen.link", "127.0.0.1:4201"];
  const lines = (await runProgram(["init", ...flags], { cwd: directory })).stdout;
  const other = newNodeKey().publicKey;
  const whole = `${lines}[[nodes]]\nname = "b"\nlink = "127.0.0.1:4202"\nkey = "${other}"\n`;
  const checked = async (text: string, node: string, data: string): Promise<[number, string]> => {
    writeFileSync(config, text);
    const args = ["config", "check", "--config", config, "--node.name", node, "--node.data", data];
    const { code, stderr } = await runProgram(args, { cwd: directory });
    return [code, stderr.split("\n")[0]!];
  };
  expect(await checked(whole, "a", "check")).toEqual([0, ""]);
  expect(await checked(whole, "a", "elsewhere")).toEqual([
    0,
    '! there is no key file elsewhere/node.key here; where the node is to start, "carillon init" makes it',
  ]);
  expect((await checked(whole, "b", "check"))[1]).toStartWith('✗ Cannot be node "b": check/node.key holds the key of node "a"; name');
  const keyless = await checked(whole.replace(`key = "${other}"\n`, ""), "a", "check");
  expect(keyless).toEqual([2, expect.stringContaining('✗ Cannot use [[nodes]] "b": it has no key')]);

  writeFileSync(config, whole);
  const shown = await runProgram(["config", "show", "--config", config, "--node.name", "a", "--json"], { cwd: directory });
  expect(JSON.parse(shown.stdout).nodes[1]).toEqual({ name: "b", link: "127.0.0.1:4202", keys: [other] });
});

/** A join token in the cluster's file: where a key would stand, alone, and only where first contact can be made. */
import { expect, test } from "bun:test";
import { checkSafety, type Config, loadConfig } from "../../edge/config.ts";
import { keyText } from "../../edge/link/identity.ts";
import { newToken } from "../../edge/link/join/token.ts";
import { runtime } from "#runtime";

const [first, second] = [1, 2].map((byte) => keyText(new Uint8Array(32).fill(byte))) as [string, string];
const join = newToken(runtime, Date.UTC(2030, 0)).listing.text;

/** `lines`: of iad-1, in place of its key. */
function load(lines: string, flags: Record<string, string> = {}): Config {
  const text =
    `[[nodes]]\nname = "fra-1"\nlink = "fra-1:4101"\nkey = "${first}"\n[[nodes]]\nname = "iad-1"\nlink = "iad-1:4101"\n${lines}\n`;
  return loadConfig({
    file: { path: "carillon.toml", text },
    environment: {},
    flags: new Map(Object.entries(flags)),
    hostName: "fra-1",
    readSecret: () => "",
  });
}

test("it is listed in place of a key, where first contact can be made", () => {
  const line = `join = "${join}"`;
  const config = load(line, { "node.data": "/d/" });
  expect([...config.keys]).toEqual([["fra-1", [first]], ["iad-1", [join]]]);
  expect(config.joinFile).toBe("/d/join.token");
  expect(load(line, { "node.join": "/run/join" }).joinFile).toBe("/run/join");
  checkSafety(config, false);
  expect(() => checkSafety(load(line, { "link.driver": "udp" }), true)).toThrow(
    'Cannot use [[nodes]] "iad-1": a node joins over HTTP/2, which link.driver = "udp" has not; set "auto", or list its key instead of "join"',
  );
});

test.each([
  ["beside a key", `join = "${join}"\nkey = "${second}"`, 'it has a key and a join token; once the key is known, take "join" out'],
  ["among keys", `keys = ["${second}", "${join}"]`, "a join token stands alone, in place of a key"],
  [
    "as the token itself, which is not repeated",
    'join = "carillon-join-1 c2VjcmV0"',
    'that is a join token, which is for the node alone; list what "carillon init --token" prints below it',
  ],
  [
    "as the token itself, for a key",
    'key = "carillon-join-1 c2VjcmV0"',
    'that is a join token, which is for the node alone; list what "carillon init --token" prints below it',
  ],
  [
    "cut short, which is not repeated either",
    `join = "${join.slice(0, -1)}"`,
    'that is no listing of a join token; those begin with cj1_, and "carillon init --token" prints them',
  ],
])("%s it is refused", (_, lines, sentence) => {
  expect(() => load(lines)).toThrow(`Cannot use [[nodes]] "iad-1": ${sentence}`);
});

test("it is of one node, and no key is both", () => {
  const another = newToken(runtime, Date.UTC(2031, 0)).listing;
  const third = (line: string) => load(`join = "${another.text}"\n[[nodes]]\nname = "sin-1"\nlink = "sin-1:4101"\n${line}`);
  const sentence = 'Cannot use [[nodes]]: "iad-1" and "sin-1" have the same key';
  expect(() => third(`join = "${another.text}"`)).toThrow(sentence);
  expect(() => third(`key = "${keyText(another.publicKey)}"`)).toThrow(sentence);
});

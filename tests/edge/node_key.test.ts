/** The file with a node's private keys: what it may say, what is refused, and that no refusal shows a key. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import { CarillonError } from "../../core/errors.ts";
import { fromBase64Url, toBase64Url } from "../../edge/link/base64url.ts";
import { keyText, ownKeys, parseKey, Roster } from "../../edge/link/identity.ts";
import { keyFileText, newKeyPair, parseKeyFile } from "../../edge/link/node_key.ts";

const { cryptography } = runtime;
const keys = Array.from({ length: 5 }, () => newKeyPair(cryptography, runtime.entropy));
const [first, second] = keys as [typeof keys[0], typeof keys[0]];
const secretOf = (key: typeof first) => toBase64Url(key.privateKey);
const line = (key: typeof first) => `carillon-private-key-1 ${secretOf(key)}`;

test("what is written is read again, with comments, empty lines and line ends of any kind", () => {
  expect(parseKeyFile(keyFileText([first, second]), "node.key", cryptography)).toEqual([first, second]);
  expect(keyFileText([first])).toContain(`# public: ${keyText(first.publicKey)}\n`);
  const edited = `# mine\r\n\r\n  ${line(second)}  \r\n#${line(first)}\n`;
  expect(parseKeyFile(edited, "node.key", cryptography)).toEqual([second]);
});

test.each([
  ["nothing", "# no key\n", "node.key: there is none"],
  ["another word", `# x\nprivate ${secretOf(first)}`, 'node.key, line 2: a line is "carillon-private-key-1" and the key'],
  ["a bare key", secretOf(first), 'node.key, line 1: a line is "carillon-private-key-1" and the key'],
  ["a public key", keyText(first.publicKey), "node.key, line 1: that is a public key; it belongs in the configuration"],
  ["a short key", line(first).slice(0, -1), "node.key, line 1: a key is 32 bytes in base64url, 43 characters"],
  ["no key", "carillon-private-key-1", "node.key, line 1: a key is 32 bytes in base64url, 43 characters"],
  ["too much", `${line(first)} x`, "node.key, line 1: a key is 32 bytes in base64url, 43 characters"],
  ["a key twice", `${line(first)}\n${line(second)}\n${line(first)}`, "node.key, line 3: the key is there already"],
  ["too many", keyFileText(keys), "node.key: there are 5, and 4 are enough to change them"],
])("%s is refused, with a sentence that shows no key", (_, text, sentence) => {
  let refusal: unknown;
  try {
    parseKeyFile(text, "node.key", cryptography);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(CarillonError);
  const { code, message } = refusal as CarillonError;
  expect([code, message]).toEqual(["config", `Cannot read private keys from ${sentence}`]);
  for (const key of keys) expect(message).not.toContain(secretOf(key).slice(0, 8));
});

test("base64url has one spelling for each value", () => {
  for (let length = 0; length < 70; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => index * 37 + length);
    expect(toBase64Url(bytes)).toBe(Buffer.from(bytes).toString("base64url"));
    expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes);
  }
  for (const text of ["A", "AB=", "AB==", "A+", "A/", "A A", "AB", "\n"]) expect(fromBase64Url(text)).toBe(null);
});

describe("who is who", () => {
  test("a public key is written one way", () => {
    expect(parseKey(keyText(first.publicKey))).toEqual(first.publicKey);
    const text = keyText(first.publicKey);
    for (const wrong of [text.slice(0, -1), text + "A", text.slice(4), text.replace("ck1", "ck2"), text.slice(0, -1) + "B"]) {
      expect(parseKey(wrong)).toBe(null);
    }
  });

  test("the roster answers with what is listed now, and says when that changes", () => {
    const roster = new Roster(new Map([[1, [first.publicKey, second.publicKey]]]));
    expect([roster.nodeOf(first.publicKey), roster.nodeOf(keys[2]!.publicKey)]).toEqual([1, null]);
    let changes = 0;
    const stop = roster.onChange(() => changes++);
    roster.replace(new Map([[1, [second.publicKey]], [2, [keys[2]!.publicKey]]]));
    expect([roster.nodeOf(first.publicKey), roster.nodeOf(keys[2]!.publicKey), roster.keysOf(3)]).toEqual([null, 2, []]);
    stop();
    roster.replace(new Map());
    expect(changes).toBe(1);
  });

  test("a node introduces itself with the first of its keys that the cluster lists", () => {
    const held = { self: 1, cluster: "c", keys: [first, second] };
    const listed = (...listing: readonly Uint8Array[]) => ownKeys({ ...held, roster: new Roster(new Map([[1, listing]])) })[0]!;
    expect(listed(keys[2]!.publicKey, second.publicKey, first.publicKey)).toBe(second);
    expect(listed(keys[2]!.publicKey)).toBe(first);
  });
});

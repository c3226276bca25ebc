/** Join tokens as text: what is printed is read again, and nothing else is. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CarillonError } from "../../core/errors.ts";
import { keyText } from "../../edge/link/identity.ts";
import { keepLearned, learnedFile, type LearnedKey, learnedText, parseLearned, readLearned } from "../../edge/link/join/learned.ts";
import { isExpired, newToken, parseJoin, parseToken } from "../../edge/link/join/token.ts";
import { type Runtime, wallMicros } from "../../edge/runtime.ts";
import { equal, ok, rejects, test } from "./check.ts";

const minute = 60_000;
const noon = Date.UTC(2026, 10, 26, 12);

export function joinTokens(runtime: Runtime): void {
  const { cryptography } = runtime;
  const read = (text: string) => parseToken(text, "join.token", cryptography);

  test("join tokens: the two texts are of one key, and no two tokens are alike", () => {
    const [{ token, listing }, other] = [newToken(runtime, noon), newToken(runtime, noon)];
    equal(read(`# for n3\r\n\r\n  ${token}  \r\n`).publicKey, listing.publicKey);
    equal(parseJoin(listing.text), listing);
    ok(/^carillon-join-1 [\w-]{43}$/.test(token), token);
    ok(/^cj1_[\w-]{48}$/.test(listing.text), listing.text);
    ok(other.token !== token && other.listing.text !== listing.text, "two tokens");
  });

  test("join tokens: good until a whole minute, and not one microsecond longer", () => {
    const { listing } = newToken(runtime, noon - minute + 1);
    equal(listing.expiresAt, noon);
    equal([noon - 1, noon].map((at) => isExpired(listing, wallMicros(at))), [false, true]);
    equal(isExpired(listing, wallMicros(noon) - 1), false);
  });

  test("join tokens: a damaged listing is none, wherever it is damaged", () => {
    const { text } = newToken(runtime, noon).listing;
    for (let at = 0; at < text.length; at++) {
      equal(parseJoin(text.slice(0, at) + text.slice(at + 1)), null, `without character ${at}`);
      equal(parseJoin(`${text.slice(0, at)}!${text.slice(at + 1)}`), null, `another character ${at}`);
    }
    for (const wrong of ["", "cj1_", `${text}A`, text.replace("cj1", "ck1"), ` ${text}`]) equal(parseJoin(wrong), null, wrong);
  });

  test("join tokens: what is none is refused with a sentence that does not show it", () => {
    const { token, listing } = newToken(runtime, noon);
    const secret = token.split(" ")[1]!;
    const cases: readonly (readonly [string, string])[] = [
      ["# nothing", "there is none"],
      [`${token}\n${token}`, "there are 2 lines, and a token is one"],
      [`join = "${listing.text}"`, "that is what the cluster's file lists; the token is the other line"],
      [secret, 'a token is "carillon-join-1" and a key'],
      [token.slice(0, -1), 'behind "carillon-join-1" are 32 bytes in base64url, 43 characters'],
      [`${token} x`, 'behind "carillon-join-1" are 32 bytes in base64url, 43 characters'],
      ["carillon-join-1", 'behind "carillon-join-1" are 32 bytes in base64url, 43 characters'],
    ];
    for (const [text, sentence] of cases) {
      let refusal: unknown = null;
      try {
        read(text);
      } catch (error) {
        refusal = error;
      }
      ok(refusal instanceof CarillonError, text);
      equal(refusal.message, `Cannot read a join token from join.token: ${sentence}`);
      ok(!refusal.message.includes(secret.slice(0, 8)), "it shows the token");
    }
  });

  test("learned keys: what is kept is read again, and nothing else is", async () => {
    const directory = await mkdtemp(join(tmpdir(), "carillon-learned-"));
    try {
      const disk = await runtime.openDisk(directory);
      equal(await readLearned(disk), []);
      const learned = ["n2", "n3"].map((node): LearnedKey => {
        const { text, publicKey } = newToken(runtime, noon).listing;
        return { node, join: text, key: keyText(publicKey) };
      });
      for (const keys of [learned, learned.slice(1), []]) {
        await keepLearned(disk, keys);
        equal(await readLearned(disk), keys);
      }
      const whole = learnedText(learned);
      const line = whole.split("\n")[1]!;
      for (const wrong of [line.slice(0, -1), `${line} x`, line.slice(3), line.replace("cj1_", "cj2_"), line.replace(" ", "  ")]) {
        await writeFile(join(directory, learnedFile), whole.replace(line, wrong));
        const { message } = await rejects(readLearned(disk), "config");
        ok(message.includes(`${learnedFile}, line 2: a line is a node`), message);
      }
      // A file that was cut short is damaged unless it was cut between two lines.
      const lengths = Array.from({ length: whole.length }, (_, length) => length);
      const read = lengths.filter((length) => isRead(whole.slice(0, length), learned));
      const isBetween = (length: number): boolean => whole[length] === "\n" || /^(#.*)?$/.test(whole.slice(0, length).split("\n").at(-1)!);
      equal(read, lengths.filter(isBetween));
    } finally {
      await rm(directory, { recursive: true });
    }
  });
}

function isRead(text: string, learned: readonly LearnedKey[]): boolean {
  try {
    const keys = parseLearned(text, learnedFile);
    return keys.every((key, index) => JSON.stringify(key) === JSON.stringify(learned[index]));
  } catch {
    return false;
  }
}

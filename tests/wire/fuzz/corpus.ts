/** Inputs worth keeping, in the tree: one file for each parser, one input a line, in hexadecimal digits. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

/** For each parser. */
const charsMax = 16_000;

/** `root`: of the project, with a slash at its end. */
export function loadCorpus(root: string, target: string): Uint8Array[] {
  const file = `${root}tests/data/wire_corpus/${target}.txt`;
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => new Uint8Array(Buffer.from(line, "hex")));
}

/** Those that were kept before, which may be what broke it once, and of new ones the short ones, as far as there is room; each once. */
export function saveCorpus(root: string, target: string, inputs: readonly Uint8Array[]): void {
  mkdirSync(`${root}tests/data/wire_corpus`, { recursive: true });
  const hex = (input: Uint8Array): string => Buffer.from(input).toString("hex");
  const shortFirst = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);
  const lines = [...new Set(loadCorpus(root, target).map(hex))];
  const fresh = [...new Set(inputs.map(hex))].filter((line) => !lines.includes(line)).sort(shortFirst);
  let chars = lines.reduce((sum, line) => sum + line.length, 0);
  for (const line of fresh) if ((chars += line.length) <= charsMax) lines.push(line);
  lines.sort(shortFirst);
  writeFileSync(`${root}tests/data/wire_corpus/${target}.txt`, lines.map((line) => `${line}\n`).join(""));
}

/** Inputs worth keeping, in the tree: one file for each parser, one input a line, in hexadecimal digits. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

/** `root`: of the project, with a slash at its end. */
export function loadCorpus(root: string, target: string): Uint8Array[] {
  const file = `${root}tests/data/wire_corpus/${target}.txt`;
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => new Uint8Array(Buffer.from(line, "hex")));
}

/** Short inputs first, each once. */
export function saveCorpus(root: string, target: string, inputs: readonly Uint8Array[]): void {
  mkdirSync(`${root}tests/data/wire_corpus`, { recursive: true });
  const lines = [...new Set(inputs.map((input) => Buffer.from(input).toString("hex")))];
  lines.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  writeFileSync(`${root}tests/data/wire_corpus/${target}.txt`, lines.map((line) => `${line}\n`).join(""));
}

/** Starts the fuzzer on Node, the one runtime that tells which code has run. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Fuzzing {
  readonly seed: number;
  readonly inputs: number;
  /** One parser's name, or "all". */
  readonly target: string;
  readonly keep: boolean;
}

/** Of the parsers in a file of this folder. A code other than 0: an input broke one of them, and the output says which. */
export async function fuzzOnNode(
  parsers: "targets.ts" | "canary.ts",
  { seed, inputs, target, keep }: Fuzzing,
  output: "inherit" | "pipe",
): Promise<{ readonly code: number; readonly text: string }> {
  const folder = mkdtempSync(join(tmpdir(), "carillon-wire-"));
  try {
    const [runner, code] = await Promise.all(["run.ts", parsers].map((file) => bundle(folder, file)));
    const root = new URL("../../..", import.meta.url).pathname;
    const args = [code!, root, String(inputs), String(seed), target, keep ? "keep" : ""];
    const child = Bun.spawn(["node", "--expose-gc", runner!, ...args], { stdout: output, stderr: output });
    const text = output === "pipe"
      ? (await Promise.all([child.stdout, child.stderr].map((stream) => new Response(stream as ReadableStream).text()))).join("")
      : "";
    return { code: await child.exited, text };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function bundle(folder: string, file: string): Promise<string> {
  const made = await Bun.build({ entrypoints: [new URL(file, import.meta.url).pathname], target: "node" });
  const path = join(folder, file.replace(".ts", ".mjs"));
  await Bun.write(path, await made.outputs[0]!.text());
  return path;
}

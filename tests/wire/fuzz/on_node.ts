/** Starts the fuzzer on Node, the one runtime that tells which code has run. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bundles a script for Node and runs it there; says how it ended. Its output goes to `output`. */
export async function onNode(
  script: string,
  args: readonly string[],
  output: "inherit" | "pipe",
): Promise<{ readonly code: number; readonly text: string }> {
  const folder = mkdtempSync(join(tmpdir(), "carillon-wire-"));
  try {
    const bundle = await Bun.build({ entrypoints: [new URL(script, import.meta.url).pathname], target: "node" });
    const file = join(folder, "bundle.mjs");
    await Bun.write(file, await bundle.outputs[0]!.text());
    const child = Bun.spawn(["node", file, ...args], { stdout: output, stderr: "inherit" });
    const text = output === "pipe" ? await new Response(child.stdout as ReadableStream).text() : "";
    return { code: await child.exited, text };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** False: an input broke a parser; it has been printed. */
export async function fuzzOnNode(
  { seed, inputs, target, keep }: { readonly seed: number; readonly inputs: number; readonly target: string; readonly keep: boolean },
): Promise<boolean> {
  const root = new URL("../../..", import.meta.url).pathname;
  const { code } = await onNode("run.ts", [root, String(inputs), String(seed), target, keep ? "keep" : ""], "inherit");
  return code === 0;
}

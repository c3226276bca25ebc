/** One seed, one run: whole simulated clusters come to the same end, step by step, in Bun, in Deno and in Node. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestSeeds } from "../sim/digest.ts";

const root = join(import.meta.dir, "../..");
const program = join(import.meta.dir, "print_digests.ts");
const folder = mkdtempSync(join(tmpdir(), "carillon-digests-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function lines(...command: readonly string[]): Promise<string[]> {
  const run = Bun.spawn([...command], { cwd: root, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [printed, complaints] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
  expect(await run.exited, complaints).toBe(0);
  return printed.trimEnd().split("\n");
}

test("a seed has one digest on three runtimes", async () => {
  const bundle = join(folder, "digests.mjs");
  const built = await Bun.build({ entrypoints: [program], target: "node", outdir: folder, naming: "digests.mjs" });
  expect(built.success).toBe(true);
  const bun = await lines(process.execPath, program);
  // A run that a violation cuts short would compare less than it seems to.
  expect(bun.map((line) => line.replace(/ [0-9a-f]+ \d+ events/, ""))).toEqual(digestSeeds.map(String));
  expect(new Set(bun.map((line) => line.split(" ")[1])).size).toBe(digestSeeds.length);
  expect(await lines(join(root, "node_modules/.bin/deno"), "run", "-A", program)).toEqual(bun);
  expect(await lines("node", bundle)).toEqual(bun);
}, 120_000);

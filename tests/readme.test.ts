/** Every line the README tells its reader to type is typed here, against real processes, and has to print what it shows. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Running } from "./edge/program.ts";
import { blocksOf, examplesOf, Reader, type Replacements, runInShell } from "./readme/console.ts";

const root = join(import.meta.dir, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "carillon-readme-"));

/** A curl that shows no progress, as on a terminal; `own` is ours, which has to do where there is none. */
function curls(): readonly { readonly name: string; readonly environment: Readonly<Record<string, string>> }[] {
  const home = join(folder, "curl-home");
  const bin = join(folder, "bin");
  mkdirSync(home, { recursive: true });
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(home, ".curlrc"), "silent\nshow-error\n");
  writeFileSync(join(bin, "curl"), `#!/bin/sh\nexec "${process.execPath}" "${join(bin, "curl.ts")}" "$@"\n`);
  copyFileSync(join(root, "tests/readme/curl.ts"), join(bin, "curl.ts"));
  chmodSync(join(bin, "curl"), 0o755);
  const own = { name: "our own curl", environment: { PATH: `${bin}:${process.env["PATH"]}` } };
  return Bun.which("curl") === null ? [own] : [{ name: "curl", environment: { CURL_HOME: home } }, own];
}

/** What differs from the README; docs/http.md has a test like this among those of its routes. */
async function typed(replacements: Replacements, environment: Readonly<Record<string, string>>): Promise<string[]> {
  const examples = examplesOf(readme);
  const printed = await runInShell(examples, replacements, environment);
  expect(printed.length).toBe(examples.length);
  const reader = new Reader();
  return examples.flatMap((example, at) => reader.compare(example, printed[at]!) ?? []);
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the README", () => {
  for (const { name, environment } of curls()) {
    test(`says what three regions answer, typed with ${name}`, async () => {
      await using demo = await Running.start(["demo", "--regions", "fra,iad,sin", "--port", "0"], { cwd: folder });
      const { nodes } = demo.first as { readonly nodes: readonly { readonly httpPort: number }[] };
      const documented = ["localhost:4100", "localhost:4110", "localhost:4120"];
      const ports = new Map(documented.map((address, at) => [address, `localhost:${nodes[at]!.httpPort}`]));
      expect(examplesOf(readme).length).toBeGreaterThanOrEqual(12);
      expect(await typed(ports, environment)).toEqual([]);
      expect(await demo.stop()).toBe(0);
    }, 120_000);
  }
});

describe("the README's program", () => {
  const program = blocksOf(readme, "ts").find((block) => block.includes("@carillon/carillon"));

  test("prints what its comments say", async () => {
    if (program === undefined) throw new Error("Cannot find the embedded example in README.md");
    const file = join(folder, "example.ts");
    writeFileSync(file, program.replace('"@carillon/carillon"', JSON.stringify(join(root, "mod.ts"))));
    const run = Bun.spawn([process.execPath, file], { cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [printed, complaints] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
    const shown = [...program.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1]!);
    expect(shown.length).toBe(3);
    expect({ printed: printed.trimEnd().split("\n"), complaints, code: await run.exited }).toEqual({
      printed: shown,
      complaints: "",
      code: 0,
    });
  }, 60_000);
});

test("a page that shows something else is noticed", async () => {
  const text =
    "```console\n$ v=00000000000000000123; echo $v\n00000000000000000001\n$ echo $v 00000000000000000456 tail\n00000000000000000001 00000000000000000002 …\n$ printf 'X-A: 1\\r\\n\\r\\nb'\n…\nb\n```\n";
  const examples = examplesOf(text);
  const printed = await runInShell(examples, new Map(), {});
  const reader = new Reader();
  expect(examples.map((example, at) => reader.compare(example, printed[at]!))).toEqual([null, null, null]);

  const wrong = (shown: readonly string[], output: string): boolean => reader.compare({ line: 1, command: "x", shown }, output) !== null;
  expect([
    wrong(["a"], "b\n"),
    wrong(["a"], "a\nb\n"),
    wrong(["a", "b"], "a\n"),
    // Known as …123, shown again as something else.
    wrong(["00000000000000000001"], "00000000000000000456\n"),
    // Two names for one position.
    wrong(["00000000000000000003"], "00000000000000000123\n"),
  ]).toEqual([true, true, true, true, true]);
});

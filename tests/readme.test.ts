/** Every line a page tells its reader to type is typed here, against real processes, and has to print what the page shows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blocksOf, examplesOf, Reader, type Replacements, runInShell } from "./readme/console.ts";

const root = join(import.meta.dir, "..");
const page = (path: string): string => readFileSync(join(root, path), "utf8");
const folder = mkdtempSync(join(tmpdir(), "carillon-readme-"));

/** The program as a user starts it, on ports nobody else has, with its first lines. */
class Program {
  readonly #process: Bun.Subprocess<"ignore", "pipe", "inherit">;
  /** In the order printed. */
  readonly ports: readonly string[];

  private constructor(process: Bun.Subprocess<"ignore", "pipe", "inherit">, ports: readonly string[]) {
    this.#process = process;
    this.ports = ports;
  }

  /** Waits for so many URLs and for `ready` in what it prints. */
  static async start(words: readonly string[], count: number): Promise<Program> {
    const process = Bun.spawn([globalThis.process.execPath, join(root, "edge/main.ts"), ...words], {
      cwd: folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const decoder = new TextDecoder();
    let printed = "";
    for await (const piece of process.stdout) {
      printed += decoder.decode(piece, { stream: true });
      const ports = [...new Set([...printed.matchAll(/http:\/\/localhost:(\d+)/g)].map((match) => match[1]!))];
      if (ports.length >= count && /\bready\b/.test(printed)) return new Program(process, ports);
    }
    throw new Error(`Cannot start "carillon ${words.join(" ")}": it ended after printing\n${printed}`);
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.exited;
  }
}

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

async function typed(path: string, replacements: Replacements, environment: Readonly<Record<string, string>>): Promise<string[]> {
  const examples = examplesOf(page(path));
  const printed = await runInShell(examples, replacements, environment);
  expect(printed.length).toBe(examples.length);
  const reader = new Reader();
  return examples.flatMap((example, at) => reader.compare(example, printed[at]!) ?? []);
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

for (const { name, environment } of curls()) {
  describe(`the README, typed with ${name}`, () => {
    let demo: Program;
    beforeAll(async () => {
      demo = await Program.start(["demo", "--regions", "fra,iad,sin", "--port", "0"], 3);
    }, 60_000);
    afterAll(() => demo?.stop());

    test("three regions answer as shown", async () => {
      const documented = ["localhost:4100", "localhost:4110", "localhost:4120"];
      const ports = new Map(documented.map((address, at) => [address, `localhost:${demo.ports[at]}`]));
      expect(examplesOf(page("README.md")).length).toBeGreaterThanOrEqual(12);
      expect(await typed("README.md", ports, environment)).toEqual([]);
    }, 60_000);
  });

  describe(`docs/http.md, typed with ${name}`, () => {
    let node: Program;
    beforeAll(async () => {
      node = await Program.start(["dev", "--http", "127.0.0.1:0"], 1);
    }, 60_000);
    afterAll(() => node?.stop());

    test("one node answers as shown", async () => {
      const ports = new Map([["localhost:4100", `localhost:${node.ports[0]}`]]);
      expect(examplesOf(page("docs/http.md")).length).toBeGreaterThanOrEqual(20);
      expect(await typed("docs/http.md", ports, environment)).toEqual([]);
    }, 60_000);
  });
}

describe("the README's program", () => {
  const program = blocksOf(page("README.md"), "ts").find((block) => block.includes("@carillon/carillon"));

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

/** What docs/cli.md shows and what the program itself tells its user to paste is typed here, line by line. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkSafety, loadConfig } from "../../edge/config.ts";
import { freePorts } from "../harness/real_cluster.ts";
import { blocksOf, examplesOf, Reader, runInShell } from "../readme/console.ts";
import { fromSource, Running } from "./program.ts";

const root = join(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "carillon-pages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A PATH on which `carillon` is this source and `curl` is there wherever we are. */
function path(): string {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  copyFileSync(join(root, "tests/readme/curl.ts"), join(bin, "curl.ts"));
  for (const [name, command] of [["carillon", fromSource], ["curl", [process.execPath, join(bin, "curl.ts")]]] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${command.map((word) => `"${word}"`).join(" ")} "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return `${bin}:${process.env["PATH"]}`;
}

test("docs/cli.md shows what the commands print", async () => {
  await using node = await Running.start(["dev", "--port", "0"]);
  const examples = examplesOf(readFileSync(join(root, "docs/cli.md"), "utf8"));
  expect(examples.length).toBeGreaterThan(12);
  const printed = await runInShell(examples, new Map(), { PATH: path(), CARILLON_URL: node.url });
  const reader = new Reader();
  expect(examples.flatMap((example, at) => reader.compare(example, printed[at]!) ?? [])).toEqual([]);
}, 60_000);

test("docs/configuration.md shows a file that works on each of its nodes", () => {
  const text = blocksOf(readFileSync(join(root, "docs/configuration.md"), "utf8"), "toml")[0]!;
  for (const name of ["fra-1", "iad-1", "sin-1"]) {
    const config = loadConfig({
      file: { path: "carillon.toml", text },
      environment: {},
      flags: new Map([["node.name", name]]),
      hostName: "box",
      readSecret: () => "token",
    });
    checkSafety(config, false);
    expect([config.self, config.tokens, config.topology.groups!.map((group) => group.name)]).toEqual([name, ["token"], [
      "eu",
      "us",
      "world",
    ]]);
  }
});

test("three nodes from nothing, as docs/cli.md and the README have it", async () => {
  const page = readFileSync(join(root, "docs/cli.md"), "utf8");
  const block = blocksOf(page, "sh").find((text) => text.includes("carillon init"))!;
  const readme = blocksOf(readFileSync(join(root, "README.md"), "utf8"), "sh").find((text) => text.includes("carillon init"))!;
  expect(block).toStartWith(readme);
  const place = join(folder, "three");
  mkdirSync(place);
  const ports = await freePorts(6);
  const documented = ["4101", "4102", "4103", "4201", "4202", "4203"];
  const typed = documented.reduce((text, port, at) => text.replaceAll(`:${port}`, `:${ports[at]}`), block);
  // The nodes are those of the page; only what they print is kept apart, and nobody has to wait by hand until they answer.
  const wait = `for port in ${
    ports.slice(0, 3).join(" ")
  }; do until carillon status --quiet --url localhost:$port; do sleep 0.1; done; done`;
  const script = typed.replaceAll(" &\n", " > nodes.out 2>&1 &\n").replace("carillon kv put", `${wait} 2> /dev/null\ncarillon kv put`);
  const shell = Bun.spawn(["bash", "-c", `set -e\ntrap 'kill $(jobs -p)' EXIT\n${script}`], {
    cwd: place,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, PATH: path() },
  });
  const [stdout, stderr] = await Promise.all([new Response(shell.stdout).text(), new Response(shell.stderr).text()]);
  expect(stderr.split("\n").filter((line) => !/private key|same on every node|^$/.test(line))).toEqual([]);
  expect([stdout.split("\n").at(-1), await shell.exited]).toEqual(["world", 0]);
}, 60_000);

test("the lines dev prints can be pasted", async () => {
  const started = Bun.spawn([...fromSource, "dev", "--port", "0"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  try {
    const banner = await untilReady(started.stdout);
    const lines = banner.split("\n").filter((line) => line.startsWith("  curl ")).map((line) => line.trim());
    expect(lines.length).toBe(7);
    // A stream has no end; a second of it tells as much.
    const commands = lines.map((line) => line.includes("-N") ? `timeout 1 ${line}` : line);
    const printed = await runInShell(commands.map((command) => ({ line: 0, command, shown: [] })), new Map(), { PATH: path() });
    expect([printed[1]!.trim(), /"key":"hello"/.test(printed[2]!), /"text":"first record"/.test(printed[5]!)]).toEqual([
      "world",
      true,
      true,
    ]);
    expect(printed[6]!.trim().split("\n").map((line) => JSON.parse(line).kind)).toEqual(["put", "caught-up"]);
  } finally {
    started.kill();
    await started.exited;
  }
}, 30_000);

test("the lines demo prints can be pasted, in their order", async () => {
  const started = Bun.spawn([...fromSource, "demo", "--regions", "fra,iad", "--delay", "all=0", "--port", "0", "--durability", "memory"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  try {
    const banner = await untilReady(started.stdout, "stop with");
    const lines = banner.split("\n").filter((line) => line.startsWith("  curl ")).map((line) => line.trim());
    // A stream has no end; a second of it tells as much. Listeners stay beside the line that sends them something.
    const commands = lines.map((line) => line.includes("-N") ? `timeout 1 ${line}` : line);
    const [listen, , send] = commands.slice(-3) as [string, string, string];
    const heard = `(${listen.split("   #")[0]!.replace("timeout 1", "timeout 3")}) & sleep 1; ${send}; wait`;
    const typed = [...commands.slice(0, -3), heard].map((command) => ({ line: 0, command, shown: [] }));
    const printed = await runInShell(typed, new Map(), { PATH: path() });
    expect(printed.map((text, at) => expected[at]!.test(text) ? "as told" : text)).toEqual(expected.map(() => "as told"));
  } finally {
    started.kill();
    await started.exited;
  }
}, 60_000);

/** What each of the demo's lines answers. */
const expected: readonly RegExp[] = [
  /^HTTP\/1.1 201/,
  /^HTTP\/1.1 200[^]*hello/,
  /^HTTP\/1.1 412[^]*check-failed/,
  /"key":"fra\/ada"/,
  /"name":"audit"/,
  /"first":0/,
  /event: record\nid: 0\ndata: .*"from iad"/,
  /"text":"to both"/,
];

async function untilReady(stdout: ReadableStream<Uint8Array>, mark = "ready in"): Promise<string> {
  const reader = stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes(mark)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`Cannot go on: it ended after\n${text}`);
    text += decoder.decode(value, { stream: true });
  }
  // Read on, or a full pipe would stop it.
  void (async () => {
    while (!(await reader.read()).done);
  })();
  return text;
}

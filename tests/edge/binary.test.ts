/** What is shipped, started from an empty directory: the single binary, the bundle for Node, the library for Node, the source on Deno. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../edge/version.ts";
import { Running, runProgram } from "./program.ts";

const root = join(import.meta.dir, "../..");
let directory: string;
let out: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "carillon-binary-"));
  out = join(directory, "out");
  const build = await runProgram(["--out", out], { command: [process.execPath, join(root, "edge/build.ts")] });
  if (build.code !== 0) throw new Error(`Cannot build: ${build.stdout}${build.stderr}`);
}, 120_000);

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** An empty directory to start from. */
async function empty(name: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(path);
  return path;
}

/** Version, a node, a put, a get, a clean end, and the same data in the next life. */
async function smoke(name: string, command: readonly string[], runtime: string): Promise<void> {
  const cwd = await empty(name);
  const options = { command, cwd };
  const told = await runProgram(["version", "--json", "--url", "http://127.0.0.1:9"], options);
  expect(JSON.parse(told.stdout)).toEqual({ version, runtime: expect.stringMatching(new RegExp(`^${runtime} `)), node: null });
  const first = await Running.start(["dev", "--port", "0", "--data", "data"], options);
  expect((await runProgram(["kv", "put", "hello", "world", "--url", first.url], options)).stderr).toBe("");
  expect(await (await fetch(`${first.url}/v1/kv/hello`)).text()).toBe("world");
  expect((await runProgram(["kv", "get", "hello", "--url", first.url], options)).stdout).toBe("world");
  expect(await first.stop("SIGTERM")).toBe(0);
  await using second = await Running.start(["dev", "--port", "0", "--data", "data"], options);
  expect((await runProgram(["kv", "get", "hello", "--url", second.url], options)).stdout).toBe("world");
  expect(await readdir(cwd)).toEqual(["data"]);
}

test("the binary runs alone", async () => {
  await smoke("binary", [join(out, "carillon")], "bun");
}, 60_000);

test("the binary heeds no .env and no bunfig.toml where it is started", async () => {
  const cwd = await empty("trap");
  await writeFile(join(cwd, ".env"), "CARILLON_URL=http://127.0.0.1:9/trap\n");
  await writeFile(join(cwd, "bunfig.toml"), 'preload = ["./trap.ts"]\n');
  await writeFile(join(cwd, "trap.ts"), 'console.log("trapped");\n');
  const { stdout, stderr } = await runProgram(["kv", "get", "x", "--timeout", "1s"], { command: [join(out, "carillon")], cwd });
  expect(stdout + stderr).not.toContain("trap");
}, 30_000);

test("the command runs on Node, as one file", async () => {
  const file = join(out, "carillon.mjs");
  expect((await stat(file)).mode & 0o111).not.toBe(0);
  await smoke("node", ["node", file], "node");
  expect((await runProgram(["--version"], { command: [file] })).stdout).toBe(`${version}\n`);
}, 60_000);

test("the source runs on Deno", async () => {
  await smoke("deno", [join(root, "node_modules/.bin/deno"), "run", "-A", join(root, "edge/main.ts")], "deno");
}, 60_000);

test("the library runs on Node: a node in the process, and one over HTTP", async () => {
  const cwd = await empty("library");
  const program = join(cwd, "program.mjs");
  await writeFile(
    program,
    `import { open } from ${JSON.stringify(join(out, "mod.mjs"))};
    const node = await open({ durability: "memory", http: { host: "127.0.0.1", port: 0 } });
    const remote = await open(node.url);
    const put = await node.kv.put("a", { json: { n: 1 } });
    const entry = await remote.kv.get("a");
    await remote.log("audit").create();
    await remote.log("audit").append("one");
    const records = [];
    for await (const record of remote.log("audit").tail({ from: 0 })) { records.push(record.text()); break; }
    console.log(JSON.stringify([put.ok, entry.json(), entry.version === put.version, records]));
    await remote.close();
    await node.close();`,
  );
  // It ends by itself: nothing of ours keeps the process alive.
  expect(await runProgram([program], { command: ["node"], cwd })).toEqual({ code: 0, stdout: '[true,{"n":1},true,["one"]]\n', stderr: "" });
}, 60_000);

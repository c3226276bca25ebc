/** The commands as a user types them, against a real node: what they print, and with what they end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../edge/version.ts";
import { type Ended, Running, runProgram } from "./program.ts";

let node: Running;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "carillon-cli-"));
  node = await Running.start(["dev", "--port", "0", "--data", join(directory, "data")]);
}, 20_000);

afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

function carillon(args: readonly string[], input?: string | Uint8Array): Promise<Ended> {
  return runProgram(args, { env: { CARILLON_URL: node.url }, ...(input === undefined ? {} : { input }) });
}

const position = /^[0-9a-f]{20}\n$/;

describe("kv", () => {
  test("put prints the version, get prints the value and nothing else", async () => {
    const put = await carillon(["kv", "put", "user/ada", "héllo"]);
    expect(put).toEqual({ code: 0, stdout: expect.stringMatching(position), stderr: "" });
    expect(await carillon(["kv", "get", "user/ada"])).toEqual({ code: 0, stdout: "héllo", stderr: "" });
    const document = JSON.parse((await carillon(["kv", "get", "user/ada", "--json"])).stdout);
    expect(document).toEqual({ key: "user/ada", version: put.stdout.trim(), type: "text/plain;charset=utf-8", text: "héllo" });
  });

  test("bytes go in and out as they are", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    expect((await carillon(["kv", "put", "bytes", "-", "--type", "application/x-test"], bytes)).code).toBe(0);
    const document = JSON.parse((await carillon(["kv", "get", "bytes", "--json"])).stdout);
    expect([document.type, Buffer.from(document.base64, "base64").equals(bytes)]).toEqual(["application/x-test", true]);
  });

  test("a condition that does not hold is exit code 4 and changes nothing", async () => {
    const first = (await carillon(["kv", "insert", "lock", "me"])).stdout.trim();
    const again = await carillon(["kv", "insert", "lock", "you"]);
    expect([again.code, again.stdout]).toEqual([4, ""]);
    expect(again.stderr).toContain(`its version is ${first}`);
    expect((await carillon(["kv", "cas", "lock", first, "you"])).code).toBe(0);
    expect((await carillon(["kv", "cas", "lock", first, "they"])).code).toBe(4);
    expect((await carillon(["kv", "get", "lock"])).stdout).toBe("you");
    expect((await carillon(["kv", "update", "nothing there", "x"])).code).toBe(4);
  });

  test("ls prints tabs for programs, and documents for those who ask", async () => {
    for (const key of ["ls/a", "ls/b", "ls/c"]) await carillon(["kv", "put", key, `value of ${key}`]);
    const rows = (await carillon(["kv", "ls", "ls/"])).stdout.trimEnd().split("\n").map((line) => line.split("\t"));
    expect(rows.map(([key, , value]) => [key, value])).toEqual([
      ["ls/a", "value of ls/a"],
      ["ls/b", "value of ls/b"],
      ["ls/c", "value of ls/c"],
    ]);
    expect((await carillon(["kv", "ls", "ls/", "--keys-only", "--reverse", "-n", "2"])).stdout).toBe("ls/c\nls/b\n");
    const documents = (await carillon(["kv", "ls", "ls/", "--ndjson"])).stdout.trimEnd().split("\n").map((line) => JSON.parse(line).text);
    expect(documents).toEqual(["value of ls/a", "value of ls/b", "value of ls/c"]);
    expect(await carillon(["kv", "ls", "nobody/"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("watch prints what there is and what changes, a line each, and goes on behind a position", async () => {
    const first = (await carillon(["kv", "put", "watch/a", "two\nlines"])).stdout.trim();
    const second = (await carillon(["kv", "put", "watch/b", "2"])).stdout.trim();
    await carillon(["kv", "del", "watch/a"]);
    const all = await carillon(["kv", "watch", "watch/", "--after", first, "--count", "2"]);
    const [put, deleted] = all.stdout.trimEnd().split("\n").map((line) => line.split("\t"));
    expect([all.code, put, deleted!.slice(1)]).toEqual([0, [second, "put", "watch/b", "2"], ["delete", "watch/a"]]);
    const before = (await carillon(["kv", "watch", "--start", "watch/", "--end", "watch0", "-n", "1"])).stdout;
    expect(before).toBe(`${second}\tput\twatch/b\t2\n`);
    const following = carillon(["kv", "watch", "--key", "watch/c", "--count", "2", "--ndjson"]);
    await Bun.sleep(500);
    await carillon(["kv", "put", "watch/c", "now"]);
    await carillon(["kv", "del", "watch/c"]);
    const documents = (await following).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(documents.filter(({ kind }) => kind !== "caught-up").map(({ kind, key }) => [kind, key])).toEqual([
      ["put", "watch/c"],
      ["delete", "watch/c"],
    ]);
    expect((await carillon(["kv", "watch", "watch/", "--key", "watch/c"])).code).toBe(2);
    expect((await carillon(["kv", "watch", "watch/", "--after", "now"])).code).toBe(2);
  });

  test("what is not there is exit code 3, and deleting it is fine", async () => {
    const get = await carillon(["kv", "get", "nobody"]);
    expect(get).toEqual({ code: 3, stdout: "", stderr: '✗ Cannot get "nobody": there is no such key\n  try: carillon kv ls\n' });
    await carillon(["kv", "put", "gone", "x"]);
    expect((await carillon(["kv", "del", "gone"])).code).toBe(0);
    expect((await carillon(["kv", "del", "gone"])).code).toBe(0);
    expect((await carillon(["kv", "get", "gone"])).code).toBe(3);
  });
});

describe("log", () => {
  test("records are appended, read and followed", async () => {
    const early = await carillon(["log", "append", "audit", "too early"]);
    expect([early.code, early.stderr.endsWith("  try: carillon log create audit\n")]).toEqual([3, true]);
    expect((await carillon(["log", "create", "audit"])).stdout).toBe("created audit in group main, next offset 0\n");
    expect((await carillon(["log", "append", "audit", "one", "two"])).stdout).toBe("0\n");
    expect((await carillon(["log", "append", "audit"], "three\nfour\n")).stderr).toBe("appended 2 records\n");
    expect((await carillon(["log", "read", "audit"])).stdout).toBe("one\ntwo\nthree\nfour\n");
    expect((await carillon(["log", "read", "audit", "--from", "tail-1"])).stdout).toBe("four\n");
    const following = carillon(["log", "tail", "audit", "--from", "3", "--count", "2"]);
    await carillon(["log", "append", "audit", "five"]);
    expect(await following).toEqual({ code: 0, stdout: "four\nfive\n", stderr: "" });
  });

  test("offsets are conditions: 4 for another tail, for trimmed and for past the tail", async () => {
    await carillon(["log", "append", "offsets", "0", "1", "2", "--create"]);
    expect((await carillon(["log", "append", "offsets", "x", "--expect", "9"])).code).toBe(4);
    expect((await carillon(["log", "append", "offsets", "3", "--expect", "3"])).code).toBe(0);
    expect((await carillon(["log", "trim", "offsets", "2", "--json"])).stdout).toContain('"first":2');
    expect((await carillon(["log", "read", "offsets", "--from", "0"])).code).toBe(4);
    expect((await carillon(["log", "read", "offsets", "--from", "9"])).code).toBe(4);
    expect((await carillon(["log", "read", "offsets", "--from", "0", "--clamp"])).stdout).toBe("2\n3\n");
    expect((await carillon(["log", "read", "offsets"])).stdout).toBe("2\n3\n");
    expect((await carillon(["log", "ls"])).stdout).toContain("offsets\tmain\t2\t4\t");
  });
});

describe("multicast", () => {
  test("who listens hears what is sent, in order", async () => {
    for (const text of ["one", "two"]) {
      expect((await carillon(["multicast", "send", "main", text])).stdout).toMatch(position);
    }
    expect((await carillon(["multicast", "listen", "main", "--after", "start", "--count", "2"])).stdout).toBe("one\ntwo\n");
    const once = ["multicast", "send", "main", "once", "--idempotency-key", "1", "--json"];
    const first = JSON.parse((await carillon(once)).stdout);
    expect(JSON.parse((await carillon(once)).stdout)).toEqual({ ...first, replayed: true });
    await carillon(["multicast", "send", "main", "last"]);
    expect((await carillon(["multicast", "listen", "main", "--after", "start", "--count", "4"])).stdout).toBe("one\ntwo\nonce\nlast\n");
    const unknown = await carillon(["multicast", "send", "nowhere", "x"]);
    expect(unknown.code).toBe(3);
  });
});

describe("looking", () => {
  test("status tells that all is well, in its exit code too", async () => {
    const status = await carillon(["status", "--json"]);
    const document = JSON.parse(status.stdout);
    expect([status.code, document.node, document.durability, document.notReady]).toEqual([0, "dev", "sync", []]);
    expect(await carillon(["status", "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" });
    const text = await carillon(["status"]);
    expect(text.stdout).toContain("ready");
  });

  test("events are a line each, or documents; followed, they go on until there were enough", async () => {
    const rows = (await carillon(["events"])).stdout.trimEnd().split("\n").map((line) => line.split("\t"));
    expect(rows.slice(0, 2).map(([, node, kind, text]) => [node, kind, text])).toEqual([
      ["dev", "coordinates", "coordinates group main: nobody did before"],
      ["dev", "ready", "is ready"],
    ]);
    const document = JSON.parse((await carillon(["events", "--json"])).stdout);
    expect([document.events[0].why, document.next]).toEqual(["first", document.events.at(-1).id]);
    const newest = (await carillon(["events", "--ndjson", "-n", "1"])).stdout;
    expect(JSON.parse(newest)).toEqual(document.events.at(-1));
    const followed = await carillon(["events", "--follow", "--count", "2", "--ndjson"]);
    expect(followed.stdout.trimEnd().split("\n").map((line) => JSON.parse(line))).toEqual(document.events.slice(0, 2));
    const behind = await carillon(["events", "--after", document.events[0].id, "--ndjson"]);
    expect(behind.stdout.trimEnd().split("\n").map((line) => JSON.parse(line))).toEqual(document.events.slice(1));
    expect((await carillon(["events", "--after", "yesterday"])).code).toBe(2);
    expect((await carillon(["events", "--follow", "--url", "http://127.0.0.1:9"])).code).toBe(5);
  });

  test("version is that of the program, and of the node if one answers", async () => {
    expect((await carillon(["version"])).stdout.split("\n").map((line) => line.slice(0, 14))).toEqual([
      `carillon ${version}`,
      `node     ${version}`,
      "",
    ]);
    expect((await runProgram(["--version"])).stdout).toBe(`${version}\n`);
  });

  test("help shows examples first", async () => {
    expect((await runProgram([])).stdout).toContain("Try:  carillon dev");
    const help = (await runProgram(["kv", "put", "--help"])).stdout;
    expect(help.indexOf("$ carillon kv put user/ada")).toBeLessThan(help.indexOf("Usage: carillon kv put KEY VALUE"));
    expect((await runProgram(["help", "log", "tail"])).stdout).toContain("Usage: carillon log tail LOG");
  });
});

describe("trouble", () => {
  test("nonsense is exit code 2, with what was meant", async () => {
    expect(await runProgram(["stauts"])).toEqual({
      code: 2,
      stdout: "",
      stderr: '✗ Cannot run "carillon stauts": there is no such command; did you mean "status"?\n  try: carillon status --help\n',
    });
    expect((await runProgram(["help", "stauts"])).code).toBe(2);
    expect((await carillon(["kv", "put", "", "x"])).code).toBe(2);
  });

  test("nobody at the address is exit code 5, and says how to start somebody", async () => {
    const { code, stderr } = await runProgram(["kv", "get", "x", "--url", "http://127.0.0.1:9"]);
    expect([code, stderr]).toEqual([
      5,
      "✗ Cannot reach http://127.0.0.1:9: nobody listens there\n  try: carillon dev   (or name a running node: --url http://host:4100)\n",
    ]);
  });

  test("a token that is missing is exit code 7", async () => {
    await using guarded = await Running.start(["start", "--node.data", join(directory, "guarded"), "--listen.http", "127.0.0.1:0"], {
      cwd: directory,
      env: { CARILLON_LISTEN_TOKEN: "secret" },
    });
    const url = String(guarded.first["http"]);
    expect((await runProgram(["kv", "put", "a", "b", "--url", url])).code).toBe(7);
    expect((await runProgram(["kv", "put", "a", "b", "--url", url, "--token", "secret"])).code).toBe(0);
    expect((await runProgram(["status", "--quiet", "--url", url], { env: { CARILLON_TOKEN: "secret" } })).code).toBe(0);
  });

  test("a configuration is checked without starting, and shown with where it comes from", async () => {
    const file = join(directory, "carillon.toml");
    await writeFile(file, '[listen]\nhtpp = ":1"\n');
    const wrong = await runProgram(["config", "check", "--config", file]);
    expect([wrong.code, wrong.stderr.split("\n")[0]]).toEqual([
      2,
      `✗ Cannot use ${file}, [listen]: there is no "htpp"; did you mean "http"?`,
    ]);
    await writeFile(file, '[listen]\nhttp = "0.0.0.0:4100"\n');
    expect((await runProgram(["config", "check", "-c", file])).stderr).toContain("set listen.token");
    expect((await runProgram(["config", "check", "-c", file, "--insecure"])).code).toBe(0);
    const shown = await runProgram(["config", "show", "--origin", "-c", file], { env: { CARILLON_NODE_NAME: "n1" } });
    expect(shown.stdout).toContain("node.name\tn1\tenv CARILLON_NODE_NAME\n");
    expect(shown.stdout).toContain(`listen.http\t0.0.0.0:4100\tfile ${file}\n`);
    const missing = await runProgram(["start", "--config", join(directory, "none.toml")]);
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining("there is no such file")]);
  });

  test("an open port is refused without a token", async () => {
    expect((await runProgram(["start", "--listen.http", "0.0.0.0:0"], { cwd: directory })).code).toBe(2);
    expect((await runProgram(["dev", "--host", "0.0.0.0", "--port", "0"])).code).toBe(2);
  });

  test("colour only where it is wanted", async () => {
    expect((await runProgram(["stauts"], { env: { FORCE_COLOR: "1" } })).stderr).toContain("\x1b[31m✗");
    expect((await runProgram(["help"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).stdout).not.toContain("\x1b[");
  });
});

describe("ending", () => {
  test("SIGTERM ends a node cleanly with 0, Ctrl-C with 130, and what was written is there again", async () => {
    const data = join(directory, "kept");
    const first = await Running.start(["dev", "--port", "0", "--data", data]);
    await runProgram(["kv", "put", "kept", "yes", "--url", first.url]);
    expect(await first.stop("SIGTERM")).toBe(0);
    const second = await Running.start(["dev", "--port", "0", "--data", data]);
    expect((await runProgram(["kv", "get", "kept", "--url", second.url])).stdout).toBe("yes");
    expect(await second.stop("SIGINT")).toBe(130);
  }, 20_000);

  test("kill -9 loses nothing that was acknowledged", async () => {
    const data = join(directory, "killed");
    const first = await Running.start(["dev", "--port", "0", "--data", data]);
    await runProgram(["kv", "put", "kept", "yes", "--url", first.url]);
    await first.stop("SIGKILL");
    await using second = await Running.start(["dev", "--port", "0", "--data", data]);
    expect((await runProgram(["kv", "get", "kept", "--url", second.url])).stdout).toBe("yes");
  }, 20_000);
});

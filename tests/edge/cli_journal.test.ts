/** carillon journal: a stopped node's directory, looked at and checked; as a user types it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, open as openFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import type { Journal } from "../../edge/journal/journal.ts";
import { accept, append, base, open, rebase } from "./journal_kit.ts";
import { runProgram } from "./program.ts";

let root: string;
let data: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "carillon-cli-journal-"));
  data = join(root, "data");
  const { journal } = await written(data);
  await journal.close();
});

afterAll(() => rm(root, { recursive: true, force: true }));

async function written(directory: string): Promise<{ readonly journal: Journal }> {
  const { journal } = await open(await runtime.openDisk(directory), { segmentBytes: 65_536, replicated: true });
  await append(journal, accept(1, 1), accept(1, 2, 3), accept(1, 3, 3), { kind: "promise", group: 2, ballot: 65_537 });
  await rebase(journal, base(1, 2, 3, 3), base(2, 0), { kind: "ceiling", stamp: 7 });
  await append(journal, accept(1, 4, 3));
  return { journal };
}

async function flip(file: string, at: number): Promise<void> {
  const handle = await openFile(file, "r+");
  const byte = new Uint8Array(1);
  await handle.read(byte, 0, 1, at);
  byte[0]! ^= 1;
  await handle.write(byte, 0, 1, at);
  await handle.close();
}

test("inspect tells segments, records and groups", async () => {
  const { code, stdout } = await runProgram(["journal", "inspect", data, "--json"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    directory: data,
    format: 2,
    cluster: "test",
    node: 1,
    incarnation: 1,
    rejoining: true,
    base: 2,
    segments: [
      { file: "journal-00000001", bytes: 65_536, role: "past", records: { accept: 3, promise: 1 } },
      { file: "journal-00000002", bytes: 65_536, role: "current", records: { base: 2, ceiling: 1, accept: 1 } },
    ],
    groups: [
      { group: 1, promised: 196_609, ballot: 196_609, last: 4, decided: 2, foundation: 2, oldest: 1 },
      { group: 2, promised: 65_537, ballot: 65_537, last: 0, decided: 0, foundation: 0, oldest: 1 },
    ],
    torn: null,
    aside: [],
    damage: [],
  });
  const text = (await runProgram(["journal", "inspect", data])).stdout;
  expect(text).toContain("life 1, rejoining · recovery begins with segment 2");
  expect(text).toContain("1\t3.1\t3.1\t1…4\t2\t2");
});

test("verify ends with 0 or 1, names each damaged file and byte, and changes nothing", async () => {
  const whole = await runProgram(["journal", "verify", data]);
  expect(whole).toEqual({ code: 0, stdout: `✓ ${data}: all of 2 segments and 131072 bytes can be read\n`, stderr: "" });
  const copy = join(root, "copy");
  await cp(data, copy, { recursive: true });
  await flip(join(copy, "superblock"), 4_100);
  await flip(join(copy, "journal-00000001"), 60);
  await flip(join(copy, "journal-00000002"), 60);
  const before = await readdir(copy);
  const damaged = await runProgram(["journal", "verify", copy]);
  expect([damaged.code, damaged.stdout]).toEqual([1, ""]);
  expect(damaged.stderr.trimEnd().split("\n")).toEqual([
    "✗ superblock is damaged at byte 4096: copy 2 of 4 is unreadable",
    "✗ journal-00000001 is damaged at byte 0: record 1 is unreadable",
    "✗ journal-00000002 is damaged at byte 0: record 5 is unreadable",
  ]);
  const document = JSON.parse((await runProgram(["journal", "verify", copy, "--json"])).stdout);
  expect([document.ok, document.damage.length, document.torn]).toEqual([false, 3, null]);
  expect(await readdir(copy)).toEqual(before);
});

test("a torn tail is told and is no damage", async () => {
  const torn = join(root, "torn");
  const { journal } = await written(torn);
  const handle = await openFile(join(torn, "journal-00000002"), "r+");
  await handle.write(new Uint8Array(100).fill(7), 0, 100, 40_960);
  await handle.close();
  const held = await runProgram(["journal", "verify", torn]);
  expect(held).toEqual({
    code: 2,
    stdout: "",
    stderr: `✗ Cannot use "${torn}": another process is using it\n  try: carillon status   (a node that runs answers for itself)\n`,
  });
  await journal.close();
  const { code, stderr } = await runProgram(["journal", "verify", torn]);
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/^! journal-00000002 ends in \d+ torn bytes at byte \d+; a start cuts them off\n$/),
  ]);
});

test("a copy is adopted by name; what is no directory of a node is said to be none, and not made one", async () => {
  const copy = join(root, "adopted");
  await cp(data, copy, { recursive: true });
  await expect(open(await runtime.openDisk(copy))).rejects.toThrow(`run: carillon journal adopt ${JSON.stringify(copy)}`);
  const adopted = await runProgram(["journal", "adopt", copy]);
  expect(adopted).toEqual({
    code: 0,
    stdout: '✓ this is the directory of node 1 of cluster "test" now; it votes once it has heard the others\n',
    stderr: "",
  });
  const { journal, recovery } = await open(await runtime.openDisk(copy), { segmentBytes: 65_536 });
  expect([recovery.records, recovery.rejoining]).toEqual([4, true]);
  await journal.close();
  const own = await open(await runtime.openDisk(data), { segmentBytes: 65_536 });
  await own.journal.rejoined();
  await own.journal.close();
  const moved = join(root, "moved");
  await cp(data, moved, { recursive: true });
  expect((await runProgram(["journal", "adopt", moved, "--moved"])).stdout).toBe(
    '✓ this is the directory of node 1 of cluster "test" now; it goes on where it stopped\n',
  );
  const asBefore = await open(await runtime.openDisk(moved), { segmentBytes: 65_536 });
  expect([asBefore.recovery.records, asBefore.recovery.rejoining]).toEqual([4, false]);
  await asBefore.journal.close();
  const missing = join(root, "missing");
  for (const verb of ["inspect", "verify", "adopt"]) {
    const { code, stderr } = await runProgram(["journal", verb, missing]);
    expect([code, stderr.split("\n")[0]]).toEqual([3, `✗ Cannot find a journal in "${missing}": there is no such directory`]);
    expect((await runProgram(["journal", verb, root])).code).toBe(3);
  }
  expect(await readdir(root)).not.toContain("missing");
});

/** What every disk of `edge/runtime` promises. */
import { constants } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platform } from "node:process";
import type { Disk, DiskFile, Runtime } from "../../edge/runtime.ts";
import { equal, ok, rejects, test } from "./check.ts";

export function disk(runtime: Runtime): void {
  const inFreshDirectory = (body: (make: () => Promise<Disk>) => Promise<void>) => async (): Promise<void> => {
    const directory = await mkdtemp(join(tmpdir(), "carillon-disk-"));
    try {
      // The disk makes its directory itself.
      await body(() => runtime.openDisk(join(directory, "deep", "data")));
    } finally {
      await rm(directory, { recursive: true });
    }
  };
  test("disk: what is written is where it was put, and nothing beside it", inFreshDirectory(reads));
  test("disk: what is committed is there, and durable by itself", inFreshDirectory(commits));
  test("disk: replace and remove leave nothing behind", inFreshDirectory(replaces));
  test("disk: a renamed file keeps its bytes and its place, a copy has another place", inFreshDirectory(moves));
  test("disk: what cannot be done is an error, not a silence", inFreshDirectory(refuses));
  test("disk: a directory has one holder", inFreshDirectory(locks));
}

const write = (file: DiskFile, offset: number, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => file.write(offset, bytes, (error) => error ? reject(error) : resolve()));

const commit = (file: DiskFile, offset: number, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => file.commit(offset, bytes, (error) => error ? reject(error) : resolve()));

/** Deno's descriptors are no numbers of the system, and its flags none either. */
const oneStep = platform === "linux" && !("Deno" in globalThis);

/** With which flags this process has the file open. */
async function openFlags(path: string): Promise<number[]> {
  const flags: number[] = [];
  for (const descriptor of await readdir("/proc/self/fd")) {
    if (await readlink(`/proc/self/fd/${descriptor}`).catch(() => "") !== path) continue;
    flags.push(parseInt(/^flags:\s*(\d+)/m.exec(await readFile(`/proc/self/fdinfo/${descriptor}`, "utf8"))![1]!, 8));
  }
  return flags;
}

const sync = (file: DiskFile): Promise<void> => new Promise((resolve, reject) => file.sync((error) => error ? reject(error) : resolve()));

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

async function reads(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  equal(await disk.list(), [], "names in a new directory");
  await disk.preallocate("segment", 3_000_001);
  equal(await disk.size("segment"), 3_000_001);
  equal(await disk.read("segment", 0, 3_000_001), new Uint8Array(3_000_001), "what preallocation wrote");

  const file = await disk.open("segment");
  const order: string[] = [];
  await new Promise<void>((resolve, reject) => {
    file.write(4_096, filled(70_000, 7), (error) => {
      order.push("done");
      error ? reject(error) : resolve();
    });
    order.push("called");
  });
  equal(order, ["called", "done"]);
  await sync(file);
  const around = await file.read(4_095, 70_002);
  equal([around[0], around[70_001]], [0, 0], "bytes beside the write");
  equal(around.subarray(1, 70_001), filled(70_000, 7));
  const buffer = filled(70_002, 1);
  const again = await file.read(4_095, 70_002, buffer);
  equal([again.buffer === buffer.buffer, again.byteLength], [true, 70_002], "a read into memory that is there");
  equal(again, around);
  equal(await file.read(4_096, 10, buffer), filled(10, 7), "a read into more memory than it takes");
  equal((await file.read(4_096, 70_000, filled(9, 1))).byteLength, 70_000, "a read into too little memory");
  equal((await file.read(3_000_000, 100)).byteLength, 1, "length of a read past the end");
  equal((await file.read(9_000_000, 100)).byteLength, 0, "length of a read beyond the end");
  await write(file, 2_999_990, filled(5, 9));
  equal(await disk.size("segment"), 3_000_001);

  await Promise.all([0, 1, 2, 3].map((i) => write(file, i * 100_000, filled(100_000, i))));
  for (const i of [0, 1, 2, 3]) equal(await file.read(i * 100_000, 100_000), filled(100_000, i), "one of four writes side by side");
  await file.close();
}

async function commits(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  await disk.preallocate("segment", 100_000);
  const file = await disk.open("segment");
  await commit(file, 5_000, filled(70_000, 7));
  await commit(file, 80_000, filled(10, 8));
  equal(await file.read(5_000, 70_000), filled(70_000, 7));
  equal(
    await disk.read("segment", 79_999, 12),
    new Uint8Array([0, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 0]),
    "what the second wrote, and beside it",
  );
  // That it reached the disk cannot be seen without losing power; that the system was asked for it can, where it is asked by a flag.
  if (oneStep) equal((await openFlags(join(disk.root, "segment"))).filter((flags) => (flags & constants.O_DSYNC) !== 0).length, 1);
  await file.close();
  if (oneStep) equal(await openFlags(join(disk.root, "segment")), [], "what is still open");
}

async function replaces(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  const utf8 = new TextEncoder();
  await disk.replace("note", utf8.encode("the first, which is longer"));
  await disk.replace("note", utf8.encode("the second"));
  equal(await disk.read("note", 0, 100), utf8.encode("the second"));
  equal(await disk.list(), ["note"]);
  await disk.remove("note");
  equal(await disk.list(), []);
}

async function moves(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  const bytes = new TextEncoder().encode("what it says");
  await disk.replace("note", bytes);
  await disk.replace("other", filled(9, 9));
  const place = await disk.place("note");
  equal(await (await make()).place("note"), place, "the place, asked again");
  await disk.rename("note", "other");
  equal(await disk.list(), ["other"]);
  equal(await disk.read("other", 0, 100), bytes);
  equal(await disk.place("other"), place, "the place after a rename");
  await disk.replace("copy", bytes);
  ok(await disk.place("copy") !== place, "a copy has a place of its own");
}

async function refuses(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  await disk.preallocate("segment", 4_096);
  const file = await disk.open("segment");
  await file.close();
  await rejects(() => write(file, 0, filled(10, 1)));
  await rejects(() => sync(file));
  await rejects(() => disk.open("missing"));
  await rejects(() => disk.size("missing"));
  await rejects(() => disk.remove("missing"));
  await rejects(() => disk.rename("missing", "found"));
  await rejects(() => disk.place("missing"));
  for (const name of ["../escape", "a/b", "", "."]) await rejects(async () => await disk.read(name, 0, 1));
}

async function locks(make: () => Promise<Disk>): Promise<void> {
  const disk = await make();
  const release = await disk.lock();
  const refused = await rejects(async () => (await make()).lock(), "config");
  equal(refused.message, `Cannot use "${disk.root}": another process is using it`);
  await release();
  const again = await (await make()).lock();
  await again();
  ok(!(await disk.list()).includes("lock"), "the lock leaves no file");
}

/** Three nodes whose journals are all damaged at the same time: they stand still and say so, and go on when their files are put back. */
import { expect, test } from "bun:test";
import { cp, readdir, rename, rm } from "node:fs/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runtime } from "#runtime";
import { adoptDirectory } from "../../edge/journal/superblock.ts";
import { digests, inDirectory, Node, topologyOf, until, write } from "./checkpoint_kit.ts";

/** Without checkpoints nothing else tells of a past. */
const never = { everyBytes: Infinity, everyMs: Infinity };

test("nodes that have all lost their records do not begin a new history together", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const all = async (): Promise<Node[]> =>
      await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync", never)));
    const before = await all();
    await write(before[0]!, 0, 100);
    for (const node of before) await node.services.kv.get("key/1");
    const state = digests(before[0]!);
    for (const node of before) await node.stop();
    const folders = [1, 2, 3].map((self) => join(directory, `n${self}`));
    for (const folder of folders) {
      await cp(folder, `${folder}.copy`, { recursive: true });
      damage(join(folder, "journal-00000001"));
    }

    const damaged = await all();
    for (const node of damaged) expect(node.running.recovery).toMatchObject({ rejoining: true, lost: true });
    const heard = (node: Node): number => node.running.view().peers.filter(({ heardAt }) => Number.isFinite(heardAt)).length;
    await until(() => damaged.every((node) => heard(node) === 2), "all have heard each other");
    await expect(damaged[0]!.services.kv.put("key/1", "anew", { timeoutMs: 3_000 })).rejects.toThrow();
    expect(damaged.map((node) => node.running.view().groups[0]!.voting)).toEqual([false, false, false]);
    for (const node of damaged) expect(node.running.view().groups[0]!.forgetful).toEqual([1, 2, 3]);
    for (const node of damaged) await node.stop();

    for (const folder of folders) await putBack(folder);
    const after = await all();
    for (const node of after) await node.services.kv.get("key/1");
    expect(after.map(digests)).toEqual([state, state, state]);
    for (const node of after) await node.stop();
  });
}, 60_000);

test("a cluster that is brought back from copies of all its directories waits, or goes on if they are said to be whole", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const selves = [1, 2, 3];
    const all = async (): Promise<Node[]> => await Promise.all(selves.map((self) => Node.start(topology, self, directory, "sync", never)));
    const before = await all();
    await write(before[0]!, 0, 100);
    for (const node of before) await node.services.kv.get("key/1");
    const state = digests(before[0]!);
    for (const node of before) await node.stop();
    const folders = selves.map((self) => join(directory, `n${self}`));
    for (const folder of folders) {
      await rename(folder, `${folder}.gone`);
      await cp(`${folder}.gone`, folder, { recursive: true });
    }
    // All of them: the first to say no does not wait for the others to let go of their directories.
    const refused = await Promise.allSettled(selves.map((self) => Node.start(topology, self, directory, "sync", never)));
    const reason = expect.objectContaining({ message: expect.stringContaining("it was copied or restored to this place") });
    expect(refused).toEqual(selves.map(() => ({ status: "rejected", reason })));

    for (const folder of folders) await adopt(folder, false);
    const waiting = await all();
    await until(() => waiting.every((node) => node.running.view().groups[0]!.forgetful.length === 3), "all wait for each other");
    for (const node of waiting) await node.stop();

    for (const folder of folders) {
      await rm(folder, { recursive: true });
      await cp(`${folder}.gone`, folder, { recursive: true });
      await adopt(folder, true);
    }
    const after = await all();
    for (const node of after) await node.services.kv.get("key/1");
    expect(after.map(digests)).toEqual([state, state, state]);
    await write(after[1]!, 100, 110);
    for (const node of after) await node.stop();
  });
}, 60_000);

async function adopt(folder: string, moved: boolean): Promise<void> {
  const disk = await runtime.openDisk(folder);
  await adoptDirectory({ disk, crc32: runtime.crc32, entropy: () => runtime.entropy() }, await disk.list(), moved);
}

/** In the middle of what was written, long before the mark that says it was durable. */
function damage(file: string): void {
  const bytes = readFileSync(file);
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const middle = bytes.subarray(0, end >> 1).findLastIndex((byte) => byte !== 0);
  bytes[middle]! ^= 16;
  writeFileSync(file, bytes);
}

/** Into the directory and the superblock that are there: copies of them are refused. */
async function putBack(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (name !== "superblock") await rm(join(folder, name));
  for (const name of await readdir(`${folder}.copy`)) writeFileSync(join(folder, name), readFileSync(join(`${folder}.copy`, name)));
}

/** A checkpoint that is being fetched when its node ends: the next life goes on where that one was, if it is still the one to have. */
import { expect, test } from "bun:test";
import { readdir, truncate } from "node:fs/promises";
import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Topology } from "../../core/topology.ts";
import { digests, inDirectory, Node, topologyOf, until, write } from "./checkpoint_kit.ts";

const pieceBytes = 256 << 10;
/** A few pieces in a second: enough time to stop amid them. */
const slowly = { bytesPerSecond: 4 * pieceBytes };
const never = { everyBytes: Infinity, everyMs: Infinity };

interface Story {
  readonly topology: Topology;
  readonly directory: string;
  readonly others: readonly Node[];
  /** Of the checkpoint to be had. */
  readonly bytes: number;
  /** The third node's file, of which some is there. */
  part(): Promise<string | undefined>;
  served(): number;
}

/** Two nodes with a state of some pieces, of which the log is gone, and a third that has been away for so long. */
async function behind(body: (story: Story) => Promise<void>): Promise<void> {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const [one, two, three] = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync", never)));
    await write(one!, 0, 20);
    await three!.services.kv.get("key/1");
    await three!.stop();
    for (let key = 0; key < 80; key++) await one!.services.kv.put(`large/${key}`, `${key} ${"y".repeat(30_000)}`);
    // The one before the newest says what may be forgotten.
    for (let round = 0; round < 2; round++) {
      await write(one!, 20, 100);
      await two!.services.kv.get("key/1");
      for (const node of [one!, two!]) await node.checkpoints.makeAll();
    }
    await until(() => one!.trimmed > 25 && two!.trimmed > 25, "both have forgotten what the third needs");
    const folder = join(directory, "n3");
    const story: Story = {
      topology,
      directory,
      others: [one!, two!],
      bytes: one!.checkpoints.stats().replicas[0]!.bytes,
      part: async () => (await readdir(folder)).filter((file) => file.endsWith(".part")).map((file) => join(folder, file))[0],
      served: () => one!.checkpoints.stats().served + two!.checkpoints.stats().served,
    };
    expect(story.bytes).toBeGreaterThan(8 * pieceBytes);
    await body(story);
    for (const node of [one!, two!]) await node.stop();
  });
}

/** The third was stopped while it fetched it. */
async function stopped(body: (story: Story) => Promise<void>): Promise<void> {
  await behind(async (story) => {
    const fetching = await Node.start(story.topology, 3, story.directory, "sync", { ...never, ...slowly });
    for (let part = await story.part(); part === undefined || statSync(part).size < 3 * pieceBytes; part = await story.part()) {
      expect(fetching.checkpoints.stats().installed).toBe(0);
      await Bun.sleep(5);
    }
    await fetching.stop();
    await body(story);
  });
}

/** Starts the third again, which takes over a checkpoint. Returns how much it fetched for that. */
async function takesOver({ topology, directory, others, served, part }: Story): Promise<number> {
  const before = served();
  const back = await Node.start(topology, 3, directory, "sync", never);
  await until(() => back.checkpoints.stats().installed === 1, "it was taken over");
  await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(others[0]!)), "the states are the same");
  expect([back.checkpoints.stats().damaged, await part()]).toEqual([0, undefined]);
  await back.stop();
  return served() - before;
}

test("what was fetched is not fetched again", async () => {
  await stopped(async (story) => {
    const had = statSync((await story.part())!).size;
    expect(had).toBeGreaterThanOrEqual(3 * pieceBytes);
    // Up to the block in which it ended.
    expect(await takesOver(story)).toBeLessThan(story.bytes - had + pieceBytes / 2);
  });
}, 60_000);

test("what was fetched and is damaged or cut off since is fetched again, from there on", async () => {
  await stopped(async (story) => {
    const part = (await story.part())!;
    const bytes = readFileSync(part);
    bytes[2 * pieceBytes]! ^= 1;
    writeFileSync(part, bytes);
    await truncate(part, bytes.byteLength - 1_000);
    const fetched = await takesOver(story);
    expect([fetched > story.bytes - 2 * pieceBytes, fetched < story.bytes - pieceBytes]).toEqual([true, true]);
  });
}, 60_000);

test("what was fetched of one that is offered no more is removed, and so is what no replica of this node needs", async () => {
  await stopped(async (story) => {
    const [one, two] = story.others as [Node, Node];
    await write(one, 20, 20);
    await two.services.kv.get("key/1");
    for (const node of story.others) await node.checkpoints.makeAll();
    const part = (await story.part())!;
    copyFileSync(part, part.replace("checkpoint-main-", "checkpoint-nobody-"));
    expect(await takesOver(story)).toBeGreaterThanOrEqual(story.bytes);
  });
}, 60_000);

test("a peer's that turns out to be damaged is passed over for another peer's", async () => {
  await behind(async ({ topology, directory, others }) => {
    const [one, two] = others as [Node, Node];
    await write(one, 20, 20);
    await two.services.kv.get("key/1");
    await one.checkpoints.makeAll();
    const folder = join(directory, "n1");
    const newest = (await readdir(folder)).filter((file) => file.startsWith("checkpoint-")).sort().at(-1)!;
    turnMiddle(join(folder, newest));
    const back = await Node.start(topology, 3, directory, "sync", never);
    await until(() => back.checkpoints.stats().installed === 1, "one was taken over");
    expect(back.checkpoints.stats().damaged).toBe(1);
    await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(two)), "the states are the same");
    await back.stop();
  });
}, 60_000);

test("peers make a newer one for a node that cannot go on from what they have", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const [one, two, three] = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync", never)));
    const folder = join(directory, "n3");
    const newest = async (pattern: RegExp): Promise<string> =>
      join(folder, (await readdir(folder)).filter((file) => pattern.test(file)).sort().at(-1)!);
    await write(one!, 0, 100);
    for (const node of [one!, two!, three!]) {
      await node.services.kv.get("key/1");
      await node.checkpoints.makeAll();
    }
    await write(one!, 100, 100);
    await three!.services.kv.get("key/1");
    await three!.checkpoints.makeAll();
    await three!.stop();
    // With its journal it loses the log between its two checkpoints, and then the newer of them.
    turnMiddle(await newest(/^journal-\d+$/));
    const again = await Node.start(topology, 3, directory, "sync", never);
    expect(again.running.recovery.rejoining).toBe(true);
    await until(() => again.running.view().groups[0]!.voting, "it votes again");
    await again.stop();
    turnMiddle(await newest(/^checkpoint-/));
    const back = await Node.start(topology, 3, directory, "sync", never);
    await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(one!)), "the states are the same");
    expect([one!, two!].some((node) => node.checkpoints.stats().made === 2)).toBe(true);
    for (const node of [one!, two!, back]) await node.stop();
  });
}, 60_000);

/** A bit in the middle of what has been written. */
function turnMiddle(file: string): void {
  const bytes = readFileSync(file);
  const end = bytes.findLastIndex((byte) => byte !== 0);
  bytes[bytes.subarray(0, end >> 1).findLastIndex((byte) => byte !== 0)]! ^= 16;
  writeFileSync(file, bytes);
}

/** Whole nodes that write checkpoints, begin from them, forget the log behind them, and help each other out with them. */
import { expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { digests, forget, inDirectory, Node, topologyOf, until, write } from "./checkpoint_kit.ts";

test("a node alone forgets its log behind its checkpoints, and begins from them", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(1);
    const first = await Node.start(topology, 1, directory, "sync");
    await write(first, 0, 800);
    await forget([first], 800);
    const sent = await first.services.multicast(["main"], "once", { idempotencyKey: "message" });
    const before = digests(first);
    const { next } = await first.services.log("audit").info();
    await first.stop();
    const files = await readdir(join(directory, "n1"));
    expect(files.filter((file) => file.startsWith("checkpoint-")).length).toBe(2);

    const second = await Node.start(topology, 1, directory, "sync");
    await second.services.kv.get("key/1");
    expect(digests(second)).toEqual(before);
    // A key that was used before the checkpoint is remembered behind it.
    const again = await second.services.log("audit").append("record 0", { idempotencyKey: "append 0" });
    expect(again).toMatchObject({ ok: true, first: 0, replayed: true });
    const after = second.services.position();
    expect(await second.services.multicast(["main"], "once", { idempotencyKey: "message" })).toEqual({ ...sent, replayed: true });
    await second.services.multicast(["main"], "last");
    for await (const event of second.services.deliveries(["main"], { after })) {
      if (event.kind !== "message") continue;
      expect(event.text()).toBe("last");
      break;
    }
    // Behind all that was written before, under keys that were not used.
    await write(second, 40_000, 100);
    expect((await second.services.log("audit").info()).next).toBe(next + 5);
    expect(second.running.recovery.records).toBeLessThan(600);
    await second.stop();
  });
}, 120_000);

test("soon after a checkpoint four times as much has to be written for another", async () => {
  await inDirectory(async (directory) => {
    const node = await Node.start(await topologyOf(1), 1, directory, "sync", { everyBytes: 60_000, restMs: 3_600_000 });
    const written = () => node.running.checkpointing.journalStats().bytesWritten;
    const begun = written();
    let number = 0;
    while (written() < begun + 120_000) await write(node, number, 20).then(() => number += 20);
    await Bun.sleep(100);
    expect(node.checkpoints.stats().made).toBe(0);
    while (written() < begun + 240_000) await write(node, number, 20).then(() => number += 20);
    await until(() => node.checkpoints.stats().made > 0, "a checkpoint was made");
    await node.stop();
  });
}, 60_000);

for (const durability of ["sync", "memory"] as const) {
  test(`a node that was away for longer than the log is kept takes over a checkpoint (${durability})`, async () => {
    await inDirectory(async (directory) => {
      const topology = await topologyOf(3);
      const [one, two, three] = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, durability)));
      await write(one!, 0, 100);
      await three!.services.kv.get("key/1");
      await three!.stop();
      let written = 100;
      for (; one!.trimmed < 60 || two!.trimmed < 60; written += 100) {
        expect(written, "both have forgotten what the third needs").toBeLessThan(5_000);
        await write(one!, written, 100);
        await Bun.sleep(30);
      }

      const back = await Node.start(topology, 3, directory, durability);
      await until(() => back.checkpoints.stats().installed > 0, "a checkpoint was taken over");
      await write(two!, written, 100);
      expect((await back.services.kv.get("key/1"))!.text()).toBe((await one!.services.kv.get("key/1"))!.text());
      await back.services.log("audit").read({ from: 0, limit: 1 });
      await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(one!)), "the states are the same");
      await until(() => back.running.view().groups[0]!.voting, "it votes again");
      for (const node of [one!, two!, back]) await node.stop();
      expect(back.notices.filter((sentence) => sentence.startsWith("fatal"))).toEqual([]);
    });
  }, 120_000);
}

test("an acceptor that learns nothing goes on from what a checkpoint sums up, and keeps nothing of the rest", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3, { groups: [{ name: "main", acceptors: ["n1", "n2", "n3"], learners: ["n1", "n2"], keys: [{}] }] });
    const [one, two, three] = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync")));
    await write(one!, 0, 100);
    await three!.stop();
    let written = 100;
    for (; one!.trimmed < 60 || two!.trimmed < 60; written += 100) {
      expect(written, "both have forgotten what the third needs").toBeLessThan(5_000);
      await write(one!, written, 100);
      await Bun.sleep(30);
    }
    const served = (): number => one!.checkpoints.stats().served + two!.checkpoints.stats().served;
    const before = served();
    const back = await Node.start(topology, 3, directory, "sync");
    const decided = (node: Node): number => node.running.view().groups[0]!.decided;
    await until(() => decided(back) === decided(one!), "it knows all that is decided");
    await until(() => back.running.view().groups[0]!.logBallot !== 0, "it holds a ballot's log again");
    // Only what it needs: the rest is as large as the state.
    expect(served() - before).toBeGreaterThan(0);
    expect(served() - before).toBeLessThan(one!.checkpoints.stats().replicas[0]!.bytes / 4);
    for (const node of [one!, two!, back]) await node.stop();
    expect((await readdir(join(directory, "n3"))).filter((file) => file.startsWith("checkpoint-"))).toEqual([]);
  });
}, 60_000);

test("a node whose journal is damaged puts it aside, fetches everything again, and votes when it has heard the others", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const nodes = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync")));
    await write(nodes[0]!, 0, 200);
    await nodes[2]!.stop();
    const folder = join(directory, "n3");
    const newest = (await readdir(folder)).filter((file) => /^journal-\d+$/.test(file)).sort().at(-1)!;
    const bytes = readFileSync(join(folder, newest));
    // In the middle of what has been written, and so far in front of the mark that says it was durable.
    const end = bytes.findLastIndex((byte) => byte !== 0);
    const middle = bytes.subarray(0, end >> 1).findLastIndex((byte) => byte !== 0);
    bytes[middle]! ^= 16;
    await writeFile(join(folder, newest), bytes);

    const back = await Node.start(topology, 3, directory, "sync");
    expect(back.notices.filter((sentence) => sentence.includes("put aside")).length).toBe(1);
    expect(back.running.recovery.rejoining).toBe(true);
    await until(() => back.running.view().groups[0]!.voting, "it votes again");
    await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(nodes[0]!)), "the states are the same");
    await until(() => !back.running.view().groups[0]!.pendingCommands, "nothing is under way");
    // What it says from now on counts, also after another start.
    await nodes[1]!.stop();
    await write(nodes[0]!, 200, 20);
    await back.stop();
    const again = await Node.start(topology, 3, directory, "sync");
    expect([again.running.recovery.rejoining, again.running.recovery.damage]).toEqual([false, []]);
    await write(again, 220, 20);
    await until(() => JSON.stringify(digests(again)) === JSON.stringify(digests(nodes[0]!)), "the states are the same");
    for (const node of [nodes[0]!, again]) await node.stop();
  });
}, 60_000);

test("a checkpoint that is damaged while nobody needs it is found and made again", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(1);
    const node = await Node.start(topology, 1, directory, "sync", { scrubEveryMs: 50 });
    await write(node, 0, 400);
    await forget([node], 400);
    await node.checkpoints.makeAll();
    const folder = join(directory, "n1");
    const files = async (): Promise<string[]> => (await readdir(folder)).filter((file) => /^checkpoint-.*[0-9a-f]$/.test(file)).sort();
    const [, newest] = await files();
    const bytes = readFileSync(join(folder, newest!));
    bytes[bytes.length - 30]! ^= 1;
    const { made } = node.checkpoints.stats();
    await writeFile(join(folder, newest!), bytes);
    await until(() => node.checkpoints.stats().damaged === 1, "the damage is found");
    await write(node, 400, 20);
    await until(() => node.checkpoints.stats().made > made, "a new one is made");
    await node.stop();
    expect(node.notices.filter((sentence) => sentence.includes("damaged")).length).toBe(1);
    const again = await Node.start(topology, 1, directory, "sync");
    await again.services.kv.get("key/1");
    expect(again.notices).toEqual([]);
    expect(digests(again)).toEqual(digests(node));
    await again.stop();
  });
}, 60_000);

test("a node alone whose newest checkpoint is damaged goes on from the one before it", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(1);
    const first = await Node.start(topology, 1, directory, "sync");
    await write(first, 0, 800);
    await forget([first], 800);
    const before = digests(first);
    await first.stop();
    const folder = join(directory, "n1");
    const newest = (await readdir(folder)).filter((file) => /^checkpoint-.*[0-9a-f]$/.test(file)).sort().at(-1)!;
    const bytes = readFileSync(join(folder, newest));
    bytes[100]! ^= 1;
    await writeFile(join(folder, newest), bytes);
    const second = await Node.start(topology, 1, directory, "sync");
    await second.services.kv.get("key/1");
    expect(digests(second)).toEqual(before);
    expect(second.notices.length).toBe(1);
    await second.stop();
  });
}, 60_000);

test("a damaged checkpoint is passed over for the one before it, or for a peer's", async () => {
  await inDirectory(async (directory) => {
    const topology = await topologyOf(3);
    const nodes = await Promise.all([1, 2, 3].map((self) => Node.start(topology, self, directory, "sync")));
    await write(nodes[0]!, 0, 800);
    await forget(nodes, 800);
    await nodes[2]!.stop();
    const folder = join(directory, "n3");
    const files = (await readdir(folder)).filter((file) => file.startsWith("checkpoint-")).sort();
    expect(files.length).toBe(2);
    for (const file of files) {
      const bytes = readFileSync(join(folder, file));
      bytes[bytes.length >> 1]! ^= 4;
      await writeFile(join(folder, file), bytes);
    }
    const back = await Node.start(topology, 3, directory, "sync");
    expect(back.notices.filter((sentence) => sentence.includes("damaged")).length).toBe(2);
    await until(() => JSON.stringify(digests(back)) === JSON.stringify(digests(nodes[0]!)), "the states are the same");
    expect(back.checkpoints.stats().installed).toBe(1);
    for (const node of [nodes[0]!, nodes[1]!, back]) await node.stop();
  });
}, 120_000);

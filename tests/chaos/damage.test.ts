/** Real nodes whose files or disks fail under load: never a wrong answer. A node serves, or ends itself and says why. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtCommand, RealCluster } from "../harness/real_cluster.ts";
import { noTampering } from "../harness/tamper.ts";
import { checkNotes } from "./check.ts";
import { failSync, fillDisk, mountSmall, noMounts, slowSync, unmount } from "./disk_faults.ts";
import { cutShort, damageWhileDown, flipBeside, flipBit, tornTail } from "./file_damage.ts";
import { startLoad } from "./scenarios.ts";

test("torn tails, cut ends and flipped bits in the files of one node after the other", async () => {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  for (const [turn, damage] of [tornTail, cutShort, flipBit, flipBit, flipBeside].entries()) {
    const victim = cluster.nodes[turn % 3]!;
    const { what, refused } = await damageWhileDown(cluster, load, victim, damage);
    console.log(`${what}: ${victim.name} ${refused ? "refuses itself by name" : "serves"}`);
    // What was never whole is no reason to stay away.
    if (damage === tornTail) expect(refused, victim.output).toBeFalse();
  }
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 90_000);

test("an fdatasync that fails ends the coordinator; one that is slow for a while ends nobody", async () => {
  const impossible = noTampering();
  if (impossible !== null) return console.log(`not done: ${impossible}`);
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  const failed = await failSync(cluster, load, await cluster.coordinator());
  console.log(`EIO from fdatasync at the coordinator: it ended, longest gap at the others ${failed.toFixed(0)} ms`);
  const slow = await slowSync(cluster, load, cluster.nodes[2]!, 1_500);
  console.log(`150 ms per fdatasync at n3: longest gap at the others ${slow.toFixed(0)} ms`);
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 60_000);

test("a full disk at one node: the others serve, and with room again it does too", async () => {
  const place = join(tmpdir(), `carillon-mount-${process.pid}`);
  const impossible = noMounts(place);
  rmSync(place, { recursive: true, force: true });
  if (impossible !== null) return console.log(`not done: ${impossible}`);
  let mounted: string | null = null;
  try {
    await using cluster = await RealCluster.start({
      command: builtCommand(),
      beforeStart: (nodes) => {
        mountSmall(nodes[2]!.directory, 160);
        mounted = nodes[2]!.directory;
        return Promise.resolve();
      },
    });
    const load = await startLoad(cluster);
    const { did, againMs } = await fillDisk(cluster, load, cluster.nodes[2]!);
    console.log(`full disk at n3: ${did}, writes again ${againMs.toFixed(0)} ms after there was room`);
    await load.stop();
    await checkNotes(cluster.nodes, load.notes);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    unmount(mounted!);
    mounted = null;
  } finally {
    if (mounted !== null) unmount(mounted);
  }
}, 60_000);

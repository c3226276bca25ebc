/** Mistakes of whoever runs it: a directory of another cluster, a copied one, a stranger at a node's address. None does harm. */
import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { cp, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { builtCommand, RealCluster, type RealNode } from "../harness/real_cluster.ts";
import { checkNotes } from "./check.ts";
import { acknowledged, caughtUp, startLoad } from "./scenarios.ts";

/** Ends by itself; what it said. */
async function refusal(node: RealNode): Promise<string> {
  const said = node.output.length;
  node.start();
  const timer = setTimeout(() => node.signal("SIGKILL"), 10_000);
  const code = await node.exited();
  clearTimeout(timer);
  const words = node.output.slice(said);
  expect(node.signalled, words).toBeFalse();
  expect(code).toBeGreaterThan(0);
  return words;
}

test("the directory of another node or cluster is refused by name, and a node of another cluster is let in nowhere", async () => {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const load = await startLoad(cluster);
  const [, second, third] = cluster.nodes as [RealNode, RealNode, RealNode];
  await third.kill();
  const kept = `${third.directory}.kept`;
  await rename(third.directory, kept);

  await second.kill();
  await cp(second.directory, third.directory, { recursive: true });
  second.start();
  expect(await refusal(third)).toContain(`Cannot be node "n3": ${third.keyFile} holds the key of node "n2"`);
  // With a key of its own it is still another's directory.
  await cp(join(kept, "node.key"), third.keyFile);
  expect(await refusal(third)).toContain(`Cannot use "${third.directory}": it belongs to node 2, not 3`);
  rmSync(third.directory, { recursive: true });

  await cp(kept, third.directory, { recursive: true });
  const config = readFileSync(third.config, "utf8");
  writeFileSync(third.config, `[cluster]\nname = "elsewhere"\n${config}`);
  expect(await refusal(third)).toContain(`Cannot use "${third.directory}": it belongs to cluster "carillon", not "elsewhere"`);
  rmSync(third.directory, { recursive: true });

  // With a directory of its own it runs, and hears from nobody.
  await mkdir(third.directory);
  await cp(join(kept, "node.key"), third.keyFile);
  third.start();
  await second.ready();
  await acknowledged(cluster, load, 50, 20_000);
  // What a node says while it runs may be told as JSON.
  const said = (): string => cluster.nodes.map(({ output }) => output).join("").replaceAll('\\"', '"');
  const deadline = performance.now() + 10_000;
  while (!said().includes("it means another node, a key we do not have, or another cluster")) {
    if (performance.now() > deadline) throw new Error(`Cannot find a word about the stranger in:\n${said()}`);
    await Bun.sleep(50);
  }
  expect((await fetch(`${third.url}/readyz`)).status).toBe(503);
  await third.kill();

  rmSync(third.directory, { recursive: true });
  writeFileSync(third.config, config);
  await rename(kept, third.directory);
  third.start();
  await third.ready();
  await caughtUp(cluster, third);
  await load.stop();
  await checkNotes(cluster.nodes, load.notes);
}, 60_000);

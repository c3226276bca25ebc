/**
 * One flipped bit at every node at the same time: `bun tests/chaos/rot.ts [--rounds 30] [--seed 1] [--checkpoints]`.
 *
 * Three nodes under load are stopped, each gets one bit of one of its files turned over, and all are started again. Either they are
 * available again and everything is there, or none answers wrongly and each that stays away says why; then the files are put back as
 * they were, and everything has to be there. `--checkpoints`: with so much written before that there are some.
 * Ends with counts; exit code 1 with the first fault.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Random } from "../fuzz/random.ts";
import { builtCommand, RealCluster, type RealNode } from "../harness/real_cluster.ts";
import { Ballast } from "./ballast.ts";
import { checkNotes } from "./check.ts";
import type { Load } from "./load.ts";
import { type Bit, chooseBit, describeBit, turn } from "./one_bit.ts";
import { request } from "./request.ts";
import { acknowledged, startLoad } from "./scenarios.ts";

const roundsPerCluster = 10;
const thinkMs = 20;
/** Who is not available by then waits for files to be put back. */
const settleMs = 15_000;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
    checkpoints: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const rounds = Number(values.rounds);
const random = new Random(seed);
console.log(`seed ${seed}, ${rounds} rounds`);

const counts = new Map<string, number>();
for (let round = 0; round < rounds;) {
  await using cluster = await RealCluster.start({ command: builtCommand() });
  const ballast = new Ballast(cluster.nodes);
  await ballast.put(values.checkpoints ? 150 : 4);
  const load = await startLoad(cluster, thinkMs);
  for (let count = 0; count < roundsPerCluster && round < rounds; count++, round++) {
    await acknowledged(cluster, load, 30, 30_000);
    const outcome = await attempt(cluster, load, ballast).catch((error: Error): never => {
      throw new Error(`Cannot accept round ${round} of seed ${seed}: ${error.message}`, { cause: error });
    });
    counts.set(outcome.verdict, (counts.get(outcome.verdict) ?? 0) + 1);
    console.log(`round ${round}: ${outcome.verdict}: ${outcome.bits.map(({ kind }) => kind).join(", ")}`);
  }
  await load.stop();
}
console.log(
  `${rounds} rounds, seed ${seed}: ${[...counts].map(([verdict, count]) => `${verdict} ${count}`).join(", ")}; 0 lost, 0 wrong`,
);

async function attempt(cluster: RealCluster, load: Load, ballast: Ballast): Promise<{ verdict: string; bits: readonly Bit[] }> {
  const { nodes } = cluster;
  await load.pause();
  await Promise.all(nodes.map((node) => node.kill()));
  for (const { directory } of nodes) cpSync(directory, `${directory}.copy`, { recursive: true });
  const bits = nodes.map(({ directory }) => chooseBit(directory, random));
  bits.forEach(turn);
  const what = bits.map(describeBit).join(", ");
  const said = nodes.map(({ output }) => output.length);
  for (const node of nodes) node.start();
  const halted = await haltOf(nodes, said, what);
  if (halted !== null) {
    await Promise.all(nodes.map((node) => node.kill()));
    for (const { directory } of nodes) putBack(directory);
    for (const node of nodes) node.start();
    await cluster.ready(60_000);
  }
  for (const { directory } of nodes) rmSync(`${directory}.copy`, { recursive: true });
  try {
    await checkNotes(nodes, load.notes);
    for (const node of nodes) await ballast.check(node);
  } catch (error) {
    throw new Error(`${(error as Error).message}\nafter ${what}\n${nodes.map(({ output }, at) => output.slice(said[at])).join("\n")}`, {
      cause: error,
    });
  }
  load.resume();
  return { verdict: halted ?? "available", bits };
}

/** Null once all serve. Else what they say of themselves; throws if one does not say it. */
async function haltOf(nodes: readonly RealNode[], said: readonly number[], what: string): Promise<string | null> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const reasons = await Promise.all(nodes.map((node, at) => reasonOf(node, said[at]!)));
    if (reasons.every((reason) => reason === "")) return null;
    if (performance.now() > deadline) {
      if (reasons.includes("nothing")) throw new Error(`a node stays away and says nothing after ${what}: ${JSON.stringify(reasons)}`);
      return reasons.some((reason) => reason === "") ? "partly available, the rest away by name" : "halted by name";
    }
    await Bun.sleep(100);
  }
}

/** Why it does not serve, as its last word or by /readyz; empty if it does. */
async function reasonOf(node: RealNode, said: number): Promise<string> {
  if (!node.running) return /Cannot .*/.exec(node.output.slice(said))?.[0] ?? "nothing";
  const reply = await request(`${node.url}/readyz`);
  if (reply.kind === "answer") return reply.status === 200 ? "" : "nothing";
  return /"detail":"([^"]*)/.exec(reply.reason)?.[1] ?? "nothing";
}

/** Into the directory and the superblock that are there: copies of them would be refused. */
function putBack(directory: string): void {
  const copy = `${directory}.copy`;
  for (const name of readdirSync(directory)) if (name !== "superblock") rmSync(join(directory, name));
  for (const name of readdirSync(copy)) writeFileSync(join(directory, name), readFileSync(join(copy, name)), { mode: 0o600 });
}

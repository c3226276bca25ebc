/** Disks that fail under a running node: system calls that err or take their time (strace), and a disk that fills up (tmpfs). */
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { RealCluster, RealNode } from "../harness/real_cluster.ts";
import { tamper } from "../harness/tamper.ts";
import type { Load } from "./load.ts";
import { request } from "./request.ts";
import { acknowledged, caughtUp, longestGap } from "./scenarios.ts";

/** null if a small file system can be mounted here, else why not. */
export function noMounts(at: string): string | null {
  mkdirSync(at, { recursive: true });
  try {
    mountSmall(at, 1);
    unmount(at);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

export function mountSmall(at: string, mebibytes: number): void {
  mkdirSync(at, { recursive: true });
  run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m`, "carillon-test", at);
}

export function unmount(at: string): void {
  run("umount", "-l", at);
}

function run(...command: string[]): void {
  if (Bun.which(command[0]!) === null) throw new Error(`Cannot run ${command[0]}: it is not installed`);
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`Cannot run ${command.join(" ")}: ${stderr.toString().trim()}`);
}

/** The next write or sync fails: the node has to end before anything that relied on it is acknowledged. Returns the others' gap. */
export async function failSync(cluster: RealCluster, load: Load, victim: RealNode): Promise<number> {
  const at = performance.now();
  const said = victim.output.length;
  {
    await using _ = await tamper(victim, "error=EIO:when=1");
    const timer = setTimeout(() => victim.signal("SIGKILL"), 10_000);
    await victim.exited();
    clearTimeout(timer);
  }
  const words = victim.output.slice(said);
  if (victim.signalled || !/EIO|i\/o error/i.test(words)) {
    throw new Error(`Cannot accept how ${victim.name} took a failed write or sync. It said:\n${words}`);
  }
  await acknowledged(cluster, load, 100, 15_000);
  const gapMs = longestGap(cluster, load, victim, at, performance.now());
  victim.start();
  await victim.ready();
  await caughtUp(cluster, victim);
  return gapMs;
}

/** Every write and fdatasync takes 150 ms longer for a while. Returns the others' gap. */
export async function slowSync(cluster: RealCluster, load: Load, victim: RealNode, forMs: number): Promise<number> {
  const at = performance.now();
  {
    await using _ = await tamper(victim, "delay_enter=150000");
    await acknowledged(cluster, load, 30, 20_000);
    await Bun.sleep(Math.max(0, at + forMs - performance.now()));
  }
  const gapMs = longestGap(cluster, load, victim, at, performance.now());
  await caughtUp(cluster, victim);
  return gapMs;
}

/**
 * Something else takes all that is left of the victim's disk, and large values come. It may refuse writes and go on, or end
 * with a sentence; with space again it has to serve again. Returns what it did, and how soon it then took a write again.
 */
export async function fillDisk(
  cluster: RealCluster,
  load: Load,
  victim: RealNode,
): Promise<{ readonly did: "refused" | "ended" | "went on"; readonly againMs: number }> {
  const filler = join(victim.directory, "filler");
  const said = victim.output.length;
  await stopsGrowing(victim.directory);
  fill(filler);
  const other = cluster.nodes.find((node) => node !== victim)!;
  const large = "x".repeat(1 << 20);
  let refused = false;
  for (let n = 0; n < 40 && victim.running; n++) {
    await request(`${other.url}/v1/kv/large`, { method: "PUT", body: large });
    const reply = await request(`${victim.url}/v1/kv/small`, { method: "PUT", body: `${n}` });
    refused ||= reply.kind !== "answer" && reply.reason.includes("disk-full");
    if (refused) break;
  }
  await acknowledged(cluster, load, 30, 20_000);
  const ended = !victim.running;
  if (ended && (victim.signalled || !/full|space/i.test(victim.output.slice(said)))) {
    throw new Error(`Cannot accept how ${victim.name} took a full disk. It said:\n${victim.output.slice(said)}`);
  }
  rmSync(filler);
  const at = performance.now();
  if (ended) victim.start();
  await victim.ready(20_000);
  const deadline = performance.now() + 10_000;
  while ((await request(`${victim.url}/v1/kv/small`, { method: "PUT", body: "room again" })).kind !== "answer") {
    if (performance.now() > deadline) throw new Error(`Cannot write at ${victim.name} 10 s after its disk has room again`);
    await Bun.sleep(50);
  }
  const againMs = performance.now() - at;
  await caughtUp(cluster, victim);
  return { did: ended ? "ended" : refused ? "refused" : "went on", againMs };
}

/** What a node puts by after its start is there. */
async function stopsGrowing(directory: string): Promise<void> {
  let bytes = -1;
  for (let calm = 0; calm < 15; calm++) {
    const now = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    if (now !== bytes) calm = 0;
    bytes = now;
    await Bun.sleep(100);
  }
}

function fill(file: string): void {
  const bytes = new Uint8Array(64 << 10);
  const descriptor = openSync(file, "w");
  try {
    while (writeSync(descriptor, bytes) === bytes.byteLength);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOSPC") throw error;
  } finally {
    closeSync(descriptor);
  }
}

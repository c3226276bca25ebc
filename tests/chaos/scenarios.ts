/** What is done to a cluster under load. Each returns when the nodes are back; the caller checks what the clients noted. */
import type { RealCluster, RealNode } from "../harness/real_cluster.ts";
import { Load, logName } from "./load.ts";
import { request } from "./request.ts";

/** With a load that has got going. */
export async function startLoad(cluster: RealCluster, thinkMs?: number): Promise<Load> {
  const reply = await request(`${cluster.nodes[0]!.url}/v1/logs/${logName}`, { method: "PUT" });
  if (reply.kind !== "answer" || reply.status > 201) throw new Error(`Cannot create the log: ${JSON.stringify(reply)}`);
  const load = new Load(cluster.nodes.map(({ url }) => url), thinkMs);
  await acknowledged(cluster, load, 50, 15_000);
  return load;
}

/** Waits until so many more writes have been acknowledged. Throws with what each node says of itself if that takes too long. */
export async function acknowledged(cluster: RealCluster, load: Load, writes: number, timeoutMs: number): Promise<void> {
  const times = load.notes.acknowledgedAt;
  const goal = times.length + writes;
  const deadline = performance.now() + timeoutMs;
  while (times.length < goal) {
    load.check();
    if (performance.now() > deadline) {
      const left = `${goal - times.length} of ${writes} writes not acknowledged within ${timeoutMs} ms`;
      throw new Error(`Cannot go on: ${left}\n${await describe(cluster)}`);
    }
    await Bun.sleep(10);
  }
}

async function describe(cluster: RealCluster): Promise<string> {
  const parts = cluster.nodes.map(async (node) => {
    const reply = await request(`${node.url}/v1/cluster`);
    const status = reply.kind === "answer" ? reply.body : reply.reason;
    return `${node.name}, ${node.running ? "running" : "not running"}: ${status}\nIt said: ${node.output}`;
  });
  return (await Promise.all(parts)).join("\n");
}

/** The longest time in [from, to] that the client at a node, other than `victim`, had no write acknowledged, in ms. */
export function longestGap(cluster: RealCluster, load: Load, victim: RealNode, from: number, to: number): number {
  let longest = 0;
  for (const node of cluster.nodes) {
    if (node === victim) continue;
    let last = from;
    for (const at of load.notes.servedAt.get(node.url) ?? []) {
      if (at < from || at > to) continue;
      longest = Math.max(longest, at - last);
      last = at;
    }
    longest = Math.max(longest, to - last);
  }
  return longest;
}

/** The longest time in [from, to] in which nobody at all had a write acknowledged, in ms. */
export function writeGap(load: Load, from: number, to: number): number {
  let longest = 0;
  let last = from;
  for (const at of load.notes.acknowledgedAt) {
    if (at < from || at > to) continue;
    longest = Math.max(longest, at - last);
    last = at;
  }
  return Math.max(longest, to - last);
}

/** kill −9 and, after a while of service by the others, a start. Returns the gap in service. */
export async function killAndRestart(cluster: RealCluster, load: Load, victim: RealNode): Promise<number> {
  const at = performance.now();
  await victim.kill();
  await acknowledged(cluster, load, 100, 15_000);
  const gap = longestGap(cluster, load, victim, at, performance.now());
  victim.start();
  await victim.ready();
  await caughtUp(cluster, victim);
  return gap;
}

/** The same for a process that stops answering without being gone. */
export async function pauseAndResume(cluster: RealCluster, load: Load, victim: RealNode, pauseMs: number): Promise<number> {
  const at = performance.now();
  victim.signal("SIGSTOP");
  try {
    await acknowledged(cluster, load, 100, 20_000);
    await Bun.sleep(Math.max(0, pauseMs - (performance.now() - at)));
  } finally {
    victim.signal("SIGCONT");
  }
  const gap = longestGap(cluster, load, victim, at, performance.now());
  await victim.ready();
  await caughtUp(cluster, victim);
  return gap;
}

/** Everybody dies in the same instant, as when the power fails, and is started again. Returns the time to the first write. */
export async function killAll(cluster: RealCluster, load: Load): Promise<number> {
  for (const node of cluster.nodes) node.signal("SIGKILL");
  for (const node of cluster.nodes) await node.kill();
  const at = performance.now();
  for (const node of cluster.nodes) node.start();
  await acknowledged(cluster, load, 1, 20_000);
  const first = performance.now() - at;
  await cluster.ready(30_000);
  await acknowledged(cluster, load, 50, 20_000);
  return first;
}

/** Local reads at `node` see what was written elsewhere just now. */
export async function caughtUp(cluster: RealCluster, node: RealNode, timeoutMs = 15_000): Promise<void> {
  const other = cluster.nodes.find((candidate) => candidate !== node)!;
  const value = `mark ${performance.now()}`;
  const deadline = performance.now() + timeoutMs;
  const written = await request(`${other.url}/v1/kv/mark`, { method: "PUT", body: value });
  if (written.kind !== "answer") throw new Error(`Cannot write a mark at ${other.name}: ${written.reason}`);
  for (;;) {
    const reply = await request(`${node.url}/v1/kv/mark?consistency=local`);
    if (reply.kind === "answer" && reply.body === value) return;
    if (performance.now() > deadline) throw new Error(`Cannot see "${value}" at ${node.name} by a local read: ${JSON.stringify(reply)}`);
    await Bun.sleep(20);
  }
}

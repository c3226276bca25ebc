/** Our own three nodes as a system under test. */
import { fastestCommand, RealCluster } from "../tests/harness/real_cluster.ts";
import type { LinkDriver } from "../edge/link/open.ts";
import type { System } from "./processes.ts";

export type Storage = "sync" | "async" | "memory";

/** With a log named `bench`. */
export async function startCarillon(parent: string, durability: Storage, link: LinkDriver = "auto"): Promise<System> {
  const cluster = await RealCluster.start({ parent, durability, link, command: fastestCommand() });
  const created = await fetch(`${cluster.nodes[0]!.url}/v1/logs/bench`, { method: "PUT" });
  if (!created.ok) throw new Error(`Cannot create the log: ${created.status} ${await created.text()}`);
  return {
    name: "carillon",
    pids: cluster.nodes.map((node) => node.pid),
    endpoints: cluster.nodes.map((node) => ({ host: "127.0.0.1", port: node.httpPort })),
    stop: () => cluster[Symbol.asyncDispose](),
  };
}

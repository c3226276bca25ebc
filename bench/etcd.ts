/** A three-node etcd on loopback, for the same work on the same disk. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePorts, removeDirectory, scratchDirectory, type System, until } from "./processes.ts";

const binary = "/usr/bin/etcd";

export function etcdInstalled(): boolean {
  return existsSync(binary);
}

/** `directory`: where its data goes; a memory file system stands in for a mode etcd does not have. */
export async function startEtcd(directory: string): Promise<System> {
  const data = await scratchDirectory(directory);
  const ports = await freePorts(6);
  const names = ["e1", "e2", "e3"];
  const cluster = names.map((name, index) => `${name}=http://127.0.0.1:${ports[index + 3]}`).join(",");
  const processes = names.map((name, index) => {
    const client = `http://127.0.0.1:${ports[index]}`;
    const peer = `http://127.0.0.1:${ports[index + 3]}`;
    // deno-fmt-ignore
    const flags = [
      "--name", name, "--data-dir", join(data, name), "--log-level", "error",
      "--listen-client-urls", client, "--advertise-client-urls", client,
      "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
      "--initial-cluster", cluster, "--initial-cluster-state", "new",
    ];
    return Bun.spawn([binary, ...flags], { stdout: "ignore", stderr: "ignore" });
  });
  const stop = async () => {
    for (const process of processes) process.kill("SIGKILL");
    await Promise.all(processes.map((process) => process.exited));
    await removeDirectory(data);
  };
  const endpoints = ports.slice(0, 3).map((port) => ({ host: "127.0.0.1", port }));
  try {
    for (const { host, port } of endpoints) {
      await until(`etcd at ${host}:${port}`, 15_000, async () => {
        const answer = await fetch(`http://${host}:${port}/health`);
        return answer.ok && (await answer.text()).includes("true");
      });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { name: "etcd", pids: processes.map((process) => process.pid), endpoints, stop };
}

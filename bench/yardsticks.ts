/** What this machine can do at best: the bare disk and a bare HTTP server, in the same run as everything else. */
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Histogram } from "./load/histogram.ts";
import { freePorts, removeDirectory, scratchDirectory, type System, until } from "./processes.ts";

export interface DiskYardstick {
  readonly bytes: number;
  readonly preallocated: boolean;
  readonly syncsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Write and fdatasync, one after another, for so long. */
export async function measureDisk(directory: string, bytes: number, preallocated: boolean, forMs: number): Promise<DiskYardstick> {
  const scratch = await scratchDirectory(directory);
  const file = openSync(join(scratch, "disk"), "w");
  const chunk = Buffer.alloc(bytes, 7);
  const room = 64 << 20;
  if (preallocated) {
    for (let at = 0; at < room; at += 1 << 20) writeSync(file, Buffer.alloc(1 << 20), 0, 1 << 20, at);
    fdatasyncSync(file);
  }
  const latency = new Histogram();
  const startedAt = performance.now();
  let at = 0;
  while (performance.now() - startedAt < forMs) {
    const before = performance.now();
    writeSync(file, chunk, 0, bytes, preallocated ? at % (room - bytes) : at);
    fdatasyncSync(file);
    latency.record((performance.now() - before) * 1_000);
    at += bytes;
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  closeSync(file);
  await removeDirectory(scratch);
  return {
    bytes,
    preallocated,
    syncsPerSecond: latency.total / seconds,
    p50Ms: latency.quantile(0.5) / 1_000,
    p99Ms: latency.quantile(0.99) / 1_000,
  };
}

/** A server that answers every POST with its body and does nothing else. */
export async function startEcho(): Promise<System> {
  const [port] = await freePorts(1);
  const echo = Bun.spawn([process.execPath, `${import.meta.dir}/echo.ts`, String(port)], { stdout: "ignore", stderr: "inherit" });
  await until("the echo server", 10_000, async () => (await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "x" })).ok);
  return {
    name: "echo",
    pids: [echo.pid],
    endpoints: [{ host: "127.0.0.1", port: port! }],
    async stop() {
      echo.kill();
      await echo.exited;
    },
  };
}

/** Processes under measurement: start, wait until they listen, and what Linux counts about them in /proc. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export { freePorts } from "../tests/harness/real_cluster.ts";

/** Linux counts CPU time in hundredths of a second for everybody (USER_HZ). */
const ticksPerSecond = 100;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A system under test: some processes, of which clients talk to `endpoints`. */
export interface System {
  readonly name: string;
  readonly pids: readonly number[];
  readonly endpoints: readonly Endpoint[];
  stop(): Promise<void>;
}

/** User and system time of all threads so far, summed over the processes. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, counted from 1.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

/** Resident bytes: `rss` counts pages shared between the processes once each, `pss` shares them out. */
export function memoryBytes(pids: readonly number[]): { rss: number; pss: number } {
  let rss = 0;
  let pss = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    rss += Number(/^Rss: +(\d+)/m.exec(rollup)?.[1] ?? 0) * 1_024;
    pss += Number(/^Pss: +(\d+)/m.exec(rollup)?.[1] ?? 0) * 1_024;
  }
  return { rss, pss };
}

export async function scratchDirectory(parent: string = tmpdir()): Promise<string> {
  return await mkdtemp(join(parent, "carillon-bench-"));
}

export async function removeDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** Tries until `check` is true; throws `Cannot wait for …` after `timeoutMs`. */
export async function until(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`Cannot wait for ${what}: not there after ${timeoutMs} ms`);
    await Bun.sleep(20);
  }
}

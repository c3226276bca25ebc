/**
 * A stopped node's files with something wrong in them, as a disk leaves them. A node may serve (what is damaged was never
 * vouched for, or it got it back from its peers) or refuse itself with a sentence; then it gets its files back as they were.
 */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import type { RealCluster, RealNode } from "../harness/real_cluster.ts";
import type { Load } from "./load.ts";
import { acknowledged, caughtUp } from "./scenarios.ts";

/** Changes files in the directory of a stopped node; says what it did. */
export type Damage = (directory: string) => string;

export interface Verdict {
  readonly what: string;
  readonly refused: boolean;
}

export async function damageWhileDown(cluster: RealCluster, load: Load, victim: RealNode, damage: Damage): Promise<Verdict> {
  await victim.kill();
  const copy = `${victim.directory}.copy`;
  await cp(victim.directory, copy, { recursive: true });
  const what = damage(victim.directory);
  await acknowledged(cluster, load, 20, 20_000);
  const said = victim.output.length;
  victim.start();
  const refused = await refuses(victim, said, what);
  if (refused) {
    // File by file: in another directory it would be a copy, and be refused as one.
    const kept = new Set(readdirSync(copy));
    for (const name of readdirSync(victim.directory)) if (!kept.has(name)) rmSync(join(victim.directory, name), { recursive: true });
    await cp(copy, victim.directory, { recursive: true });
    victim.start();
    await victim.ready(20_000);
  }
  rmSync(copy, { recursive: true });
  await caughtUp(cluster, victim);
  return { what, refused };
}

/** False once it is ready. Throws if it ends in any other way than by a sentence that names its directory. */
export async function refuses(victim: RealNode, said: number, what: string, timeoutMs = 20_000): Promise<boolean> {
  await victim.ready(timeoutMs).catch((error: unknown) => {
    if (victim.running) throw error;
  });
  if (victim.running) return false;
  const words = victim.output.slice(said);
  const named = words.includes("Cannot ") && words.includes(victim.directory);
  if (victim.signalled || !named) throw new Error(`Cannot accept how ${victim.name} ended after ${what}. It said:\n${words}`);
  return true;
}

/** One bit of the journal, anywhere in what is not padding. */
export const flipBit: Damage = (directory) => {
  const names = readdirSync(directory).filter((name) => name.startsWith("journal-") && writtenBytes(join(directory, name)) > 0);
  const file = join(directory, names[Math.floor(Math.random() * names.length)]!);
  return flip(file);
};

/** One bit of the files beside the journal: chance alone would hardly find them. */
export const flipBeside: Damage = (directory) => {
  // What was put aside or put by is not read.
  const names = readdirSync(directory).filter((name) => !/^(journal|damaged)-/.test(name) && writtenBytes(join(directory, name)) > 0);
  return flip(join(directory, names[Math.floor(Math.random() * names.length)]!));
};

/** The beginning of a write that the power cut short: bytes behind the last record that are no record. */
export const tornTail: Damage = (directory) =>
  change(newestJournal(directory), (bytes) => {
    const end = Math.min(Math.ceil(written(bytes) / 4_096) * 4_096, bytes.byteLength - 4_096);
    crypto.getRandomValues(bytes.subarray(end, end + 1_000));
    return `1000 bytes of an unfinished write at byte ${end}`;
  });

/** The end of the newest segment is missing: what had not been written, or not only that. */
export const cutShort: Damage = (directory) => {
  const file = newestJournal(directory);
  const bytes = readFileSync(file);
  const end = Math.max(0, written(bytes) - Math.floor(Math.random() * 600));
  writeFileSync(file, bytes.subarray(0, end));
  return `"${file}" cut off at byte ${end}`;
};

function flip(file: string): string {
  return change(file, (bytes) => {
    const end = written(bytes);
    let at = 0;
    do at = Math.floor(Math.random() * end); while (bytes[at] === 0);
    bytes[at]! ^= 1 << Math.floor(Math.random() * 8);
    return `a flipped bit in byte ${at} of ${end}`;
  });
}

function newestJournal(directory: string): string {
  const names = readdirSync(directory).filter((name) => name.startsWith("journal-")).sort();
  const used = names.findLast((name) => writtenBytes(join(directory, name)) > 0);
  if (used === undefined) throw new Error(`Cannot damage "${directory}": it has no journal`);
  return join(directory, used);
}

function change(file: string, act: (bytes: Uint8Array) => string): string {
  const bytes = new Uint8Array(readFileSync(file));
  const what = act(bytes);
  writeFileSync(file, bytes);
  return `${what} of "${file}"`;
}

function writtenBytes(file: string): number {
  return statSync(file).isFile() ? written(readFileSync(file)) : 0;
}

/** Files are zero-filled before use: up to the last byte that is not zero. */
function written(bytes: Uint8Array): number {
  let end = bytes.byteLength;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

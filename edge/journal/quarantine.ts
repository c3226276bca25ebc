/** Damaged segments are kept under another name, for whoever wants to know what happened: one set, the newest. */
import type { Now } from "../../core/ids.ts";
import type { Disk } from "../runtime.ts";
import { wallMicros } from "../runtime.ts";
import { segmentNumbers } from "./segments.ts";
import type { Life } from "./superblock_codec.ts";

const prefix = "damaged-";

/** `damaged-20260131T235959Z`. */
export function quarantineName({ wall }: Now): string {
  const unixMs = Math.max(0, Math.round((wall - wallMicros(0)) / 1_000));
  return prefix + new Date(unixMs).toISOString().replace(/[-:]|\.\d+/g, "");
}

/** Moves what is to be aside and is not yet. Returns the names that are left. */
export async function putAside(disk: Disk, aside: Life["aside"], names: readonly string[]): Promise<readonly string[]> {
  if (aside === null) return names;
  const damaged = names.filter((name) => segmentNumbers([name]).some((number) => number <= aside.upTo));
  if (damaged.length === 0) return names;
  for (const name of names) if (name.startsWith(prefix) && !name.startsWith(aside.name)) await disk.remove(name);
  for (const name of damaged) await disk.rename(name, `${aside.name}-${name}`);
  return names.filter((name) => !damaged.includes(name));
}

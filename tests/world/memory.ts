/** What a machine would still know after a power loss, by its disk: whether the next life has its right to vote. */
import { crc32 } from "node:zlib";
import { decodeCopy, type Life } from "../../edge/journal/superblock_codec.ts";
import { superblockFile } from "../../edge/journal/superblock.ts";
import type { SimDisk } from "./disk.ts";

const copies = [0, 1, 2, 3] as const;

/** What two copies of its superblock agree on; null without one. */
export function lifeOn(disk: SimDisk): Life | null {
  const lives: Life[] = [];
  for (const copy of copies) {
    const sector = disk.safe(superblockFile, copy);
    const life = sector === null ? null : decodeCopy(sector, copy, (bytes) => crc32(bytes));
    if (life !== null) lives.push(life);
  }
  const agreed = lives.filter(({ version }) => lives.filter((other) => other.version === version).length >= 2);
  return agreed.sort((a, b) => b.version - a.version)[0] ?? null;
}

/** It votes as soon as it is back, whoever else is there. */
export function remembers(disk: SimDisk): boolean {
  return lifeOn(disk)?.rejoining === false;
}

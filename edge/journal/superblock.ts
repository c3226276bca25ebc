/**
 * Whose directory this is, where recovery begins and what may be missing: one file of four equal copies in sectors of
 * their own. A change writes two, syncs, writes the other two, syncs; what two of them agree on is what the file says.
 * One damaged copy is repaired, one stale copy is outvoted, and a power cut leaves the old or the new.
 */
import { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import type { Disk, DiskFile } from "../runtime.ts";
import { type Crc32, sectorBytes } from "./frame.ts";
import { identityFile, readIdentity } from "./identity.ts";
import { clusterBytesMax, decodeCopy, encodeCopy, format, type Life, NewerFormat } from "./superblock_codec.ts";

export const superblockFile = "superblock";
const copies = [0, 1, 2, 3] as const;
const identityBytesMax = 65_536;

export interface Wanted {
  readonly cluster: string;
  readonly node: NodeId;
  /** Others hold what this node held: a new directory may be one that was wiped. */
  readonly replicated: boolean;
}

export interface Tools {
  readonly disk: Disk;
  readonly crc32: Crc32;
  /** 32 random bits. */
  readonly entropy: () => number;
}

export class Superblock {
  life: Life;
  /** There was no directory to speak of. */
  readonly fresh: boolean;
  readonly #tools: Pick<Tools, "disk" | "crc32">;
  /** Copies that say what `life` says; a change overwrites these last. */
  #good: ReadonlySet<number>;
  #last: Promise<void> = Promise.resolve();

  constructor(tools: Pick<Tools, "disk" | "crc32">, life: Life, good: ReadonlySet<number>, fresh: boolean) {
    this.#tools = tools;
    this.life = life;
    this.#good = good;
    this.fresh = fresh;
  }

  /** Changes become durable one after another, in this order. After a failure none is tried any more. */
  update(change: (life: Life) => Partial<Life>): Promise<void> {
    return this.#last = this.#last.then(() => this.#write({ ...this.life, ...change(this.life), version: this.life.version + 1 }));
  }

  /** All four copies are as they should be, or will be after this. */
  async repair(): Promise<void> {
    if (this.#good.size < copies.length) await this.update(() => ({}));
  }

  isGood(copy: number): boolean {
    return this.#good.has(copy);
  }

  async settle(): Promise<void> {
    await this.#last.catch(() => {});
  }

  async #write(life: Life): Promise<void> {
    const { disk, crc32 } = this.#tools;
    const file = await disk.open(superblockFile);
    try {
      // At any moment two whole copies agree: those that are no use go first.
      const order = copies.toSorted((a, b) => Number(this.#good.has(a)) - Number(this.#good.has(b)));
      for (const pair of [order.slice(0, 2), order.slice(2)]) {
        await Promise.all(pair.map((copy) => writeAll(file, copy * sectorBytes, encodeCopy(life, copy, crc32))));
        await syncAll(file);
      }
      this.life = life;
      this.#good = new Set(copies);
    } finally {
      await file.close();
    }
  }
}

/** Finds the superblock or makes it. Throws CarillonError `config` (somebody else's, a copy's) or `corrupt` (unreadable). */
export async function openSuperblock(tools: Tools, wanted: Wanted, names: readonly string[]): Promise<Superblock> {
  const superblock = await find(tools, names) ?? await create(tools, wanted, names);
  const { life } = superblock;
  for (const key of ["cluster", "node"] as const) {
    if (life[key] === wanted[key]) continue;
    const says = `it belongs to ${key} ${JSON.stringify(life[key])}, not ${JSON.stringify(wanted[key])}`;
    throw new CarillonError("config", `Cannot use "${tools.disk.root}": ${says}`);
  }
  const place = await tools.disk.place(superblockFile);
  if (life.place === "") await superblock.update(() => ({ place }));
  else if (life.place !== place) throw copied(tools.disk);
  else await superblock.repair();
  return superblock;
}

/**
 * Makes a copied or restored directory this node's. It may be older than what the node last said, so the node rejoins; not if it was
 * `moved`: copied after the node had stopped, never to start again where it was.
 */
export async function adoptDirectory(tools: Tools, names: readonly string[], moved = false): Promise<Life> {
  const superblock = await find(tools, names);
  if (superblock === null) throw new CarillonError("not-found", `Cannot find a journal in "${tools.disk.root}"`);
  const place = await tools.disk.place(superblockFile);
  await superblock.update((life) => ({
    place,
    directory: tools.entropy(),
    ...(moved ? {} : { incarnation: life.incarnation + 1, rejoining: true }),
  }));
  return superblock.life;
}

/** What the directory says about itself, as it is; null if it holds no journal. Throws CarillonError `corrupt`, `config`. */
export async function find(tools: Tools, names: readonly string[]): Promise<Superblock | null> {
  if (names.includes(superblockFile)) {
    const found = await read(tools);
    await sync(tools.disk);
    if (names.includes(identityFile)) await tools.disk.remove(identityFile);
    return found;
  }
  if (names.includes(identityFile)) return await upgrade(tools);
  const left = names.find((name) => /^(journal|damaged|checkpoint)-/.test(name));
  if (left === undefined) return null;
  throw new CarillonError("corrupt", `Cannot use "${tools.disk.root}": it has "${left}" and no "${superblockFile}" file`);
}

export async function read({ disk, crc32 }: Pick<Tools, "disk" | "crc32">): Promise<Superblock> {
  const lives = new Map<number, { readonly life: Life; readonly good: Set<number> }[]>();
  const bytes = await disk.read(superblockFile, 0, copies.length * sectorBytes);
  let newer: number | null = null;
  for (const copy of copies) {
    try {
      const life = decodeCopy(bytes.subarray(copy * sectorBytes, (copy + 1) * sectorBytes), copy, crc32);
      if (life === null) continue;
      const same = lives.get(life.version) ?? [];
      lives.set(life.version, same);
      const agreeing = same.find((other) => JSON.stringify(other.life) === JSON.stringify(life));
      if (agreeing === undefined) same.push({ life, good: new Set([copy]) });
      else agreeing.good.add(copy);
    } catch (error) {
      if (!(error instanceof NewerFormat)) throw error;
      newer = error.format;
    }
  }
  const versions = [...lives.keys()].sort((a, b) => b - a);
  for (const version of versions) {
    const agreed = lives.get(version)!.find(({ good }) => good.size >= 2);
    if (agreed !== undefined) return new Superblock({ disk, crc32 }, agreed.life, agreed.good, false);
  }
  if (newer !== null) {
    throw new CarillonError("config", `Cannot use "${disk.root}": its format is ${newer}, and this version reads formats 1 and ${format}`);
  }
  throw new CarillonError(
    "corrupt",
    `Cannot use "${disk.root}": its "${superblockFile}" file is damaged: no two of its four copies agree`,
    {
      facts: { file: superblockFile },
    },
  );
}

/** A process that was killed may have left it in the system's memory alone, where a power cut still takes it. */
async function sync(disk: Disk): Promise<void> {
  const file = await disk.open(superblockFile);
  try {
    await syncAll(file);
  } finally {
    await file.close();
  }
}

/** For who only looks: what the superblock would say, its format, and which copies of it are unreadable. */
export async function peek(
  tools: Pick<Tools, "disk" | "crc32">,
  names: readonly string[],
): Promise<{ readonly life: Life; readonly format: number; readonly badCopies: readonly number[] }> {
  const { disk, crc32 } = tools;
  if (names.includes(superblockFile)) {
    const superblock = await read(tools);
    return { life: superblock.life, format, badCopies: copies.filter((copy) => !superblock.isGood(copy)) };
  }
  if (!names.includes(identityFile)) throw new CarillonError("not-found", `Cannot find a journal in "${disk.root}"`);
  const { cluster, node, seed } = readIdentity(await disk.read(identityFile, 0, identityBytesMax), disk.root, crc32);
  return { life: newLife(cluster, node, seed, 0), format: 1, badCopies: [] };
}

/** A directory of format 1. Its segments are as they would be in a new one. */
async function upgrade(tools: Tools): Promise<Superblock> {
  const { disk, crc32, entropy } = tools;
  const { cluster, node, seed } = readIdentity(await disk.read(identityFile, 0, identityBytesMax), disk.root, crc32);
  const superblock = await write(tools, newLife(cluster, node, seed, entropy()), false);
  await disk.remove(identityFile);
  return superblock;
}

async function create(tools: Tools, { cluster, node, replicated }: Wanted, names: readonly string[]): Promise<Superblock> {
  // Half of one that was being made.
  const half = `${superblockFile}.tmp`;
  if (names.includes(half)) await tools.disk.remove(half);
  const life = newLife(cluster, node, tools.entropy(), tools.entropy());
  return await write(tools, { ...life, rejoining: replicated }, true);
}

function newLife(cluster: string, node: NodeId, seed: number, directory: number): Life {
  return {
    version: 1,
    cluster,
    node,
    seed,
    directory,
    place: "",
    incarnation: 1,
    rejoining: false,
    base: 1,
    behind: { sequence: 0, crc: seed },
    reached: 0,
    kept: [],
    aside: null,
  };
}

async function write(tools: Tools, life: Life, fresh: boolean): Promise<Superblock> {
  const { disk, crc32 } = tools;
  if (new TextEncoder().encode(life.cluster).byteLength > clusterBytesMax) {
    throw new CarillonError("config", `Cannot use "${disk.root}": the cluster's name is longer than ${clusterBytesMax} bytes`);
  }
  const bytes = new Uint8Array(copies.length * sectorBytes);
  for (const copy of copies) bytes.set(encodeCopy(life, copy, crc32), copy * sectorBytes);
  await disk.replace(superblockFile, bytes);
  return new Superblock(tools, life, new Set(copies), fresh);
}

function copied({ root }: Disk): CarillonError {
  return new CarillonError(
    "config",
    `Cannot use "${root}": it was copied or restored to this place, and the node it belongs to may still run elsewhere; ` +
      `if that one never starts again, run: carillon journal adopt ${JSON.stringify(root)}`,
  );
}

export function writeAll(file: DiskFile, offset: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => file.write(offset, bytes, (error) => error ? reject(error) : resolve()));
}

export function syncAll(file: DiskFile): Promise<void> {
  return new Promise((resolve, reject) => file.sync((error) => error ? reject(error) : resolve()));
}

/**
 * The files of a journal: zero-filled before use, so that a sync has no metadata to write. The next one
 * is made while the current one still has room, in the background.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../runtime.ts";
import { isDiskFull, troubleOf } from "../runtime/trouble.ts";
import { alignSector } from "./frame.ts";
import type { Space } from "./space.ts";
import type { Run } from "./superblock_codec.ts";
import type { Chain } from "./window.ts";

export const segmentBytesDefault: number = 16 << 20;

const namePattern = /^journal-(\d{8,})$/;

export function segmentName(number: number): string {
  return `journal-${String(number).padStart(8, "0")}`;
}

/** Numbers of the segments among file names, ascending. */
export function segmentNumbers(names: readonly string[]): number[] {
  const numbers: number[] = [];
  for (const name of names) {
    const match = namePattern.exec(name);
    if (match !== null) numbers.push(Number(match[1]));
  }
  return numbers.sort((a, b) => a - b);
}

interface Segment {
  readonly capacity: number;
  /** The chain its first frame continues; null until there is one. */
  readonly before: Chain | null;
}

export class Segments {
  readonly #disk: Disk;
  readonly #space: Space;
  readonly #bytes: number;
  /** Those there are and those being made, ascending. */
  readonly #all = new Map<number, Segment>();
  /** Making of segments that are not yet in use. */
  readonly #making = new Map<number, Promise<void>>();

  constructor(disk: Disk, space: Space, bytes: number) {
    this.#disk = disk;
    this.#space = space;
    this.#bytes = bytes;
  }

  /** One that is there already. */
  found(number: number, capacity: number, before: Chain): void {
    this.#all.set(number, { capacity, before });
  }

  /** Its first frame is about to be written. */
  begun(number: number, before: Chain): void {
    this.#all.set(number, { capacity: this.capacity(number), before });
  }

  capacity(number: number): number {
    return this.#all.get(number)?.capacity ?? 0;
  }

  before(number: number): Chain | null {
    return this.#all.get(number)?.before ?? null;
  }

  /** Ascending, of those that hold frames. */
  numbers(): number[] {
    return [...this.#all].filter(([, { before }]) => before !== null).map(([number]) => number);
  }

  get oldest(): number {
    for (const number of this.#all.keys()) return number;
    return 0;
  }

  get count(): number {
    return this.#all.size;
  }

  get bytes(): number {
    let total = 0;
    for (const { capacity } of this.#all.values()) total += capacity;
    return total;
  }

  /** Those below `base` without those that go, as runs. `behind` is the chain behind segments whose successor is gone. */
  runs(base: number, without: ReadonlySet<number>, known: readonly Run[]): Run[] {
    const runs: Run[] = [];
    const ends = new Map(known.map(({ last, behind }) => [last, behind]));
    for (const [number, { before }] of this.#all) {
      if (number >= base || without.has(number)) continue;
      // None of both: the next one was found missing, and nothing older than that is read any more.
      const behind = this.before(number + 1) ?? ends.get(number) ?? before!;
      const last = runs.at(-1);
      if (last !== undefined && last.last === number - 1) runs[runs.length - 1] = { ...last, last: number, behind };
      else runs.push({ first: number, last: number, before: before!, behind });
    }
    return runs;
  }

  /** Begins to make it, with room for a batch of at least `needed` bytes. A second call with a larger need makes it again. */
  prepare(number: number, needed = 0): void {
    const bytes = Math.max(this.#bytes, alignSector(needed));
    if (this.capacity(number) >= bytes) return;
    this.#all.set(number, { capacity: bytes, before: null });
    this.#make(number, bytes);
  }

  /** For writing, once it is made. Throws CarillonError `disk-full` if it cannot be. */
  async open(number: number): Promise<DiskFile> {
    try {
      await this.#making.get(number)?.catch(async (error) => {
        // There may be room by now. Nothing has been written to it yet, so this is no second try of a failed sync.
        if (!isDiskFull(error)) throw error;
        await this.#make(number, this.capacity(number));
      });
    } catch (cause) {
      throw new CarillonError("disk-full", `Cannot extend the journal: ${troubleOf(cause)}`, { cause });
    }
    this.#making.delete(number);
    return await this.#disk.open(segmentName(number));
  }

  /** One that is not needed: no longer counted, and soon removed. */
  forget(number: number): void {
    this.#all.delete(number);
  }

  /** Waits for what is being made. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#making.values());
  }

  #make(number: number, bytes: number): Promise<void> {
    const before = this.#making.get(number) ?? Promise.resolve();
    const made = before.catch(() => {}).then(() => this.#space.make(segmentName(number), bytes));
    // Told when the segment is needed, and only then: until there it is no failure.
    made.catch(() => {});
    this.#making.set(number, made);
    return made;
  }
}

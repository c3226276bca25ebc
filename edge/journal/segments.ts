/**
 * The files of a journal: zero-filled before use, so that a sync has no metadata to write. The next one
 * is made while the current one still has room, in the background.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../runtime.ts";
import { troubleOf } from "../runtime/trouble.ts";
import { alignSector } from "./frame.ts";

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

export class Segments {
  readonly #disk: Disk;
  readonly #bytes: number;
  readonly #capacities = new Map<number, number>();
  /** Making of segments that are not yet in use. */
  readonly #making = new Map<number, Promise<void>>();

  constructor(disk: Disk, bytes: number) {
    this.#disk = disk;
    this.#bytes = bytes;
  }

  /** One that is there already. */
  found(number: number, capacity: number): void {
    this.#capacities.set(number, capacity);
  }

  capacity(number: number): number {
    return this.#capacities.get(number) ?? 0;
  }

  get count(): number {
    return this.#capacities.size;
  }

  get bytes(): number {
    let total = 0;
    for (const bytes of this.#capacities.values()) total += bytes;
    return total;
  }

  /** Begins to make it, with room for a batch of at least `needed` bytes. A second call with a larger need makes it again. */
  prepare(number: number, needed = 0): void {
    const bytes = Math.max(this.#bytes, alignSector(needed));
    if (this.capacity(number) >= bytes) return;
    this.#capacities.set(number, bytes);
    const before = this.#making.get(number) ?? Promise.resolve();
    const made = before.then(() => this.#disk.preallocate(segmentName(number), bytes));
    // Told when the segment is needed, and only then: until there it is no failure.
    made.catch(() => {});
    this.#making.set(number, made);
  }

  /** For writing, once it is made. Throws CarillonError `disk-full` if it cannot be. */
  async open(number: number): Promise<DiskFile> {
    try {
      await this.#making.get(number);
    } catch (cause) {
      throw new CarillonError("disk-full", `Cannot extend the journal: ${troubleOf(cause)}`, { cause });
    }
    this.#making.delete(number);
    return await this.#disk.open(segmentName(number));
  }

  /** Waits for what is being made. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#making.values());
  }
}

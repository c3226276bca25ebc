/** Removes segments that nobody needs, behind the back of whoever writes: first the superblock says so, then they go. */
import type { Disk } from "../runtime.ts";
import type { LogIndex } from "./log_index.ts";
import type { Pipeline } from "./pipeline.ts";
import { segmentName, type Segments } from "./segments.ts";
import type { Superblock } from "./superblock.ts";
import { runsMax } from "./superblock_codec.ts";

export interface TidyOptions {
  readonly disk: Disk;
  readonly superblock: Superblock;
  readonly segments: Segments;
  readonly index: LogIndex;
  readonly pipeline: Pipeline;
}

export class Tidy {
  readonly #options: TidyOptions;
  #running: Promise<void> | null = null;
  #again = false;

  constructor(options: TidyOptions) {
    this.#options = options;
  }

  /** Looks whether anything can go. */
  soon(): void {
    this.#again = true;
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { pipeline } = this.#options;
    try {
      // Everything that happens in this turn of the event loop is one reason to look.
      await Promise.resolve();
      while (this.#again && pipeline.failure === null) {
        this.#again = false;
        await this.#remove(this.#unneeded());
      }
    } catch (error) {
      pipeline.fail(error as Error);
    } finally {
      this.#running = null;
    }
  }

  /** Older than where recovery begins, and without an entry that may be read. */
  #unneeded(): Set<number> {
    const { superblock: { life }, segments, index } = this.#options;
    const older = segments.numbers().filter((number) => number < life.base);
    const unneeded = older.filter((number) => !index.coverage.needed(number, (group) => index.trimmedTo(group)));
    const fits = (gone: ReadonlySet<number>): boolean => segments.runs(life.base, gone, life.kept).length <= runsMax;
    const all = new Set(unneeded);
    if (fits(all)) return all;
    // The superblock has room for so many gaps: one more waits until its neighbours can go.
    const some = new Set<number>();
    for (const number of unneeded) {
      some.add(number);
      if (!fits(some)) some.delete(number);
    }
    return some;
  }

  async #remove(numbers: ReadonlySet<number>): Promise<void> {
    if (numbers.size === 0) return;
    const { disk, superblock, segments, index, pipeline } = this.#options;
    // Also that their entries were given up: else stale ones of other segments could come back in their place.
    await pipeline.sync();
    await superblock.update((life) => {
      const kept = segments.runs(life.base, numbers, life.kept);
      // With this change and not after it: the next one must not name them again.
      for (const number of numbers) segments.forget(number);
      return { kept };
    });
    for (const number of numbers) {
      index.coverage.forget(number);
      await disk.remove(segmentName(number));
    }
  }
}

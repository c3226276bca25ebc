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
    const unneeded = new Set<number>();
    for (const number of segments.numbers()) {
      if (number >= life.base) break;
      if (index.coverage.needed(number, (group) => index.trimmedTo(group))) continue;
      unneeded.add(number);
      // The superblock has room for so many gaps: one more waits until its neighbours can go.
      if (segments.runs(life.base, unneeded, life.kept).length > runsMax) unneeded.delete(number);
    }
    return unneeded;
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

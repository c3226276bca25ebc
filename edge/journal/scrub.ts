/** Reads everything that is kept once in a while, slowly: what has gone bad is found while others still have it. */
import type { Millis } from "../../core/ids.ts";
import type { Clock, Disk, DiskFile } from "../runtime.ts";
import { type Damage, damageAt } from "./damage.ts";
import type { Crc32 } from "./frame.ts";
import { type Place, place } from "./log_index.ts";
import { examine, placesBehind } from "./past.ts";
import type { Pipeline } from "./pipeline.ts";
import { segmentName, type Segments } from "./segments.ts";
import { Window } from "./window.ts";

const bytesPerSecondMax = 4 << 20;
const stepBytes = 256 << 10;
/** While the journal is busy, only every so many steps is taken. */
const busySteps = 8;

export interface ScrubOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly seed: () => number;
  readonly everyMs: Millis;
  readonly segments: () => Segments;
  readonly pipeline: () => Pipeline;
  /** `places`: where the record may begin that is unreadable. */
  readonly onDamage: (damage: Damage, places: readonly Place[]) => void;
}

export class Scrub {
  /** Read so far. */
  bytes = 0;
  readonly #options: ScrubOptions;
  #cancel: () => void = () => {};
  #closed = false;

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  /** The first pass is one interval away: a recovery has just read everything. */
  start(): void {
    if (this.#closed) return;
    const { clock, everyMs } = this.#options;
    const began = clock.now().mono;
    this.#cancel = clock.wakeAt(began + everyMs, () => void this.#pass().then(() => this.start()));
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #pass(): Promise<void> {
    const segments = this.#options.segments();
    const { segment: newest, sequence } = this.#options.pipeline().written;
    for (const number of segments.numbers()) {
      if (this.#closed || number > newest) return;
      await this.#segment(segments, number, segments.before(number + 1)?.sequence ?? (number === newest ? sequence : null));
    }
  }

  /** `upTo`: the last frame it holds, or held when the pass began; null: not known. */
  async #segment(segments: Segments, number: number, upTo: number | null): Promise<void> {
    const { disk, crc32, seed, onDamage } = this.#options;
    const before = segments.before(number);
    const name = segmentName(number);
    if (before === null) return;
    const tell = (at: number, reason: string, places: readonly Place[]): void => {
      // Being removed is no damage.
      if (!this.#closed && segments.before(number) !== null) onDamage(damageAt(name, at, reason), places);
    };
    try {
      const file = await disk.open(name);
      try {
        const size = await disk.size(name);
        const unreadable = (at: number, record: number): void => {
          if (upTo === null || record <= upTo) tell(at, `record ${record} is unreadable`, [...placesBehind(number, at)]);
        };
        const { chain, end } = await examine(new Window(this.#paced(file), size, stepBytes), before, seed(), crc32, () => {}, unreadable);
        if (upTo !== null && chain.sequence < upTo) unreadable(end, chain.sequence + 1);
      } finally {
        await file.close();
      }
    } catch (error) {
      tell(0, (error as Error).message, [place(number, 0)]);
    }
  }

  /** A file that is read at our pace. */
  #paced(file: DiskFile): DiskFile {
    return {
      ...file,
      read: async (offset, length, into) => {
        const { clock, pipeline } = this.#options;
        const ms = Math.ceil(Math.max(length, 1) / bytesPerSecondMax * 1_000);
        for (let step = 0; step === 0 || (step < busySteps && pipeline().busy); step++) {
          await new Promise<void>((resolve) => this.#cancel = clock.wakeAt(clock.now().mono + ms, resolve));
        }
        this.bytes += length;
        return await file.read(offset, length, into);
      },
    };
  }
}

/** What can be measured of a journal. Totals only grow, so that a reader takes differences. */

export interface JournalStats {
  /** Since the process started. */
  readonly records: number;
  readonly batches: number;
  readonly bytesWritten: number;
  /** Files, or slabs in memory, and the bytes they take. */
  readonly segments: number;
  readonly bytes: number;
  /** Log entries that can be read back. */
  readonly entries: number;
  /** Written since the newest bases, them included: what a recovery reads. */
  readonly bytesSinceRebase: number;
  /** Number of the oldest file or slab that is kept. */
  readonly oldestSegment: number;
  /** Times that entries were given up. */
  readonly trims: number;
  /** Places that were durable and turned out to be unreadable. */
  readonly damages: number;
  /** Read in the background to find them. */
  readonly scrubbedBytes: number;
  /** There is room for little more than votes. */
  readonly full: boolean;
  /** Seconds from the write of a batch to its durability, or of each lazy sync. */
  readonly syncSeconds: HistogramView;
}

export interface HistogramView {
  /** Upper bounds of the buckets; the last bucket has none. */
  readonly bounds: readonly number[];
  /** Per bucket, not cumulative; one more than bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

const secondBounds = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

export class Histogram {
  readonly #counts: number[] = new Array(secondBounds.length + 1).fill(0);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < secondBounds.length && seconds > secondBounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sum += seconds;
    this.#count++;
  }

  view(): HistogramView {
    return { bounds: secondBounds, counts: [...this.#counts], sum: this.#sum, count: this.#count };
  }
}

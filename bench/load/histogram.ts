/**
 * Latencies counted in buckets of at most 1.6 % width, so that hours of requests fit into a few
 * kilobytes and the counts of several processes simply add up.
 */
const subBuckets = 64;

export class Histogram {
  readonly counts: Uint32Array = new Uint32Array(subBuckets * 40);
  total = 0;
  #sum = 0;
  max = 0;

  /** Microseconds, 0 or more. */
  record(micros: number): void {
    this.counts[bucketOf(micros)]!++;
    this.total++;
    this.#sum += micros;
    if (micros > this.max) this.max = micros;
  }

  get mean(): number {
    return this.total === 0 ? 0 : this.#sum / this.total;
  }

  /** The value below which the share `q` (0 … 1) of all records lies, in microseconds; 0 if there are none. */
  quantile(q: number): number {
    if (this.total === 0) return 0;
    let left = Math.max(1, Math.ceil(q * this.total));
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= this.counts[bucket]!;
      if (left <= 0) return middleOf(bucket);
    }
    return this.max;
  }

  add(other: Histogram): void {
    for (let bucket = 0; bucket < this.counts.length; bucket++) this.counts[bucket]! += other.counts[bucket]!;
    this.total += other.total;
    this.#sum += other.#sum;
    this.max = Math.max(this.max, other.max);
  }

  /** For another process: only the buckets that were hit. */
  toJSON(): HistogramData {
    const buckets: [number, number][] = [];
    this.counts.forEach((count, bucket) => count > 0 && buckets.push([bucket, count]));
    return { buckets, sum: this.#sum, max: this.max };
  }

  static from(data: HistogramData): Histogram {
    const histogram = new Histogram();
    for (const [bucket, count] of data.buckets) {
      histogram.counts[bucket]! += count;
      histogram.total += count;
    }
    histogram.#sum = data.sum;
    histogram.max = data.max;
    return histogram;
  }
}

export interface HistogramData {
  readonly buckets: readonly (readonly [number, number])[];
  readonly sum: number;
  readonly max: number;
}

/** Exact below 64 µs, then 64 buckets for every doubling. */
function bucketOf(micros: number): number {
  const value = Math.min(Math.floor(micros), 2 ** 40);
  if (value < subBuckets) return Math.max(0, value);
  const power = Math.floor(Math.log2(value)) - 6;
  return (power + 1) * subBuckets + Math.floor(value / 2 ** power) - subBuckets;
}

function middleOf(bucket: number): number {
  if (bucket < subBuckets) return bucket + 0.5;
  const power = Math.floor(bucket / subBuckets) - 1;
  return (bucket % subBuckets + subBuckets + 0.5) * 2 ** power;
}

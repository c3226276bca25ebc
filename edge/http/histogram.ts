/** Counts of observations per bucket, in the shape Prometheus asks for. */

/** Seconds from 100 µs to 10 s: an in-memory read at the bottom, a request that timed out at the top. */
export const secondsBuckets: readonly number[] = [
  0.0001,
  0.00025,
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];

export interface HistogramView {
  readonly bounds: readonly number[];
  /** One per bound and one for everything above the last. Not cumulative. */
  readonly counts: ArrayLike<number>;
  readonly sum: number;
}

export class Histogram implements HistogramView {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[] = secondsBuckets) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > this.bounds[at]!) at++;
    this.counts[at]! += 1;
    this.sum += value;
  }
}

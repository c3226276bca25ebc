/** The few numbers of a node's `/metrics` that the doctor looks at. */

/** Upper bounds, as a histogram knows them. */
export interface Quantiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly count: number;
}

/** Null if the journal has not synced anything, or has no disk. */
export function syncsIn(metrics: string): Quantiles | null {
  const buckets = [...metrics.matchAll(/^carillon_journal_sync_duration_seconds_bucket\{le="([^"]+)"\} (\S+)$/gm)]
    .map(([, bound, total]) => ({ ms: Number(bound === "+Inf" ? Infinity : bound) * 1_000, total: Number(total) }));
  const count = buckets.at(-1)?.total ?? 0;
  if (count === 0) return null;
  const within = (share: number): number => buckets.find(({ total }) => total >= share * count)!.ms;
  return { p50Ms: within(0.5), p99Ms: within(0.99), count };
}

export function isDiskFullIn(metrics: string): boolean {
  return /^carillon_disk_full 1$/m.test(metrics);
}

/**
 * The value a quorum of the given size has reached: the `size`-th largest, or `none` when there are
 * fewer. Compares all with all: quorums are small, and sorting would allocate on every vote.
 */
export function reachedByQuorum(values: readonly number[], size: number, none: number): number {
  let reached = none;
  for (const candidate of values) {
    let atLeast = 0;
    for (const value of values) if (value >= candidate) atLeast++;
    if (atLeast >= size && candidate > reached) reached = candidate;
  }
  return reached;
}

/** More than half. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** The value a quorum of the given size has reached: the `size`-th largest, or `none` when there are fewer. */
export function reachedByQuorum(values: readonly number[], size: number, none: number): number {
  if (values.length < size) return none;
  if (values.length === 1) return values[0]!;
  return [...values].sort((a, b) => b - a)[size - 1]!;
}

/** A broken invariant stops the node with a sentence; it is never caught and carried on from. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export function unreachable(value: never): never {
  throw new AssertionError(`Cannot handle ${JSON.stringify(value)}: no such kind`);
}

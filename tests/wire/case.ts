/** A fact about links over UDP that is measured: what must hold, and the figure that says whether it does. */

/** `short` is for every test run, `full` for people who ask. */
export type Size = "short" | "full";

export interface Outcome {
  /** As printed, with units. */
  readonly figure: string;
  readonly holds: boolean;
}

export interface Case {
  readonly name: string;
  /** What must hold, in words. */
  readonly promise: string;
  run(seed: number, size: Size): Outcome;
}

/**
 * What a node's parts can say of their health beyond what the core lets be seen. Every part is optional: what is not given is
 * neither shown, nor measured, nor told of. Each is asked several times a second and must be cheap.
 */

export interface CheckpointHealth {
  /** Name of the group. */
  readonly group: string;
  /** Since the newest was made here or taken over; null if there is none. */
  readonly ageMs: number | null;
  readonly bytes: number;
  /** So far in this life of the process. */
  readonly made: number;
  readonly installed: number;
}

export interface NodeHealth {
  readonly checkpoints?: () => readonly CheckpointHealth[];
  /** The log of each group has been forgotten up to this entry; 0 for not at all. */
  readonly trims?: () => readonly { readonly group: string; readonly upTo: number }[];
  /** Damaged records of the journal, found and repaired since the process started. */
  readonly repairs?: () => { readonly found: number; readonly repaired: number };
  /** Writes are refused for want of space. */
  readonly disk?: () => { readonly full: boolean };
}

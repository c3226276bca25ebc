/**
 * What users see when something they asked for did not happen. Expected outcomes of an operation
 * (a lost compare-and-set) are values, not errors; broken invariants are assertions.
 */

/** To branch on. The HTTP layer has one table from these to statuses. */
export type ErrorCode =
  | "bad-request"
  | "bad-key"
  | "bad-cursor"
  | "bad-position"
  | "unauthenticated"
  | "forbidden"
  | "not-found"
  | "exists-differently"
  | "in-progress"
  | "check-failed"
  | "unexpected-offset"
  | "past-tail"
  | "trimmed"
  | "compacted"
  | "too-large"
  | "unsupported-type"
  | "no-spanning-group"
  | "no-partition"
  | "key-reused"
  | "overloaded"
  | "slow-reader"
  | "no-quorum"
  | "joining"
  | "draining"
  | "disk-full"
  | "timeout"
  | "behind"
  | "cancelled"
  | "closed"
  | "unreachable"
  | "corrupt"
  | "config"
  | "internal";

/** `none`: certainly not applied. `unknown`: may be applied, ask before repeating. `applied`: it is done. */
export type Outcome = "none" | "unknown" | "applied";

export interface ErrorDetails {
  /** Default `none`. */
  readonly outcome?: Outcome;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
  /** Facts for the reader of a problem document: `{ oldest: 12 }`, `{ limit: 1048576 }`. JSON-safe. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The message finishes the sentence "Cannot …": the action, a colon, the state. */
export class CarillonError extends Error {
  override readonly name = "CarillonError";
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? "none";
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.facts = details.facts ?? {};
  }
}

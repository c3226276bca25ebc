/**
 * THE table from error codes to HTTP statuses, and the one shape in which errors leave: application/problem+json
 * (RFC 9457) with `code` to branch on and `outcome` to know whether the write may have happened.
 */
import { CarillonError, type ErrorCode } from "../../core/errors.ts";
import type { Reply } from "./endpoint.ts";

export interface Problem {
  readonly status: number;
  readonly title: string;
  /** What it means and what to do: the page behind the problem's `type`. */
  readonly meaning: string;
}

const problem = (status: number, title: string, meaning: string): Problem => ({ status, title, meaning });

export const problems: Readonly<Record<ErrorCode, Problem>> = {
  "bad-request": problem(
    400,
    "Bad request",
    "The request cannot be understood; the detail names the part. Repeating it unchanged will not help.",
  ),
  "bad-key": problem(400, "Bad key", "Keys are 1 to 2048 bytes of UTF-8; other bytes go as ?key64= (base64url) on /v1/kv."),
  "bad-cursor": problem(400, "Bad cursor", "The cursor was not returned by an earlier page of the same scan."),
  "bad-position": problem(400, "Bad position", "Positions and versions are 20 lowercase hex digits, as returned by this API."),
  unauthenticated: problem(401, "Unauthenticated", "Send the node's token as `Authorization: Bearer …`."),
  forbidden: problem(403, "Forbidden", "The request comes from somewhere that may not make it."),
  "not-found": problem(404, "Not found", "There is nothing here; for keys and logs the position says when that was so."),
  "exists-differently": problem(409, "Exists with other settings", "Creating is idempotent only with the same settings."),
  "in-progress": problem(
    409,
    "Still in progress",
    "The first request with this Idempotency-Key has not been answered yet; try again after `retryAfterMs`.",
  ),
  "check-failed": problem(
    412,
    "Condition failed",
    "The version was not the expected one; `current` is what is there. Nothing was written.",
  ),
  "unexpected-offset": problem(412, "Unexpected offset", "The log's tail was not the expected offset; `next` is. Nothing was appended."),
  "past-tail": problem(
    416,
    "Past the tail",
    "The offset does not exist yet; `next` is the tail. `clamp=1` starts at the nearest that exists.",
  ),
  trimmed: problem(410, "Trimmed", "The records asked for have been forgotten; `oldest` is the first that is kept."),
  compacted: problem(410, "Compacted", "The history asked for has been forgotten; `oldest` is where it begins now."),
  "too-large": problem(413, "Too large", "The body is larger than `limit` bytes."),
  "unsupported-type": problem(415, "Unsupported content type", "The body's content type is not one this route reads."),
  "no-spanning-group": problem(422, "No group spans these", "A message to several groups needs one group that spans them all."),
  "no-partition": problem(422, "No partition", "No group orders this key."),
  "key-reused": problem(422, "Key reused", "This Idempotency-Key belongs to another request. Every write needs a key of its own."),
  overloaded: problem(429, "Overloaded", "Too much is under way here. Nothing was written; try again after `retryAfterMs`."),
  "slow-reader": problem(
    503,
    "Reader too slow",
    "The stream was full and nobody read it for too long, so it was ended. `resume` has the parameters to go on with.",
  ),
  "no-quorum": problem(503, "No quorum", "Too few acceptors of the group can be reached."),
  joining: problem(503, "Still joining", "This node has not caught up yet; ask another or try again."),
  draining: problem(503, "Draining", "This node is about to stop; ask another."),
  "disk-full": problem(503, "Disk full", "The journal has no room left."),
  timeout: problem(504, "Timed out", "The answer did not come in time. For a write, `outcome` says whether it may have happened."),
  behind: problem(504, "Behind", "This node has not delivered up to the position asked for in time."),
  cancelled: problem(499, "Cancelled", "The client went away."),
  closed: problem(503, "Closed", "This node is stopping."),
  unreachable: problem(502, "Unreachable", "No node that could serve this can be reached from here."),
  corrupt: problem(500, "Corrupt data", "What was stored is not what was written. The node's log has more."),
  config: problem(500, "Bad configuration", "The node's configuration does not allow this."),
  internal: problem(500, "Internal error", "A mistake of ours; the node's log has more."),
};

/** On the answer to a write that had been made before under the same Idempotency-Key. */
export const replayedHeader = "idempotent-replayed";

export function replayedHeaders(result: { readonly replayed?: true }): Record<string, string> {
  return result.replayed ? { [replayedHeader]: "true" } : {};
}

/** Statuses of the router itself, for which there is no error code of their own. */
export interface Variation {
  readonly status: number;
  readonly title: string;
}

/** For the client: everything a program or a reader needs, nothing about how we are built. */
export function problemDocument(error: CarillonError, variation?: Variation): Record<string, unknown> {
  const { status, title } = variation ?? problems[error.code];
  const fixed = {
    type: `/problems/${error.code}`,
    title,
    status,
    code: error.code,
    detail: error.message,
    outcome: error.outcome,
    retryable: error.retryable,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  };
  // Facts come after, in reading order, and cannot displace what every problem has.
  return { ...fixed, ...error.facts, ...fixed };
}

export function problemReply(error: CarillonError, headers: Record<string, string> = {}, variation?: Variation): Reply {
  const document = problemDocument(error, variation);
  const status = document["status"] as number;
  headers["content-type"] = "application/problem+json";
  if (status === 429 || status === 503) headers["retry-after"] = String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1_000) / 1_000)));
  if (status === 401) headers["www-authenticate"] = "Bearer";
  if (error.facts["replayed"] === true) headers[replayedHeader] = "true";
  const position = error.facts["position"];
  return {
    status,
    headers,
    body: JSON.stringify(document) + "\n",
    ...(typeof position === "string" ? { position } : {}),
  };
}

/** Whatever was thrown, as something a client may see. `write` decides what an unforeseen error says about the outcome. */
export function asCarillonError(error: unknown, write: boolean): CarillonError {
  if (error instanceof CarillonError) return error;
  if (error instanceof Error && error.name === "AbortError") {
    return new CarillonError("cancelled", "Cannot answer: the client went away", { outcome: write ? "unknown" : "none", cause: error });
  }
  return new CarillonError("internal", "Cannot answer: an internal error", { outcome: write ? "unknown" : "none", cause: error });
}

/** `bad-request`, the most common one: the sentence after "Cannot …". */
export function badRequest(message: string, facts: Readonly<Record<string, unknown>> = {}): CarillonError {
  return new CarillonError("bad-request", message, { facts });
}

/** What went wrong on the way, as a CarillonError that says whether a write may have happened. */
import { CarillonError, type ErrorCode, type Outcome } from "../../core/errors.ts";
import type { Answer } from "./send.ts";

const known: readonly ErrorCode[] = [
  "bad-request",
  "bad-key",
  "bad-cursor",
  "bad-position",
  "unauthenticated",
  "forbidden",
  "not-found",
  "exists-differently",
  "in-progress",
  "check-failed",
  "unexpected-offset",
  "past-tail",
  "trimmed",
  "compacted",
  "too-large",
  "unsupported-type",
  "no-spanning-group",
  "no-partition",
  "key-reused",
  "overloaded",
  "slow-reader",
  "no-quorum",
  "joining",
  "draining",
  "disk-full",
  "timeout",
  "behind",
  "cancelled",
  "closed",
  "unreachable",
  "corrupt",
  "config",
  "internal",
];

/** What every problem document has; the rest are facts. */
const fixed: readonly string[] = ["type", "title", "status", "code", "detail", "outcome", "retryable", "retryAfterMs"];

/** The error behind an answer that is no success. */
export function failureOf(answer: Answer, body: Uint8Array, write: boolean): CarillonError {
  const ours = answer.header("content-type")?.startsWith("application/problem+json")
    ? problemOf(new TextDecoder().decode(body), write)
    : null;
  // Otherwise something between us and the node has answered.
  return ours ?? new CarillonError("internal", `Cannot use the answer: status ${answer.status} without a problem document`, {
    outcome: write && answer.status >= 500 ? "unknown" : "none",
    retryable: answer.status >= 500,
    facts: { status: answer.status },
  });
}

/** The error a problem document describes; null if it is none of ours. */
export function problemOf(text: string, write: boolean): CarillonError | null {
  const document = documentOf(text);
  const { code, detail, outcome, retryable, retryAfterMs } = document;
  if (typeof code !== "string" || !known.includes(code as ErrorCode)) return null;
  const told: Outcome = outcome === "none" || outcome === "applied" ? outcome : write ? "unknown" : "none";
  return new CarillonError(code as ErrorCode, typeof detail === "string" ? detail : `Cannot do this: ${code}`, {
    outcome: told,
    retryable: retryable === true,
    ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
    facts: Object.fromEntries(Object.entries(document).filter(([name]) => !fixed.includes(name))),
  });
}

function documentOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === "object" && document !== null ? document as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

/** The connection was never made, so nothing can have happened. Every runtime says it in its own words. */
export function neverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = String((cause as Error & { code?: unknown }).code ?? "");
    if (
      /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused|FailedToOpenSocket)$/.test(
        code,
      )
    ) {
      return true;
    }
    // Node's happy eyeballs: all addresses failed, each for its own reason.
    if (cause instanceof AggregateError && cause.errors.length > 0 && cause.errors.every(neverSent)) return true;
    if (/\b(connection refused|tcp connect error|dns error|failed to lookup|bad port|are blocked)\b/i.test(cause.message)) return true;
  }
  return false;
}

/** A few words for a message: the innermost reason is the one that helps. */
export function reasonOf(error: unknown): string {
  let reason = error;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  if (neverSent(error)) return "nobody listens there";
  if (!(reason instanceof Error)) return String(reason);
  const code = (reason as Error & { code?: unknown }).code;
  return typeof code === "string" && code !== "" ? code : reason.message.split("\n")[0]!;
}

/** Idempotency keys as callers give them, and what is said when one cannot be used. */
import { CarillonError } from "../core/errors.ts";
import type { CallOptions } from "./api.ts";

/** Characters of a key; its length travels as u8. */
export const idempotencyKeyMax = 255;
/** After which a request may be tried again whose first try is still running. */
const retryAfterMs = 100;

/** Throws `bad-request`. */
export function parseIdempotencyKey(key: unknown): string {
  if (typeof key === "string" && /^[\x20-\x7e]{1,255}$/.test(key)) return key;
  throw new CarillonError("bad-request", `Cannot use this idempotency key: it takes 1 to ${idempotencyKeyMax} printable ASCII characters`);
}

/** For what cannot honour a key, instead of ignoring it. Throws `bad-request`. */
export function refuseIdempotencyKey(options: CallOptions | undefined, what: string, why: string): void {
  if (options === undefined || (options as { idempotencyKey?: string }).idempotencyKey === undefined) return;
  throw new CarillonError("bad-request", `Cannot ${what} with an idempotency key: ${why}`);
}

/** For results: whether this is one of old. */
export function replayed(reply: { readonly replayed?: true }): { readonly replayed?: true } {
  return reply.replayed ? { replayed: true } : {};
}

export const whyNotCreate = "creating a log that exists is harmless as it is";
export const whyNotDeleteNothing = "deleting what must not exist changes nothing";

export function keyReused(key: string): CarillonError {
  return new CarillonError("key-reused", `Cannot use idempotency key ${JSON.stringify(key)}: it belongs to another request`, {
    facts: { idempotencyKey: key },
  });
}

/** `unknown`, because the first try may succeed. */
export function inProgress(what: string, key: string): CarillonError {
  const shown = JSON.stringify(key);
  return new CarillonError("in-progress", `Cannot ${what} again: the first request with idempotency key ${shown} is still running here`, {
    outcome: "unknown",
    retryable: true,
    retryAfterMs,
    facts: { idempotencyKey: key },
  });
}

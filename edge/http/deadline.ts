/**
 * What is left of a request's time. It counts from the arrival: what passes while the body comes in, or on the way to another node,
 * is not given a second time. Where nothing is left nothing is begun: work past its deadline is done for nobody.
 */
import { CarillonError, type Outcome } from "../../core/errors.ts";
import type { CallOptions } from "../../services/api.ts";
import { admittedOf } from "./admission.ts";
import type { HttpLimits } from "./context.ts";

/** Of the whole: a time-out comes as much late anyway, and calls with the same one share a timer. */
const negligible = 1 / 16;

/** The options with what is left. Throws `timeout` with outcome `none` if that is nothing. */
export function withinDeadline<T extends CallOptions>(request: Request, options: T, limits: HttpLimits): T {
  const timeoutMs = options.timeoutMs ?? limits.timeoutMs;
  const left = leftMs(request, timeoutMs);
  return timeoutMs - left < timeoutMs * negligible ? options : { ...options, timeoutMs: left };
}

/** Whole milliseconds, at least one. Throws `timeout` with the outcome of what has been tried so far. */
export function leftMs(request: Request, timeoutMs: number, outcome: Outcome = "none"): number {
  const admitted = admittedOf(request);
  const left = Math.floor(timeoutMs - (admitted === undefined ? 0 : performance.now() - admitted.since));
  if (left >= 1) return left;
  throw new CarillonError("timeout", `Cannot begin with this request: its ${timeoutMs} ms are over`, { outcome, retryable: true });
}

/** If-Match and If-None-Match, in HTTP's own words: the compare-and-set of the store. */
import { CarillonError } from "../../core/errors.ts";
import { checkedPosition, quote } from "./params.ts";
import { badRequest } from "./problems.ts";

/**
 * - `always`: no condition.
 * - `absent`: `If-None-Match: *`, create only.
 * - `present`: `If-Match: *`, existing only.
 * - `version`: `If-Match: "…"`.
 */
export type Condition =
  | { readonly kind: "always" | "absent" | "present" }
  | { readonly kind: "version"; readonly version: string };

const always: Condition = { kind: "always" };

/** The condition of a write. Throws `bad-request` or `bad-position`. */
export function writeCondition(headers: Headers): Condition {
  const match = headers.get("if-match");
  const noneMatch = headers.get("if-none-match");
  if (match === null && noneMatch === null) return always;
  if (match !== null && noneMatch !== null) throw badRequest("Cannot use If-Match and If-None-Match together on a write");
  if (noneMatch !== null) {
    if (noneMatch.trim() === "*") return { kind: "absent" };
    throw badRequest(`Cannot use If-None-Match ${quote(noneMatch)} on a write: only "*", create if absent`);
  }
  const text = match!.trim();
  if (text === "*") return { kind: "present" };
  const quoted = /^"([^"]*)"$/.exec(text);
  if (quoted === null) throw badRequest(`Cannot use If-Match ${quote(text)} on a write: one ETag in double quotes, or *`);
  return { kind: "version", version: checkedPosition(quoted[1]!, "If-Match") };
}

/** 304 or 412 for a read of what has this version; null to go on. `If-Match` comes first, as RFC 9110 has it. */
export function readCondition(headers: Headers, version: string): 304 | null {
  const match = headers.get("if-match");
  if (match !== null && !matches(match, version, false)) {
    throw new CarillonError("check-failed", `Cannot answer under If-Match ${quote(match)}: the version is ${version}`, {
      facts: { current: { version } },
    });
  }
  const noneMatch = headers.get("if-none-match");
  return noneMatch !== null && matches(noneMatch, version, true) ? 304 : null;
}

/** Weak comparison accepts `W/"…"`, which is what a compressing proxy makes of our tags. */
function matches(list: string, version: string, weak: boolean): boolean {
  return list.trim() === "*" || list.split(",").some((item) => {
    const tag = item.trim();
    return tag === `"${version}"` || (weak && tag === `W/"${version}"`);
  });
}

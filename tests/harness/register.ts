/**
 * One key as the linearizability checker sees it. Every write of a history has its own value, so
 * that a compare-and-set by version can be said as "the value was still this".
 */
import { findViolation, type Model, type Operation } from "./linearizable.ts";

export type RegisterRequest =
  | { readonly kind: "get" }
  | { readonly kind: "put"; readonly value: string }
  /** null: must not exist. */
  | { readonly kind: "cas"; readonly expected: string | null; readonly value: string };

export type RegisterAnswer =
  | { readonly kind: "value"; readonly value: string | null }
  | { readonly kind: "written" }
  | { readonly kind: "refused" };

/** `answer` null: nobody knows whether it happened; it may take effect any time after the call, or never. */
export type RegisterOperation = Operation<RegisterRequest, RegisterAnswer | null>;

/** null if the operations on one key are linearizable, else a text that says where they are not. */
export function findRegisterViolation(history: readonly RegisterOperation[]): string | null {
  return findViolation(register, resolve(history));
}

const register: Model<string | null, RegisterRequest, RegisterAnswer> = {
  initial: null,
  step(state, request, answer) {
    switch (request.kind) {
      case "get":
        return answer.kind === "value" && answer.value === state ? state : undefined;
      case "put":
        return request.value;
      case "cas":
        if ((state === request.expected) !== (answer.kind === "written")) return undefined;
        return answer.kind === "written" ? request.value : state;
    }
  },
  describeState: (state) => state === null ? "nothing" : JSON.stringify(state),
  describe(request, answer) {
    const end = answer.kind === "value" ? String(answer.value) : answer.kind;
    if (request.kind === "get") return `get → ${end}`;
    if (request.kind === "put") return `put ${request.value} → ${end}`;
    return `cas ${request.expected} to ${request.value} → ${end}`;
  },
};

/**
 * Says of every unanswered operation what it did, so that the search need not guess:
 *  1. Its value was seen: it was written, before the first who saw it was answered.
 *  2. Nobody saw its value, or it is a read: it explains nothing, except perhaps why a
 *     compare-and-set was refused. Then that refusal proves nothing either, and both go.
 */
function resolve(history: readonly RegisterOperation[]): Operation<RegisterRequest, RegisterAnswer>[] {
  const seenAt = whenSeen(history);
  let unseenSince = Infinity;
  for (const { request, answer, calledAt } of history) {
    if (answer === null && request.kind !== "get" && !seenAt.has(request.value)) unseenSince = Math.min(unseenSince, calledAt);
  }
  return history.flatMap((operation): Operation<RegisterRequest, RegisterAnswer>[] => {
    const { request, answer, calledAt, answeredAt } = operation;
    if (answer?.kind === "refused" && answeredAt > unseenSince) return [];
    if (answer !== null) return [{ ...operation, answer }];
    const seen = request.kind === "get" ? undefined : seenAt.get(request.value);
    return seen === undefined ? [] : [{ ...operation, answer: { kind: "written" }, answeredAt: Math.max(calledAt, seen) }];
  });
}

/** By value, the earliest answer that proves it was written. */
function whenSeen(history: readonly RegisterOperation[]): Map<string, number> {
  const seenAt = new Map<string, number>();
  const see = (value: string | null, at: number) => {
    if (value === null || (seenAt.get(value) ?? Infinity) <= at) return false;
    seenAt.set(value, at);
    return true;
  };
  for (const { answer, answeredAt } of history) if (answer?.kind === "value") see(answer.value, answeredAt);
  // A compare-and-set that took effect saw what it expected, and that may again be one nobody answered.
  for (let news = true; news;) {
    news = false;
    for (const { request, answer, answeredAt } of history) {
      if (request.kind !== "cas" || answer?.kind === "refused") continue;
      const at = answer === null ? seenAt.get(request.value) : answeredAt;
      if (at !== undefined && see(request.expected, at)) news = true;
    }
  }
  return seenAt;
}

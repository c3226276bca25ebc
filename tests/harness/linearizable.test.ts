/** The judge of histories is judged: it accepts what one register could have answered, and nothing else. */
import { expect, test } from "bun:test";
import { findRegisterViolation, type RegisterAnswer, type RegisterOperation, type RegisterRequest } from "./register.ts";

/** `a 0-2 put x` · `b 1-3 get x` · `b 1-3 get -` (nothing) · `a 0-? put x` (unknown) · `a 0-1 cas x>y no`. */
function history(...lines: string[]): RegisterOperation[] {
  return lines.map((line) => {
    const [client, times, kind, argument, refused] = line.split(" ") as [string, string, string, string, string | undefined];
    const [from, to] = times.split("-") as [string, string];
    const value = (text: string) => text === "-" ? null : text;
    let request: RegisterRequest;
    let answer: RegisterAnswer = { kind: "written" };
    if (kind === "get") {
      request = { kind };
      answer = { kind: "value", value: value(argument) };
    } else if (kind === "put") request = { kind, value: argument };
    else {
      const [expected, next] = argument.split(">") as [string, string];
      request = { kind: "cas", expected: value(expected), value: next };
      if (refused === "no") answer = { kind: "refused" };
    }
    return {
      client,
      request,
      answer: to === "?" ? null : answer,
      calledAt: Number(from),
      answeredAt: to === "?" ? Infinity : Number(to),
    };
  });
}

const good: [string, string[]][] = [
  ["one after the other", ["a 0-1 put x", "b 2-3 get x", "a 4-5 put y", "b 6-7 get y"]],
  ["nothing before the first write", ["a 0-1 get -", "b 2-3 put x"]],
  ["an overlapping read sees the old value or the new", ["a 0-1 put x", "a 2-9 put y", "b 3-4 get x", "b 5-6 get y"]],
  ["two overlapping writes in either order", ["a 0-5 put x", "b 0-5 put y", "c 6-7 get x", "d 6-7 get x"]],
  ["an unknown write that took effect late", ["a 0-? put x", "b 1-2 get -", "b 3-4 get -", "b 5-6 get x"]],
  ["an unknown write that never took effect", ["a 0-? put x", "b 1-2 put y", "c 3-4 get y"]],
  ["unknown writes in a row of which only the last was read", ["a 0-? put x", "b 1-? cas x>y", "c 2-? cas y>z", "d 3-4 get z"]],
  ["a lost compare-and-set", ["a 0-1 put x", "b 2-4 cas x>y", "c 2-4 cas x>z no", "a 5-6 get y"]],
  ["a refusal explained by an unknown write nobody read", ["a 0-1 put x", "b 2-? put y", "c 3-4 cas x>z no"]],
];

const bad: [string, string[]][] = [
  ["a read that misses an acknowledged write", ["a 0-1 put x", "b 2-3 get -"]],
  ["a stale read", ["a 0-1 put x", "a 2-3 put y", "b 4-5 get x"]],
  ["a value nobody wrote", ["a 0-1 put x", "b 2-3 get y"]],
  ["time going backwards between readers", ["a 0-1 put x", "a 2-9 put y", "b 3-4 get y", "c 5-6 get x"]],
  ["two winners of one compare-and-set", ["a 0-1 put x", "b 2-4 cas x>y", "c 2-4 cas x>z"]],
  ["a compare-and-set refused although it matched", ["a 0-1 put x", "b 2-3 cas x>y no"]],
  ["an unknown write that came and went", ["a 0-? put x", "b 1-2 put y", "c 3-4 get x", "c 5-6 get y"]],
  ["a read before the write was called", ["b 0-1 get x", "a 2-3 put x"]],
];

test.each(good)("linearizable: %s", (_name, lines) => {
  expect(findRegisterViolation(history(...lines))).toBeNull();
});

test.each(bad)("not linearizable: %s", (_name, lines) => {
  expect(findRegisterViolation(history(...lines))).toStartWith("not linearizable");
});

test("a violation names the operation that cannot be", () => {
  expect(findRegisterViolation(history("a 0-1 put x", "a 2-3 put y", "b 4-5 get x"))).toBe(
    `not linearizable: 2 of 3 operations fit, leaving "y"; then\n  b 4.000–5.000 get → x ← cannot be`,
  );
});

/** Eight clients on a real register, each operation taking effect somewhere between call and answer. */
function simulate(operations: number, seed: number): RegisterOperation[] {
  let word = seed;
  const random = (below: number) => {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(word / 2 ** 32 * below);
  };
  const plans = Array.from({ length: operations }, (_, index) => {
    const calledAt = index * 10 + random(20);
    const effectAt = calledAt + 1 + random(25);
    return { index, calledAt, effectAt, answeredAt: effectAt + 1 + random(25), kind: random(4), lost: random(40) === 0 };
  });
  let state: string | null = null;
  let before: string | null = null;
  return plans.sort((a, b) => a.effectAt - b.effectAt).map((plan): RegisterOperation => {
    const value = `v${plan.index}`;
    let request: RegisterRequest = { kind: "get" };
    let answer: RegisterAnswer = { kind: "value", value: state };
    if (plan.kind === 0) {
      request = { kind: "put", value };
      answer = { kind: "written" };
      before = state;
      state = value;
    } else if (plan.kind === 1) {
      const expected = random(2) === 0 ? state : before;
      request = { kind: "cas", expected, value };
      answer = { kind: expected === state ? "written" : "refused" };
      if (expected === state) [before, state] = [state, value];
    }
    return {
      client: `c${plan.index % 8}`,
      request,
      answer: plan.lost ? null : answer,
      calledAt: plan.calledAt,
      answeredAt: plan.lost ? Infinity : plan.answeredAt,
    };
  });
}

test("long histories of a real register are accepted quickly", () => {
  for (let seed = 1; seed <= 10; seed++) expect(findRegisterViolation(simulate(2_000, seed))).toBeNull();
});

test("one stale read in a long history is found", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const operations = simulate(1_000, seed);
    const first = operations.find((operation) => operation.request.kind === "put" && operation.answer !== null)!;
    const late = operations.findLast((operation) => operation.request.kind === "get" && operation.answer !== null)!;
    const value = first.request.kind === "put" ? first.request.value : "";
    operations[operations.indexOf(late)] = { ...late, answer: { kind: "value", value } };
    expect(findRegisterViolation(operations)).toStartWith("not linearizable");
  }
});

/** Waiting callers: each ends in exactly one way, and time-outs come when they were promised. */
import { expect, test } from "bun:test";
import { CarillonError } from "../../core/errors.ts";
import { type Call, Requests } from "../../services/requests.ts";
import { Timers } from "../harness/sequencer.ts";

const limits = { timeoutMs: 1_000, timeoutMsMax: 60_000 };

function setUp(trouble = ""): { timers: Timers; requests: Requests } {
  const timers = new Timers();
  return { timers, requests: new Requests(timers.after, limits, () => trouble) };
}

const call = (options?: Call["options"], more?: Partial<Call>): Call => ({ what: () => "ask", write: false, options, ...more });

/** What became of it: the answer, or code, outcome and message. */
async function ending(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof CarillonError)) throw error;
    return [error.code, error.outcome, error.retryable, error.message];
  }
}

test("an answer settles its own caller, once", async () => {
  const { requests } = setUp();
  let first = 0;
  let second = 0;
  const one = requests.ask<string>(call(), (request) => first = request);
  const two = requests.ask<string>(call(), (request) => second = request);
  expect(requests.count).toBe(2);
  requests.settle(second, "two");
  requests.settle(first, "one");
  requests.settle(first, "again");
  requests.settle(999, "nobody");
  expect([await one, await two, requests.count]).toEqual(["one", "two", 0]);
});

test("an answer may come while the request is being made", async () => {
  const { requests } = setUp();
  expect(await requests.ask<string>(call(), (request) => requests.settle(request, "at once"))).toBe("at once");
});

test("several parts make one answer, each counted once", async () => {
  const { requests } = setUp();
  let number = 0;
  const asked = requests.ask<Map<number, string>>(call(undefined, { parts: 2 }), (request) => number = request);
  requests.settle(number, "a", 1);
  requests.settle(number, "a", 1);
  expect(requests.count).toBe(1);
  requests.settle(number, "b", 2);
  expect([...await asked]).toEqual([[1, "a"], [2, "b"]]);
});

test("whoever waits too long is told, never early and at most a sixteenth late", async () => {
  const { timers, requests } = setUp();
  const ended: string[] = [];
  const wait = (name: string, timeoutMs: number) => {
    requests.ask(call({ timeoutMs }), () => {}).catch(() => ended.push(name));
  };
  let now = 0;
  const endedAt = async (at: number): Promise<string[]> => {
    await timers.advance(at - now);
    now = at;
    return [...ended];
  };
  wait("long", 1_600);
  wait("short", 160);
  expect(await endedAt(155)).toEqual([]);
  wait("late", 160);
  expect(await endedAt(159)).toEqual([]);
  expect(await endedAt(170)).toEqual(["short"]);
  expect(await endedAt(155 + 159)).toEqual(["short"]);
  expect(await endedAt(155 + 170)).toEqual(["short", "late"]);
  expect(await endedAt(1_599)).toEqual(["short", "late"]);
  expect(await endedAt(1_700)).toEqual(["short", "late", "long"]);
  await endedAt(10_000);
  expect([requests.count, timers.armed]).toEqual([0, 0]);
});

test("however many different time-outs there are, few timers serve them", async () => {
  const { timers, requests } = setUp();
  const late: number[] = [];
  let now = 0;
  for (let timeoutMs = 9_000; timeoutMs < 10_000; timeoutMs += 10) {
    requests.ask(call({ timeoutMs }), () => {}).catch((error: CarillonError) => {
      expect(error.message).toBe(`Cannot ask: no answer within ${timeoutMs} ms`);
      late.push((now - timeoutMs) / timeoutMs);
    });
  }
  expect(timers.armed).toBeLessThan(40);
  for (; requests.count > 0 && now < 20_000; now += 50) await timers.advance(50);
  expect(late.length).toBe(100);
  expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...late)).toBeLessThan(1 / 8 + 0.01);
});

test("every ending says what is known of the outcome", async () => {
  const { timers, requests } = setUp();
  const abort = new AbortController();
  const aborted = new AbortController();
  aborted.abort();
  const endings = [
    requests.ask(call({ timeoutMs: 10 }), () => {}),
    requests.ask(call({ timeoutMs: 10 }, { write: true }), () => {}),
    requests.ask(call({ signal: abort.signal }), () => {}),
    requests.ask(call({ signal: abort.signal }, { write: true }), () => {}),
    requests.ask(call({ signal: aborted.signal }, { write: true }), () => {}),
    requests.ask(
      call({}, { write: true }),
      (request) => requests.fail(request, new CarillonError("overloaded", "Cannot: full", { retryable: true })),
    ),
    requests.ask(call({ timeoutMs: 0 }), () => {}),
    requests.ask(call({ timeoutMs: 60_001 }), () => {}),
    requests.ask(call({ timeoutMs: NaN }), () => {}),
    requests.ask(call({}, { write: true }), () => {}),
  ].map(ending);
  await timers.advance(20);
  abort.abort();
  requests.close();
  endings.push(ending(requests.ask(call({}, { write: true }), () => {})));
  const bound = "timeoutMs is a number above 0 and at most 60000";
  expect(await Promise.all(endings)).toEqual([
    ["timeout", "none", true, "Cannot ask: no answer within 10 ms"],
    ["timeout", "unknown", true, "Cannot ask: no answer within 10 ms; it may still happen"],
    ["cancelled", "none", false, "Cannot ask: it was cancelled"],
    ["cancelled", "unknown", false, "Cannot ask: it was cancelled; it may still happen"],
    ["cancelled", "none", false, "Cannot ask: it was cancelled before it began"],
    ["overloaded", "none", true, "Cannot: full"],
    ["bad-request", "none", false, `Cannot wait 0 ms: ${bound}`],
    ["bad-request", "none", false, `Cannot wait 60001 ms: ${bound}`],
    ["bad-request", "none", false, `Cannot wait NaN ms: ${bound}`],
    ["closed", "unknown", false, "Cannot ask: this node is closing; it may still happen"],
    ["closed", "none", false, "Cannot ask: this node is closed"],
  ]);
  expect([requests.count, timers.armed]).toEqual([0, 0]);
});

test("a settled request leaves no listener on its signal", async () => {
  const { requests } = setUp();
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...args: Parameters<typeof add>) => (listeners++, add(...args))) as typeof add;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => (listeners--, remove(...args))) as typeof remove;
  await requests.ask(call({ signal }), (request) => requests.settle(request, null));
  await ending(requests.ask(call({ signal }), (request) => requests.fail(request, new CarillonError("internal", "Cannot"))));
  expect(listeners).toBe(0);
});

test("who has waited in vain is told what the node knows of it", async () => {
  const { timers, requests } = setUp("group sin has no coordinator");
  const asked = ending(requests.ask(call({ timeoutMs: 10 }), () => {}));
  await timers.advance(20);
  expect(await asked).toEqual(["timeout", "none", true, "Cannot ask: no answer within 10 ms, and group sin has no coordinator"]);
});

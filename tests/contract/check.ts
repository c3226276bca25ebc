/**
 * What contract suites are written with. They run under Bun, Deno and Node, so they use none of the three test
 * runners: a suite is a plain function that calls `test`, and `run.ts` or `contract.test.ts` runs what was registered.
 *
 *     import { equal, rejects, test } from "./check.ts";
 *
 *     export function disk(runtime: Runtime): void {
 *       test("disk: what was synced is read back", async () => { … });
 *     }
 *
 * Then name the suite in `suites.ts`.
 */

export interface ContractTest {
  readonly name: string;
  readonly body: () => void | Promise<void>;
  /** A test that has not ended by then has failed. */
  readonly timeoutMs: number;
}

const registered: ContractTest[] = [];

/** Names are facts, prefixed with their suite: "disk: what was synced is read back". Default time limit 20 s. */
export function test(name: string, body: () => void | Promise<void>, timeoutMs: number = 20_000): void {
  if (registered.some((other) => other.name === name)) throw new Error(`Cannot register "${name}": there is such a test already`);
  registered.push({ name, body, timeoutMs });
}

/** Everything registered so far, and forgets it. */
export function takeTests(): ContractTest[] {
  return registered.splice(0);
}

/** Deep equality of plain data, bytes, maps, sets, dates and errors (by message); prints both sides when it fails. */
export function equal<T>(actual: T, expected: T, what: string = "value"): void {
  if (same(actual, expected)) return;
  throw new Error(`Cannot accept this ${what}:\n  actual   ${show(actual)}\n  expected ${show(expected)}`);
}

export function ok(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`Cannot go on: not so that ${what}`);
}

/** The error it threw or rejected with. With `code` given, the error's `code` must be that. */
export async function rejects(action: Promise<unknown> | (() => unknown), code?: string): Promise<Error> {
  let value: unknown;
  try {
    value = await (typeof action === "function" ? action() : action);
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(`Cannot accept ${show(error)}: thrown, but no Error`);
    if (code !== undefined) equal((error as Error & { code?: unknown }).code, code, `error code of "${error.message}"`);
    return error;
  }
  throw new Error(`Cannot accept ${show(value)}: expected an error${code === undefined ? "" : ` "${code}"`}`);
}

/** Waits until `condition` holds, looking every few milliseconds; fails after `withinMs`. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, withinMs: number = 10_000): Promise<void> {
  const until = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`Cannot go on: within ${withinMs} ms not so that ${what}`);
    await new Promise((resume) => setTimeout(resume, 5));
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    // A Node Buffer and a Uint8Array of the same bytes are the same to every caller of ours.
    return a instanceof Uint8Array && b instanceof Uint8Array && a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
  }
  if (a instanceof Error && b instanceof Error) return a.name === b.name && a.message === b.message;
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (a instanceof Map && b instanceof Map) return same([...a], [...b]);
  if (a instanceof Set && b instanceof Set) return same([...a], [...b]);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keysA = definedKeys(a);
  const keysB = definedKeys(b);
  if (keysA.length !== keysB.length) return false;
  return keysA.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}

/** A property that is undefined and one that is not there are the same thing to us. */
function definedKeys(value: object): string[] {
  return Object.keys(value).filter((key) => (value as Record<string, unknown>)[key] !== undefined);
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return `bytes(${value.byteLength}) ${[...value.subarray(0, 64)].join(" ")}`;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  const seen = new Set<unknown>();
  const text = JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === "bigint") return `${inner}n`;
    if (typeof inner === "number" && !Number.isFinite(inner)) return String(inner);
    if (typeof inner !== "object" || inner === null) return inner;
    if (seen.has(inner)) return "[seen]";
    seen.add(inner);
    if (inner instanceof Uint8Array) return show(inner);
    if (inner instanceof Map || inner instanceof Set) return [...inner];
    return inner;
  });
  return text ?? String(value);
}

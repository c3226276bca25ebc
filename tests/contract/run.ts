/**
 * The contract suites on whatever runtime runs this file: `deno run -A tests/contract/run.ts`, or bundled for Node.
 * Ends with `N passed, N failed` and exits 1 if anything failed. Arguments: only tests whose name contains one of them.
 */
import { runtime } from "#runtime";
import { type ContractTest, takeTests } from "./check.ts";
import { suites } from "./suites.ts";

/** The two runtimes that run this file both have `process`. */
declare const process: { readonly argv: readonly string[]; exit(code: number): never };

for (const suite of suites) suite(runtime);
const wanted = process.argv.slice(2);
const tests = takeTests().filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

console.log(`Contracts on ${runtime.name} ${runtime.version}`);
let failed = 0;
for (const test of tests) {
  const startedAt = performance.now();
  const failure = await outcome(test);
  const tookMs = Math.round(performance.now() - startedAt);
  if (failure === null) {
    console.log(`(pass) ${test.name} [${tookMs} ms]`);
  } else {
    failed++;
    console.log(`(fail) ${test.name} [${tookMs} ms]\n${failure}`);
  }
}
console.log(`${tests.length - failed} passed, ${failed} failed`);
// A socket somebody forgot must not keep a finished run alive. No test at all is a failure too: a filter that finds nothing.
process.exit(failed > 0 || tests.length === 0 ? 1 : 0);

/** null if it passed, else why not. */
async function outcome({ body, timeoutMs }: ContractTest): Promise<string | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Cannot wait any longer: not done after ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([Promise.resolve().then(body), expired]);
    return null;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } finally {
    clearTimeout(timer);
  }
}

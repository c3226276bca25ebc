/** The contract suites under bun:test. Deno and Node run the same ones through `run.ts`. */
import { runtime } from "#runtime";
import { test as bunTest } from "bun:test";
import { takeTests } from "./check.ts";
import { suites } from "./suites.ts";

for (const suite of suites) suite(runtime);
for (const { name, body, timeoutMs } of takeTests()) bunTest(name, body, timeoutMs);

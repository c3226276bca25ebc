#!/usr/bin/env node
/** The entry of the program `carillon`, as source, bundle or single binary. */
import { run } from "./cli/run.ts";
import { commandArguments, environment, exit } from "./runtime/system.ts";

exit(await run(commandArguments(), environment));

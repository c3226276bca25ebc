/** The digests of a few simulated runs, for `digests.test.ts` to compare between runtimes. */
import { digestLines } from "../sim/digest.ts";

for (const line of digestLines()) console.log(line);

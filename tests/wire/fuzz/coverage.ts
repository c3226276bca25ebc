/** Which parts of a script have run, from V8's own counters: what makes a fuzzer learn where it has not been. On Node only. */
import { Session } from "node:inspector";
import type { Coverage } from "./engine.ts";

interface Script {
  readonly url: string;
  /** Each with its ranges, outer before inner. */
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
  }[];
}

/** Of the script at this address: the parser, and not the fuzzer. */
export function v8Coverage(url: string): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  /** By place in the script: 1 if it has run. */
  let seen = new Uint8Array(1 << 20);
  return (remember) => {
    let isNew = false;
    // In one process the answer comes before `post` returns, and taking the counters sets them to zero.
    session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error !== null) throw error;
      for (const script of answer.result as readonly Script[]) {
        if (script.url !== url) continue;
        for (const { ranges } of script.functions) {
          const [whole] = ranges;
          if (whole === undefined || whole.count === 0) continue;
          if (whole.endOffset > seen.length) seen = grown(seen, whole.endOffset);
          const ran = new Uint8Array(whole.endOffset - whole.startOffset);
          for (const { startOffset, endOffset, count } of ranges) {
            ran.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
          }
          for (let at = 0; at < ran.length; at++) {
            if (ran[at] === 0 || seen[whole.startOffset + at] === 1) continue;
            isNew = true;
            if (!remember) break;
            seen[whole.startOffset + at] = 1;
          }
        }
      }
    });
    return isNew;
  };
}

function grown(bytes: Uint8Array, least: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(least, bytes.length * 2));
  larger.set(bytes);
  return larger;
}

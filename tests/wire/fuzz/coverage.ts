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

/** A source file of the project, as it stands in a bundle. */
export interface Reached {
  readonly file: string;
  readonly lines: number;
  /** Lines of which some part has run. */
  readonly reached: number;
}

/** Of one script: the parsers, and not the fuzzer. What runs while it is loaded does not count. */
export class V8Coverage {
  /** By place in the script: 1 if it has run, ever; and since the last look. */
  readonly #seen: Uint8Array;
  readonly #ran: Uint8Array;
  readonly #text: string;
  readonly #url: string;
  readonly #session = new Session();

  /** After it has been loaded. */
  constructor(url: string, text: string) {
    this.#url = url;
    this.#text = text;
    this.#seen = new Uint8Array(text.length);
    this.#ran = new Uint8Array(text.length);
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    this.look(false);
  }

  readonly look: Coverage = (remember) => {
    this.#ran.fill(0);
    // In one process the answer comes before `post` returns, and taking the counters sets them to zero.
    this.#session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error !== null) throw error;
      for (const { url, functions } of answer.result as readonly Script[]) {
        if (url !== this.#url) continue;
        // Outer ones before those inside them, which say of themselves whether they have run.
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) this.#ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        }
      }
    });
    let isNew = false;
    for (let at = 0; at < this.#ran.length; at++) {
      if (this.#ran[at] === 0 || this.#seen[at] === 1) continue;
      isNew = true;
      if (!remember) break;
      this.#seen[at] = 1;
    }
    return isNew;
  };

  /** Of the source files in this folder, which the bundle names in comments: lines inside functions. */
  reached(folder: string): Reached[] {
    const files = new Map<string, { lines: number; reached: number }>();
    let file = "";
    let at = 0;
    for (const line of this.#text.split("\n")) {
      file = /^\/\/ (\S+\.ts)$/.exec(line)?.[1] ?? file;
      if (file.startsWith(folder) && /^ +[^/ ].*\w/.test(line)) {
        const counts = files.get(file) ?? { lines: 0, reached: 0 };
        files.set(file, counts);
        counts.lines++;
        if (this.#seen.subarray(at, at + line.length).includes(1)) counts.reached++;
      }
      at += line.length + 1;
    }
    return [...files].map(([name, counts]) => ({ file: name, ...counts }));
  }
}

/**
 * What UDP connections do, written down for whoever looks into one: a qlog file for each peer and life of the node. Nothing waits
 * for it, and it ends where a file would become a burden.
 */
import type { NodeId } from "../../core/ids.ts";
import { qlogHead, qlogRecord, type TraceEvent } from "../link/udp/trace.ts";
import { appendText, joinPath, makeDirectory } from "../runtime/system.ts";
import { troubleOf } from "../runtime/trouble.ts";

const writeMs = 200;
const fileBytesMax: number = 64 << 20;

interface Trace {
  readonly path: string;
  waiting: string;
  bytes: number;
}

export class Traces {
  readonly #pathOf: (peer: NodeId) => string;
  readonly #log: (sentence: string) => void;
  readonly #traces = new Map<NodeId, Trace>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failed = false;

  private constructor(pathOf: (peer: NodeId) => string, log: (sentence: string) => void) {
    this.#pathOf = pathOf;
    this.#log = log;
  }

  /** `life` tells the files of one life of the node from those of another. Throws what making the directory throws. */
  static async open(
    directory: string,
    options: {
      readonly self: string;
      readonly life: string;
      readonly nameOf: (peer: NodeId) => string;
      readonly log: (sentence: string) => void;
    },
  ): Promise<Traces> {
    await makeDirectory(directory);
    const { self, life, nameOf, log } = options;
    return new Traces((peer) => joinPath(directory, `${self}-${nameOf(peer)}-${life}.qlog`), log);
  }

  readonly add = (peer: NodeId, event: TraceEvent): void => {
    if (this.#failed) return;
    let trace = this.#traces.get(peer);
    if (trace === undefined) {
      trace = { path: this.#pathOf(peer), waiting: qlogHead("initiator"), bytes: 0 };
      this.#traces.set(peer, trace);
    }
    if (trace.bytes >= fileBytesMax) return;
    const record = qlogRecord(event);
    trace.waiting += record;
    trace.bytes += record.length;
    if (trace.bytes >= fileBytesMax) this.#log(`The trace ${trace.path} is full and goes on no longer`);
    this.#timer ??= setTimeout(() => this.#write(), writeMs);
  };

  /** All of it is written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#write();
    await this.#writing;
  }

  #write(): void {
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      for (const trace of this.#traces.values()) {
        const { waiting } = trace;
        trace.waiting = "";
        if (waiting !== "") await appendText(trace.path, waiting);
      }
    }).catch((error: unknown) => {
      if (!this.#failed) this.#log(`Cannot write traces of links any more: ${troubleOf(error)}`);
      this.#failed = true;
    });
  }
}

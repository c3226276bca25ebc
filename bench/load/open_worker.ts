/**
 * One process of open-loop load: requests leave at the rate they are told to, whatever becomes of the earlier ones. Prints
 * `phase N` when each phase begins, and one line of JSON at the end.
 */
import { connectHttp2, type Http2Connection } from "./http2.ts";
import { Histogram, type HistogramData } from "./histogram.ts";
import { type Template, template, type Work } from "./request.ts";

export interface OpenPlan {
  readonly work: Work;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  /** HTTP/2 connections per target, and streams each may have open: requests beyond them are not sent and counted. */
  readonly connections: number;
  readonly streams: number;
  readonly keys: number;
  readonly sliceMs: number;
  readonly phases: readonly { readonly perSecond: number; readonly forMs: number }[];
}

/** What became of requests in a short time: those that were due in it, and those that were answered. */
export interface Slice {
  readonly phase: number;
  due: number;
  unsent: number;
  done: number;
  refused: number;
  /** By other status; 0: the connection broke. */
  readonly failed: Record<number, number>;
  /** Of those answered in it, the slowest success, in milliseconds. */
  slowestMs: number;
}

export interface OpenOutcome {
  readonly slices: readonly Slice[];
  /** Per phase. */
  readonly done: readonly HistogramData[];
  readonly refused: readonly HistogramData[];
  /** Of this process, per phase. */
  readonly cpuSeconds: readonly number[];
}

const tickMs = 2;

interface Way {
  readonly connection: Http2Connection;
  readonly request: Template;
  readonly free: number[];
  readonly sentAt: Float64Array;
  readonly phaseOf: Uint8Array;
}

class OpenLoad {
  readonly slices: Slice[] = [];
  readonly done: Histogram[];
  readonly refused: Histogram[];
  readonly cpuSeconds: number[] = [];
  readonly #plan: OpenPlan;
  readonly #ways: Way[] = [];
  #next = 0;

  constructor(plan: OpenPlan) {
    this.#plan = plan;
    this.done = plan.phases.map(() => new Histogram());
    this.refused = plan.phases.map(() => new Histogram());
  }

  async connect(): Promise<void> {
    const { targets, connections, streams, work } = this.#plan;
    for (let count = 0; count < connections; count++) {
      for (const target of targets) {
        const way: Omit<Way, "connection"> = {
          request: template(work, `${target.host}:${target.port}`),
          free: Array.from({ length: streams }, (_, stream) => stream),
          sentAt: new Float64Array(streams),
          phaseOf: new Uint8Array(streams),
        };
        const connection = await connectHttp2(target.host, target.port, (stream, status) => this.#answered(way as Way, stream, status));
        this.#ways.push(Object.assign(way, { connection }));
      }
    }
  }

  async run(): Promise<void> {
    for (const [phase, { perSecond, forMs }] of this.#plan.phases.entries()) {
      console.log(`phase ${phase}`);
      const began = performance.now();
      const cpuBefore = process.cpuUsage();
      let sent = 0;
      for (let now = began; now < began + forMs; now = performance.now()) {
        const slice = this.#slice(phase, began);
        const due = Math.floor((now - began) * perSecond / 1_000);
        for (; sent < due; sent++) {
          slice.due++;
          if (!this.#send(phase)) slice.unsent++;
        }
        await Bun.sleep(tickMs);
      }
      const { user, system } = process.cpuUsage(cpuBefore);
      this.cpuSeconds.push((user + system) / 1e6);
    }
  }

  #slice(phase: number, began: number): Slice {
    const last = this.slices.at(-1);
    const at = Math.floor((performance.now() - began) / this.#plan.sliceMs);
    const inPhase = this.slices.filter((slice) => slice.phase === phase).length;
    if (last === undefined || inPhase <= at) {
      for (let missing = inPhase; missing <= at; missing++) {
        this.slices.push({ phase, due: 0, unsent: 0, done: 0, refused: 0, failed: {}, slowestMs: 0 });
      }
    }
    return this.slices.at(-1)!;
  }

  #send(phase: number): boolean {
    const way = this.#ways[this.#next++ % this.#ways.length]!;
    const stream = way.free.pop();
    if (stream === undefined) return false;
    way.request.setKey(Math.floor(Math.random() * this.#plan.keys));
    way.sentAt[stream] = performance.now();
    way.phaseOf[stream] = phase;
    way.connection.send(stream, way.request);
    return true;
  }

  #answered(way: Way, stream: number, status: number): void {
    const ms = performance.now() - way.sentAt[stream]!;
    const phase = way.phaseOf[stream]!;
    const slice = this.slices.at(-1)!;
    if (status !== 0) way.free.push(stream);
    if (status >= 200 && status < 300) {
      slice.done++;
      slice.slowestMs = Math.max(slice.slowestMs, ms);
      this.done[phase]!.record(ms * 1_000);
    } else if (status === 429 || status === 503) {
      slice.refused++;
      this.refused[phase]!.record(ms * 1_000);
    } else slice.failed[status] = (slice.failed[status] ?? 0) + 1;
  }
}

const load = new OpenLoad(JSON.parse(process.argv[2]!));
await load.connect();
await load.run();
const outcome: OpenOutcome = {
  slices: load.slices,
  done: load.done.map((histogram) => histogram.toJSON()),
  refused: load.refused.map((histogram) => histogram.toJSON()),
  cpuSeconds: load.cpuSeconds,
};
console.log(JSON.stringify(outcome));
process.exit(0);

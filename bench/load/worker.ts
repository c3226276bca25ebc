/**
 * One process of load: so many closed-loop clients, spread over the nodes, until the time is up.
 * Prints `measuring` and `measured` when the measured part begins and ends, then one line of JSON.
 */
import { connectHttp1 } from "./http1.ts";
import { connectHttp2 } from "./http2.ts";
import { Histogram, type HistogramData } from "./histogram.ts";
import { type Template, template, type Work } from "./request.ts";

export interface Plan {
  readonly work: Work;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly clients: number;
  /** HTTP/2 only: connections per target. */
  readonly connections: number;
  /** Keys are drawn from 0 … keys − 1, or walked through once if `sequential`. */
  readonly keys: number;
  readonly sequential: boolean;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Outcome {
  readonly operations: number;
  /** Answers that are not 2xx, by status (0: the connection broke). */
  readonly failures: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Of this process while it measured. */
  readonly cpuSeconds: number;
  readonly latency: HistogramData;
}

class Load {
  readonly latency = new Histogram();
  readonly failures: Record<string, number> = {};
  #operations = 0;
  #measuring = false;
  #stopped = false;
  #nextKey = 0;
  #unfinished = 0;
  readonly #plan: Plan;
  readonly #done: () => void;

  constructor(plan: Plan, done: () => void) {
    this.#plan = plan;
    this.#done = done;
  }

  get operations(): number {
    return this.#operations;
  }

  measure(): void {
    this.#measuring = true;
  }

  stop(): void {
    this.#measuring = false;
    this.#stopped = true;
  }

  async start(): Promise<void> {
    const { targets, clients, connections, work } = this.#plan;
    const share = (count: number, of: number, index: number) => Math.floor((count + of - 1 - index) / of);
    const starts: (() => void)[] = [];
    for (const [index, target] of targets.entries()) {
      const authority = `${target.host}:${target.port}`;
      const here = share(clients, targets.length, index);
      const lanes = work.transport === "h1" ? here : Math.min(connections, here);
      for (let lane = 0; lane < lanes; lane++) {
        const streams = work.transport === "h1" ? 1 : share(here, lanes, lane);
        starts.push(...await this.#connect(target, template(work, authority), streams));
      }
    }
    this.#unfinished = starts.length;
    for (const start of starts) start();
  }

  async #connect(target: { host: string; port: number }, request: Template, streams: number): Promise<(() => void)[]> {
    const sentAt = new Float64Array(streams);
    const onAnswer = (client: number, status: number) => {
      this.#answered(status, (Bun.nanoseconds() - sentAt[client]!) / 1_000);
      if (this.#stopped || status === 0) return --this.#unfinished === 0 ? this.#done() : undefined;
      next(client);
    };
    const send = this.#plan.work.transport === "h1"
      ? await connectHttp1(target.host, target.port, (status) => onAnswer(0, status)).then(({ send }) => () => send(request.head))
      : await connectHttp2(target.host, target.port, onAnswer).then((connection) => (client: number) => connection.send(client, request));
    const next = (client: number) => {
      const key = this.#plan.sequential ? this.#nextKey++ : Math.floor(Math.random() * this.#plan.keys);
      if (key >= this.#plan.keys) return --this.#unfinished === 0 ? this.#done() : undefined;
      request.setKey(key);
      sentAt[client] = Bun.nanoseconds();
      send(client);
    };
    return Array.from({ length: streams }, (_, client) => () => next(client));
  }

  #answered(status: number, micros: number): void {
    if (!this.#measuring) {
      // A failure while warming up or loading is still a failure.
      if (status < 200 || status > 299) this.failures[status] = (this.failures[status] ?? 0) + 1;
    } else if (status >= 200 && status <= 299) {
      this.#operations++;
      this.latency.record(micros);
    } else this.failures[status] = (this.failures[status] ?? 0) + 1;
  }
}

async function main(): Promise<void> {
  const plan: Plan = JSON.parse(process.argv[2]!);
  const drained = Promise.withResolvers<void>();
  const load = new Load(plan, drained.resolve);
  if (plan.sequential) load.measure();
  const firstCpu = process.cpuUsage();
  const firstAt = Bun.nanoseconds();
  await load.start();
  if (plan.sequential) {
    await drained.promise;
    return print(load, firstAt, firstCpu);
  }
  await Bun.sleep(plan.warmUpMs);
  console.log("measuring");
  const cpu = process.cpuUsage();
  const at = Bun.nanoseconds();
  load.measure();
  await Bun.sleep(plan.measureMs);
  load.stop();
  console.log("measured");
  print(load, at, cpu);
}

function print(load: Load, at: number, before: NodeJS.CpuUsage): never {
  const seconds = (Bun.nanoseconds() - at) / 1e9;
  const cpu = process.cpuUsage(before);
  const outcome: Outcome = {
    operations: load.operations,
    failures: load.failures,
    seconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    latency: load.latency.toJSON(),
  };
  console.log(JSON.stringify(outcome));
  process.exit(0);
}

await main();

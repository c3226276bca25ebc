/**
 * Clients that write down everything they were told. Most rotate over the nodes: on registers shared
 * by all, and appending to one log, one of them each record under a key until it is answered. One stays at each node and writes keys once, so that service by
 * that node can be told from waiting for another. What they wrote down is checked later.
 */
import type { RegisterAnswer, RegisterOperation, RegisterRequest } from "../harness/register.ts";
import { type Reply, request } from "./request.ts";

export const logName = "chaos";
const registers = 6;
const registerClients = 8;

export interface Notes {
  /** By key. */
  readonly registers: Map<string, RegisterOperation[]>;
  /** Keys acknowledged as written once, with their values. */
  readonly onceAcknowledged: Map<string, string>;
  /** Keys of writes of which nobody knows whether they happened. */
  readonly onceUnknown: Set<string>;
  /** Keys of writes that a node said had certainly not happened. */
  readonly onceDenied: Set<string>;
  /** Acknowledged records by offset. */
  readonly appended: Map<number, string>;
  readonly appendsUnknown: Set<string>;
  /** When writes were acknowledged, ascending. */
  readonly acknowledgedAt: number[];
  /** The same for the client that stays at this node, by URL. */
  readonly servedAt: Map<string, number[]>;
}

export class Load {
  readonly notes: Notes = {
    registers: new Map(),
    onceAcknowledged: new Map(),
    onceUnknown: new Set(),
    onceDenied: new Set(),
    appended: new Map(),
    appendsUnknown: new Set(),
    acknowledgedAt: [],
    servedAt: new Map(),
  };
  readonly #urls: readonly string[];
  readonly #running: Promise<void>[] = [];
  readonly #thinkMs: number;
  #failure: unknown = null;
  #stopped = false;
  #unique = 0;
  #pause: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  #busy = 0;

  /** `urls`: of all nodes, also of those that will be down at times. The log must exist. */
  constructor(urls: readonly string[], thinkMs = 2) {
    this.#urls = urls;
    this.#thinkMs = thinkMs;
    for (let client = 0; client < registerClients; client++) this.#run(client, () => this.#useRegister(client));
    for (const url of urls) this.#run(0, () => this.#writeOnce(url));
    for (let client = 0; client < 2; client++) this.#run(client, (url) => this.#append(url));
    this.#run(0, () => this.#appendSurely());
  }

  /** Throws what a client could not make sense of: then nobody writes any more. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Resolves when the last request has been answered or given up. Throws as `check` does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    this.check();
  }

  /** Resolves when nothing is under way: until `resume` nobody asks for anything. */
  async pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pause = { over: promise, end: resolve };
    while (this.#busy > 0) await Bun.sleep(2);
    this.check();
  }

  resume(): void {
    this.#pause?.end();
    this.#pause = null;
  }

  #run(client: number, act: (url: string) => Promise<boolean>): void {
    const loop = async () => {
      for (let turn = client; !this.#stopped; turn++) {
        await this.#pause?.over;
        this.#busy++;
        const done = await act(this.#urls[turn % this.#urls.length]!).finally(() => this.#busy--);
        // A little think time: the machine is shared, and correctness needs variety rather than volume.
        await Bun.sleep(done ? this.#thinkMs : 10);
      }
    };
    this.#running.push(
      loop().catch((error) => {
        this.#failure ??= error;
        this.#stopped = true;
      }),
    );
  }

  #wrote(): true {
    this.notes.acknowledgedAt.push(performance.now());
    return true;
  }

  async #writeOnce(url: string): Promise<boolean> {
    const key = `once/${this.#unique++}`;
    const value = `value of ${key}`;
    const reply = await request(`${url}/v1/kv/${key}`, { method: "PUT", body: value, headers: { "if-none-match": "*" } });
    if (reply.kind === "unknown") this.notes.onceUnknown.add(key);
    if (reply.kind === "none") this.notes.onceDenied.add(key);
    if (reply.kind !== "answer") return false;
    expectStatus(reply, 201);
    this.notes.onceAcknowledged.set(key, value);
    let served = this.notes.servedAt.get(url);
    if (served === undefined) this.notes.servedAt.set(url, served = []);
    served.push(performance.now());
    return this.#wrote();
  }

  async #append(url: string): Promise<boolean> {
    const text = `record ${this.#unique++}`;
    const headers = { "content-type": "text/plain" };
    const reply = await request(`${url}/v1/logs/${logName}/records`, { method: "POST", body: text, headers });
    if (reply.kind === "unknown") this.notes.appendsUnknown.add(text);
    if (reply.kind !== "answer") return false;
    expectStatus(reply, 201);
    this.#appended(text, reply);
    return this.#wrote();
  }

  /** The same record under the same key at one node after the other, until it is known where it is: it must be there once. */
  async #appendSurely(): Promise<boolean> {
    const text = `record ${this.#unique++}, surely`;
    const headers = { "content-type": "text/plain", "idempotency-key": text };
    for (let turn = this.#unique; !this.#stopped; turn++) {
      const url = this.#urls[turn % this.#urls.length]!;
      const reply = await request(`${url}/v1/logs/${logName}/records`, { method: "POST", body: text, headers });
      if (reply.kind === "answer") {
        expectStatus(reply, 201, 200);
        this.#appended(text, reply);
        return this.#wrote();
      }
      await Bun.sleep(10);
    }
    this.notes.appendsUnknown.add(text);
    return false;
  }

  #appended(text: string, reply: Reply & { kind: "answer" }): void {
    const { first } = JSON.parse(reply.body) as { first: number };
    const before = this.notes.appended.get(first);
    if (before !== undefined) throw new Error(`Cannot both be at offset ${first}: "${before}" and "${text}" were acknowledged there`);
    this.notes.appended.set(first, text);
  }

  readonly #versions = new Map<number, { key: string; value: string | null; version: string | null }>();

  async #useRegister(client: number): Promise<boolean> {
    const known = this.#versions.get(client);
    const dice = Math.random();
    const url = this.#urls[Math.floor(Math.random() * this.#urls.length)]!;
    const key = known !== undefined && dice < 0.3 ? known.key : `register/${Math.floor(Math.random() * registers)}`;
    const value = `c${client}-${this.#unique++}`;
    const wanted: RegisterRequest = known !== undefined && dice < 0.3
      ? { kind: "cas", expected: known.value, value }
      : dice < 0.65
      ? { kind: "put", value }
      : { kind: "get" };
    const condition: Record<string, string> = wanted.kind !== "cas"
      ? {}
      : known!.version === null
      ? { "if-none-match": "*" }
      : { "if-match": `"${known!.version}"` };
    const init = wanted.kind === "get" ? {} : { method: "PUT", body: wanted.value, headers: condition };
    const calledAt = performance.now();
    const reply = await request(`${url}/v1/kv/${key}`, init);
    const answeredAt = performance.now();
    // What certainly did not happen is left out; if its value is ever seen, it is one that nobody wrote.
    if (reply.kind === "none") return false;
    const answer = reply.kind === "unknown" ? null : registerAnswer(wanted, reply);
    const name = `client ${client} at ${url.slice(-5)}`;
    let history = this.notes.registers.get(key);
    if (history === undefined) this.notes.registers.set(key, history = []);
    history.push({ client: name, request: wanted, answer, calledAt, answeredAt: answer === null ? Infinity : answeredAt });
    if (reply.kind === "unknown" || answer?.kind === "refused") this.#versions.delete(client);
    else {
      const version = reply.headers.get("etag")?.replaceAll('"', "") ?? null;
      const now = answer?.kind === "value" ? answer.value : wanted.kind === "get" ? null : wanted.value;
      this.#versions.set(client, { key, value: now, version });
    }
    return reply.kind === "answer" && wanted.kind !== "get" && answer?.kind === "written" ? this.#wrote() : reply.kind === "answer";
  }
}

export function registerAnswer(wanted: RegisterRequest, reply: Reply & { kind: "answer" }): RegisterAnswer {
  if (wanted.kind === "get") {
    expectStatus(reply, 200, 404);
    return { kind: "value", value: reply.status === 404 ? null : reply.body };
  }
  expectStatus(reply, 201, 204, ...(wanted.kind === "cas" ? [412] : []));
  return { kind: reply.status === 412 ? "refused" : "written" };
}

function expectStatus(reply: Reply & { kind: "answer" }, ...statuses: number[]): void {
  if (!statuses.includes(reply.status)) {
    throw new Error(`Cannot take status ${reply.status} for an answer, expected ${statuses.join(" or ")}: ${reply.body}`);
  }
}

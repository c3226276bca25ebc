/**
 * Users who get, put, compare-and-set, delete and scan a few keys, through any node. Their histories must be linearizable
 * key by key, and everything they were told must fit the versions.
 */
import type { Entry, Kv, ReadOptions, WriteResult } from "../../../services/api.ts";
import { findRegisterViolation, type RegisterAnswer, type RegisterOperation, type RegisterRequest } from "../../harness/register.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { Versions } from "../check/versions.ts";
import type { Client, Reply } from "../client.ts";
import { groupOfKey, type Kit, newValue, type Users } from "./kit.ts";

/** More on one key, and the search takes too long. */
const operationsMax = 700;
/** How often a user with an idempotency key comes back for an answer. */
const triesMax = 4;

export class Registers implements Users {
  searched = 0;
  readonly #kit: Kit;
  readonly #versions: Versions;
  readonly #histories = new Map<string, RegisterOperation[]>();
  /** Keys that are only put and compared, for the search; and keys that are also deleted. */
  readonly #keys: readonly string[];
  readonly #fleeting: readonly string[];
  #generation = 0;

  constructor(kit: Kit, versions: Versions) {
    this.#kit = kit;
    this.#versions = versions;
    const count = kit.world.plan.work.keys;
    const names = (prefix: string): string[] =>
      Array.from({ length: count }, (_, index) => `${index % 2 === 0 ? "a" : "z"}-${prefix}${index}`);
    this.#keys = names("r");
    this.#fleeting = names("d");
  }

  begin(): Promise<void>[] {
    const { work } = this.#kit.world.plan;
    return Array.from({ length: work.registers }, (_, index) => this.#use(this.#kit.client(`register ${index + 1}`)));
  }

  async finish(client: Client): Promise<void> {
    for (const key of [...this.#keys, ...this.#fleeting]) await this.#mustRead(client, this.#current(key), "linearizable");
    for (const key of [...this.#keys, ...this.#fleeting]) await this.#mustRead(client, this.#current(key), "local");
  }

  check(): void {
    for (const [key, history] of this.#histories) {
      this.searched++;
      const violation = findRegisterViolation(history.slice(0, operationsMax));
      demand(violation === null, "linearizable", () => `${JSON.stringify(key)} is ${violation}`);
    }
  }

  async #use(client: Client): Promise<void> {
    const { prng } = client;
    const { thinkMs } = this.#kit.world.plan.work;
    while (!client.closing) {
      await client.pause(thinkMs);
      const key = this.#current(prng.pick(this.#keys));
      const chance = prng.unit();
      if (chance < 0.3) await this.#get(client, key);
      else if (chance < 0.55) await this.#put(client, key);
      else if (chance < 0.75) await this.#compareAndSet(client, key);
      else if (chance < 0.86) await this.#fleet(client, this.#current(prng.pick(this.#fleeting)));
      else if (chance < 0.93) await this.#scan(client);
      else await this.#scanAll(client);
    }
  }

  /** New keys now and then, so that no history becomes too long to search. */
  #current(key: string): string {
    return `${key}-${this.#generation}`;
  }

  async #get(client: Client, key: string): Promise<string | null | undefined> {
    const reply = await this.#read(client, key, {});
    if (!reply.ok) return undefined;
    this.#record(client, key, { kind: "get" }, reply, { kind: "value", value: reply.value.entry?.text() ?? null });
    return reply.value.entry?.text() ?? null;
  }

  async #put(client: Client, key: string): Promise<void> {
    const value = newValue(this.#kit.world);
    const reply = await this.#write(client, key, value, (kv, options) => kv.put(key, value, options));
    if (reply === null) return;
    this.#record(client, key, { kind: "put", value }, reply, reply.ok ? { kind: "written" } : null);
  }

  /** By version; for the search by value, which is the same because no two writes have the same. */
  async #compareAndSet(client: Client, key: string): Promise<void> {
    const before = await this.#read(client, key, {});
    if (!before.ok) return;
    const { entry } = before.value;
    const expected = entry?.text() ?? null;
    this.#record(client, key, { kind: "get" }, before, { kind: "value", value: expected });
    if (client.prng.chance(0.5)) await client.pause(5);
    const value = newValue(this.#kit.world);
    const reply = await this.#write(
      client,
      key,
      value,
      (kv, options) => kv.put(key, value, { ...options, ifVersion: entry?.version ?? null }),
    );
    if (reply === null) return;
    const answer: RegisterAnswer | null = !reply.ok ? null : reply.value.ok ? { kind: "written" } : { kind: "refused" };
    this.#record(client, key, { kind: "cas", expected, value }, reply, answer);
  }

  async #fleet(client: Client, key: string): Promise<void> {
    const { prng } = client;
    const value = newValue(this.#kit.world);
    if (prng.chance(0.3)) return void await this.#read(client, key, await this.#anyConsistency(client, key));
    if (prng.chance(0.6)) {
      const verb = prng.pick(["put", "insert", "update"] as const);
      return void await this.#write(client, key, value, (kv, options) => kv[verb](key, value, options));
    }
    const reply = await client.ask(({ kv }) => kv.delete(key, { timeoutMs: client.patienceMs }));
    if (!reply.ok && reply.outcome === "unknown") this.#versions.doubt(key, reply.calledAt);
    if (!reply.ok || !reply.value.ok) return;
    const { existed, position } = reply.value;
    if (existed) this.#versions.write(key, position, null, client.name);
    this.#versions.tell({ ...reply, key, value: null, version: existed ? position : "", position, linearizable: true, who: client.name });
  }

  async #anyConsistency(client: Client, key: string): Promise<ReadOptions> {
    const chance = client.prng.unit();
    if (chance < 0.3) return { consistency: "local" };
    if (chance < 0.5) return {};
    const before = await this.#read(client, key, {});
    if (!before.ok) return {};
    client.moveOn();
    return { consistency: "session", after: before.value.position };
  }

  async #read(
    client: Client,
    key: string,
    options: ReadOptions,
  ): Promise<Reply<{ readonly entry: Entry | null; readonly position: string }>> {
    const reply = await client.ask(({ kv }) => kv.read(key, { ...options, timeoutMs: client.patienceMs }));
    if (!reply.ok) return reply;
    const { entry, position } = reply.value;
    // A session's position may lie where no command is: then the answer holds there too, although no replica says it is there.
    const upTo = options.after !== undefined && options.after > position ? options.after : position;
    this.#tell(client, key, entry, upTo, reply, (options.consistency ?? "linearizable") === "linearizable");
    return reply;
  }

  /** Null if it certainly had no effect. With an idempotency key a user asks again until somebody knows. */
  async #write(
    client: Client,
    key: string,
    value: string,
    call: (kv: Kv, options: { timeoutMs: number; idempotencyKey?: string }) => Promise<WriteResult>,
  ): Promise<Reply<WriteResult> | null> {
    const { world } = this.#kit;
    const keyed = client.prng.chance(0.4);
    const options = { timeoutMs: client.patienceMs, ...(keyed ? { idempotencyKey: `w${value.slice(0, 11)}` } : {}) };
    const calledAt = client.now;
    let unknown = false;
    for (let tries = 1;; tries++) {
      const reply = await client.ask(async ({ kv }) => {
        const { node } = client;
        const result = await call(kv, options);
        if (result.ok) world.acknowledged.acknowledge(value, groupOfKey(world, key), node);
        return result;
      });
      if (reply.ok) {
        const { value: result } = reply;
        if (result.ok) {
          this.#versions.write(key, result.version, value, client.name);
          this.#versions.tell({
            ...reply,
            calledAt,
            key,
            value,
            version: result.version,
            position: result.version,
            linearizable: true,
            who: client.name,
          });
        } else if (result.replayed !== true) {
          this.#tell(client, key, result.current, result.position, { ...reply, calledAt }, true);
        }
        return { ...reply, calledAt };
      }
      if (reply.outcome === "unknown" || reply.code === "in-progress") unknown = true;
      if (keyed && tries < triesMax && unknown && !client.closing) {
        await client.pause(20);
        continue;
      }
      if (unknown) return { ...reply, calledAt };
      this.#versions.refused(value, `${reply.code} at n${reply.node}`);
      return null;
    }
  }

  /** Of everything: each entry is as new as what was known before, and together they are of no one moment. */
  async #scanAll(client: Client): Promise<void> {
    const reply = await client.ask(({ kv }) => kv.scan({ limit: 1_000, timeoutMs: client.patienceMs }));
    if (!reply.ok) return;
    for (const entry of reply.value.entries) this.#tell(client, entry.key, entry, entry.version, reply, true);
  }

  async #scan(client: Client): Promise<void> {
    const prefix = client.prng.pick(["a-", "z-"]);
    const reply = await client.ask(({ kv }) => kv.scan({ prefix, limit: 1_000, timeoutMs: client.patienceMs }));
    if (!reply.ok) return;
    const { entries, position } = reply.value;
    for (const entry of entries) this.#tell(client, entry.key, entry, position, reply, true);
    const found = new Set(entries.map(({ key }) => key));
    for (const key of [...this.#keys, ...this.#fleeting].map((name) => this.#current(name))) {
      if (key.startsWith(prefix) && !found.has(key)) this.#tell(client, key, null, position, reply, true);
    }
  }

  async #mustRead(client: Client, key: string, consistency: "linearizable" | "local"): Promise<void> {
    for (;;) {
      const reply = await client.ask(({ kv }) => kv.read(key, { consistency, timeoutMs: client.patienceMs }));
      if (reply.ok) {
        this.#tell(client, key, reply.value.entry, reply.value.position, reply, true);
        if (this.#histories.has(key)) {
          this.#record(client, key, { kind: "get" }, reply, { kind: "value", value: reply.value.entry?.text() ?? null });
        }
        return;
      }
      await client.pause(20);
    }
  }

  #tell(
    client: Client,
    key: string,
    entry: Entry | null,
    position: string,
    { calledAt, answeredAt }: { readonly calledAt: number; readonly answeredAt: number },
    linearizable: boolean,
  ): void {
    const [value, version] = [entry?.text() ?? null, entry?.version ?? ""];
    this.#versions.tell({ key, value, version, position, calledAt, answeredAt, linearizable, who: `${client.name} at n${client.node}` });
  }

  #record(
    client: Client,
    key: string,
    request: RegisterRequest,
    times: { readonly calledAt: number; readonly answeredAt: number },
    answer: RegisterAnswer | null,
  ): void {
    const history = this.#histories.get(key) ?? [];
    this.#histories.set(key, history);
    history.push({ client: client.name, request, answer, calledAt: times.calledAt, answeredAt: times.answeredAt });
    if (history.length > operationsMax - 100) this.#generation++;
  }
}

/**
 * Users who append to lists in several keys of a partition, by compare-and-set, and read all of them with one scan. Their
 * transactions must have happened in one order, in which everybody was answered after calling.
 */
import { demand } from "../../sim/oracle/violation.ts";
import { demandAcyclic, type Transaction } from "../check/cycles.ts";
import type { Client } from "../client.ts";
import { groupOfKey, type Kit, type Users } from "./kit.ts";

const lists = 3;
/** Longer ones would only cost time. */
const lengthMax = 120;

interface Append {
  readonly who: string;
  readonly key: string;
  readonly element: string;
  readonly calledAt: number;
  readonly answeredAt: number;
}

interface Read {
  readonly who: string;
  readonly prefix: string;
  readonly found: ReadonlyMap<string, readonly string[]>;
  readonly calledAt: number;
  readonly answeredAt: number;
}

export class Lists implements Users {
  readonly #kit: Kit;
  readonly #appends: Append[] = [];
  readonly #reads: Read[] = [];
  #generation = 0;

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  get #prefix(): string {
    return prefixOf(this.#generation);
  }

  begin(): Promise<void>[] {
    const { work } = this.#kit.world.plan;
    return Array.from({ length: work.listers }, (_, index) => this.#use(this.#kit.client(`lister ${index + 1}`)));
  }

  /** Of all generations: an append that was under way when the next one began may have come after the last scan of its own. */
  async finish(client: Client): Promise<void> {
    for (let generation = 0; generation <= this.#generation; generation++) {
      while (!(await this.#scan(client, prefixOf(generation)))) await client.pause(20);
    }
  }

  check(): void {
    const keys = Array.from({ length: this.#generation + 1 }, (_, generation) => generation).flatMap((generation) =>
      Array.from({ length: lists }, (_, index) => `a-list-${generation}-${index}`)
    );
    const finals = new Map(keys.map((key) => [key, this.#longest(key)]));
    const places = new Map([...finals].map(([key, elements]) => [key, new Map(elements.map((element, index) => [element, index]))]));
    const reads = this.#reads.map(({ who, found, prefix, calledAt, answeredAt }): Transaction => {
      for (const [key, elements] of found) {
        const final = finals.get(key)!;
        demand(
          elements.every((element, index) => final[index] === element),
          "lists",
          () => `${who} saw ${key} as ${elements.join()}, which is no beginning of ${final.join()}`,
        );
      }
      const seen = keys.filter((key) => key.startsWith(prefix));
      const lengths = seen.map((key) => ({ list: key, length: found.get(key)?.length ?? 0 }));
      return { who, appends: [], reads: lengths, calledAt, answeredAt };
    });
    const appends = this.#appends.flatMap(({ who, key, element, calledAt, answeredAt }): Transaction[] => {
      const at = places.get(key)!.get(element);
      demand(
        at !== undefined || answeredAt === Infinity,
        "lists",
        () => `${who} was told that ${element} is in ${key}, and nobody finds it there`,
      );
      return at === undefined ? [] : [{ who, appends: [{ list: key, at }], reads: [], calledAt, answeredAt }];
    });
    demandAcyclic([...appends, ...reads], "appends and scans of lists");
  }

  async #use(client: Client): Promise<void> {
    while (!client.closing) {
      await client.pause(this.#kit.world.plan.work.thinkMs);
      if (client.prng.chance(0.4)) await this.#scan(client, this.#prefix);
      else await this.#append(client, `${this.#prefix}${client.prng.int(lists)}`);
    }
  }

  async #append(client: Client, key: string): Promise<void> {
    const { world } = this.#kit;
    const before = await client.ask(({ kv }) => kv.get(key, { timeoutMs: client.patienceMs }));
    if (!before.ok) return;
    const element = world.acknowledged.newMark();
    const value = before.value === null ? element : `${before.value.text()},${element}`;
    const { calledAt } = before;
    const reply = await client.ask(async ({ kv }) => {
      const result = await kv.put(key, value, { ifVersion: before.value?.version ?? null, timeoutMs: client.patienceMs });
      if (result.ok) world.acknowledged.acknowledge(element, groupOfKey(world, key), client.node);
      return result;
    });
    if (reply.ok && !reply.value.ok || !reply.ok && reply.outcome === "none") return;
    // As a transaction it also read the list; one whose answer is missing may be there or not.
    this.#appends.push({ who: client.name, key, element, calledAt, answeredAt: reply.ok ? reply.answeredAt : Infinity });
  }

  async #scan(client: Client, prefix: string): Promise<boolean> {
    const reply = await client.ask(({ kv }) => kv.scan({ prefix, limit: 1_000, timeoutMs: client.patienceMs }));
    if (!reply.ok) return false;
    const found = new Map(reply.value.entries.map((entry) => [entry.key, entry.text().split(",")]));
    this.#reads.push({ who: `${client.name} at n${reply.node}`, prefix, found, calledAt: reply.calledAt, answeredAt: reply.answeredAt });
    if (prefix === this.#prefix && [...found.values()].some(({ length }) => length > lengthMax)) this.#generation++;
    return true;
  }

  #longest(key: string): readonly string[] {
    let longest: readonly string[] = [];
    for (const { found } of this.#reads) if ((found.get(key)?.length ?? 0) > longest.length) longest = found.get(key)!;
    return longest;
  }
}

function prefixOf(generation: number): string {
  return `a-list-${generation}-`;
}

/**
 * Users who append to logs, alone and to several at once, and read them. Offsets are dense, records never change, what was
 * acknowledged is readable everywhere, an append to several logs happens in all of them or in none, and once.
 */
import { CarillonError } from "../../../core/errors.ts";
import type { GroupId, Millis } from "../../../core/ids.ts";
import { spanningGroup } from "../../../core/topology.ts";
import { demand } from "../../sim/oracle/violation.ts";
import { demandAcyclic, type Transaction } from "../check/cycles.ts";
import type { Client } from "../client.ts";
import { type Kit, newValue, type Users } from "./kit.ts";

const triesMax = 4;

interface Append {
  readonly who: string;
  readonly logs: readonly string[];
  readonly values: readonly string[];
  readonly calledAt: Millis;
  readonly answeredAt: Millis;
  /** Where it begins in each log; null if nobody was told. */
  readonly firsts: readonly number[] | null;
}

interface Read {
  readonly who: string;
  readonly log: string;
  readonly from: number;
  readonly values: readonly string[];
  /** Of the records, and how far the replica was that showed them. */
  readonly positions: readonly string[];
  readonly position: string;
  readonly tail: number;
  readonly calledAt: Millis;
  readonly answeredAt: Millis;
}

/** A log as a node has it in the end, and where in the order that is. */
interface Final {
  readonly who: string;
  readonly first: number;
  readonly values: readonly string[];
  readonly positions: readonly string[];
  readonly position: string;
}

export class Logs implements Users {
  appended = 0;
  readonly #kit: Kit;
  readonly #names: readonly { readonly name: string; readonly group: string; readonly id: GroupId }[];
  readonly #appends: Append[] = [];
  readonly #reads: Read[] = [];
  readonly #refused = new Map<string, string>();
  /** By log: first kept offset and all records from there, as the nodes have them in the end. */
  readonly #finals = new Map<string, Final>();
  #trimmedTo = 0;

  constructor(kit: Kit) {
    this.#kit = kit;
    const homes = kit.world.plan.topology.groups.filter(({ spans }) => spans.length === 0);
    this.#names = homes.flatMap(({ name, id }) => [`first-${name}`, `second-${name}`].map((log) => ({ name: log, group: name, id })));
  }

  begin(): Promise<void>[] {
    const { work } = this.#kit.world.plan;
    return Array.from({ length: work.appenders }, (_, index) => this.#use(this.#kit.client(`appender ${index + 1}`)));
  }

  async finish(client: Client): Promise<void> {
    for (const { name, group } of this.#names) {
      await this.#create(client, name, group);
      await this.#append(client, [name], false);
      const values: string[] = [];
      const positions: string[] = [];
      let position = "";
      let first: number | null = null;
      for (let from = 0;;) {
        const page = await this.#read(client, name, from, true);
        if (page === null) {
          await client.pause(20);
          continue;
        }
        first ??= page.from;
        values.push(...page.values);
        positions.push(...page.positions);
        position = page.position;
        from = page.from + page.values.length;
        if (from === page.tail) break;
      }
      this.#conclude(name, { who: `n${client.node}`, first: first!, values, positions, position });
    }
  }

  check(): void {
    for (const { name } of this.#names) this.#checkLog(name);
    for (const append of this.#appends) if (append.logs.length > 1) this.#checkAtomic(append);
    demandAcyclic(this.#transactions(), "appends and reads of logs");
  }

  async #use(client: Client): Promise<void> {
    const { prng } = client;
    const { thinkMs } = this.#kit.world.plan.work;
    for (const { name, group } of this.#names) if (!client.closing) await this.#create(client, name, group);
    while (!client.closing) {
      await client.pause(thinkMs);
      const { name } = prng.pick(this.#names);
      const chance = prng.unit();
      if (chance < 0.5) await this.#append(client, [name], prng.chance(0.2));
      else if (chance < 0.7) await this.#append(client, this.#several(client), false);
      else if (chance < 0.95) await this.#read(client, name, prng.chance(0.5) ? 0 : prng.int(50), false);
      else await this.#trim(client);
    }
  }

  /** Logs that one append can reach. */
  #several(client: Client): string[] {
    const chosen = client.prng.sample(this.#names, client.prng.between(2, 3));
    const reachable = spanningGroup(this.#kit.world.plan.topology, [...new Set(chosen.map(({ id }) => id))]) !== null;
    return (reachable ? chosen : chosen.filter(({ id }) => id === chosen[0]!.id)).map(({ name }) => name);
  }

  async #create(client: Client, name: string, group: string): Promise<void> {
    for (;;) {
      const reply = await client.ask((services) => services.log(name).create({ group, timeoutMs: client.patienceMs }));
      if (reply.ok || client.closing && !client.pinned) return;
      await client.pause(20);
    }
  }

  async #append(client: Client, logs: readonly string[], expecting: boolean): Promise<void> {
    const { prng } = client;
    const { world } = this.#kit;
    const values = Array.from({ length: prng.pick([1, 1, 1, 2, 4]) }, () => newValue(world));
    const keyed = prng.chance(0.4) || client.pinned;
    const options = {
      timeoutMs: client.patienceMs,
      ...(keyed ? { idempotencyKey: `a${values[0]!.slice(0, 11)}` } : {}),
      ...(expecting ? { expect: this.#guess(logs[0]!) } : {}),
    };
    const carrier = spanningGroup(world.plan.topology, [
      ...new Set(this.#names.filter(({ name }) => logs.includes(name)).map(({ id }) => id)),
    ])!;
    const append = { who: client.name, logs, values, calledAt: client.now };
    let unknown = false;
    for (let tries = 1;; tries++) {
      const reply = await client.ask(async (services): Promise<readonly number[] | null> => {
        const firsts: number[] = [];
        if (logs.length === 1) {
          const result = await services.log(logs[0]!).appendAll(values, options);
          if (!result.ok) return null;
          firsts.push(result.first);
        } else {
          for (const { first } of await services.append(logs, values, options)) firsts.push(first);
        }
        for (const value of values) world.acknowledged.acknowledge(value, carrier.id, client.node);
        return firsts;
      });
      if (reply.ok) {
        if (reply.value === null) return this.#refuse(values, "unexpected offset");
        this.appended += values.length;
        this.#appends.push({ ...append, answeredAt: reply.answeredAt, firsts: reply.value });
        return;
      }
      if (reply.outcome === "unknown" || reply.code === "in-progress") unknown = true;
      if (client.pinned || keyed && unknown && tries < triesMax && !client.closing) {
        await client.pause(20);
        continue;
      }
      if (unknown) this.#appends.push({ ...append, answeredAt: Infinity, firsts: null });
      else this.#refuse(values, `${reply.code} at n${reply.node}`);
      return;
    }
  }

  #guess(log: string): number {
    for (let index = this.#appends.length - 1; index >= 0; index--) {
      const { logs, firsts, values } = this.#appends[index]!;
      const at = logs.indexOf(log);
      if (at >= 0 && firsts !== null) return firsts[at]! + values.length;
    }
    return 0;
  }

  #refuse(values: readonly string[], why: string): void {
    for (const value of values) this.#refused.set(value, why);
  }

  async #read(client: Client, log: string, from: number, clamp: boolean): Promise<Read | null> {
    const reply = await client.ask(async (services) => {
      try {
        return await services.log(log).read({ from, clamp, limit: 200, timeoutMs: client.patienceMs });
      } catch (error) {
        const harmless = error instanceof CarillonError &&
          (error.code === "past-tail" || error.code === "trimmed" || error.code === "not-found");
        if (harmless) return null;
        throw error;
      }
    });
    if (!reply.ok || reply.value === null) return null;
    const { records, next, tail } = reply.value;
    records.forEach(({ offset }, index) => {
      demand(offset === next - records.length + index, "log", () => `${client.name} read ${log} and got offsets with a gap at ${offset}`);
    });
    const values = records.map((record) => record.text());
    const read: Read = {
      who: `${client.name} at n${reply.node}`,
      log,
      from: next - records.length,
      values,
      positions: records.map((record) => record.position),
      position: reply.value.position,
      tail,
      calledAt: reply.calledAt,
      answeredAt: reply.answeredAt,
    };
    this.#reads.push(read);
    return read;
  }

  /** Only the last log, so that the others keep everything. */
  async #trim(client: Client): Promise<void> {
    const { name } = this.#names.at(-1)!;
    const upTo = client.prng.int(this.#guess(name) + 1);
    const before = this.#trimmedTo;
    this.#trimmedTo = Math.max(before, upTo);
    const reply = await client.ask((services) => services.log(name).trim(upTo, { timeoutMs: client.patienceMs }));
    if (reply.ok) {
      demand(reply.value.first >= upTo, "log", () => `${client.name} trimmed ${name} to ${upTo} and it begins at ${reply.value.first}`);
    }
  }

  #conclude(log: string, found: Final): void {
    const before = this.#finals.get(log);
    if (before === undefined) return void this.#finals.set(log, found);
    // Some looked later and have seen more, or less where it was trimmed meanwhile.
    const from = Math.max(before.first, found.first);
    const to = Math.min(before.first + before.values.length, found.first + found.values.length);
    for (let offset = from; offset < to; offset++) {
      const [there, here] = [before.values[offset - before.first], found.values[offset - found.first]];
      demand(there === here, "log", () => `${log} has ${there} at ${offset} at ${before.who} and ${here} at ${found.who}`);
    }
    if (found.first + found.values.length > before.first + before.values.length) this.#finals.set(log, found);
  }

  #checkLog(log: string): void {
    const { first, values, who } = this.#finals.get(log)!;
    const places = new Map<string, number>();
    values.forEach((value, index) => {
      demand(
        !places.has(value),
        "exactly-once",
        () => `${value.slice(0, 11)} is in ${log} twice, at ${places.get(value)} and ${first + index}`,
      );
      places.set(value, first + index);
      const why = this.#refused.get(value);
      demand(why === undefined, "outcome", () => `${log} has ${value.slice(0, 11)}, whose append certainly had no effect (${why})`);
    });
    demand(first <= this.#trimmedTo, "log", () => `${log} begins at ${first} at ${who} and was trimmed to ${this.#trimmedTo} at most`);
    const at = (offset: number): string | undefined => values[offset - first];
    for (const append of this.#appends) {
      const index = append.logs.indexOf(log);
      if (index < 0 || append.firsts === null) continue;
      append.values.forEach((value, behind) => {
        const offset = append.firsts![index]! + behind;
        demand(
          offset < first || at(offset) === value,
          "log",
          () =>
            `${append.who} was told that ${log} has ${value.slice(0, 11)} at ${offset}, and ${who} has ${
              at(offset)?.slice(0, 11) ?? "nothing"
            } there`,
        );
      });
    }
    for (const read of this.#reads) {
      if (read.log !== log) continue;
      read.values.forEach((value, behind) => {
        const offset = read.from + behind;
        demand(
          offset < first || at(offset) === value,
          "log",
          () =>
            `${read.who} read ${value.slice(0, 11)} at ${offset} of ${log}, and ${who} has ${at(offset)?.slice(0, 11) ?? "nothing"} there`,
        );
      });
    }
  }

  #checkAtomic({ who, logs, values }: Append): void {
    const places = logs.map((log) => values.map((value) => this.#placeOf(log, value)));
    // Where in the order it is: a log that was looked at before that place says nothing.
    const at = logs.flatMap((log, index) => {
      const { first, positions } = this.#finals.get(log)!;
      return places[index]!.filter((place) => place >= 0).map((place) => positions[place - first]!);
    })[0];
    if (at === undefined) return;
    const kept = places.filter((_, index) => {
      const { first, position } = this.#finals.get(logs[index]!)!;
      return first === 0 && position >= at;
    });
    demand(
      kept.flat().every((place) => place >= 0),
      "atomic",
      () => `${who}'s append of ${values.length} records to ${logs.join(", ")} is there in part: ${JSON.stringify(places)}`,
    );
    for (const inLog of kept) {
      const together = inLog.every((place, index) => index === 0 || place === inLog[index - 1]! + 1);
      demand(together, "atomic", () => `${who}'s append of ${values.length} records lies scattered: ${JSON.stringify(places)}`);
    }
  }

  #placeOf(log: string, value: string): number {
    const { first, values } = this.#finals.get(log)!;
    const index = values.indexOf(value);
    return index < 0 ? -1 : first + index;
  }

  /** Without the log that is trimmed: what was in it is not known any more. */
  #transactions(): Transaction[] {
    const whole = new Set(this.#names.slice(0, -1).map(({ name }) => name));
    const places = new Map([...whole].map((log) => [log, new Map(this.#finals.get(log)!.values.map((value, index) => [value, index]))]));
    const appends = this.#appends.flatMap(({ who, logs, values, calledAt, answeredAt }): Transaction[] => {
      const found = logs.filter((log) => whole.has(log)).flatMap((log) =>
        values.map((value) => ({ list: log, at: places.get(log)!.get(value) ?? -1 })).filter(({ at }) => at >= 0)
      );
      return found.length === 0 ? [] : [{ who, appends: found, reads: [], calledAt, answeredAt }];
    });
    const reads = this.#reads.filter(({ log }) => whole.has(log)).map(({ who, log, tail, calledAt, answeredAt }): Transaction => ({
      who,
      appends: [],
      reads: [{ list: log, length: tail }],
      calledAt,
      answeredAt,
    }));
    return [...appends, ...reads];
  }
}

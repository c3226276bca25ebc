/**
 * Users who multicast, and on every node somebody who listens to all groups from the first message on, in all its lives,
 * and somebody who listens to some of them. What is delivered was sent, once, to everybody, in one order.
 */
import type { GroupId } from "../../../core/ids.ts";
import { spanningGroup } from "../../../core/topology.ts";
import type { DeliveryEvent } from "../../../services/api.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { Client } from "../client.ts";
import type { Life } from "../machine.ts";
import { follow, type Kit, newValue, type Users } from "./kit.ts";

/** Who has lost its place asks again after so long. */
const againMs = 50;
/** A message with a key is sent so often before its user gives it up. */
const triesMax = 8;

interface Sent {
  readonly who: string;
  readonly groups: readonly string[];
  /** "" if nobody was told. */
  position: string;
}

interface Listener {
  readonly who: string;
  readonly groups: readonly string[];
  /** Where it began: "" for the start, null for wherever it was when what it wanted had been forgotten. */
  from: string | null;
  readonly heard: { readonly position: string; readonly mark: string }[];
  upTo: string;
}

export class Messages implements Users {
  delivered = 0;
  restarted = 0;
  /** Messages with a key whose place was told once more. */
  again = 0;
  readonly #kit: Kit;
  readonly #sent = new Map<string, Sent>();
  readonly #refused = new Map<string, string>();
  /** By machine: those that go on from life to life. And all there ever were. */
  readonly #lasting = new Map<number, Listener[]>();
  readonly #listeners: Listener[] = [];

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  begin(): Promise<void>[] {
    const { work } = this.#kit.world.plan;
    return Array.from({ length: work.callers }, (_, index) => this.#use(this.#kit.client(`caller ${index + 1}`)));
  }

  /** A process is up: its listeners go on behind what they have heard, and one begins from the start. */
  started(life: Life): void {
    const { id } = life.machine;
    const names = this.#names;
    const lasting = this.#lasting.get(id) ?? [
      this.#newListener(`n${id}'s listener`, names),
      this.#newListener(`n${id}'s other listener`, [names[id % names.length]!]),
    ];
    this.#lasting.set(id, lasting);
    const fresh = this.#newListener(`n${id}'s listener of life ${life.number}`, names.slice(0, 1 + life.number % names.length));
    for (const listener of [...lasting, fresh]) this.#listen(life, listener);
  }

  async finish(client: Client): Promise<void> {
    for (const group of this.#names) while (!(await this.#send(client, [group])));
    while (!this.#allHeard(client.node)) await client.pause(20);
  }

  check(): void {
    const marks = new Map<string, string>();
    for (const listener of this.#listeners) this.#checkListener(listener, marks);
    this.#compare();
    this.#checkOrder();
  }

  get #names(): string[] {
    return this.#kit.world.plan.topology.groups.map(({ name }) => name);
  }

  async #use(client: Client): Promise<void> {
    while (!client.closing) {
      await client.pause(this.#kit.world.plan.work.thinkMs);
      const names = this.#names;
      const several = names.length > 2 && client.prng.chance(0.4);
      const groups = several ? names.slice(0, 2) : [client.prng.pick(names)];
      // Whether it was told or not, it is sent again, here or elsewhere: to those who listen that must make no difference.
      const answers = client.prng.chance(0.5) ? client.prng.between(1, 3) : null;
      await this.#send(client, groups, answers);
    }
  }

  /** `answers`: with a key, until so many have come; null without. */
  async #send(client: Client, groups: readonly string[], answers: number | null = null): Promise<boolean> {
    const { world } = this.#kit;
    const value = newValue(world);
    const mark = value.slice(0, 11);
    const ids = groups.map((name): GroupId => world.plan.topology.groups.find((group) => group.name === name)!.id);
    const carrier = spanningGroup(world.plan.topology, ids)!;
    const sent: Sent = { who: client.name, groups, position: "" };
    this.#sent.set(mark, sent);
    const options = { timeoutMs: client.patienceMs, ...(answers === null ? {} : { idempotencyKey: mark }) };
    let [told, unknown, last] = [0, false, ""];
    for (let tries = 0; told < (answers ?? 1) && tries < (answers === null ? 1 : triesMax); tries++) {
      if (tries > 0) await client.pause(20);
      const reply = await client.ask(async (services) => {
        const { position } = await services.multicast(groups, value, options);
        world.acknowledged.acknowledge(value, carrier.id, client.node);
        return position;
      });
      if (reply.ok) {
        const { position } = sent;
        demand(
          position === "" || position === reply.value,
          "exactly-once",
          () => `${client.name} is told that ${mark} is at ${reply.value}, and was told ${position}`,
        );
        sent.position = reply.value;
        if (told++ > 0) this.again++;
        client.moveOn();
      } else {
        demand(reply.code !== "key-reused", "exactly-once", () => `${client.name} is told that the key of ${mark} is another's`);
        unknown ||= reply.outcome === "unknown";
        last = `${reply.code} at n${reply.node}`;
      }
    }
    if (told === 0 && !unknown) this.#refused.set(mark, last);
    return told > 0;
  }

  #newListener(who: string, groups: readonly string[], from: string | null = ""): Listener {
    const listener: Listener = { who, groups, from, heard: [], upTo: "" };
    this.#listeners.push(listener);
    return listener;
  }

  #listen(life: Life, listener: Listener): void {
    const { world } = this.#kit;
    const after = listener.upTo !== "" ? { after: listener.upTo } : listener.from === null ? {} : { after: "start" };
    const stream = life.services!.deliveries(listener.groups, after);
    follow(life, stream, (event) => this.#hear(listener, event)).then((error) => {
      if (error?.code === "compacted") return this.#listenAnew(life, listener);
      // A node that closes ends its streams; nothing else may.
      if (error !== null && error.code !== "closed") world.loop.fail(error);
    }, (error) => world.loop.fail(error));
  }

  /** What comes next for it has been forgotten: somebody else goes on from now. */
  #listenAnew(life: Life, old: Listener): void {
    this.restarted++;
    const listener = this.#newListener(old.who, old.groups, null);
    const lasting = this.#lasting.get(life.machine.id)!;
    const at = lasting.indexOf(old);
    if (at >= 0) lasting[at] = listener;
    life.after(againMs, () => {
      if (life.up) this.#listen(life, listener);
    });
  }

  #hear(listener: Listener, event: DeliveryEvent): boolean {
    if (event.kind === "stalled") return true;
    const { who, upTo } = listener;
    if (event.kind === "caught-up") {
      if (event.position > upTo) listener.upTo = event.position;
      return true;
    }
    this.delivered++;
    demand(event.position > upTo, "order", () => `${who} hears ${event.text().slice(0, 11)} at ${event.position} after it was at ${upTo}`);
    listener.from ??= event.position;
    listener.heard.push({ position: event.position, mark: event.text().slice(0, 11) });
    listener.upTo = event.position;
    return true;
  }

  #allHeard(node: number): boolean {
    const lasting = this.#lasting.get(node) ?? [];
    return lasting.length > 0 &&
      lasting.every(({ groups, upTo }) =>
        [...this.#sent.values()].every((sent) => sent.position <= upTo || !this.#reaches(groups, sent.groups))
      );
  }

  /** Whoever listens to a group hears what is sent to it and to those that span it. */
  #reaches(listened: readonly string[], groups: readonly string[]): boolean {
    const { topology } = this.#kit.world.plan;
    const ids = topology.groups.filter(({ name }) => listened.includes(name)).map(({ id }) => id);
    return topology.groups.some(({ name, spans }) =>
      groups.includes(name) && (listened.includes(name) || spans.some((id) => ids.includes(id)))
    );
  }

  #checkListener({ who, groups, from, heard }: Listener, marks: Map<string, string>): void {
    const once = new Set<string>();
    for (const { position, mark } of heard) {
      const sent = this.#sent.get(mark);
      demand(sent !== undefined, "integrity", () => `${who} heard ${mark}, which nobody sent`);
      demand(!once.has(mark), "integrity", () => `${who} heard ${mark} twice`);
      once.add(mark);
      demand(!this.#refused.has(mark), "outcome", () => `${who} heard ${mark}, which certainly was not sent (${this.#refused.get(mark)})`);
      demand(this.#reaches(groups, sent!.groups), "integrity", () => `${who} heard ${mark}, which was for ${sent!.groups.join(", ")}`);
      const before = marks.get(mark) ?? position;
      demand(
        before === position && (sent!.position === "" || sent!.position === position),
        "integrity",
        () => `${who} heard ${mark} at ${position}, and it is at ${before}`,
      );
      marks.set(mark, position);
    }
    const reached = heard.at(-1)?.position ?? "";
    for (const [mark, sent] of this.#sent) {
      if (sent.position === "" || from === null || sent.position < from || sent.position > reached || !this.#reaches(groups, sent.groups)) {
        continue;
      }
      demand(
        once.has(mark),
        "validity",
        () => `${who} heard ${reached} and never ${mark} at ${sent.position}, sent to ${sent.groups.join(", ")}`,
      );
    }
  }

  /** Who listens to the same groups hears the same, from where it began to where it is. */
  #compare(): void {
    const all = new Map<string, Map<string, string>>();
    const nameOf = ({ groups }: Listener): string => groups.join(" ");
    for (const listener of this.#listeners) {
      const union = all.get(nameOf(listener)) ?? new Map<string, string>();
      all.set(nameOf(listener), union);
      for (const { position, mark } of listener.heard) union.set(position, mark);
    }
    for (const [name, union] of all) {
      const order = [...union].sort(([a], [b]) => a < b ? -1 : 1);
      for (const listener of this.#listeners) {
        const { from, heard, who } = listener;
        if (nameOf(listener) !== name || from === null || heard.length === 0) continue;
        const first = order.findIndex(([position]) => position >= from);
        heard.forEach(({ mark }, index) => {
          const expected = order[first + index]?.[1];
          demand(mark === expected, "agreement", () => `${who} heard ${mark} where others who listen to ${name} heard ${expected}`);
        });
      }
    }
  }

  /** Without trusting positions: the union of all sequences has no cycle. */
  #checkOrder(): void {
    const next = new Map<string, Set<string>>();
    const before = new Map<string, number>();
    for (const { heard } of this.#listeners) {
      for (let index = 1; index < heard.length; index++) {
        const [from, to] = [heard[index - 1]!.mark, heard[index]!.mark];
        const targets = next.get(from) ?? new Set<string>();
        next.set(from, targets);
        if (targets.has(to)) continue;
        targets.add(to);
        before.set(to, (before.get(to) ?? 0) + 1);
      }
    }
    const free = [...next.keys()].filter((mark) => !before.has(mark));
    const all = new Set([...next.keys(), ...before.keys()]);
    let sorted = 0;
    for (let mark = free.pop(); mark !== undefined; mark = free.pop()) {
      sorted++;
      for (const to of next.get(mark) ?? []) {
        before.set(to, before.get(to)! - 1);
        if (before.get(to) === 0) free.push(to);
      }
    }
    demand(sorted === all.size, "acyclic", () => `${all.size - sorted} messages lie on cycles of the listeners' orders`);
  }
}

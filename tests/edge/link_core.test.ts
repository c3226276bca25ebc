/** Three real cores over real links: everything they say survives the wire, in both shapes, also when a node falls silent or has its key replaced. */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Delivery, Input, JournalRecord } from "../../core/effects.ts";
import { eachCommand } from "../../core/entry.ts";
import { defaultLimits } from "../../core/limits.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology, type Shape, type Topology } from "../../core/topology.ts";
import { Reader, Writer } from "../../edge/codec/bytes.ts";
import { decodeRecord, encodeRecord } from "../../edge/codec/record.ts";
import type { Link } from "../../edge/link/link.ts";
import { type LinkDriver, openLink } from "../../edge/link/open.ts";
import type { Identity, KeyPair } from "../../edge/link/identity.ts";
import { testIdentity, testKey } from "../harness/identity.ts";

/** Steps a core with what comes and carries out what it asks; its journal is a list of encoded records. */
class SmallHost {
  readonly delivered: string[] = [];
  readonly #core: CoreNode;
  readonly #inbox: Input[] = [];
  #lsn = 0;
  #cancelWake: () => void = () => {};
  #link: Link | null = null;
  #stopped = false;

  constructor(core: CoreNode) {
    this.#core = core;
    this.submit({ kind: "subscribe", subscription: 1, groups: [1], after: null, demand: Infinity });
  }

  use(link: Link | null): void {
    this.#link = link;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelWake();
  }

  submit(input: Input): void {
    if (this.#inbox.push(input) === 1) runtime.clock.soon(() => this.#turn());
  }

  #turn(): void {
    if (this.#stopped) return;
    const now = runtime.clock.now();
    for (const input of this.#inbox.splice(0)) this.#core.step(input, now);
    const effects = this.#core.drain();
    for (const envelope of effects.send) this.#link?.send(envelope);
    for (const record of effects.records) expect(again(record)).toEqual(record);
    for (const envelope of effects.sendAfterPersist) this.#link?.send(envelope);
    if (effects.records.length > 0) this.submit({ kind: "persisted", upTo: this.#lsn += effects.records.length });
    for (const read of effects.reads) this.submit({ kind: "read", request: read.request, entries: [] });
    for (const delivery of effects.deliveries) this.#deliver(delivery);
    this.#cancelWake();
    this.#cancelWake = runtime.clock.wakeAt(effects.wakeAt, () => this.submit({ kind: "wake" }));
  }

  #deliver({ entry, from, to, repeated }: Delivery): void {
    let index = 0;
    entry.batches.forEach((batch, at) => {
      eachCommand(batch.bytes, (payload) => {
        if (index >= from && index < to && !repeated?.has(at)) this.delivered.push(new TextDecoder().decode(payload));
        index++;
      });
    });
  }
}

function again(record: JournalRecord): JournalRecord {
  const writer = new Writer();
  encodeRecord(writer, record);
  return decodeRecord(new Reader(writer.view()));
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 15_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Waited 15 s: ${what}`);
    await Bun.sleep(5);
  }
}

/** Three hosts, linked with each other under keys that can be replaced. */
class Trio {
  readonly hosts: readonly SmallHost[];
  readonly links: Link[] = [];
  readonly notices: string[] = [];
  readonly #topology: Topology;
  readonly identities: readonly (Identity & { keys: KeyPair[] })[];
  #addresses: readonly string[] = [];
  #ticket = 0;

  readonly #driver: LinkDriver;

  constructor(shape: Shape, driver: LinkDriver) {
    this.#driver = driver;
    this.#topology = parseTopology({ nodes: [{ name: "a" }, { name: "b" }, { name: "c" }], groups: [{ name: "main", shape }] });
    this.hosts = this.#topology.nodes.map(({ id }) =>
      new SmallHost(new CoreNode({ id, topology: this.#topology, limits: defaultLimits, durability: "sync", seed: id, incarnation: id }))
    );
    this.identities = this.#topology.nodes.map(({ id }) => {
      const identity = testIdentity(runtime.cryptography, this.#topology, id);
      return { ...identity, keys: [...identity.keys] };
    });
  }

  async start(): Promise<void> {
    for (const index of this.hosts.keys()) this.links[index] = await this.#openLink(index, 0);
    this.#addresses = this.links.map((link) => link.address);
    for (const index of this.hosts.keys()) this.#join(index);
  }

  async restart(index: number): Promise<void> {
    this.links[index] = await this.#openLink(index, Number(this.#addresses[index]!.split(":")[1]));
    this.#join(index);
  }

  propose(index: number, count: number): void {
    for (let nth = 0; nth < count; nth++) {
      const payload = new TextEncoder().encode(`${index + 1}/${++this.#ticket}`);
      this.hosts[index]!.submit({ kind: "propose", ticket: this.#ticket, group: 1, payload });
    }
  }

  /** All have the same, in one order, and each command once. */
  expectOneOrder(commands: number): void {
    const [first, second, third] = this.hosts.map((host) => host.delivered);
    expect(second).toEqual(first!);
    expect(third).toEqual(first!);
    expect(new Set(first).size).toBe(commands);
    expect(first!.length).toBe(commands);
    expect(this.notices.filter((notice) => notice.startsWith("Cannot read"))).toEqual([]);
  }

  async close(): Promise<void> {
    for (const host of this.hosts) host.stop();
    await Promise.all(this.links.map((link) => link.close()));
  }

  #openLink(index: number, port: number): Promise<Link> {
    const options = { runtime, topology: this.#topology, identity: this.identities[index]!, listen: { host: "127.0.0.1", port } };
    return openLink(this.#driver, options, {
      onMessage: (from, message) => this.hosts[index]!.submit({ kind: "receive", from, message }),
      onUnreachable: (node) => this.hosts[index]!.submit({ kind: "unreachable", node }),
      onNotice: (sentence) => this.notices.push(sentence),
    });
  }

  #join(index: number): void {
    this.hosts[index]!.use(this.links[index]!);
    this.#addresses.forEach((address, peer) => {
      if (peer !== index) this.links[index]!.open(peer + 1, address);
    });
  }
}

const drivers: readonly LinkDriver[] = ["h2", "udp", "auto"];

for (const { shape, driver } of (["star", "ring"] satisfies Shape[]).flatMap((shape) => drivers.map((driver) => ({ shape, driver })))) {
  test(`a ${shape} of three over ${driver} orders every command of all, and goes on while one is cut off`, async () => {
    const trio = new Trio(shape, driver);
    const { hosts, links } = trio;
    try {
      await trio.start();
      for (const index of [0, 1, 2]) trio.propose(index, 200);
      await until("all three deliver all 600", () => hosts.every((host) => host.delivered.length === 600));

      hosts[2]!.use(null);
      await links[2]!.close();
      trio.propose(0, 100);
      await until("two go on", () => hosts[0]!.delivered.length === 700 && hosts[1]!.delivered.length === 700);
      expect(hosts[2]!.delivered.length).toBe(600);

      await trio.restart(2);
      await until("the third catches up", () => hosts[2]!.delivered.length === 700);
      trio.expectOneOrder(700);
    } finally {
      await trio.close();
    }
  }, 60_000);
}

test.each(drivers)(
  "over %s every node's key is replaced, one node after the other, while commands flow: all of them are ordered",
  async (driver) => {
    const trio = new Trio("star", driver);
    const { hosts, links, identities } = trio;
    const { cryptography } = runtime;
    const [old, fresh] = [0, 10].map((offset) => [1, 2, 3].map((id) => testKey(cryptography, id + offset))) as [KeyPair[], KeyPair[]];
    const reconnects = (): number => links.flatMap((link) => link.stats()).reduce((sum, peer) => sum + peer.reconnects, 0);
    let proposed = 0;
    const more = async (): Promise<void> => {
      for (const index of [0, 1, 2]) trio.propose(index, 20);
      proposed += 60;
      await Bun.sleep(5);
    };
    const everywhere = (): Promise<void> =>
      until(`all ${proposed} are everywhere`, () => hosts.every((host) => host.delivered.length === proposed));
    try {
      await trio.start();
      await more();
      await everywhere();
      // Both keys of everybody: held first, then listed. No stream ends.
      const connections = reconnects();
      for (const [index, identity] of identities.entries()) identity.keys = [{ ...old[index]! }, fresh[index]!];
      for (const { roster } of identities) {
        roster.replace(new Map(old.map(({ publicKey }, index) => [index + 1, [publicKey, fresh[index]!.publicKey]])));
        await more();
      }
      await everywhere();
      expect(reconnects()).toBe(connections);
      // The old one goes, from one node's listing after the other's, and then from the files.
      for (const { roster } of identities) {
        roster.replace(new Map(fresh.map(({ publicKey }, index) => [index + 1, [publicKey]])));
        await more();
      }
      for (const identity of identities) identity.keys = identity.keys.slice(1);
      await more();
      await everywhere();
      expect(reconnects()).toBeGreaterThan(connections);
      trio.expectOneOrder(proposed);
    } finally {
      await trio.close();
    }
  },
  60_000,
);

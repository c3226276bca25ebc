/** Three real cores over real links: everything they say survives the wire, in both shapes, also when a node falls silent. */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { Delivery, Input, JournalRecord } from "../../core/effects.ts";
import { eachCommand } from "../../core/entry.ts";
import { defaultLimits } from "../../core/limits.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology, type Shape } from "../../core/topology.ts";
import { Reader, Writer } from "../../edge/codec/bytes.ts";
import { decodeRecord, encodeRecord } from "../../edge/codec/record.ts";
import { openHttp2Link } from "../../edge/link/http2.ts";
import type { Link } from "../../edge/link/link.ts";
import { testIdentity } from "../harness/identity.ts";

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

for (const shape of ["star", "ring"] satisfies Shape[]) {
  test(`a ${shape} of three orders every command of all, and goes on while one is cut off`, async () => {
    const topology = parseTopology({ nodes: [{ name: "a" }, { name: "b" }, { name: "c" }], groups: [{ name: "main", shape }] });
    const hosts = [1, 2, 3].map((id) =>
      new SmallHost(new CoreNode({ id, topology, limits: defaultLimits, durability: "sync", seed: id, incarnation: id }))
    );
    const notices: string[] = [];
    const identities = [1, 2, 3].map((id) => testIdentity(runtime.cryptography, topology, id));
    const openLink = (index: number, port = 0): Promise<Link> =>
      openHttp2Link({ runtime, topology, identity: identities[index]!, listen: { host: "127.0.0.1", port } }, {
        onMessage: (from, message) => hosts[index]!.submit({ kind: "receive", from, message }),
        onUnreachable: (node) => hosts[index]!.submit({ kind: "unreachable", node }),
        onNotice: (sentence) => notices.push(sentence),
      });
    const links = await Promise.all(hosts.map((_, index) => openLink(index)));
    const addresses = links.map((link) => link.address);
    const join = (index: number): void => {
      hosts[index]!.use(links[index]!);
      addresses.forEach((address, peer) => {
        if (peer !== index) links[index]!.open(peer + 1, address);
      });
    };
    hosts.forEach((_, index) => join(index));

    let ticket = 0;
    const proposeAt = (index: number, count: number): void => {
      for (let nth = 0; nth < count; nth++) {
        const payload = new TextEncoder().encode(`${index + 1}/${++ticket}`);
        hosts[index]!.submit({ kind: "propose", ticket, group: 1, payload });
      }
    };
    try {
      for (const index of [0, 1, 2]) proposeAt(index, 200);
      await until("all three deliver all 600", () => hosts.every((host) => host.delivered.length === 600));

      hosts[2]!.use(null);
      await links[2]!.close();
      proposeAt(0, 100);
      await until("two go on", () => hosts[0]!.delivered.length === 700 && hosts[1]!.delivered.length === 700);
      expect(hosts[2]!.delivered.length).toBe(600);

      links[2] = await openLink(2, Number(addresses[2]!.split(":")[1]));
      join(2);
      await until("the third catches up", () => hosts[2]!.delivered.length === 700);

      const [first, second, third] = hosts.map((host) => host.delivered);
      expect(second).toEqual(first!);
      expect(third).toEqual(first!);
      expect(new Set(first).size).toBe(700);
      expect(notices.filter((notice) => notice.startsWith("Cannot read"))).toEqual([]);
    } finally {
      for (const host of hosts) host.stop();
      await Promise.all(links.map((link) => link.close()));
    }
  }, 60_000);
}

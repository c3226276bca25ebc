/** The host drives a real core over a disk that can hold, fail and lose: what leaves, when, and in which order. */
import { expect, test } from "bun:test";
import type { Confirmation, Delivery, Envelope, Input, Lost, Refusal } from "../../core/effects.ts";
import { ballot, type GroupId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import { describe } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";
import { Host } from "../../edge/host.ts";
import { runtime } from "#runtime";
import { FaultyDisk } from "./faulty_disk.ts";
import { open } from "./journal_kit.ts";

const three = parseTopology({ cluster: "test", nodes: [{ name: "n1" }, { name: "n2" }, { name: "n3" }] });
const one = parseTopology({ cluster: "test", nodes: [{ name: "n1" }] });

interface Outcome {
  readonly host: Host;
  readonly core: CoreNode;
  readonly disk: FaultyDisk;
  readonly sent: Envelope[];
  readonly delivered: Delivery[];
  readonly refused: Refusal[];
  readonly confirmed: Confirmation[];
  readonly proposed: number[];
  readonly lost: Lost[];
  readonly behind: GroupId[];
  readonly crashes: Error[];
  /** Said so far, without heartbeats. */
  said(): string[];
  stop(): Promise<void>;
}

async function start(topology = one, onDelivery: (delivery: Delivery) => void = () => {}): Promise<Outcome> {
  const disk = new FaultyDisk();
  const core = new CoreNode({ id: 1, topology, limits: defaultLimits, durability: "sync", seed: 1, incarnation: 7 });
  const { journal } = await open(disk);
  const sent: Envelope[] = [];
  const delivered: Delivery[] = [];
  const refused: Refusal[] = [];
  const confirmed: Confirmation[] = [];
  const proposed: number[] = [];
  const crashes: Error[] = [];
  const lost: Lost[] = [];
  const behind: GroupId[] = [];
  const outlets = {
    send: (envelope: Envelope) => void sent.push(envelope),
    deliver(delivery: Delivery): void {
      delivered.push(delivery);
      onDelivery(delivery);
    },
    refuse: (refusal: Refusal) => void refused.push(refusal),
    confirm: (confirmation: Confirmation) => void confirmed.push(confirmation),
    begins: () => true,
    proposed: (ticket: number) => void proposed.push(ticket),
    lose: (gone: Lost) => void lost.push(gone),
    behind: (group: GroupId) => void behind.push(group),
    crash: (error: Error) => void crashes.push(error),
  };
  const host = new Host({ core, journal, clock: runtime.clock, outlets });
  const said = (): string[] =>
    sent.filter(({ message }) => message.kind !== "heartbeat").map(({ to, message }) => `${to.join()}: ${describe(message)}`);
  const stop = async (): Promise<void> => {
    host.stop();
    disk.letGo();
    await journal.close();
  };
  host.submit({ kind: "wake" });
  return { host, core, disk, sent, delivered, refused, confirmed, proposed, lost, behind, crashes, said, stop };
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Cannot wait longer for ${condition}`);
    await Bun.sleep(1);
  }
}

const leads = ({ core }: Outcome) => (): boolean => core.view().groups[0]!.coordinates !== 0 && core.view().groups[0]!.decided > 0;
const propose = (ticket: number, payload = new Uint8Array(10)): Input => ({ kind: "propose", ticket, group: 1, payload });

test("what speaks for a record leaves when the record is durable, and not before", async () => {
  const node = await start(three);
  await Bun.sleep(20);
  node.disk.hold = true;
  node.host.submit({
    kind: "receive",
    from: 2,
    message: { kind: "prepare", group: 1, ballot: ballot(5, 2), trial: false, released: 0 },
  });
  await Bun.sleep(60);
  expect(node.said().filter((line) => line.includes("promise"))).toEqual([]);
  expect(node.sent.length).toBeGreaterThan(0);
  node.disk.letGo();
  await until(() => node.said().some((line) => line.includes("promise")));
  expect(node.said().filter((line) => line.includes("promise"))).toEqual(["2: promise g1 b=5.2 granted log=none/0 decided=0"]);
  await node.stop();
});

test("everything of one turn shares one append, and is delivered in order", async () => {
  const node = await start();
  await until(leads(node));
  node.host.submit({ kind: "subscribe", subscription: 1, groups: [1], after: "now", demand: Infinity });
  await Bun.sleep(10);
  node.disk.calls.length = 0;
  for (let ticket = 1; ticket <= 50; ticket++) node.host.submit(propose(ticket, new Uint8Array([ticket])));
  await until(() => node.delivered.reduce((sum, { from, to }) => sum + to - from, 0) === 50);
  expect(node.disk.calls.filter((call) => call.startsWith("write")).length).toBeLessThanOrEqual(2);
  expect(node.proposed).toEqual([50]);
  await node.stop();
});

test("a refusal comes before its ticket is settled, a confirmation after the deliveries it covers", async () => {
  const node = await start();
  await until(leads(node));
  node.host.submit({ kind: "subscribe", subscription: 1, groups: [1], after: "now", demand: Infinity });
  node.host.submit(propose(1, new Uint8Array(defaultLimits.payloadBytesMax + 1)));
  node.host.submit(propose(2));
  await until(() => node.delivered.length === 1);
  expect(node.refused.map(({ ticket, code }) => [ticket, code])).toEqual([[1, "too-large"]]);
  node.host.submit({ kind: "confirm", request: 9, subscription: 1, groups: [1] });
  await until(() => node.confirmed.length === 1);
  expect(node.confirmed[0]!.request).toBe(9);
  expect(node.confirmed[0]!.position.major).toBe(node.delivered[0]!.entry.stamp);
  await node.stop();
});

test("a failed sync crashes the node once, and what waited for it is never said", async () => {
  const node = await start(three);
  await Bun.sleep(20);
  node.disk.failSync = new Error("EIO: i/o error");
  const prepare = (round: number): Input => ({
    kind: "receive",
    from: 2,
    message: { kind: "prepare", group: 1, ballot: ballot(round, 2), trial: false, released: 0 },
  });
  node.host.submit(prepare(5));
  await Bun.sleep(5);
  node.host.submit(prepare(6));
  await until(() => node.crashes.length > 0);
  const sent = node.sent.length;
  await Bun.sleep(100);
  expect(node.crashes.map((error) => error.message)).toEqual(['Cannot write the journal in "/test": EIO: i/o error']);
  expect(node.said().filter((line) => line.includes("promise"))).toEqual([]);
  expect(node.sent.length).toBe(sent);
  await node.stop();
});

test("an exception in a turn ends the node, once", async () => {
  const node = await start(one, () => {
    throw new Error("Cannot apply a command: the machine is broken");
  });
  await until(leads(node));
  node.host.submit({ kind: "subscribe", subscription: 1, groups: [1], after: "now", demand: Infinity });
  node.host.submit(propose(1));
  node.host.submit(propose(2));
  await until(() => node.crashes.length > 0);
  node.host.submit(propose(3));
  await Bun.sleep(50);
  expect(node.crashes.map((error) => error.message)).toEqual(["Cannot apply a command: the machine is broken"]);
  expect(node.delivered.length).toBe(1);
  await node.stop();
});

test("an idle node sleeps: a turn now and then, and no timer in between", async () => {
  const node = await start();
  await until(leads(node));
  await Bun.sleep(600);
  let turns = 0;
  const drain = node.core.drain.bind(node.core);
  node.core.drain = () => {
    turns++;
    return drain();
  };
  await Bun.sleep(500);
  expect(turns).toBeLessThan(20);
  await node.stop();
});

/** A member that sends nonsense, well encoded, neither ends the others nor gets it into their logs. */
import { expect, test } from "bun:test";
import type { Effects, Input } from "../../core/effects.ts";
import { type Batch, type Entry, packCommands } from "../../core/entry.ts";
import { isSound, isSoundBeat } from "../../core/group/sound.ts";
import { ballot, type NodeId, origin } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import { type Accept, type Beat, describe, type Entries, type Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { Prng } from "../../core/prng.ts";
import { parseTopology, type Topology } from "../../core/topology.ts";
import { Writer } from "../../edge/codec/bytes.ts";
import { decodeMessage, encodeMessage } from "../../edge/codec/message.ts";

const far = 2 ** 52;
const { groups: [spec] } = parseTopology({
  nodes: ["n1", "n2", "n3", "n4"].map((name) => ({ name })),
  groups: [{ name: "a", acceptors: ["n1", "n2"], learners: ["n1", "n2", "n3"], proposers: ["n2"] }],
}) as Topology & { groups: [Topology["groups"][0]] };

const body = packCommands([new Uint8Array([1]), new Uint8Array([2, 3])]);
const batch: Batch = { origin: origin(2, 7), sequence: 1, count: 2, bytes: body };
const entry: Entry = { instance: 3, ballot: ballot(1, 1), stamp: 50, count: 2, slotBase: 0, slots: 2, kind: "batch", batches: [batch] };
const fence: Entry = { instance: 2, ballot: ballot(1, 1), stamp: 40, count: 1, slotBase: 0, slots: 0, kind: "start", batches: [] };
const accept: Accept = { kind: "accept", group: 1, ballot: ballot(1, 1), base: 1, start: 2, ring: false, entry, decided: 2, clock: 60 };
const entries: Entries = {
  kind: "entries",
  group: 1,
  promised: ballot(1, 1),
  ballot: ballot(1, 1),
  base: 1,
  start: 2,
  last: 3,
  decided: 2,
  entries: [fence, entry],
};
const beat: Beat = {
  group: 1,
  voting: true,
  promised: ballot(1, 1),
  logBallot: ballot(1, 1),
  voted: 3,
  last: 3,
  decided: 2,
  clock: 60,
  coordinates: ballot(1, 1),
  slots: 2,
  safe: 0,
  trimmed: 0,
};
const of = (changed: Partial<Batch>): Entry => ({ ...entry, batches: [{ ...batch, ...changed }] });
const propose = (changed: Partial<Batch>): Message => ({ kind: "propose", group: 1, batches: [{ ...batch, ...changed }] });
const answer = (changed: Partial<Entry>): Entries => ({ ...entries, entries: [fence, { ...entry, ...changed }] });

test("what members say to each other makes sense", () => {
  const skip: Entry = { ...fence, instance: 3, kind: "skip", slots: 9 };
  const messages: [NodeId, Message][] = [
    [2, propose({})],
    [1, accept],
    [1, { ...accept, entry: fence }],
    [2, { ...accept, ring: true, entry: of({ bytes: new Uint8Array(0) }) }],
    [1, { ...accept, entry: skip }],
    [3, entries],
    [3, { ...entries, ballot: 0, base: 0, start: 0 }],
    [3, { ...entries, entries: [] }],
    [2, { kind: "prepare", group: 1, ballot: ballot(9, 2), trial: true, released: 0 }],
    [2, { kind: "vote", group: 1, ballot: ballot(1, 1), ring: false, votes: [{ node: 2, upTo: 3, clock: 0 }] }],
    [3, { kind: "vote", group: 1, ballot: ballot(1, 1), ring: true, votes: [{ node: 2, upTo: 3, clock: 0 }] }],
  ];
  for (const [from, message] of messages) expect([describe(message), isSound(from, message, spec)]).toEqual([describe(message), true]);
  expect(isSoundBeat(1, beat, spec)).toBe(true);
  expect(isSoundBeat(3, { ...beat, coordinates: 0 }, spec)).toBe(true);
});

const nonsense: readonly [string, NodeId, Message][] = [
  ["a stranger to the group", 4, propose({})],
  ["a batch without a body where it has to be", 2, propose({ bytes: new Uint8Array(0) })],
  ["a batch with more commands than it says", 2, propose({ count: 1 })],
  ["a batch with fewer commands than it says", 2, propose({ count: 3 })],
  ["a batch that ends inside a command", 2, propose({ bytes: body.subarray(0, body.byteLength - 1) })],
  ["a batch of somebody who may not propose", 2, propose({ origin: origin(1, 7) })],
  ["a batch number of zero", 2, propose({ sequence: 0 })],
  ["a candidate in another node's name", 1, { kind: "prepare", group: 1, ballot: ballot(2, 2), trial: false, released: 0 }],
  ["a candidate that is no acceptor", 3, { kind: "prepare", group: 1, ballot: ballot(2, 3), trial: false, released: 0 }],
  ["a ballot near the end of numbers", 1, { kind: "prepare", group: 1, ballot: ballot(2 ** 36, 1), trial: false, released: 0 }],
  ["an entry from somebody who does not coordinate", 2, accept],
  ["an entry of no ballot", 1, { ...accept, ballot: 0 }],
  ["an entry of a later ballot than the one it comes in", 1, { ...accept, entry: { ...entry, ballot: ballot(2, 1) } }],
  ["an entry of an older ballot behind the fence", 1, { ...accept, ballot: ballot(2, 1) }],
  ["an entry in front of the base", 1, { ...accept, entry: { ...entry, instance: 1 } }],
  ["a command where the fence should be", 1, { ...accept, entry: { ...entry, instance: 2 } }],
  ["a fence where a command should be", 1, { ...accept, entry: { ...fence, instance: 3 } }],
  ["a fence before the base", 1, { ...accept, base: 2 }],
  ["an entry with more commands than its batches", 1, { ...accept, entry: { ...entry, count: 3, slots: 3 } }],
  ["an entry with other slots than commands", 1, { ...accept, entry: { ...entry, slots: 1 } }],
  ["a stamp near the end of numbers", 1, { ...accept, entry: { ...entry, stamp: far - 2 } }],
  ["slots near the end of numbers", 1, { ...accept, entry: { ...entry, slotBase: far - 2 } }],
  ["a clock near the end of numbers", 1, { ...accept, clock: far }],
  ["a vote in another node's name", 1, {
    kind: "vote",
    group: 1,
    ballot: ballot(1, 1),
    ring: false,
    votes: [{ node: 2, upTo: 3, clock: 0 }],
  }],
  ["entries out of order", 1, { ...entries, entries: [entry, fence] }],
  ["entries with a gap", 1, answer({ instance: 4 })],
  ["entries of which one is a reference", 1, { ...entries, entries: [of({ bytes: new Uint8Array(0) })] }],
  ["entries of a later ballot than the log they are from", 1, answer({ ballot: ballot(2, 1) })],
  ["entries that decide more than there is", 1, { ...entries, decided: 4 }],
  ["entries from instance 0", 1, { ...entries, base: 0, start: 1, entries: [{ ...fence, instance: 0 }] }],
  ["a release of somebody else's ballot", 2, { kind: "release", group: 1, ballot: ballot(1, 1) }],
  ["a fetch from before the beginning", 2, { kind: "fetch", group: 1, from: 0, bytesMax: 9 }],
  ["a promise that decides more than it holds", 2, {
    kind: "promise",
    group: 1,
    ballot: ballot(1, 1),
    trial: false,
    granted: true,
    promised: ballot(1, 1),
    logBallot: 0,
    last: 1,
    decided: 2,
    clock: 0,
  }],
];

test.each(nonsense)("passed over: %s", (_what, from, message) => {
  expect(isSound(from, message, spec)).toBe(false);
});

test("heartbeats in another node's name or of numbers near their end are passed over", () => {
  expect(isSoundBeat(4, { ...beat, coordinates: 0 }, spec)).toBe(false);
  expect(isSoundBeat(2, beat, spec)).toBe(false);
  expect(isSoundBeat(3, { ...beat, coordinates: ballot(1, 3) }, spec)).toBe(false);
  for (const field of ["promised", "logBallot", "voted", "last", "decided", "clock", "slots", "safe", "trimmed"] as const) {
    expect(isSoundBeat(1, { ...beat, [field]: far }, spec)).toBe(false);
  }
});

/** Three nodes whose messages arrive in order and whose disks are instant; what node 3 says may be changed on the way. */
class Trio {
  readonly nodes = new Map<NodeId, CoreNode>();
  readonly #flight: { from: NodeId; to: NodeId; message: Message }[] = [];
  readonly #change: (message: Message) => Message | null;
  readonly delivered = new Map<NodeId, number>();
  readonly #lsn = new Map<NodeId, number>();
  now = 1_000;
  #tickets = 0;

  constructor(topology: Topology, change: (message: Message) => Message | null) {
    this.#change = change;
    for (const { id } of topology.nodes) {
      this.nodes.set(id, new CoreNode({ id, topology, limits: defaultLimits, durability: "sync", seed: id, incarnation: id }));
      this.delivered.set(id, 0);
      this.step(id, {
        kind: "subscribe",
        subscription: 1,
        groups: topology.groups.map((group) => group.id),
        after: null,
        demand: Infinity,
      });
    }
  }

  step(id: NodeId, input: Input): void {
    const node = this.nodes.get(id)!;
    node.step(input, { mono: this.now, wall: 40_000_000_000_000 + this.now * 1_000 });
    this.#carryOut(id, node.drain());
  }

  #carryOut(id: NodeId, effects: Effects): void {
    for (const { to, message } of [...effects.send, ...effects.sendAfterPersist]) {
      for (const node of to) this.#flight.push({ from: id, to: node, message });
    }
    this.delivered.set(id, this.delivered.get(id)! + effects.deliveries.length);
    this.#lsn.set(id, (this.#lsn.get(id) ?? 0) + effects.records.length);
    if (effects.records.length > 0) this.step(id, { kind: "persisted", upTo: this.#lsn.get(id)! });
    for (const { request } of effects.reads) this.step(id, { kind: "read", request, entries: [] });
  }

  propose(id: NodeId, group: number): void {
    this.step(id, { kind: "propose", ticket: ++this.#tickets, group, payload: new Uint8Array([this.#tickets]) });
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 5) {
      for (const id of this.nodes.keys()) this.step(id, { kind: "wake" });
      for (let most = 2_000; this.#flight.length > 0 && most > 0; most--) {
        const { from, to, message } = this.#flight.shift()!;
        // Whatever the others made of the nonsense, they can still say it.
        if (from !== 3) encodeMessage(new Writer(), message);
        const said = from === 3 ? this.#change(message) : message;
        if (said !== null && this.nodes.has(to)) this.step(to, { kind: "receive", from, message: said });
      }
    }
  }
}

/** A copy with one number, flag or list changed, as it would come out of the codec; null if no encoding says so. */
function garbled(message: Message, random: Prng): Message | null {
  const copy = structuredClone(message);
  const places: { readonly object: Record<string, unknown>; readonly key: string }[] = [];
  const visit = (object: Record<string, unknown>): void => {
    for (const [key, value] of Object.entries(object)) {
      if (key === "kind" || value instanceof Uint8Array) continue;
      if (typeof value === "object" && value !== null) visit(value as Record<string, unknown>);
      if (typeof value === "number" || typeof value === "boolean" || Array.isArray(value)) places.push({ object, key });
    }
  };
  visit(copy as unknown as Record<string, unknown>);
  const { object, key } = places[random.below(places.length)]!;
  const value = object[key];
  if (typeof value === "boolean") object[key] = !value;
  else if (typeof value === "number") {
    const choices = [
      0,
      1,
      value + 1,
      value - 1,
      value + 65_536,
      value * 2,
      2 ** 31,
      2 ** 51,
      far - 1,
      far,
      Number.MAX_SAFE_INTEGER,
      -1e300,
      1e300,
    ];
    object[key] = choices[random.below(choices.length)]!;
  } else if (Array.isArray(value)) object[key] = random.below(2) === 0 ? value.reverse() : value.slice(1);
  const writer = new Writer();
  try {
    encodeMessage(writer, copy);
    return decodeMessage(writer.copy());
  } catch {
    return null;
  }
}

for (const [name, merge, shape] of [["a star", "ts", "star"], ["a ring", "ts", "ring"], ["slots", "rr", "star"]] as const) {
  test(`a member whose messages are garbled now and then ends nobody: ${name}`, () => {
    const topology = parseTopology({
      merge,
      nodes: ["n1", "n2", "n3"].map((node) => ({ name: node })),
      groups: [{ name: "a", shape, keys: [{}] }, { name: "b", shape, acceptors: ["n3", "n1", "n2"] }],
    });
    for (let seed = 1; seed <= 40; seed++) {
      const random = new Prng(seed);
      const trio = new Trio(topology, (message) => random.below(20) === 0 ? garbled(message, random) : message);
      for (let round = 0; round < 15; round++) {
        for (const id of trio.nodes.keys()) trio.propose(id, 1 + random.below(2));
        trio.run(50);
      }
      for (const [id, node] of trio.nodes) expect([seed, id, node.view().groups.length]).toEqual([seed, id, 2]);
    }
  }, 30_000);
}

test("ungarbled, the same three order everything", () => {
  const trio = new Trio(parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) }), (message) => message);
  trio.run(1_000);
  for (let round = 0; round < 10; round++) {
    for (const id of trio.nodes.keys()) trio.propose(id, 1);
    trio.run(50);
  }
  expect([...trio.delivered.values()]).toEqual([30, 30, 30]);
});

/**
 * A few bare cores on a table: time moves only when told, messages wait until delivered, disks sync when
 * let. Everything that happens is told in one line each. The transcripts' language is in transcript.ts.
 */
import { assert } from "../../core/assert.ts";
import type { Cursor, Effects, Envelope, Input, JournalRecord } from "../../core/effects.ts";
import { eachCommand } from "../../core/entry.ts";
import type { GroupId, Lsn, Millis, NodeId } from "../../core/ids.ts";
import { defaultLimits, type Limits } from "../../core/limits.ts";
import { describe, describeBallot, describeEntry, type Message } from "../../core/message.ts";
import { CoreNode, type Durability } from "../../core/node.ts";
import type { Topology } from "../../core/topology.ts";
import type { GroupView } from "../../core/view.ts";
import { JournalState } from "../sim/journal_state.ts";

interface InFlight {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
}

class Node {
  core: CoreNode | null = null;
  life = 0;
  /** Durable, over all lives. */
  journal: JournalRecord[] = [];
  state = new JournalState();
  /** Handed over in this life, not durable yet. */
  pending: JournalRecord[] = [];
  held: { readonly lsn: Lsn; readonly envelopes: readonly Envelope[] }[] = [];
  handed: Lsn = 0;
  durable: Lsn = 0;
  diskHeld = false;
  wakeAt: Millis = Infinity;
  views = new Map<GroupId, GroupView>();
  /** The newest, durable. */
  checkpoint: Cursor | null = null;
  /** Groups it cannot get further in, as told. */
  behind = new Set<GroupId>();
}

const steps = 20_000;

export class CoreEnv {
  readonly topology: Topology;
  now: Millis = 1_000;
  readonly nodes = new Map<NodeId, Node>();
  /** What happened since it was last taken. */
  #lines: string[] = [];
  #flight: InFlight[] = [];
  #beats: InFlight[] = [];
  readonly #cuts = new Set<string>();
  readonly #durability: Durability;
  readonly #limits: Limits;
  #tickets = 0;
  #requests = 0;

  constructor(topology: Topology, durability: Durability, limits: Partial<Limits> = {}) {
    this.topology = topology;
    this.#durability = durability;
    this.#limits = { ...defaultLimits, ...limits };
    for (const { id } of topology.nodes) this.nodes.set(id, new Node());
  }

  take(): string[] {
    return this.#lines.splice(0);
  }

  start(id: NodeId): void {
    const node = this.#node(id);
    assert(node.core === null, `Cannot start n${id}: it is running`);
    node.life++;
    node.core = new CoreNode({
      id,
      topology: this.topology,
      limits: this.#limits,
      durability: this.#durability,
      seed: id * 1_000 + node.life,
      incarnation: node.life,
    });
    for (const record of node.journal) node.core.restore(record);
    node.views = new Map(node.core.view().groups.map((view) => [view.group, view]));
    const learned = this.topology.groups.filter(({ learners }) => learners.includes(id)).map((group) => group.id);
    for (const [group, { floor }] of node.state.groups) node.core.restoreTrimmed(group, floor);
    this.#step(id, ...(learned.length > 0 ? goOn(learned, node.checkpoint) : []), { kind: "wake" });
  }

  /** The replica of this node is written out, durably. */
  checkpoint(id: NodeId): void {
    const node = this.#node(id);
    const cursor = node.core!.cursor(1);
    assert(cursor !== null, `Cannot write a checkpoint of n${id}: its place cannot be told`);
    node.checkpoint = cursor;
    this.#tell(`n${id} has a checkpoint: ${cursor.groups.map(({ group, foundation }) => `g${group}≤${foundation.instance}`).join(" ")}`);
    const groups = cursor.groups.map(({ group, foundation }) => ({ group, instance: foundation.instance }));
    this.#step(id, { kind: "checkpointed", groups });
  }

  /** It goes on from the other's checkpoint. */
  takeOver(id: NodeId, from: NodeId): void {
    const node = this.#node(id);
    const { checkpoint } = this.#node(from);
    assert(checkpoint !== null, `Cannot take a checkpoint of n${from}: it has none`);
    node.checkpoint = checkpoint;
    const groups = checkpoint.groups.map(({ group }) => group);
    this.#step(id, { kind: "unsubscribe", subscription: 1 }, ...goOn(groups, checkpoint));
  }

  crash(id: NodeId): void {
    const node = this.#node(id);
    if (node.pending.length > 0) this.#tell(`n${id} loses ${node.pending.map(tellRecord).join(", ")}`);
    if (this.#durability === "memory") {
      node.journal = [];
      node.state = new JournalState();
    }
    Object.assign(node, { core: null, pending: [], held: [], handed: 0, durable: 0, wakeAt: Infinity, views: new Map() });
  }

  input(id: NodeId, input: Input): void {
    this.#step(id, input);
  }

  propose(id: NodeId, group: GroupId, text: string): void {
    this.#step(id, { kind: "propose", ticket: ++this.#tickets, group, payload: new TextEncoder().encode(text) });
  }

  confirm(id: NodeId, groups: readonly GroupId[]): void {
    this.#step(id, { kind: "confirm", request: ++this.#requests, subscription: 1, groups });
  }

  /** The disk of a node syncs no more until `persist`. */
  holdDisk(id: NodeId): void {
    this.#node(id).diskHeld = true;
  }

  persist(id: NodeId): void {
    this.#node(id).diskHeld = false;
    this.#sync(id);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  mend(): void {
    this.#cuts.clear();
  }

  /** What is on its way, in order. */
  get flight(): readonly InFlight[] {
    return this.#flight;
  }

  drop(which: (flight: InFlight) => boolean): void {
    for (const lost of this.#flight.filter(which)) this.#tell(`n${lost.from} -> n${lost.to} ${describe(lost.message)} (lost)`);
    this.#flight = this.#flight.filter((flight) => !which(flight));
  }

  /** The newest message of a path once more. */
  repeat(which: (flight: InFlight) => boolean): void {
    const again = this.#flight.findLast(which);
    assert(again !== undefined, "Cannot repeat a message: none like it is on its way");
    this.#flight.push(again);
  }

  /** Delivers what is on its way, and what comes of it, until nothing is left or `until` says so. Disks sync at once. */
  deliver(which: (flight: InFlight) => boolean = () => true, until: () => boolean = () => false): void {
    this.#syncAll();
    for (let step = 0; step < steps && !until(); step++) {
      const at = this.#flight.findIndex(which);
      if (at < 0) return;
      const [next] = this.#flight.splice(at, 1);
      this.#arrive(next!, true);
      this.#syncAll();
    }
  }

  /** Lets time pass: timers fire, heartbeats travel at once, everything else too. */
  tick(ms: Millis, until: () => boolean = () => false, awake: (id: NodeId) => boolean = () => true): void {
    const end = this.now + ms;
    for (let step = 0; step < steps && !until(); step++) {
      if (this.#travel()) continue;
      let next = end;
      for (const [id, node] of this.nodes) if (node.core !== null && awake(id)) next = Math.min(next, node.wakeAt);
      // Timers are late, never early.
      this.now = Math.max(this.now, Math.min(end, next));
      let woke = false;
      for (const [id, node] of this.nodes) {
        if (node.core === null || !awake(id) || node.wakeAt > this.now) continue;
        woke = true;
        node.wakeAt = Infinity;
        this.#step(id, { kind: "wake" });
      }
      if (!woke && this.now >= end) break;
      if (woke && next <= this.now) this.now += 0.01;
    }
    while (this.#travel());
  }

  show(id: NodeId): void {
    const { core } = this.#node(id);
    if (core === null) return this.#tell(`n${id} is down`);
    for (const view of core.view().groups) {
      this.#tell(
        `n${id} g${view.group} promised=${describeBallot(view.promised)} log=${describeBallot(view.logBallot)}/${view.last} ` +
          `decided=${view.decided}${view.coordinates ? ` coordinates=${describeBallot(view.coordinates)}` : ""}${
            view.coordinator ? ` follows=n${view.coordinator}` : ""
          }${view.pendingCommands ? ` pending=${view.pendingCommands}` : ""}${
            view.voting || !this.topology.groups.find((group) => group.id === view.group)!.acceptors.includes(id) ? "" : " abstains"
          }${view.forgetful.length === 0 ? "" : ` waits: ${view.forgetful.map((node) => `n${node}`).join(" ")} forgot`}`,
      );
    }
  }

  log(id: NodeId, group: GroupId): void {
    const view = this.#node(id).core!.view().groups.find((candidate) => candidate.group === group)!;
    for (const entry of view.suffix) {
      this.#tell(`n${id} g${group} ${describeEntry(entry)}${entry.instance <= view.decided ? "" : " (undecided)"}`);
    }
  }

  view(id: NodeId, group: GroupId): GroupView | null {
    return this.#node(id).core?.view().groups.find((candidate) => candidate.group === group) ?? null;
  }

  /** One message, or a round of heartbeats. False if nothing is on its way. */
  #travel(): boolean {
    this.#syncAll();
    const next = this.#flight.shift() ?? this.#beats.shift();
    if (next === undefined) return false;
    this.#arrive(next, next.message.kind !== "heartbeat");
    return true;
  }

  #arrive({ from, to, message }: InFlight, told: boolean): void {
    const gone = this.#cuts.has(`${from}>${to}`) || this.#node(to).core === null;
    if (told) this.#tell(`n${from} -> n${to} ${describe(message)}${gone ? " (lost)" : ""}`);
    if (!gone) this.#step(to, { kind: "receive", from, message });
  }

  #step(id: NodeId, ...inputs: Input[]): void {
    const node = this.#node(id);
    if (node.core === null) return;
    const now = { mono: this.now, wall: 40_000_000_000_000 + Math.floor(this.now * 1_000) };
    for (const input of inputs) node.core.step(input, now);
    this.#carryOut(id, node, node.core.drain());
  }

  #carryOut(id: NodeId, node: Node, effects: Effects): void {
    this.#tellChanges(id, node);
    for (const envelope of effects.send) this.#post(id, envelope);
    node.handed += effects.records.length;
    node.pending.push(...effects.records);
    if (effects.sendAfterPersist.length > 0) node.held.push({ lsn: node.handed, envelopes: effects.sendAfterPersist });
    this.#release(id, node);
    for (const request of effects.reads) {
      const { entries, floor } = node.state.group(request.group);
      const found = request.from <= floor ? [] : entries.slice(request.from - floor - 1, request.to - floor);
      this.#step(id, { kind: "read", request: request.request, entries: found });
    }
    for (const { group, entry, from, to, repeated } of effects.deliveries) {
      let index = 0;
      entry.batches.forEach((batch, at) =>
        eachCommand(batch.bytes, (payload) => {
          const here = index++;
          if (here < from || here >= to) return;
          this.#tell(
            `n${id} delivers g${group} "${new TextDecoder().decode(payload)}"${repeated?.has(at) ? " (a repeat, without effect)" : ""}`,
          );
        })
      );
    }
    for (const { ticket, code } of effects.refusals) this.#tell(`n${id} refuses proposal ${ticket}: ${code}`);
    for (const { request } of effects.confirmations) this.#tell(`n${id} confirms read ${request}`);
    for (const { group, upTo } of effects.trims) {
      node.state.group(group).trim(upTo);
      this.#tell(`n${id} forgets g${group} ≤${upTo}`);
    }
    for (const { subscription } of effects.lost) this.#tell(`n${id} has lost its place: what comes next for ${subscription} is forgotten`);
    for (const group of effects.behind) {
      if (!node.behind.has(group)) this.#tell(`n${id} needs a checkpoint: nobody has the rest of g${group}`);
      node.behind.add(group);
    }
    node.wakeAt = effects.wakeAt;
  }

  #release(id: NodeId, node: Node): void {
    while (node.held[0] !== undefined && node.held[0].lsn <= node.durable) {
      for (const envelope of node.held.shift()!.envelopes) this.#post(id, envelope);
    }
  }

  #post(from: NodeId, { to, message }: Envelope): void {
    for (const node of to) (message.kind === "heartbeat" ? this.#beats : this.#flight).push({ from, to: node, message });
  }

  #syncAll(): void {
    for (const [id, node] of this.nodes) if (!node.diskHeld) this.#sync(id);
  }

  #sync(id: NodeId): void {
    const node = this.#node(id);
    if (node.core === null || node.pending.length === 0) return;
    const records = node.pending.splice(0);
    for (const record of records) {
      node.state.apply(record);
      if (record.kind !== "ceiling" && record.kind !== "decided") this.#tell(`n${id} persisted ${tellRecord(record)}`);
    }
    node.journal.push(...records);
    node.durable = node.handed;
    this.#release(id, node);
    this.#step(id, { kind: "persisted", upTo: node.durable });
  }

  #tellChanges(id: NodeId, node: Node): void {
    for (const view of node.core!.view().groups) {
      const before = node.views.get(view.group);
      node.views.set(view.group, view);
      if (before === undefined) continue;
      const where = `n${id} g${view.group}`;
      if (view.coordinates !== before.coordinates) {
        this.#tell(
          view.coordinates
            ? `${where} coordinates ${describeBallot(view.coordinates)}`
            : `${where} stops coordinating ${describeBallot(before.coordinates)}`,
        );
      }
      if (view.decided > before.decided) {
        this.#tell(`${where} decides ${view.decided === before.decided + 1 ? "" : `${before.decided + 1}…`}${view.decided}`);
      }
      if (view.voting && !before.voting) this.#tell(`${where} votes again`);
    }
  }

  #tell(line: string): void {
    this.#lines.push(line);
  }

  #node(id: NodeId): Node {
    const node = this.nodes.get(id);
    assert(node !== undefined, `Cannot find n${id} in this story`);
    return node;
  }
}

/** Inputs with which a replica goes on from a checkpoint, or from the beginning. */
function goOn(groups: readonly GroupId[], checkpoint: Cursor | null): Input[] {
  const subscribe = { kind: "subscribe", subscription: 1, groups, demand: Infinity } as const;
  if (checkpoint === null) return [{ ...subscribe, after: null }];
  const from = checkpoint.groups.map(({ group, foundation }) => ({ group, instance: foundation.instance }));
  return [{ kind: "resume", from: checkpoint.groups }, { ...subscribe, after: checkpoint.position, from }];
}

export function tellRecord(record: JournalRecord): string {
  switch (record.kind) {
    case "accept":
      return `accept g${record.group} b=${describeBallot(record.ballot)} ${describeEntry(record.entry)}`;
    case "install":
      return `install g${record.group} b=${describeBallot(record.ballot)} above=${record.above} [${
        record.entries.map(describeEntry).join(", ")
      }]`;
    case "learn":
      return `learn g${record.group} above=${record.above} [${record.entries.map(describeEntry).join(", ")}]`;
    case "promise":
      return `promise g${record.group} b=${describeBallot(record.ballot)}`;
    case "decided":
      return `decided g${record.group} ≤${record.upTo}`;
    case "ceiling":
      return "ceiling";
    case "base":
      return `base g${record.group} ≤${record.foundation.instance} b=${describeBallot(record.ballot)} [${
        record.entries.map(describeEntry).join(", ")
      }]`;
  }
}

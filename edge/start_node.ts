/** A node without services: machine, journal, core, links and the orderer on top, put together and taken apart. */
import { CarillonError } from "../core/errors.ts";
import type { Input } from "../core/effects.ts";
import { type GroupId, type Millis, type NodeId, origin } from "../core/ids.ts";
import type { Offer, Piece, Pull, Seek } from "../core/message.ts";
import { defaultLimits, type Limits } from "../core/limits.ts";
import { CoreNode, type Durability } from "../core/node.ts";
import type { Rule } from "../core/rules.ts";
import { groupById, type Topology } from "../core/topology.ts";
import type { NodeView } from "../core/view.ts";
import { Host } from "./host.ts";
import { type Journal, type JournalOptions, openJournal, type Recovery } from "./journal/journal.ts";
import type { JournalStats } from "./journal/stats.ts";
import { type LinkDriver, openLink } from "./link/open.ts";
import type { Identity } from "./link/identity.ts";
import type { Link, LinkOptions } from "./link/link.ts";
import { HostOrderer } from "./orderer.ts";
import { Quiet } from "./quiet.ts";
import type { Disk, Runtime } from "./runtime.ts";

const rejoinPollMs = 5;
/** How long a closing node waits for its successors. */
const makeWayMs = 300;

export interface StartNodeOptions {
  readonly runtime: Runtime;
  readonly topology: Topology;
  readonly self: NodeId;
  /** Directory of the journal; made if it is not there. Not used with durability `memory`, needed otherwise. */
  readonly data?: string;
  readonly durability: Durability;
  readonly limits?: Partial<Limits>;
  /** Where peers reach this node; port 0 picks one. Null for a node without peers. */
  readonly link: { readonly host: string; readonly port: number } | null;
  /** What this node is among its peers; null for a node without. */
  readonly identity: Identity | null;
  /** How links are made. Default `auto`: for each peer over UDP where that works, else over HTTP/2. */
  readonly links?: { readonly driver?: LinkDriver } & Pick<LinkOptions, "mtuBytesMax" | "trace">;
  /** Simulated one-way distance to a peer, milliseconds. */
  readonly delays?: (peer: NodeId) => Millis;
  /** Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Rules the simulator takes away. Production never sets any. */
  readonly without?: ReadonlySet<Rule>;
  /** Sentences for an operator. */
  readonly log: (sentence: string) => void;
  /**
   * The node cannot go on (a broken invariant, a failed disk) and has stopped; the process should end, because what it said
   * may rest on what it could not keep. At most once.
   */
  readonly onFatal: (error: Error) => void;
}

/** What whoever keeps checkpoints of the replicas needs of the node. */
export interface Checkpointing {
  /** Where its files are; null without a disk. */
  readonly disk: Disk | null;
  submit: (input: Input & { readonly kind: "checkpointed" | "resume" | "hold" }) => void;
  /** Lets a restart begin with what the node is now. */
  rebase: () => void;
  /** Nothing further can be promised: the node ends. */
  crash: (error: Error) => void;
  /** To one peer; lost if there is no way. */
  readonly send: (to: NodeId, message: CheckpointMessage) => void;
  readonly journalStats: () => JournalStats;
  onMessage: (from: NodeId, message: CheckpointMessage) => void;
  onBehind: (group: GroupId) => void;
}

export type CheckpointMessage = Seek | Offer | Pull | Piece;

export interface RunningNode {
  readonly orderer: HostOrderer;
  /** Null for a node without peers. */
  readonly link: Link | null;
  /** What was found in the directory at the start. */
  readonly recovery: Recovery;
  readonly checkpointing: Checkpointing;
  view(): NodeView;
  journalStats(): JournalStats;
  /**
   * Hands over what this node coordinates, stops the links, writes out the journal and lets go of the directory. What is
   * under way is answered by nobody. A second call waits for the first.
   */
  close(): Promise<void>;
}

/** Throws CarillonError `config` (directory in use or another's, peers and no link or keys), `corrupt` (damaged journal), and what binding throws. */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  const { runtime, topology, self, durability } = options;
  if (!topology.nodes.some((node) => node.id === self)) {
    throw new CarillonError("config", `Cannot start node ${self}: the cluster has no such node`);
  }
  const incarnation = runtime.entropy() || 1;
  const limits = { ...defaultLimits, ...options.limits };
  const without = options.without === undefined ? {} : { without: options.without };
  const newCore = () => new CoreNode({ id: self, topology, limits, durability, seed: runtime.entropy(), incarnation, ...without });
  let core = newCore();
  const orderer = new HostOrderer({
    self,
    topology,
    origin: origin(self, incarnation),
    view: () => host?.view() ?? core.view(),
    now: () => runtime.clock.now().mono,
    cursor: (subscription) => core.cursor(subscription),
  });
  const quiet = new Quiet(runtime.clock, () => runtime.collectGarbage());
  let host: Host | null = null;
  let link: Link | null = null;
  const disk = durability === "memory" ? null : await openData(options);
  const journal = await newJournal(options, disk, {
    onFailure: (error) => host === null ? options.onFatal(error) : host.crash(error),
    onSpace: (full) => {
      orderer.full = full;
      options.log(full ? "The disk is full: writes are refused until there is room" : "The disk has room again: writes are accepted");
    },
    onDamage: ({ file, offset }) => {
      options.log(
        `Damage: "${file}" is unreadable at byte ${offset}; what was there is given up, and asked of other nodes where it is needed`,
      );
      // What a restart would read is written anew from what this node knows.
      host?.rebase();
    },
  });
  const checkpointing: Checkpointing = {
    disk,
    submit: () => {},
    rebase: () => {},
    crash: options.onFatal,
    send: (to, message) => link?.send({ to: [to], message }),
    journalStats: () => journal.stats(),
    onMessage: () => {},
    onBehind: () => {},
  };
  try {
    const recovery = await journal.recover((record) => core.restore(record)).catch((error) => {
      if (!isReplicated(options) || !(error instanceof CarillonError) || error.code !== "corrupt") throw error;
      options.log(`${error.message}; it is put aside, and everything is fetched from the other nodes again`);
      core = newCore();
      return journal.quarantine();
    });
    if (recovery.rejoining) core.forget(recovery.lost);
    for (const { id } of topology.groups) core.restoreTrimmed(id, journal.oldest(id) - 1);
    tell(recovery, options);
    const started = new Host({
      core,
      journal,
      clock: runtime.clock,
      ...without,
      outlets: {
        send: (envelope) => link?.send(envelope),
        deliver: (delivery) => {
          orderer.onDelivery(delivery);
          quiet.delivered(delivery.to - delivery.from);
        },
        refuse: (refusal) => orderer.onRefusal(refusal),
        confirm: (confirmation) => orderer.onConfirmation(confirmation),
        lose: (lost) => orderer.onLost(lost),
        behind: (group) => checkpointing.onBehind(group),
        begins: (ticket, now) => orderer.begins(ticket, now),
        proposed: (ticket) => orderer.onProposed(ticket),
        crash: (error) => {
          orderer.close();
          options.onFatal(error);
        },
      },
    });
    host = started;
    checkpointing.submit = (input) => started.submit(input);
    checkpointing.rebase = () => started.rebase();
    checkpointing.crash = (error) => started.crash(error);
    link = await newLink(options, started, checkpointing);
    orderer.attach(started);
    started.submit({ kind: "wake" });
    if (recovery.rejoining) tellRejoined(options, core, journal, started).catch((error: Error) => started.crash(error));
    let closing: Promise<void> | null = null;
    const end = async (): Promise<void> => {
      if (!started.stopped) await makeWay(options, orderer);
      orderer.close();
      quiet.close();
      started.stop();
      await link?.close();
      await journal.close();
    };
    return {
      orderer,
      link,
      recovery,
      checkpointing,
      view: () => started.view(),
      journalStats: () => journal.stats(),
      close(): Promise<void> {
        return closing ??= end();
      },
    };
  } catch (error) {
    host?.stop();
    await link?.close();
    await journal.close();
    throw error;
  }
}

/** What this node has voted for another has too, in every group: what its journal loses can be had again. */
function isReplicated({ topology, self }: StartNodeOptions): boolean {
  return topology.groups.every(({ acceptors, q2 }) => !acceptors.includes(self) || q2 >= 2);
}

/** Once it knows in every group what it may have said, durably, the next start need not hear all the others first. */
async function tellRejoined({ runtime: { clock } }: StartNodeOptions, core: CoreNode, journal: Journal, host: Host): Promise<void> {
  const until = async (holds: () => boolean): Promise<void> => {
    while (!host.stopped && !holds()) await new Promise<void>((resolve) => clock.wakeAt(clock.now().mono + rejoinPollMs, resolve));
  };
  await until(() => core.rejoined);
  // The note must not be on the disk before what it speaks for: the next life would trust a journal that holds nothing.
  const { handed } = host.records;
  await until(() => host.records.durable >= handed);
  if (host.stopped) return;
  await journal.rejoined();
  host.submit({ kind: "rejoined" });
}

function openData({ runtime, self, data, durability }: StartNodeOptions): Promise<Disk> {
  if (data === undefined) {
    throw new CarillonError("config", `Cannot start node ${self}: durability "${durability}" needs a data directory`);
  }
  return runtime.openDisk(data);
}

async function newJournal(
  options: StartNodeOptions,
  disk: Disk | null,
  events: Required<Pick<JournalOptions, "onFailure" | "onSpace" | "onDamage">>,
): Promise<Journal> {
  const { runtime, topology, self, durability } = options;
  return await openJournal({
    disk,
    clock: runtime.clock,
    crc32: (bytes, seed) => runtime.crc32(bytes, seed),
    entropy: () => runtime.entropy(),
    durability,
    cluster: topology.cluster,
    node: self,
    ...events,
    replicated: isReplicated(options),
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    ...(options.without === undefined ? {} : { without: options.without }),
  });
}

/** Hands over what this node coordinates and waits until somebody has it: nobody then sits out a lease. */
async function makeWay({ runtime: { clock }, self, topology }: StartNodeOptions, orderer: HostOrderer): Promise<void> {
  const mine = orderer.view().groups.filter(({ group, coordinates }) => coordinates !== 0 && groupById(topology, group).members.length > 1);
  for (const { group } of mine) orderer.handover(group, 0);
  const waiting = new Set(mine.map(({ group }) => group));
  const until = clock.now().mono + makeWayMs;
  while (waiting.size > 0 && clock.now().mono < until) {
    await new Promise<void>((resolve) => clock.wakeAt(clock.now().mono + 2, resolve));
    for (const { group, coordinator } of orderer.view().groups) if (coordinator !== 0 && coordinator !== self) waiting.delete(group);
  }
}

/** Listens, and connects to everybody with whom this node has a group in common. */
async function newLink(options: StartNodeOptions, host: Host, checkpointing: Checkpointing): Promise<Link | null> {
  const { runtime, topology, self, identity } = options;
  const groups = topology.groups.filter((group) => group.members.includes(self));
  const peers = new Set(groups.flatMap((group) => group.members));
  if (options.link === null || identity === null) {
    if (peers.size <= 1) return null;
    const missing = options.link === null ? "address for them to reach it" : "keys to be known by";
    throw new CarillonError("config", `Cannot start node ${self}: it has peers and no ${missing}`);
  }
  const { driver = "auto", ...links } = options.links ?? {};
  const link = await openLink(driver, {
    ...links,
    runtime,
    topology,
    identity,
    listen: options.link,
    ...(options.delays === undefined ? {} : { delayMs: options.delays }),
  }, {
    onMessage: (from, message) => {
      switch (message.kind) {
        case "seek":
        case "offer":
        case "pull":
        case "piece":
          return checkpointing.onMessage(from, message);
        default:
          host.submit({ kind: "receive", from, message });
      }
    },
    onUnreachable: (node) => host.submit({ kind: "unreachable", node }),
    onNotice: options.log,
  });
  for (const { id, link: address } of topology.nodes) if (id !== self && peers.has(id) && address !== "") link.open(id, address);
  return link;
}

function tell({ records, torn }: Recovery, { log, data }: StartNodeOptions): void {
  if (torn === null) return;
  log(
    `Cut off ${torn.bytes} bytes behind byte ${torn.offset} of "${data}/${torn.file}": they were being written when the node stopped (${records} records are whole)`,
  );
}

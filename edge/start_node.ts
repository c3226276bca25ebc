/** A node without services: machine, journal, core, links and the orderer on top, put together and taken apart. */
import { CarillonError } from "../core/errors.ts";
import { type Millis, type NodeId, origin } from "../core/ids.ts";
import { defaultLimits, type Limits } from "../core/limits.ts";
import { CoreNode, type Durability } from "../core/node.ts";
import { groupById, type Topology } from "../core/topology.ts";
import type { NodeView } from "../core/view.ts";
import type { NodeHealth } from "./embedded/health.ts";
import { Host } from "./host.ts";
import { type Journal, openJournal, type Recovery } from "./journal/journal.ts";
import type { JournalStats } from "./journal/stats.ts";
import { openHttp2Link } from "./link/http2.ts";
import type { Link } from "./link/link.ts";
import { HostOrderer } from "./orderer.ts";
import { Quiet } from "./quiet.ts";
import type { Runtime } from "./runtime.ts";

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
  /** Of the cluster; at least 16 characters. Not used without a link. */
  readonly secret: string;
  /** Simulated one-way distance to a peer, milliseconds. */
  readonly delays?: (peer: NodeId) => Millis;
  /** Sentences for an operator. */
  readonly log: (sentence: string) => void;
  /**
   * The node cannot go on (a broken invariant, a failed disk) and has stopped; the process should end, because what it said
   * may rest on what it could not keep. At most once.
   */
  readonly onFatal: (error: Error) => void;
}

export interface RunningNode {
  readonly orderer: HostOrderer;
  /** Null for a node without peers. */
  readonly link: Link | null;
  /** What was found in the directory at the start. */
  readonly recovery: Recovery;
  view(): NodeView;
  journalStats(): JournalStats;
  /** What its parts can say of themselves beyond the view; absent where none can. */
  readonly health?: NodeHealth;
  /**
   * Hands over what this node coordinates, stops the links, writes out the journal and lets go of the directory. What is
   * under way is answered by nobody. A second call waits for the first.
   */
  close(): Promise<void>;
}

/** Throws CarillonError `config` (directory in use or another's, secret too short), `corrupt` (damaged journal), and what binding throws. */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  const { runtime, topology, self, durability } = options;
  if (!topology.nodes.some((node) => node.id === self)) {
    throw new CarillonError("config", `Cannot start node ${self}: the cluster has no such node`);
  }
  const incarnation = runtime.entropy() || 1;
  const limits = { ...defaultLimits, ...options.limits };
  const core = new CoreNode({ id: self, topology, limits, durability, seed: runtime.entropy(), incarnation });
  const orderer = new HostOrderer({
    self,
    topology,
    origin: origin(self, incarnation),
    view: () => core.view(),
    now: () => runtime.clock.now().mono,
  });
  const quiet = new Quiet(runtime.clock, () => runtime.collectGarbage());
  let host: Host | null = null;
  let link: Link | null = null;
  const journal = await newJournal(options, (error) => host === null ? options.onFatal(error) : host.crash(error));
  try {
    const recovery = await journal.recover((record) => core.restore(record));
    tell(recovery, options);
    const started = new Host({
      core,
      journal,
      clock: runtime.clock,
      outlets: {
        send: (envelope) => link?.send(envelope),
        deliver: (delivery) => {
          orderer.onDelivery(delivery);
          quiet.delivered(delivery.to - delivery.from);
        },
        refuse: (refusal) => orderer.onRefusal(refusal),
        confirm: (confirmation) => orderer.onConfirmation(confirmation),
        proposed: (ticket) => orderer.onProposed(ticket),
        crash: (error) => {
          orderer.close();
          options.onFatal(error);
        },
      },
    });
    host = started;
    link = await newLink(options, started);
    orderer.attach(started);
    started.submit({ kind: "wake" });
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
      view: () => core.view(),
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

async function newJournal(options: StartNodeOptions, onFailure: (error: Error) => void): Promise<Journal> {
  const { runtime, topology, self, data, durability } = options;
  if (durability !== "memory" && data === undefined) {
    throw new CarillonError("config", `Cannot start node ${self}: durability "${durability}" needs a data directory`);
  }
  return await openJournal({
    disk: durability === "memory" ? null : await runtime.openDisk(data!),
    clock: runtime.clock,
    crc32: (bytes, seed) => runtime.crc32(bytes, seed),
    entropy: () => runtime.entropy(),
    durability,
    cluster: topology.cluster,
    node: self,
    onFailure,
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
async function newLink(options: StartNodeOptions, host: Host): Promise<Link | null> {
  const { runtime, topology, self, secret } = options;
  const groups = topology.groups.filter((group) => group.members.includes(self));
  const peers = new Set(groups.flatMap((group) => group.members));
  if (options.link === null) {
    if (peers.size <= 1) return null;
    throw new CarillonError("config", `Cannot start node ${self}: it has peers and no address for them to reach it`);
  }
  const link = await openHttp2Link({
    runtime,
    self,
    topology,
    secret,
    listen: options.link,
    ...(options.delays === undefined ? {} : { delayMs: options.delays }),
  }, {
    onMessage: (from, message) => host.submit({ kind: "receive", from, message }),
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

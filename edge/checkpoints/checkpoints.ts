/**
 * Checkpoints of one node's replicas: written now and then while service goes on, begun from at a start, handed to peers, and taken over
 * from them where the log that would be needed has been forgotten. How far all of them go tells the core what may be forgotten.
 */
import { CarillonError } from "../../core/errors.ts";
import type { GroupId, Millis, NodeId } from "../../core/ids.ts";
import { comparePositions, formatPosition } from "../../core/position.ts";
import { groupById, type Topology } from "../../core/topology.ts";
import type { Replica, ReplicaRestore } from "../../services/replica.ts";
import type { Clock } from "../runtime.ts";
import type { Checkpointing, CheckpointMessage } from "../start_node.ts";
import type { Hash, Head } from "./blocks.ts";
import { Exchange } from "./exchange.ts";
import { type Kept, leastEnds, membersOf, safeEnds, sameEnds } from "./kept.ts";
import { memoryFiles } from "./memory_files.ts";
import { CheckpointStore, resumeOf, type Stored } from "./store.ts";

const lookGraceMs: Millis = 250;

export interface CheckpointLimits {
  /** A replica is written out when so much has been ordered since it last was, or half of what it took then, if that is more. */
  readonly everyBytes: number;
  /** But no sooner than so long after the last one was begun, unless four times as much has: under load they would follow each other. */
  readonly restMs: Millis;
  /** And after so long, if anything has. */
  readonly everyMs: Millis;
  /** No sooner than so long after the last, because a peer needs a newer one. */
  readonly wantedMs: Millis;
  /** How often it is looked whether one is due. */
  readonly lookMs: Millis;
  /** Of a peer's, per second: taking it over must not hurt the service of others. */
  readonly bytesPerSecond: number;
  /** A question to a peer is asked again, or elsewhere, after so long. */
  readonly answerMs: Millis;
  /** A whole take-over is tried again after so long. */
  readonly retryMs: Millis;
  /** Every file is read once in so long, to find damage before it is needed. */
  readonly scrubEveryMs: Millis;
}

export const defaultCheckpointLimits: CheckpointLimits = {
  everyBytes: 16 << 20,
  restMs: 30_000,
  everyMs: 600_000,
  wantedMs: 10_000,
  lookMs: 1_000,
  bytesPerSecond: 32 << 20,
  answerMs: 2_000,
  retryMs: 1_000,
  scrubEveryMs: 86_400_000,
};

export interface CheckpointStats {
  /** Since the process started. */
  readonly made: number;
  readonly installed: number;
  readonly served: number;
  /** Files found damaged and given up. */
  readonly damaged: number;
  /** Of all files kept. */
  readonly bytes: number;
  readonly replicas: readonly ReplicaCheckpoint[];
}

/** The newest one of a replica. */
export interface ReplicaCheckpoint {
  readonly replica: string;
  /** Since it was made here or taken over; null if there is none. */
  readonly ageMs: Millis | null;
  readonly bytes: number;
  readonly made: number;
  readonly installed: number;
}

export interface CheckpointOptions {
  readonly node: Checkpointing;
  readonly replicas: readonly Replica[];
  readonly topology: Topology;
  readonly self: NodeId;
  readonly clock: Clock;
  readonly hash: Hash;
  readonly limits?: Partial<CheckpointLimits>;
  /** Sentences for an operator. */
  readonly log: (sentence: string) => void;
}

export class Checkpoints {
  readonly #options: CheckpointOptions;
  readonly #limits: CheckpointLimits;
  readonly #store: CheckpointStore;
  readonly #exchange: Exchange;
  readonly #kept: readonly Kept[];
  /** Groups this node has no replica of and asks about. */
  readonly #taking = new Set<GroupId>();
  #damaged = 0;
  #scrubAt: Millis;
  #cancel: () => void = () => {};
  #closed = false;
  /** What the journal had been given when a restart was last told to begin anew. */
  #rebasedAt = 0;
  #round: Promise<void> = Promise.resolve();

  constructor(options: CheckpointOptions) {
    const { node, topology, clock, hash, replicas, self } = options;
    this.#options = options;
    this.#limits = { ...defaultCheckpointLimits, ...options.limits };
    this.#scrubAt = clock.now().mono + this.#limits.scrubEveryMs;
    this.#store = new CheckpointStore(node.disk ?? memoryFiles(), topology.cluster, hash);
    this.#kept = replicas.map((replica) => ({
      replica,
      members: membersOf(topology, replica.groups),
      head: null,
      before: null,
      fileBytes: 0,
      madeAt: clock.now().mono,
      bytesBefore: 0,
      made: 0,
      installed: 0,
      busy: false,
      wanted: false,
    }));
    const onUnhelped = (name: string): void => {
      for (const kept of this.#kept) if (kept.replica.name === name) kept.wanted = true;
    };
    this.#exchange = new Exchange({ self, store: this.#store, node, clock, limits: this.#limits, onUnhelped });
    node.onMessage = (from: NodeId, message: CheckpointMessage) => this.#exchange.onMessage(from, message);
    node.onBehind = (group) => this.#onBehind(group);
  }

  /** Puts every replica where its newest readable checkpoint was. Before the replicas are started. */
  async restore(): Promise<void> {
    await this.#store.open(this.#kept.map(({ replica }) => replica.name));
    for (const kept of this.#kept) {
      for (const stored of this.#store.of(kept.replica.name)) {
        if (kept.head === null) await this.#restore(kept, stored);
        else kept.before ??= await this.#store.head(stored).catch(() => null);
      }
    }
    this.#resume();
    this.#options.node.submit({ kind: "checkpointed", groups: safeEnds(this.#kept) });
  }

  /** From now on checkpoints are made, and replicas that are lost are found again. */
  start(): void {
    for (const kept of this.#kept) kept.replica.onLost = () => this.#take(kept);
    this.#look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#exchange.close();
    await this.#round;
  }

  stats(): CheckpointStats {
    const now = this.#options.clock.now().mono;
    return {
      made: this.#kept.reduce((sum, { made }) => sum + made, 0),
      installed: this.#kept.reduce((sum, { installed }) => sum + installed, 0),
      served: this.#exchange.served,
      damaged: this.#damaged,
      bytes: this.#store.bytes,
      replicas: this.#kept.map(({ replica, head, madeAt, fileBytes, made, installed }) => ({
        replica: replica.name,
        ageMs: head === null ? null : now - madeAt,
        bytes: fileBytes,
        made,
        installed,
      })),
    };
  }

  /** Makes a checkpoint of every replica in whose groups anything has been ordered since its last one, now. */
  makeAll(): Promise<void> {
    this.#round = this.#round.then(() => this.#make(() => true));
    return this.#round;
  }

  #look(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#round = this.#round.then(() => this.#make((kept) => this.#isDue(kept))).then(() => this.#scrub());
    void this.#round.then(() => {
      if (!this.#closed) this.#cancel = clock.wakeAt(clock.now().mono + this.#limits.lookMs, () => this.#look(), lookGraceMs);
    });
  }

  #isDue(kept: Kept): boolean {
    const { clock, node } = this.#options;
    const { everyBytes, everyMs, restMs, wantedMs } = this.#limits;
    const restedMs = clock.now().mono - kept.madeAt;
    if (restedMs >= everyMs || kept.wanted && restedMs >= wantedMs) return true;
    const bytes = node.journalStats().bytesWritten - kept.bytesBefore;
    return bytes >= Math.max(everyBytes, kept.fileBytes / 2) * (restedMs >= restMs ? 1 : 4);
  }

  /** One after another: they share a disk with the journal. */
  async #make(isDue: (kept: Kept) => boolean): Promise<void> {
    let any = false;
    for (const kept of this.#kept) {
      if (this.#closed || kept.busy || !isDue(kept)) continue;
      kept.busy = true;
      kept.wanted = false;
      try {
        any = await this.#write(kept) || any;
      } catch (error) {
        this.#options.log(`Cannot write a checkpoint of replica "${kept.replica.name}": ${tell(error)}; it is tried again`);
      } finally {
        kept.busy = false;
      }
    }
    if (any && !this.#closed) this.#rebase();
  }

  async #scrub(): Promise<void> {
    const { clock } = this.#options;
    if (this.#closed || clock.now().mono < this.#scrubAt) return;
    this.#scrubAt = clock.now().mono + this.#limits.scrubEveryMs;
    for (const kept of this.#kept) {
      for (const stored of this.#store.of(kept.replica.name)) {
        try {
          await this.#store.check(stored.file, () => {}, () => {});
        } catch (error) {
          await this.#giveUpFile(stored, error);
          // In its place a new one, at the next look. Until it is there the other is all there is to go back to.
          kept.bytesBefore = -Infinity;
          kept.before = null;
        }
      }
    }
  }

  /** Anything but damage is thrown on. */
  async #giveUpFile(stored: Stored, error: unknown): Promise<void> {
    if (!(error instanceof CarillonError) || error.code !== "corrupt") throw error;
    this.#damaged++;
    this.#options.log(`Checkpoint "${stored.file}" is damaged and will not be used: ${error.message}`);
    await this.#store.forget(stored);
  }

  async #write(kept: Kept): Promise<boolean> {
    const { clock, node, topology } = this.#options;
    const { replica } = kept;
    const made = replica.checkpoint();
    if (made === null) return false;
    const { snapshot, cursor } = made;
    if (kept.head !== null && sameEnds(kept.head.groups, cursor.groups)) {
      snapshot.close();
      return false;
    }
    const head = { cluster: topology.cluster, replica: replica.name, position: cursor.position, groups: cursor.groups };
    const before = { madeAt: clock.now().mono, bytesBefore: node.journalStats().bytesWritten };
    let stored: Stored;
    try {
      stored = await this.#store.write(head, async (room) => {
        // Requests have their turn between two pieces.
        await new Promise<void>((resolve) => clock.soon(resolve));
        if (this.#closed) throw new CarillonError("closed", "Cannot go on with a checkpoint: this node is closed");
        return snapshot.next(room.byteLength, room)?.byteLength ?? null;
      });
    } finally {
      snapshot.close();
    }
    kept.made++;
    Object.assign(kept, before, { head, before: kept.head, fileBytes: stored.bytes });
    this.#options.node.submit({ kind: "checkpointed", groups: safeEnds(this.#kept) });
    return true;
  }

  #rebase(): void {
    const { node } = this.#options;
    const { bytesWritten } = node.journalStats();
    if (bytesWritten - this.#rebasedAt < this.#limits.everyBytes / 2) return;
    this.#rebasedAt = bytesWritten;
    node.rebase();
  }

  #resume(): void {
    const from = leastEnds(this.#kept);
    if (from.length > 0) this.#options.node.submit({ kind: "resume", from });
  }

  #onBehind(group: GroupId): void {
    const hearing = this.#kept.filter(({ replica }) => replica.groups.includes(group));
    for (const kept of hearing) this.#take(kept);
    if (hearing.length === 0) this.#takeFoundation(group);
  }

  /** Only acceptors of a group that they do not learn have no state to restore. */
  #takeFoundation(group: GroupId): void {
    const { topology, node, log } = this.#options;
    // The core says it again until it helps: one try at a time.
    if (this.#closed || this.#taking.has(group)) return;
    this.#taking.add(group);
    const { name, learners } = groupById(topology, group);
    void this.#exchange.head(name, learners).then((head) => {
      const resume = head === null ? undefined : resumeOf(head.groups, group);
      if (resume !== undefined && !this.#closed) node.submit({ kind: "resume", from: [resume] });
    }).catch((error) => log(`Cannot learn how far group "${name}" is decided: ${tell(error)}; it is tried again`))
      .finally(() => this.#taking.delete(group));
  }

  /** Gets a checkpoint with which the replica can go on, however long that takes. */
  #take(kept: Kept): void {
    if (kept.busy || this.#closed) return;
    kept.busy = true;
    const { clock, log } = this.#options;
    const { replica, members } = kept;
    void this.#tryToTake(kept).catch((error) => {
      log(`Cannot take over a checkpoint of replica "${replica.name}": ${tell(error)}; it is tried again`);
      return false;
    }).then((taken) => {
      if (taken || this.#closed) kept.busy = false;
      else if (members.length === 1) this.#giveUp(kept);
      else {
        clock.wakeAt(clock.now().mono + this.#limits.retryMs, () => {
          kept.busy = false;
          if (replica.isLost) this.#take(kept);
        });
      }
    });
  }

  async #tryToTake(kept: Kept): Promise<boolean> {
    const { replica, members } = kept;
    const own = this.#store.of(replica.name).find(({ position }) => comparePositions(position, replica.applied) > 0);
    const found = await this.#exchange.find(replica.name, members, replica.applied);
    if (found === null) return false;
    if (own !== undefined && (found.best === null || comparePositions(own.position, found.best.position) >= 0)) {
      return await this.#restore(kept, own) && this.#goOn(kept);
    }
    if (found.best === null) return false;
    const part = await this.#exchange.download(replica.name, found.best);
    if (part === null || this.#closed) return false;
    const stored = await this.#store.adopt(part, replica.name, found.best.position);
    if (!await this.#restore(kept, stored)) {
      if (!this.#store.of(replica.name).includes(stored)) this.#exchange.distrust(replica.name, found.best);
      return false;
    }
    kept.installed++;
    this.#options.log(`Replica "${replica.name}" goes on from a checkpoint of another node, at ${formatPosition(stored.position)}`);
    return this.#goOn(kept);
  }

  #goOn(kept: Kept): boolean {
    kept.madeAt = this.#options.clock.now().mono;
    this.#options.node.submit({ kind: "checkpointed", groups: safeEnds(this.#kept) });
    return true;
  }

  /** Reads a checkpoint into its replica; false if that cannot be, and a damaged one is forgotten. */
  async #restore(kept: Kept, stored: Stored): Promise<boolean> {
    const { replica } = kept;
    const { node } = this.#options;
    const read: { head: Head | null; restore: ReplicaRestore | null } = { head: null, restore: null };
    try {
      await this.#store.check(stored.file, (head) => {
        if (head.replica !== replica.name) {
          throw new CarillonError("corrupt", `Cannot read a checkpoint: it is of replica "${head.replica}"`);
        }
        if (comparePositions(head.position, replica.applied) < 0) return;
        read.head = head;
        const places = head.groups.map(({ group, foundation }) => ({ group, instance: foundation.instance }));
        read.restore = replica.restore(head.position, places);
      }, (content) => read.restore?.add(content));
      if (read.restore === null) return false;
      // The core first: what the checkpoint sums up is decided, and the log it goes on in begins behind that.
      const { head, before } = kept;
      Object.assign(kept, { head: read.head, before: head });
      this.#resume();
      if (!read.restore.finish()) {
        Object.assign(kept, { head, before });
        return false;
      }
    } catch (error) {
      await this.#giveUpFile(stored, error);
      return false;
    }
    Object.assign(kept, { fileBytes: stored.bytes, bytesBefore: node.journalStats().bytesWritten });
    return true;
  }

  #giveUp({ replica }: Kept): void {
    this.#options.node.crash(
      new CarillonError(
        "corrupt",
        `Cannot go on: the log that replica "${replica.name}" needs has been trimmed, and no checkpoint of it can be read`,
      ),
    );
  }
}

function tell(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

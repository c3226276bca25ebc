/**
 * One heartbeat per node pair: quick while something is going on, slow while nothing is, at once when
 * somebody waits. It carries every group's newest word and measures the round trip.
 */
import type { Context } from "./context.ts";
import type { Group } from "./group/group.ts";
import type { Millis, NodeId } from "./ids.ts";
import type { Beat, Heartbeat } from "./message.ts";

export class Heartbeats {
  readonly #context: Context;
  readonly #groups: readonly Group[];
  /** Several groups are merged somewhere, so that quick heartbeats save somebody a wait. */
  readonly #merging: boolean;
  #sequence = 0;
  #sentAt: Millis = -Infinity;
  /** What the last heartbeats said of the next: kept also when things have calmed down since, or others would worry. */
  #announced: Millis = Infinity;
  #due = true;
  #hurry = false;
  /** The last ones went along with somebody else's. */
  #prompted = false;
  /** Peers that wait for our word. */
  readonly #hurried = new Set<NodeId>();

  constructor(context: Context, groups: readonly Group[]) {
    this.#context = context;
    this.#groups = groups;
    this.#merging = context.topology.groups.length > 1 && context.topology.order.merge === "ts";
  }

  /** Everybody gets one with the next flush. */
  beatNow(): void {
    this.#due = true;
  }

  /** A merge here waits for somebody's word: ask for it. */
  hurry(): void {
    this.#context.activeUntil = Math.max(this.#context.activeUntil, this.#context.now + this.#context.limits.activeMs);
    this.#hurry = true;
  }

  #interval(): Millis {
    const { limits, now, activeUntil } = this.#context;
    if (now >= activeUntil) return limits.heartbeatIdleMs;
    // Where nothing is merged they only tell who is alive.
    return Math.min(this.#merging ? limits.heartbeatMs : 4 * limits.heartbeatMs, limits.heartbeatIdleMs);
  }

  /** Who was prompted expects to be prompted again, and waits a moment for it. */
  get wakeAt(): Millis {
    const intervalMs = Math.min(this.#interval(), this.#announced);
    return this.#sentAt + intervalMs + (this.#prompted ? intervalMs / 8 : 0);
  }

  /**
   * Before anything is decided by the time: a node that stood still (held by its system, or busy with itself) finds
   * everybody overdue, though only it was away.
   */
  noticeStall(): void {
    const { now, limits, peers } = this.#context;
    if (this.#sentAt !== -Infinity && now > this.wakeAt + limits.stallMs) peers.resume(now);
  }

  onHeartbeat(from: NodeId, message: Heartbeat): void {
    this.noticeStall();
    const { peers, now, limits } = this.#context;
    const stranger = peers.incarnationOf(from) !== message.incarnation;
    if (!peers.heard(from, message, now)) return;
    if (stranger) { for (const group of this.#groups) group.onNewLife(from); }
    for (const beat of message.beats) this.#groups.find((group) => group.id === beat.group)?.onBeat(from, beat);
    // A node that just came up learns where everybody is without waiting for its turn.
    if (message.hurry || stranger) {
      this.#hurried.add(from);
      if (message.hurry) this.#context.activeUntil = Math.max(this.#context.activeUntil, now + limits.activeMs);
    }
    if (this.#joins(from)) {
      this.#due = true;
      this.#prompted = true;
    }
  }

  /**
   * Idle neighbours beat together, so that all of them are awake once in an interval and not once for each: whoever hears one says what
   * it would have said soon. Farther away an answer could prompt the next one before its time.
   */
  #joins(from: NodeId): boolean {
    const { now, limits, activeUntil, peers } = this.#context;
    const { heartbeatIdleMs } = limits;
    return now >= activeUntil && now >= this.#sentAt + heartbeatIdleMs / 2 && peers.rttMs(from) < heartbeatIdleMs / 4;
  }

  flush(): void {
    const { now, limits, peers } = this.#context;
    if (this.#hurry && now >= this.#sentAt + limits.heartbeatMs) this.#due = true;
    if (now >= this.wakeAt) {
      this.#due = true;
      this.#prompted = false;
    }
    if (this.#due) {
      this.#due = false;
      this.#hurried.clear();
      this.#sentAt = now;
      this.#announced = Infinity;
      for (const node of peers.nodes) this.#send(node, this.#hurry);
      this.#hurry = false;
    } else if (this.#hurried.size > 0) {
      for (const node of this.#hurried) this.#send(node, false);
      this.#hurried.clear();
    }
  }

  #send(to: NodeId, hurry: boolean): void {
    const { incarnation, now, peers, out } = this.#context;
    const beats: Beat[] = [];
    for (const group of this.#groups) if (group.spec.members.includes(to)) beats.push(group.beat());
    const echo = peers.echo(to, now);
    const nextInMs = this.#interval();
    this.#announced = Math.min(this.#announced, nextInMs);
    out.send([to], {
      kind: "heartbeat",
      incarnation,
      sequence: ++this.#sequence,
      sentAt: now,
      echoIncarnation: echo.incarnation,
      echoSentAt: echo.sentAt,
      echoHeldMs: echo.heldMs,
      nextInMs,
      hurry,
      beats,
    });
  }
}

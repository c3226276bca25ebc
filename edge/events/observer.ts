/**
 * Finds out what has happened in a node by looking at it now and then: what it sees is compared with what it saw. Nothing has to
 * report to it, and what comes and goes between two looks is only missed where that does not matter.
 */
import type { GroupId, NodeId } from "../../core/ids.ts";
import type { GroupView, NodeView } from "../../core/view.ts";
import type { NodeHealth } from "../embedded/health.ts";
import type { DriverName, PeerStats } from "../link/link.ts";
import type { Happening } from "./event.ts";

/** A merge that waits for less is nothing to speak of. */
export const stalledMs = 1_000;
/** Refusals that are further apart are not one overload. */
const relievedMs = 1_000;

export interface Observed {
  readonly self: NodeId;
  readonly names: { readonly node: (id: number) => string; readonly group: (id: number) => string };
  readonly view: () => NodeView;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Why the node is not ready; empty when it is. */
  readonly notReady: () => readonly string[];
  readonly draining: () => boolean;
  /** Requests refused since the process started. */
  readonly refused: () => number;
  readonly health?: NodeHealth | undefined;
  /** How peers are reached. */
  readonly links?: () => readonly Pick<PeerStats, "peer" | "driver" | "reason" | "connectedSince">[];
}

export class Observer {
  readonly #observed: Observed;
  readonly #tell: (happening: Happening) => void;
  /** Number of the newest change told, by group, and whom it left. */
  readonly #roles = new Map<GroupId, { number: number; coordinator: NodeId }>();
  readonly #suspected = new Map<NodeId, { readonly heardAt: number }>();
  /** Since when, of those told. */
  readonly #stalls = new Map<GroupId, number>();
  #ready: boolean | null = null;
  #draining = false;
  #refused = 0;
  #overload: { readonly since: number; readonly refusedBefore: number; at: number } | null = null;
  readonly #drivers = new Map<NodeId, DriverName>();
  readonly #counted = new Map<string, number>();
  #fullSince: number | null = null;

  constructor(observed: Observed, tell: (happening: Happening) => void) {
    this.#observed = observed;
    this.#tell = tell;
  }

  look(): void {
    const view = this.#observed.view();
    for (const group of view.groups) this.#lookAtRoles(group);
    this.#lookAtPeers(view);
    this.#lookAtLinks();
    this.#lookAtMerges(view);
    this.#lookAtDoor();
    this.#lookAtHealth();
    this.#lookAtReadiness();
  }

  #lookAtRoles({ group: id, roles }: GroupView): void {
    const { self, names } = this.#observed;
    const seen = this.#roles.get(id) ?? { number: 0, coordinator: 0 };
    const group = names.group(id);
    for (const { number, coordinator, why } of roles) {
      if (number <= seen.number) continue;
      if (coordinator === 0) this.#tell({ kind: "leaderless", group, lost: names.node(seen.coordinator), why });
      else if (coordinator === self) this.#tell({ kind: "coordinates", group, why });
      else {
        // Whom a node follows may change without its having missed anybody: it has been outdone.
        if (seen.coordinator === self) this.#tell({ kind: "leaderless", group, lost: names.node(self), why: "outdone" });
        if (seen.coordinator !== coordinator) this.#tell({ kind: "follows", group, coordinator: names.node(coordinator) });
      }
      seen.number = number;
      seen.coordinator = coordinator;
    }
    this.#roles.set(id, seen);
  }

  #lookAtPeers({ peers }: NodeView): void {
    const { names, now } = this.#observed;
    for (const { node, heardAt, suspected } of peers) {
      const before = this.#suspected.get(node);
      if (suspected && before === undefined) {
        this.#suspected.set(node, { heardAt });
        this.#tell({ kind: "suspected", peer: names.node(node), silentMs: Number.isFinite(heardAt) ? now() - heardAt : null });
      } else if (!suspected && before !== undefined) {
        this.#suspected.delete(node);
        this.#tell({
          kind: "returned",
          peer: names.node(node),
          afterMs: Number.isFinite(before.heardAt) ? heardAt - before.heardAt : null,
        });
      }
    }
  }

  #lookAtLinks(): void {
    for (const { peer, driver, reason, connectedSince } of this.#observed.links?.() ?? []) {
      if (connectedSince === null || this.#drivers.get(peer) === driver) continue;
      this.#drivers.set(peer, driver);
      this.#tell({ kind: "link-driver", peer: this.#observed.names.node(peer), driver, reason });
    }
  }

  #lookAtMerges({ subscriptions }: NodeView): void {
    const { names, now } = this.#observed;
    const waits = new Map<GroupId, number>();
    for (const { blockedOn, blockedSince } of subscriptions) {
      if (blockedOn !== 0) waits.set(blockedOn, Math.min(waits.get(blockedOn) ?? Infinity, blockedSince));
    }
    for (const [group, since] of this.#stalls) {
      // Where it waits anew, it went on in between.
      if (waits.get(group) === since) continue;
      this.#stalls.delete(group);
      this.#tell({ kind: "resumed", group: names.group(group), afterMs: now() - since });
    }
    for (const [group, since] of waits) {
      if (this.#stalls.has(group) || now() - since < stalledMs) continue;
      this.#stalls.set(group, since);
      this.#tell({ kind: "stalled", group: names.group(group), forMs: now() - since });
    }
  }

  #lookAtDoor(): void {
    const now = this.#observed.now();
    const refused = this.#observed.refused();
    if (refused > this.#refused) {
      if (this.#overload === null) {
        this.#overload = { since: now, refusedBefore: this.#refused, at: now };
        this.#tell({ kind: "overloaded" });
      }
      this.#overload.at = now;
      this.#refused = refused;
    } else if (this.#overload !== null && now - this.#overload.at >= relievedMs) {
      const { since, refusedBefore, at } = this.#overload;
      this.#overload = null;
      this.#tell({ kind: "relieved", refused: refused - refusedBefore, afterMs: at - since });
    }
  }

  #lookAtHealth(): void {
    const { health, now } = this.#observed;
    for (const { group, bytes, made, installed } of health?.checkpoints?.() ?? []) {
      if (this.#rose(`made ${group}`, made) > 0) this.#tell({ kind: "checkpoint-made", group, bytes });
      if (this.#rose(`installed ${group}`, installed) > 0) this.#tell({ kind: "checkpoint-installed", group, bytes });
    }
    for (const { group, upTo } of health?.trims?.() ?? []) {
      if (this.#rose(`trimmed ${group}`, upTo) > 0) this.#tell({ kind: "trimmed", group, upTo });
    }
    const repairs = health?.repairs?.();
    if (repairs !== undefined) {
      const found = this.#rose("found", repairs.found);
      if (found > 0) this.#tell({ kind: "damage-found", found });
      const repaired = this.#rose("repaired", repairs.repaired);
      if (repaired > 0) this.#tell({ kind: "repaired", repaired });
    }
    const full = health?.disk?.().full ?? false;
    if (full && this.#fullSince === null) {
      this.#fullSince = now();
      this.#tell({ kind: "disk-full" });
    } else if (!full && this.#fullSince !== null) {
      this.#tell({ kind: "space-back", afterMs: now() - this.#fullSince });
      this.#fullSince = null;
    }
  }

  /** By how much since the last look. */
  #rose(what: string, count: number): number {
    const before = this.#counted.get(what) ?? 0;
    this.#counted.set(what, count);
    return count - before;
  }

  #lookAtReadiness(): void {
    const { draining, notReady } = this.#observed;
    if (draining() && !this.#draining) {
      this.#draining = true;
      this.#tell({ kind: "draining" });
    }
    const reasons = notReady();
    const ready = reasons.length === 0;
    // A node that starts is not ready, and nobody expects it to be.
    const known = this.#ready ?? false;
    this.#ready = ready;
    if (ready && !known) this.#tell({ kind: "ready" });
    else if (!ready && known && !this.#draining) this.#tell({ kind: "unready", reasons });
  }
}

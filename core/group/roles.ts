/** Whom a node has followed in one group, and why that changed: the newest few, for whoever looks only now and then. */
import type { Ballot, Millis, NodeId } from "../ids.ts";
import type { RoleChange, RoleReason } from "../view.ts";

const changesMax = 8;

export class Roles {
  /** Oldest first. Never written to, so that a view may keep it. */
  changes: readonly RoleChange[] = [];

  note(coordinator: NodeId, ballot: Ballot, why: RoleReason, at: Millis): void {
    const number = (this.changes.at(-1)?.number ?? 0) + 1;
    this.changes = [...this.changes.slice(1 - changesMax), { number, at, coordinator, ballot, why }];
  }

  /** Why there was nobody before whoever takes over now. */
  get lostBy(): RoleReason {
    return this.changes.findLast(({ coordinator }) => coordinator === 0)?.why ?? "first";
  }
}

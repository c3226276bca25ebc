/** What services need of the node that orders for them. The edge implements it on the host; tests may on a bare core. */
import type { Cursor, Delivery } from "../core/effects.ts";
import type { GroupId, Instance, NodeId, Origin } from "../core/ids.ts";
import type { Position } from "../core/position.ts";
import type { Topology } from "../core/topology.ts";
import type { CarillonError } from "../core/errors.ts";

/** The instance behind which each group's log goes on; whatever is up to there lies at or before one position. */
export type Places = readonly { readonly group: GroupId; readonly instance: Instance }[];

export interface Subscription {
  /** Lets so many more commands come (see `demand` of `subscribe`). */
  more(commands: number): void;
  close(): void;
}

export interface Orderer {
  readonly self: NodeId;
  readonly topology: Topology;
  /** This process's origin: batches that carry it hold our own commands. */
  readonly origin: Origin;
  /**
   * Multicasts to one group. Nothing is returned: the caller recognises its command among the deliveries. `refused` is
   * called, at most once, if the command was not and will not be ordered. What has not been begun with after `withinMs` is
   * refused with `timeout`: nobody waits for it any more.
   */
  propose(group: GroupId, payload: Uint8Array, refused: (error: CarillonError) => void, withinMs?: number): void;
  /**
   * The node must learn every group. Payload views inside a delivery are valid only during the call unless the entry is retained.
   * `from`: for whoever has the state behind `after` from a checkpoint; logs need not be there up to these places.
   * `abreast`: groups besides, which this node learns: a command of a group that spans one of them waits until that one is as far.
   * `onLost`: what comes next has been forgotten everywhere, and the subscription has ended; one behind `oldest` could go on.
   */
  subscribe(
    groups: readonly GroupId[],
    after: Position | null | "now",
    demand: number,
    onDelivery: (delivery: Delivery) => void,
    from?: Places,
    onLost?: (oldest: Position) => void,
    abreast?: readonly GroupId[],
  ): Subscription;
  /** Right now, and with all that is needed to go on from there some day; null if that cannot be told just now. For checkpoints. */
  cursor?(subscription: Subscription): Cursor | null;
  /**
   * Calls back once `subscription` has delivered everything completed in `groups` before this call, and everything ordered at
   * or before `atLeast`. Returns a cancel, for whoever stops waiting: without a quorum it would wait for ever.
   */
  confirm(
    subscription: Subscription,
    groups: readonly GroupId[],
    confirmed: (position: Position) => void,
    atLeast?: Position,
  ): () => void;
  /** Names of groups this node has a part in and knows no coordinator of. For what is said when nothing answers. */
  headless?(): readonly string[];
  /** The group a subscription's merge waits for and since how many milliseconds; null if it waits for none. For `stalled` events. */
  blocked?(subscription: Subscription): { readonly group: GroupId; readonly forMs: number } | null;
}

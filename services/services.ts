/**
 * KV store, logs and multicast of one node, over whatever orders its commands. This is all of a
 * Carillon that needs neither sockets nor a disk; the edge adds `status` and `fetch`.
 */
import type { Position } from "../core/position.ts";
import type { Carillon, Version } from "./api.ts";
import type { ServiceLimits } from "./limits.ts";
import type { Orderer } from "./orderer.ts";

export interface ServiceOptions {
  /** Calls back once, `ms` milliseconds from now or later; returns a cancel. Services have no clock of their own. */
  readonly after: (ms: number, callback: () => void) => () => void;
  readonly encodeCbor: (value: unknown) => Uint8Array;
  readonly decodeCbor: (bytes: Uint8Array) => unknown;
  readonly limits?: Partial<ServiceLimits>;
}

/** What one replica holds; for metrics. */
export interface ReplicaStats {
  /** Name of the group whose state this is. */
  readonly group: string;
  /** Names of the groups it merges. */
  readonly merges: readonly string[];
  /** Of the last command applied. */
  readonly position: Position;
  readonly commands: number;
  readonly kv: { readonly entries: number; readonly bytes: number; readonly heldBytes: number } | null;
  readonly log: { readonly logs: number; readonly records: number; readonly bytes: number; readonly heldBytes: number } | null;
}

export interface ServiceStats {
  /** Calls waiting for an answer. */
  readonly waiting: number;
  /** Streams of deliveries and tails that are open. */
  readonly streams: number;
  readonly replicas: readonly ReplicaStats[];
}

export interface Services extends Pick<Carillon, "kv" | "log" | "logs" | "append" | "multicast" | "deliveries" | "close"> {
  /** The furthest position any replica of this node has applied: what `Carillon-Position` says when a call has none of its own. */
  position(): Version;
  stats(): ServiceStats;
  /** A hash of all replicated state by "group/machine": equal at nodes that have applied the same commands. */
  digest(): Readonly<Record<string, string>>;
}

/**
 * Subscribes to every group this node learns and serves from what is delivered. Throws CarillonError `config` if the key
 * ranges of two groups overlap.
 *
 * `deliveries` and `log(name).tail` start at once; ask for them only to iterate. They throw `cancelled` from the iteration when
 * their signal aborts and `closed` when the services close; `return()` ends them quietly, also with a `next` in flight.
 */
export declare function createServices(orderer: Orderer, options: ServiceOptions): Services;

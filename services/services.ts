/**
 * KV store, logs and multicast of one node, over whatever orders its commands. This is all of a
 * Carillon that needs neither sockets nor a disk; the edge adds `status` and `fetch`.
 */
import { CarillonError } from "../core/errors.ts";
import { formatPosition } from "../core/position.ts";
import type { Rule } from "../core/rules.ts";
import type { Carillon, Version } from "./api.ts";
import type { Context } from "./context.ts";
import type { Endable } from "./feed.ts";
import { KvStore } from "./kv/kv.ts";
import { checkServiceLimits, defaultServiceLimits, type ServiceLimits } from "./limits.ts";
import { OneLog } from "./log/log.ts";
import { Logs, parseLogName } from "./log/logs.ts";
import { deliveries } from "./multicast/deliveries.ts";
import { multicast } from "./multicast/multicast.ts";
import type { Orderer } from "./orderer.ts";
import { Partitions } from "./partitions.ts";
import type { Replica } from "./replica.ts";
import { Replicas, type ReplicaStats } from "./replicas.ts";
import { Requests } from "./requests.ts";

export type { ReplicaStats };

export interface ServiceOptions {
  /** Calls back once, `ms` milliseconds from now or later; returns a cancel. Services have no clock of their own. */
  readonly after: (ms: number, callback: () => void) => () => void;
  readonly encodeCbor: (value: unknown) => Uint8Array;
  readonly decodeCbor: (bytes: Uint8Array) => unknown;
  readonly limits?: Partial<ServiceLimits>;
  /** Replicas hear nothing before `start` is called, so that they can be restored first. */
  readonly held?: boolean;
  /** Rules the simulator takes away. Production never sets any. */
  readonly without?: ReadonlySet<Rule>;
}

export interface ServiceStats {
  /** Calls waiting for an answer. */
  readonly waiting: number;
  /** Streams of deliveries, tails and watches that are open. */
  readonly streams: number;
  readonly replicas: readonly ReplicaStats[];
}

export interface Services extends Pick<Carillon, "kv" | "log" | "logs" | "append" | "multicast" | "deliveries" | "close"> {
  /** Every replica of this node, for whoever keeps checkpoints of them. */
  readonly replicas: readonly Replica[];
  /** Lets the replicas hear what is ordered behind what they hold. Until then reads wait. */
  start(): void;
  /** The furthest position any replica of this node has applied: what `Carillon-Position` says when a call has none of its own. */
  position(): Version;
  stats(): ServiceStats;
  /** A hash of all replicated state by "group/machine": equal at nodes that have applied the same commands. */
  digest(): Readonly<Record<string, string>>;
}

/**
 * Subscribes to every group this node learns, unless held, and serves from what is delivered. Throws CarillonError `config` if the key
 * ranges of two groups overlap.
 *
 * `deliveries`, `kv.watch` and `log(name).tail` start at once; ask for them only to iterate. They throw `cancelled` from the
 * iteration when their signal aborts and `closed` when the services close; `return()` ends them quietly, also with a `next` in flight.
 */
export function createServices(orderer: Orderer, options: ServiceOptions): Services {
  const limits = checkServiceLimits({ ...defaultServiceLimits, ...options.limits });
  const partitions = new Partitions(orderer.topology);
  const without = options.without ?? new Set<Rule>();
  const requests = new Requests(options.after, limits, () => headless(orderer.headless?.() ?? []), without);
  const replicas = new Replicas(orderer, requests, limits, without);
  const feeds = new Set<Endable>();
  const context: Context = { orderer, requests, replicas, limits, cbor: options, after: options.after, feeds, running: new Set(), without };
  const logs = new Logs(context);
  if (options.held !== true) replicas.start();
  return {
    replicas: replicas.all,
    start: () => replicas.start(),
    kv: new KvStore(context, partitions),
    log: (name) => new OneLog(logs, parseLogName(name)),
    logs: (options) => logs.all(options),
    append: (names, values, options) => logs.append(names, values, options),
    multicast: (groups, value, options) => multicast(context, groups, value, options),
    deliveries: (groups, options) => deliveries(context, groups, options),
    position: () => formatPosition(replicas.position()),
    stats: () => ({ waiting: requests.count, streams: feeds.size, replicas: replicas.stats() }),
    digest: () => replicas.digest(),
    close() {
      requests.close();
      for (const feed of [...feeds]) feed.fail(new CarillonError("closed", "Cannot go on with this stream: this node is closing"));
      replicas.close();
      return Promise.resolve();
    },
  };
}

/** Why nothing may be heard, as far as a node can know; "" if it knows nothing. */
function headless(groups: readonly string[]): string {
  if (groups.length === 0) return "";
  return groups.length === 1 ? `group ${groups[0]} has no coordinator` : `groups ${groups.join(", ")} have no coordinator`;
}

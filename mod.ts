/**
 * Carillon: ordered, replicated data at the edge. A strongly consistent key-value store, distributed logs and atomic
 * multicast, in this process or over HTTP, by the same interface.
 *
 * ```ts
 * import { open } from "@carillon/carillon";
 *
 * await using carillon = await open({ data: "./data" }); // a node in this process; or open("http://localhost:4100")
 * const put = await carillon.kv.put("user/ada", { json: { name: "Ada" } }, { ifVersion: null });
 * if (!put.ok) console.log("exists at", put.current?.version);
 *
 * const audit = carillon.log("audit");
 * await audit.create();
 * await audit.append("ada was here");
 * for await (const record of audit.tail({ from: 0 })) {
 *   console.log(record.offset, record.text());
 *   break;
 * }
 * ```
 *
 * Expected outcomes (a lost compare-and-set) are values; everything else throws a {@link CarillonError} with a `code` to
 * branch on and an `outcome` that says whether a write may have happened.
 *
 * @module
 */
export { type ConnectOptions, type LocalCarillon, type NodeOptions, open, type PublicKeys } from "./edge/open.ts";
export { newJoinToken, newNodeKey } from "./edge/embedded/identity.ts";
export { CarillonError, type ErrorCode, type ErrorDetails, type Outcome } from "./core/errors.ts";
export type { Durability } from "./core/node.ts";
export type { Shape, TopologyInput } from "./core/topology.ts";
export type {
  Appended,
  AppendOptions,
  AppendResult,
  CallOptions,
  Carillon,
  Change,
  ClusterStatus,
  Consistency,
  DeleteResult,
  Delivered,
  DeliveryEvent,
  Entry,
  From,
  GroupStatus,
  IdempotentOptions,
  Key,
  Kv,
  Log,
  LogInfo,
  LogPage,
  LogReadOptions,
  LogRecord,
  Multicasted,
  Page,
  ReadOptions,
  Refused,
  ScanOptions,
  Value,
  Version,
  Wait,
  WatchOptions,
  WatchRange,
  WriteOptions,
  WriteResult,
} from "./services/api.ts";
export type { Happening, NodeEvent } from "./edge/events/event.ts";
export { version } from "./edge/version.ts";

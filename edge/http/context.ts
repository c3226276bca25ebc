/**
 * What the HTTP API needs of the node behind it. Nothing here names a runtime: the app runs wherever `fetch` types exist,
 * and the wiring (or a test) fills this in.
 */
import type { Now } from "../../core/ids.ts";
import type { NodeView } from "../../core/view.ts";
import type { Carillon, Key, Version } from "../../services/api.ts";
import { defaultServiceLimits, type ServiceLimits } from "../../services/limits.ts";
import type { ServiceStats } from "../../services/services.ts";
import type { NodeHealth } from "../embedded/health.ts";
import type { Events } from "../events/events.ts";
import type { LinkCounts, PeerStats, UdpPath } from "../link/link.ts";
import type { Admission } from "./admission.ts";
import type { HistogramView } from "./histogram.ts";
import type { Tokens } from "./tokens.ts";

/** The operations of the node. */
export type Service = Pick<Carillon, "kv" | "log" | "logs" | "append" | "multicast" | "deliveries" | "status">;

export interface HttpLimits extends ServiceLimits {
  /** A body with a batch of records: its encoding is larger than the records in it. */
  readonly batchBodyBytesMax: number;
  readonly waitMsMax: number;
  /** A quiet stream says something this often, so that nothing on the way takes it for dead. */
  readonly heartbeatMs: number;
  /** A stream whose reader takes nothing for so long, while there is something to take, is ended. */
  readonly standstillMs: number;
  /** `/readyz` fails above this many entries known and not delivered. */
  readonly readyLagEntries: number;
}

export const defaultHttpLimits: HttpLimits = {
  ...defaultServiceLimits,
  batchBodyBytesMax: 2 << 20,
  waitMsMax: 60_000,
  heartbeatMs: 15_000,
  standstillMs: 30_000,
  readyLagEntries: 10_000,
};

/** As the journal gives them; a journal in memory has no syncs to speak of. */
export interface JournalStats {
  /** Taken on disk now. */
  readonly bytes: number;
  /** Since the process started. */
  readonly bytesWritten?: number;
  readonly records?: number;
  readonly batches?: number;
  /** From the write of a batch to its durability. */
  readonly syncSeconds?: HistogramView;
  /** Set once the journal cannot be written any more. */
  readonly failed?: string;
}

/** One peer's link, as its driver tells; what that does not know is null. Counters since the process started. */
export interface LinkStats extends Omit<PeerStats, "peer" | "connectedSince" | "udp"> {
  /** Name of the peer's node, and where it is looked for. */
  readonly peer: string;
  readonly address: string;
  /** How long the connection has lasted; null while there is none. */
  readonly connectedMs: number | null;
  readonly udp: Omit<UdpPath, "failingSince"> & { readonly failingMs: number | null } | null;
}

export interface ProcessStats {
  /** How late the event loop runs. */
  readonly eventLoopDelayMs?: number;
  readonly residentBytes?: number;
  readonly cpuSeconds?: number;
}

/** Each is asked at every scrape and must be cheap; absent ones are left out of `/metrics`. */
export interface MetricsSources {
  readonly journal?: () => JournalStats;
  readonly links?: () => readonly LinkStats[];
  readonly linkCounts?: () => LinkCounts;
  /** The key that a peer (by name) is let in by because it was shown under a join token; null for one that is listed by keys. */
  readonly learnedKey?: (peer: string) => string | null;
  readonly process?: () => ProcessStats;
  readonly services?: () => ServiceStats;
}

/** What a request is about, to find who can serve it. `name`: a key, a prefix, or names separated by commas. */
export type Place = "key" | "scan" | "log" | "logs" | "groups";

export interface AppContext {
  readonly carillon: Service;
  readonly nodeName: string;
  readonly version: string;
  /** The furthest position any replica of this node has applied: for answers that have none of their own. */
  readonly position: () => Version;
  /** "bun 1.4.5": for `/version` and build info. */
  readonly runtime?: string;
  readonly view: () => NodeView;
  readonly now: () => Now;
  /** Name of a node or group by id, for labels. */
  readonly names: { readonly node: (id: number) => string; readonly group: (id: number) => string };
  readonly metrics?: MetricsSources;
  readonly limits?: Partial<HttpLimits>;
  /** Shared by all apps of a node: it has one door. Default: one of this app's own. */
  readonly admission?: Admission;
  /** Shared by all apps of a node. Default: one of this app's own, in which nothing ever happens. */
  readonly events?: Events;
  readonly health?: NodeHealth;
  /** What users must send as `Authorization: Bearer …`; absent: nothing is asked for. */
  readonly tokens?: Tokens;
  /**
   * Host names this node answers to when no token protects it (without port). A page that rebinds its own name to
   * 127.0.0.1 is refused. Absent: any.
   */
  readonly hosts?: readonly string[];
  /** URLs of nodes that can serve this, best first; null when this node can. */
  readonly locate?: (place: Place, name: Key) => readonly string[] | null;
  /** True once the node has been told to stop: `/readyz` fails so that load balancers look elsewhere. */
  readonly draining?: () => boolean;
  /** A stream of this path was ended because its reader stood still. */
  readonly onCut?: (path: string) => void;
  /** Called with what should not have happened; the client only sees `internal`. */
  readonly report?: (error: unknown, route: string) => void;
}

/**
 * The interface of a Carillon, the same whether it runs in this process or is reached over HTTP.
 * Expected outcomes are values; everything else throws a `CarillonError` with `code` and `outcome`.
 */
import type { Outcome } from "../core/errors.ts";

/** 20 hex digits that sort as text; opaque to users. */
export type Version = string;

/** Text is encoded as UTF-8. At most 2 048 bytes; never empty. */
export type Key = string | Uint8Array;

/** Values are bytes with a content type, never guessed: say what you have. A string is `text/plain;charset=utf-8`. */
export type Value = string | Uint8Array | { readonly json: unknown } | { readonly cbor: unknown } | {
  readonly bytes: Uint8Array;
  readonly type: string;
};

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default 10 000. On expiry the call throws `timeout`; for a write with `outcome: "unknown"`. */
  readonly timeoutMs?: number;
}

/** For writes that may be made again when nobody knows whether they happened. */
export interface IdempotentOptions extends CallOptions {
  /**
   * 1 to 255 printable ASCII characters of the caller's choice, another for each write. A write with a key that its group has
   * seen is not made again: it returns what became of the first, with `replayed: true`, at any node. Another request under the
   * same key throws `key-reused`; while the first is still running at this node, `in-progress`. A group remembers its newest
   * 100 000 keys, for a day at most (under the merge `rr`, which knows no time, for longer).
   */
  readonly idempotencyKey?: string;
}

/**
 * - `linearizable` (default): sees every write acknowledged before the call.
 * - `session`: sees everything up to `after`; local, waits only if behind.
 * - `local`: some prefix of the order, at once.
 */
export type Consistency = "linearizable" | "session" | "local";

export interface ReadOptions extends CallOptions {
  readonly consistency?: Consistency;
  /** With `session`: a position returned by an earlier call. */
  readonly after?: Version;
}

export interface WriteOptions extends IdempotentOptions {
  /** Compare-and-set: the version it must have now; null for "must not exist". */
  readonly ifVersion?: Version | null;
}

export interface Entry {
  /** As text; keys that are not UTF-8 show replacement characters, `keyBytes` is exact. */
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly version: Version;
  /** Content type; "" if none was given. */
  readonly type: string;
  bytes(): Uint8Array;
  text(): string;
  json<T = unknown>(): T;
  cbor<T = unknown>(): T;
}

export type WriteResult =
  | { readonly ok: true; readonly version: Version; readonly created: boolean; readonly replayed?: true }
  | Refused;

/**
 * The condition did not hold: `current` is what is there, null for nothing. `position` is where in the order that was. If it is
 * replayed and the entry has been written since, its version is all that is known: reading its value throws `compacted`.
 */
export interface Refused {
  readonly ok: false;
  readonly current: Entry | null;
  readonly position: Version;
  readonly replayed?: true;
}

export type DeleteResult =
  | { readonly ok: true; readonly position: Version; readonly existed: boolean; readonly replayed?: true }
  | Refused;

export interface ScanOptions extends ReadOptions {
  readonly prefix?: Key;
  /** Inclusive. */
  readonly start?: Key;
  /** Exclusive. */
  readonly end?: Key;
  /** Entries per page: default 1 000, at most 10 000. */
  readonly limit?: number;
  /** As returned by the page before. */
  readonly cursor?: string;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
}

export interface Page {
  readonly entries: readonly Entry[];
  /** To continue; null at the end. A scan that crosses partitions is consistent within each, not across. */
  readonly cursor: string | null;
  readonly position: Version;
}

/** `key` alone, or the range that the others leave together; nothing for every key. */
export interface WatchRange {
  readonly key?: Key;
  readonly prefix?: Key;
  /** Inclusive. */
  readonly start?: Key;
  /** Exclusive. */
  readonly end?: Key;
}

export interface WatchOptions {
  /**
   * Goes on behind this position: the last one seen, of any node; a node that is not there yet waits. Absent: first come the
   * entries there are.
   */
  readonly after?: Version;
  readonly signal?: AbortSignal;
}

export type Change =
  /** What the key holds from `entry.version` on. */
  | { readonly kind: "put"; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string; readonly keyBytes: Uint8Array; readonly position: Version }
  /**
   * Everything up to here has been handed out, at first everything completed before the watch began. Comes again while other
   * keys change, so that there is a recent place to go on from.
   */
  | { readonly kind: "caught-up"; readonly position: Version };

export interface Kv {
  /** null if absent. */
  get(key: Key, options?: ReadOptions): Promise<Entry | null>;
  /** As `get`, with the position at which the answer held, also of an absence. */
  read(key: Key, options?: ReadOptions): Promise<{ readonly entry: Entry | null; readonly position: Version }>;
  put(key: Key, value: Value, options?: WriteOptions): Promise<WriteResult>;
  /** Create only. */
  insert(key: Key, value: Value, options?: IdempotentOptions): Promise<WriteResult>;
  /** Existing only. */
  update(key: Key, value: Value, options?: IdempotentOptions): Promise<WriteResult>;
  delete(key: Key, options?: WriteOptions): Promise<DeleteResult>;
  scan(options?: ScanOptions): Promise<Page>;
  /** All pages, one after another. */
  list(options?: ScanOptions): AsyncIterable<Entry>;
  /**
   * Every change in the order of positions, across partitions too, none twice and none left out. Without `after` it begins with
   * the entries there are, in no order; only from the first `caught-up` on is the position of a change a place to go on from.
   * The iteration throws `compacted`, with the `oldest` position one can go on from, when what comes next has been forgotten.
   */
  watch(range: WatchRange, options?: WatchOptions): AsyncIterable<Change>;
}

export interface LogInfo {
  readonly name: string;
  /** The group that orders it. */
  readonly group: string;
  /** Oldest kept offset. */
  readonly first: number;
  /** The offset the next record will get. */
  readonly next: number;
  readonly bytes: number;
  readonly position: Version;
}

export interface LogRecord {
  /** Dense from 0. */
  readonly offset: number;
  readonly position: Version;
  readonly type: string;
  bytes(): Uint8Array;
  text(): string;
  json<T = unknown>(): T;
  cbor<T = unknown>(): T;
}

export interface Appended {
  readonly log: string;
  readonly first: number;
  readonly next: number;
  readonly position: Version;
  readonly replayed?: true;
}

export interface AppendOptions extends IdempotentOptions {
  /** Only if this is the offset the first record gets. */
  readonly expect?: number;
}

export type AppendResult =
  | ({ readonly ok: true } & Appended)
  /** `expect` was not the tail; `next` is. */
  | { readonly ok: false; readonly next: number; readonly position: Version; readonly replayed?: true };

/** An offset, or `tail-N` for the last N records. */
export type From = number | `tail-${number}`;

export interface LogReadOptions extends ReadOptions {
  /** Default 0… the oldest kept record is an error below the trim point: `trimmed` with `oldest`. */
  readonly from?: From;
  /** Records: default 1 000, at most 10 000. */
  readonly limit?: number;
  /** Payload bytes: default 1 MiB, at most 16 MiB; at least one record is returned. */
  readonly bytes?: number;
  /** Start at the nearest offset that exists instead of failing with `past-tail` or `trimmed`. */
  readonly clamp?: boolean;
  /** Wait up to so long for a first record when there is none yet at `from`. */
  readonly waitMs?: number;
}

export interface LogPage {
  readonly records: readonly LogRecord[];
  /** Where to read on. */
  readonly next: number;
  /** The offset the next record of the log will get. */
  readonly tail: number;
  readonly position: Version;
}

export interface Log {
  readonly name: string;
  /** Creates it or finds it with the same settings; `created` says which. Other settings: throws `exists-differently`. */
  create(settings?: { readonly group?: string } & CallOptions): Promise<LogInfo & { readonly created: boolean }>;
  /** Throws `not-found`. */
  info(options?: ReadOptions): Promise<LogInfo>;
  append(value: Value, options?: AppendOptions): Promise<AppendResult>;
  /** Atomic and contiguous. */
  appendAll(values: readonly Value[], options?: AppendOptions): Promise<AppendResult>;
  read(options?: LogReadOptions): Promise<LogPage>;
  /** Every record from `from` (default the tail) for as long as the caller listens. */
  tail(options?: { readonly from?: From; readonly signal?: AbortSignal }): AsyncIterable<LogRecord>;
  /** Forgets everything below `offset`. Trimming what is trimmed is fine; past the tail throws `past-tail`. */
  trim(offset: number, options?: IdempotentOptions): Promise<LogInfo & { readonly replayed?: true }>;
}

/** A message has its place in the order. */
export interface Multicasted {
  readonly position: Version;
  readonly replayed?: true;
}

export interface Delivered {
  readonly position: Version;
  /** Names of the groups it was sent to. */
  readonly groups: readonly string[];
  readonly type: string;
  bytes(): Uint8Array;
  text(): string;
  json<T = unknown>(): T;
  cbor<T = unknown>(): T;
}

export type DeliveryEvent =
  | ({ readonly kind: "message" } & Delivered)
  /** Everything ordered before the stream was asked for has been delivered. */
  | { readonly kind: "caught-up"; readonly position: Version }
  /** The merge has waited this long for a group. */
  | { readonly kind: "stalled"; readonly group: string; readonly forMs: number };

export interface GroupStatus {
  readonly id: number;
  readonly name: string;
  readonly shape: string;
  readonly acceptors: readonly string[];
  readonly coordinator: string | null;
  readonly ballot: string;
  readonly decided: number;
  readonly spans: readonly string[];
  readonly keys: readonly { readonly from: string; readonly to: string | null }[];
  /** The sender's roles: `acceptor`, `learner`, `proposer`, `coordinator`. */
  readonly roles: readonly string[];
  /** Entries known to exist that this node has not delivered. */
  readonly lag: number;
  /** Age of the instant up to which this node knows the group completely; null where it is not told by time (merge `rr`). */
  readonly lagMs: number | null;
}

/** What the sender delivers of these groups, in one order, waits for a word of group `on`. */
export interface Wait {
  readonly groups: readonly string[];
  readonly on: string;
  readonly forMs: number;
}

export interface ClusterStatus {
  readonly cluster: string;
  readonly node: string;
  readonly version: string;
  readonly merge: string;
  readonly durability: string;
  readonly position: Version;
  readonly nodes: readonly {
    readonly id: number;
    readonly name: string;
    readonly region: string;
    readonly http: string;
    readonly connected: boolean;
    readonly rttMs: number | null;
  }[];
  readonly groups: readonly GroupStatus[];
  /** The sender's merges that have been waiting for longer than a moment. */
  readonly waits: readonly Wait[];
  /** What the sender's journal takes on its disk, or in memory. */
  readonly journalBytes: number;
  /** Since the sender's process has started it. */
  readonly upMs: number;
  /** Why the node is not ready; empty when it is. */
  readonly notReady: readonly string[];
}

export interface Carillon extends AsyncDisposable {
  readonly kv: Kv;
  log(name: string): Log;
  logs(options?: ReadOptions): Promise<readonly LogInfo[]>;
  /** One batch to several logs, atomically; order of results is that of `logs`. Throws `no-spanning-group`. */
  append(logs: readonly string[], values: readonly Value[], options?: IdempotentOptions): Promise<readonly Appended[]>;
  /**
   * Names of groups; several go through a group that spans them, or throw `no-spanning-group`. With a key, whoever listens hears the
   * message once, however often it is sent.
   */
  multicast(groups: readonly string[], value: Value, options?: IdempotentOptions): Promise<Multicasted>;
  /** Messages to any of `groups` in merged order. `after`: a position, or absent for "from now on", or "start". */
  deliveries(
    groups: readonly string[],
    options?: { readonly after?: Version | "start"; readonly signal?: AbortSignal },
  ): AsyncIterable<DeliveryEvent>;
  status(options?: CallOptions): Promise<ClusterStatus>;
  /** The whole HTTP API as one function. */
  readonly fetch: (request: Request) => Response | Promise<Response>;
  close(): Promise<void>;
}

/** What a caller is told about a write that threw; here so that clients need not import core. */
export type { Outcome };

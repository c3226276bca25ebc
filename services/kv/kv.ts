/** The key-value store as users call it: checks what they give, picks the partition, orders writes and waits before reads. */
import { comparePositions, formatPosition, type Position } from "../../core/position.ts";
import type {
  Change,
  DeleteResult,
  Entry,
  IdempotentOptions,
  Key,
  Kv,
  Page,
  ReadOptions,
  Refused,
  ScanOptions,
  Value,
  WatchOptions,
  WatchRange,
  WriteOptions,
  WriteResult,
} from "../api.ts";
import { binaryBytes } from "../bytes.ts";
import { kvService } from "../command.ts";
import { type Context, order, parseAfter, ready } from "../context.ts";
import { refuseIdempotencyKey, replayed, whyNotDeleteNothing } from "../idempotency.ts";
import { binaryText, parseKey } from "../keys.ts";
import type { Partitions } from "../partitions.ts";
import type { Reply } from "../replica.ts";
import { parseValue } from "../values.ts";
import { type Condition, encodeDelete, encodePut } from "./command.ts";
import { KvEntry } from "./entry.ts";
import { GoneEntry } from "./gone.ts";
import type { KvMachine, KvResult, Stored } from "./machine.ts";
import { parseScan, type Scan, scanPage } from "./scan.ts";
import { watch } from "./watch.ts";

export class KvStore implements Kv {
  readonly #context: Context;
  readonly #partitions: Partitions;

  constructor(context: Context, partitions: Partitions) {
    this.#context = context;
    this.#partitions = partitions;
  }

  async get(key: Key, options?: ReadOptions): Promise<Entry | null> {
    const binary = this.#key(key);
    const { machine } = await this.#ready(binary, options);
    return this.#entry(machine.read(binary));
  }

  async read(key: Key, options?: ReadOptions): Promise<{ readonly entry: Entry | null; readonly position: string }> {
    const binary = this.#key(key);
    const { machine, replica } = await this.#ready(binary, options);
    return { entry: this.#entry(machine.read(binary)), position: formatPosition(replica.applied) };
  }

  async put(key: Key, value: Value, options?: WriteOptions): Promise<WriteResult> {
    return await this.#put("put", key, value, condition(options), options);
  }

  async insert(key: Key, value: Value, options?: IdempotentOptions): Promise<WriteResult> {
    return await this.#put("insert", key, value, "absent", options);
  }

  async update(key: Key, value: Value, options?: IdempotentOptions): Promise<WriteResult> {
    return await this.#put("update", key, value, "present", options);
  }

  async delete(key: Key, options?: WriteOptions): Promise<DeleteResult> {
    const binary = this.#key(key);
    if (options?.ifVersion === null) refuseIdempotencyKey(options, "delete", whyNotDeleteNothing);
    const reply = await this.#order(binary, "delete", encodeDelete(binary, condition(options)), options);
    const { result, position } = reply;
    if (result.kind === "refused" || result.kind === "lost") return this.#refused(binary, reply, result);
    return { ok: true, position: formatPosition(position), existed: result.kind === "deleted" && result.existed, ...replayed(reply) };
  }

  async scan(options?: ScanOptions): Promise<Page> {
    return await this.#page(parseScan(options, this.#context.limits), options);
  }

  async *list(options?: ScanOptions): AsyncIterable<Entry> {
    let cursor = options?.cursor;
    do {
      const page: Page = await this.scan(cursor === undefined ? options : { ...options, cursor });
      yield* page.entries;
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
  }

  watch(range: WatchRange, options?: WatchOptions): AsyncIterable<Change> {
    return watch(this.#context, this.#partitions, range, options);
  }

  async #page(scan: Scan, options: ScanOptions | undefined): Promise<Page> {
    const { entries, cursor, position } = await scanPage(this.#context, this.#partitions, scan, options);
    return { entries: entries.map((entry) => new KvEntry(entry, this.#context.cbor)), cursor, position: formatPosition(position) };
  }

  async #put(verb: string, key: Key, value: Value, condition: Condition, options: IdempotentOptions | undefined): Promise<WriteResult> {
    const binary = this.#key(key);
    const { type, bytes } = parseValue(value, this.#context.cbor, this.#context.limits);
    const reply = await this.#order(binary, verb, encodePut(binary, type, bytes, condition), options);
    const { result, position } = reply;
    if (result.kind === "refused" || result.kind === "lost") return this.#refused(binary, reply, result);
    return { ok: true, version: formatPosition(position), created: result.kind === "written" && result.created, ...replayed(reply) };
  }

  #key(key: Key): string {
    return parseKey(key, this.#context.limits.keyBytesMax);
  }

  async #ready(key: string, options: ReadOptions | undefined): Promise<{ replica: { applied: Position }; machine: KvMachine }> {
    const hosted = this.#context.replicas.kv(this.#partitions.groupOf(key));
    await ready(this.#context, hosted.replica, options, () => `read ${quoted(key)}`);
    return hosted;
  }

  #order(key: string, verb: string, bytes: Uint8Array, options: IdempotentOptions | undefined): Promise<Reply<OrderedResult>> {
    const group = this.#partitions.groupOf(key);
    // Nobody here could tell the caller how it went.
    this.#context.replicas.kv(group);
    return order<KvResult>(this.#context, { service: kvService, group, bytes, what: () => `${verb} ${quoted(key)}`, options });
  }

  #refused(key: string, reply: Reply<OrderedResult>, result: RefusedResult): Refused {
    const current = result.kind === "refused" ? this.#entry(result.current) : this.#met(key, result.version);
    return { ok: false, current, position: formatPosition(reply.position), ...replayed(reply) };
  }

  /** What a condition met the first time the command came: all of it if it is still there. */
  #met(key: string, version: Position | null): Entry | null {
    if (version === null) return null;
    const now = this.#context.replicas.kv(this.#partitions.groupOf(key)).machine.read(key);
    return now !== null && comparePositions(now.version, version) === 0
      ? this.#entry(now)
      : new GoneEntry(binaryText(key), binaryBytes(key), formatPosition(version));
  }

  #entry(stored: Stored | null): Entry | null {
    return stored === null ? null : new KvEntry(stored, this.#context.cbor);
  }
}

type OrderedResult = Exclude<KvResult, { kind: "bad-request" }>;
type RefusedResult = Extract<KvResult, { kind: "refused" | "lost" }>;

function condition(options: WriteOptions | undefined): Condition {
  const version = options?.ifVersion;
  return version === undefined ? "always" : version === null ? "absent" : parseAfter(version);
}

function quoted(key: string): string {
  return JSON.stringify(binaryText(key));
}

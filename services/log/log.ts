/** One log as users call it. */
import { CarillonError } from "../../core/errors.ts";
import { formatPosition } from "../../core/position.ts";
import type {
  AppendOptions,
  AppendResult,
  CallOptions,
  From,
  IdempotentOptions,
  Log,
  LogInfo,
  LogPage,
  LogReadOptions,
  LogRecord,
  ReadOptions,
  Value,
} from "../api.ts";
import { logService } from "../command.ts";
import { order, parseCount, ready } from "../context.ts";
import { replayed } from "../idempotency.ts";
import { encodeAppend, encodeTrim } from "./command.ts";
import { type Logs, unexpectedResult, withoutConsistency } from "./logs.ts";
import type { LogMachine, LogResult } from "./machine.ts";
import { parseFrom, parseOffset, pastTail, place, trimmed } from "./offsets.ts";
import { OneRecord } from "./record.ts";
import { tailFeed } from "./tail.ts";

export class OneLog implements Log {
  readonly name: string;
  readonly #logs: Logs;

  constructor(logs: Logs, name: string) {
    this.#logs = logs;
    this.name = name;
  }

  async create(settings?: { readonly group?: string } & CallOptions): Promise<LogInfo & { created: boolean }> {
    return await this.#logs.create(this.name, settings);
  }

  async info(options?: ReadOptions): Promise<LogInfo> {
    const { context } = this.#logs;
    const { home } = await this.#logs.find(this.name, options);
    const hosted = context.replicas.log(home);
    await ready(context, hosted.replica, options, () => `ask for log "${this.name}"`);
    return this.#logs.info(this.name, hosted);
  }

  async append(value: Value, options?: AppendOptions): Promise<AppendResult> {
    return await this.appendAll([value], options);
  }

  async appendAll(values: readonly Value[], options?: AppendOptions): Promise<AppendResult> {
    const { context } = this.#logs;
    const records = this.#logs.parseBatch(values);
    const expect = options?.expect === undefined ? null : parseOffset(options.expect, "expect");
    const log = await this.#logs.find(this.name, withoutConsistency(options));
    context.replicas.log(log.home);
    const what = () => `append to log "${this.name}"`;
    const bytes = encodeAppend([log], records, expect);
    const reply = await order<LogResult>(context, { service: logService, group: log.home, bytes, what, options });
    const { result, position } = reply;
    if (result.kind === "unexpected") return { ok: false, next: result.next, position: formatPosition(position), ...replayed(reply) };
    if (result.kind !== "appended") throw unexpectedResult(what(), log.home, result);
    return { ok: true, log: this.name, ...result.parts[0]!, position: formatPosition(position), ...replayed(reply) };
  }

  async read(options?: LogReadOptions): Promise<LogPage> {
    const { context } = this.#logs;
    const { limits } = context;
    const limit = parseCount(options?.limit, limits.pageItems, limits.pageItemsMax, "limit");
    const bytes = parseCount(options?.bytes, limits.pageBytes, limits.pageBytesMax, "bytes");
    const waitMs = options?.waitMs === undefined || options.waitMs === 0 ? 0 : parseCount(options.waitMs, 0, limits.timeoutMsMax, "waitMs");
    const wanted = parseFrom(options?.from ?? 0);
    const { home } = await this.#logs.find(this.name, options);
    const { replica, machine } = context.replicas.log(home);
    await ready(context, replica, options, () => `read log "${this.name}"`);

    const from = place(this.name, machine.extent(this.name), wanted, options?.clamp ?? false);
    if (waitMs > 0 && from === machine.extent(this.name).next) await this.#arrival(machine, from, waitMs, options?.signal);
    // While it waited, the log may also have been trimmed beyond where it waited.
    const { first, next } = machine.extent(this.name);
    const at = from < first && options?.clamp === true ? first : from;
    if (at < first) throw trimmed(this.name, at, first);
    const records = machine.read(this.name, at, limit, bytes);
    return {
      records: records.map((record) => new OneRecord(record, context.cbor)),
      next: at + records.length,
      tail: next,
      position: formatPosition(replica.applied),
    };
  }

  tail(options?: { readonly from?: From; readonly signal?: AbortSignal }): AsyncIterable<LogRecord> {
    return tailFeed(this.#logs, this.name, parseFrom(options?.from ?? "tail-0"), options?.signal);
  }

  async trim(offset: number, options?: IdempotentOptions): Promise<LogInfo & { readonly replayed?: true }> {
    const { context } = this.#logs;
    parseOffset(offset, "offset");
    const log = await this.#logs.find(this.name, withoutConsistency(options));
    const hosted = context.replicas.log(log.home);
    const what = () => `trim log "${this.name}"`;
    const bytes = encodeTrim(log, offset);
    const reply = await order<LogResult>(context, { service: logService, group: log.home, bytes, what, options });
    const { result, position } = reply;
    if (result.kind === "past-tail") {
      throw pastTail(this.name, `trim log "${this.name}" to`, offset, result.tail, {
        position: formatPosition(position),
        ...replayed(reply),
      });
    }
    if (result.kind !== "trimmed") throw unexpectedResult(what(), log.home, result);
    return { ...this.#logs.info(this.name, hosted), ...result.extent, position: formatPosition(position), ...replayed(reply) };
  }

  /** Resolves when the record at `offset` is there or the time is over. */
  async #arrival(machine: LogMachine, offset: number, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    let cancel = () => {};
    const options = signal === undefined ? { timeoutMs: waitMs } : { timeoutMs: waitMs, signal };
    try {
      await this.#logs.context.requests.ask<void>({ what: () => `read log "${this.name}"`, write: false, options }, (request) => {
        cancel = machine.watch(this.name, () => {
          if (machine.extent(this.name).next > offset) this.#logs.context.requests.settle(request, undefined);
        });
      });
    } catch (error) {
      if (!(error instanceof CarillonError) || error.code !== "timeout") throw error;
    } finally {
      cancel();
    }
  }
}

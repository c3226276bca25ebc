/** All logs of a cluster: the catalog that says where each is at home, and the append to several at once. */
import { CarillonError } from "../../core/errors.ts";
import type { GroupId } from "../../core/ids.ts";
import { comparePositions, formatPosition } from "../../core/position.ts";
import { groupById, spanningGroup } from "../../core/topology.ts";
import type { Appended, CallOptions, IdempotentOptions, LogInfo, ReadOptions, Value } from "../api.ts";
import { catalogService, logService } from "../command.ts";
import { type CatalogResult, encodeCreate } from "../catalog.ts";
import { type Context, noSpanningGroup, order, orderParts, parseGroup, ready } from "../context.ts";
import { refuseIdempotencyKey, replayed, whyNotCreate } from "../idempotency.ts";
import type { Hosted } from "../replicas.ts";
import { type Content, parseValue } from "../values.ts";
import { encodeAppend, type Homed, logName } from "./command.ts";
import type { LogMachine, LogResult } from "./machine.ts";

export class Logs {
  readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  /** Throws `exists-differently`, naming the group it has, if another is insisted on. */
  async create(name: string, options: ({ readonly group?: string } & CallOptions) | undefined): Promise<LogInfo & { created: boolean }> {
    const { context } = this;
    refuseIdempotencyKey(options, "create a log", whyNotCreate);
    const home = options?.group === undefined ? this.#nearest() : this.#ordinary(options.group);
    const { replica } = context.replicas.catalog();
    context.replicas.log(home);
    const bytes = encodeCreate(name, home, options?.group !== undefined);
    const what = () => `create log "${name}"`;
    const { result, position } = await order<CatalogResult>(context, {
      service: catalogService,
      group: replica.home,
      bytes,
      what,
      options,
    });
    const group = groupById(context.orderer.topology, result.home).name;
    if (result.kind === "differs") {
      throw new CarillonError("exists-differently", `Cannot create log "${name}" in group "${options?.group}": it is in "${group}"`, {
        facts: { log: name, group },
      });
    }
    const hosted = context.replicas.log(result.home);
    if (!result.created) await ready(context, hosted.replica, withoutConsistency(options), what);
    const applied = hosted.replica.applied;
    const latest = comparePositions(position, applied) > 0 ? position : applied;
    return { ...this.info(name, hosted), position: formatPosition(latest), created: result.created };
  }

  async all(options: ReadOptions | undefined): Promise<LogInfo[]> {
    const { replica, machine } = this.context.replicas.catalog();
    const what = () => "list logs";
    await ready(this.context, replica, options, what);
    const logs = machine.all();
    const hosts = [...new Set(logs.map(({ home }) => home))].map((home) => this.context.replicas.log(home));
    await Promise.all(hosts.map((host) => ready(this.context, host.replica, options, what)));
    return logs.map(({ name, home }) => this.info(name, this.context.replicas.log(home)));
  }

  /** Where a log is at home. What is known of the catalog stays true, so only an unknown name needs to be confirmed. */
  async find(name: string, options: ReadOptions | undefined): Promise<Homed> {
    const { replica, machine } = this.context.replicas.catalog();
    if (machine.home(name) === undefined) await ready(this.context, replica, options, () => `find log "${name}"`);
    const home = machine.home(name);
    if (home === undefined) {
      throw new CarillonError("not-found", `Cannot find log "${name}": there is none of that name`, { facts: { log: name } });
    }
    return { name, home };
  }

  /** As the replica here has it. */
  info(name: string, { replica, machine }: Hosted<LogMachine>): LogInfo {
    const group = groupById(this.context.orderer.topology, replica.home).name;
    return { name, group, ...machine.extent(name), position: formatPosition(replica.applied) };
  }

  async append(names: readonly string[], values: readonly Value[], options: IdempotentOptions | undefined): Promise<Appended[]> {
    const { context } = this;
    const records = this.parseBatch(values);
    checkNames(names, context.limits.logsMax);
    const logs = await Promise.all(names.map((name) => this.find(name, withoutConsistency(options))));
    const homes = [...new Set(logs.map(({ home }) => home))];
    for (const home of homes) context.replicas.log(home);
    const carrier = spanningGroup(context.orderer.topology, homes);
    if (carrier === null) throw noSpanningGroup(context, homes);
    const what = () => `append to logs ${names.join(", ")}`;
    const bytes = encodeAppend(logs, records, null);
    const replies = await orderParts<LogResult>(context, { service: logService, group: carrier.id, bytes, what, options }, homes);
    const appended = new Map<string, Appended>();
    for (const [home, reply] of replies) {
      const { result } = reply;
      if (result.kind !== "appended") throw unexpectedResult(what(), home, result);
      const position = formatPosition(reply.position);
      logs.filter((log) => log.home === home).forEach(({ name }, index) => {
        appended.set(name, { log: name, ...result.parts[index]!, position, ...replayed(reply) });
      });
    }
    return names.map((name) => appended.get(name)!);
  }

  /** Throws `bad-request` for an empty batch, `too-large` with the limit. */
  parseBatch(values: readonly Value[]): Content[] {
    const { limits, cbor } = this.context;
    if (!Array.isArray(values) || values.length === 0) {
      throw new CarillonError("bad-request", "Cannot append: there is no record");
    }
    if (values.length > limits.batchRecordsMax) {
      const limit = limits.batchRecordsMax;
      throw new CarillonError("too-large", `Cannot append ${values.length} records at once: at most ${limit} are allowed`, {
        facts: { limit },
      });
    }
    let bytes = 0;
    return values.map((value: Value) => {
      const content = parseValue(value, cbor, limits);
      bytes += content.bytes.byteLength;
      if (bytes > limits.batchBytesMax) {
        const limit = limits.batchBytesMax;
        throw new CarillonError("too-large", `Cannot append a batch of more than ${limit} bytes`, { facts: { limit } });
      }
      return content;
    });
  }

  /** A log nobody placed goes to a group this node votes in: its writers are here. */
  #nearest(): GroupId {
    const { topology, self } = this.context.orderer;
    const ordinary = topology.groups.filter(({ spans }) => spans.length === 0);
    return (ordinary.find(({ acceptors }) => acceptors.includes(self)) ?? ordinary[0])?.id ?? this.context.replicas.catalog().replica.home;
  }

  #ordinary(name: string): GroupId {
    const group = parseGroup(this.context, name);
    if (group.spans.length === 0) return group.id;
    throw new CarillonError("bad-request", `Cannot create a log in group "${name}": it spans others`, { facts: { group: name } });
  }
}

/** Throws `bad-request`. */
export function parseLogName(name: string): string {
  if (typeof name === "string" && logName.test(name)) return name;
  const shown = JSON.stringify(name);
  throw new CarillonError("bad-request", `Cannot use ${shown} as the name of a log: it takes 1 to 128 letters, digits, "_", "." or "-"`);
}

export function unexpectedResult(what: string, home: GroupId, result: { readonly kind: string }): CarillonError {
  return new CarillonError("internal", `Cannot ${what}: group ${home} answered "${result.kind}"`, { outcome: "unknown" });
}

/** Writes take no consistency; their lookups are linearizable. */
export function withoutConsistency(options: CallOptions | undefined): CallOptions | undefined {
  if (options === undefined) return undefined;
  const { signal, timeoutMs } = options;
  return { ...(signal === undefined ? {} : { signal }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

function checkNames(names: readonly string[], max: number): void {
  if (!Array.isArray(names) || names.length === 0) throw new CarillonError("bad-request", "Cannot append: no log is named");
  if (names.length > max) {
    throw new CarillonError("too-large", `Cannot append to ${names.length} logs at once: at most ${max} are allowed`, {
      facts: { limit: max },
    });
  }
  const seen = new Set<string>();
  for (const name of names as readonly string[]) {
    if (seen.has(parseLogName(name))) throw new CarillonError("bad-request", `Cannot append: log "${name}" is named twice`);
    seen.add(name);
  }
}

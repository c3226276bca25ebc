/** What the three services share: the way into the order, and the wait before a read. */
import { CarillonError } from "../core/errors.ts";
import type { GroupId } from "../core/ids.ts";
import { comparePositions, formatPosition, parsePosition, type Position } from "../core/position.ts";
import type { Rule } from "../core/rules.ts";
import type { GroupSpec } from "../core/topology.ts";
import type { CallOptions, IdempotentOptions, ReadOptions } from "./api.ts";
import { keyedBit, stamp, withKey } from "./command.ts";
import type { Endable } from "./feed.ts";
import { inProgress, parseIdempotencyKey } from "./idempotency.ts";
import type { ServiceLimits } from "./limits.ts";
import type { BadRequest } from "./machine.ts";
import type { Orderer } from "./orderer.ts";
import type { Replica, Reply } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import type { Requests } from "./requests.ts";
import type { Cbor } from "./values.ts";

export interface Context {
  readonly orderer: Orderer;
  readonly requests: Requests;
  readonly replicas: Replicas;
  readonly limits: ServiceLimits;
  readonly cbor: Cbor;
  readonly after: (ms: number, callback: () => void) => () => void;
  /** Open streams, so that closing can end them. */
  readonly feeds: Set<Endable>;
  /** Writes with an idempotency key that wait here for their outcome, as "group key". */
  readonly running: Set<string>;
  /** Rules the simulator takes away. */
  readonly without: ReadonlySet<Rule>;
}

export interface Command {
  readonly service: number;
  /** The group that orders it. */
  readonly group: GroupId;
  /** With room for the header in front. */
  readonly bytes: Uint8Array;
  readonly what: () => string;
  readonly options: IdempotentOptions | undefined;
}

/** Has a command ordered and resolves to what its replica here made of it. */
export async function order<R extends { readonly kind: string }>(
  context: Context,
  command: Command,
): Promise<Reply<Exclude<R, BadRequest>>> {
  return read(await propose<Reply<R>>(context, command, 1), command);
}

/** The same for a command with parts for several home groups; resolves to their replies by group. */
export async function orderParts<R extends { readonly kind: string }>(
  context: Context,
  command: Command,
  homes: readonly GroupId[],
): Promise<Map<GroupId, Reply<Exclude<R, BadRequest>>>> {
  if (homes.length === 1) return new Map([[homes[0]!, await order<R>(context, command)]]);
  const replies = await propose<Map<GroupId, Reply<R>>>(context, command, homes.length);
  return new Map(Array.from(replies, ([home, reply]) => [home, read(reply, command)]));
}

function propose<T>(context: Context, command: Command, parts: number): Promise<T> {
  return command.options?.idempotencyKey === undefined ? send(context, command, parts) : sendOnce(context, command, parts);
}

/** One try at a time: who waits here for a command need not have it ordered twice. */
async function sendOnce<T>(context: Context, command: Command, parts: number): Promise<T> {
  const { what, options, service, group, bytes } = command;
  const key = parseIdempotencyKey(options!.idempotencyKey);
  const name = `${group} ${key}`;
  if (context.running.has(name)) throw inProgress(what(), key);
  context.running.add(name);
  try {
    return await send(context, { ...command, service: service + keyedBit, bytes: withKey(bytes, service, key) }, parts);
  } finally {
    context.running.delete(name);
  }
}

function send<T>(context: Context, command: Command, parts: number): Promise<T> {
  const { what, options, service, group, bytes } = command;
  return context.requests.ask<T>({ what, options, write: true, parts }, (request) => {
    const refused = (error: CarillonError): void => context.requests.fail(request, error);
    context.orderer.propose(group, stamp(bytes, service, request), refused, options?.timeoutMs ?? context.limits.timeoutMs);
  });
}

function read<R extends { readonly kind: string }>(reply: Reply<R>, command: Command): Reply<Exclude<R, BadRequest>> {
  if (reply.result.kind === "bad-request") {
    throw new CarillonError("bad-request", `Cannot ${command.what()}: the replicas could not read the command`);
  }
  return reply as Reply<Exclude<R, BadRequest>>;
}

/** Resolves once the replica may answer a read of this consistency. Throws `timeout`, `behind`, `bad-position` or `bad-request`. */
export function ready(context: Context, replica: Replica, options: ReadOptions | undefined, what: () => string): Promise<void> {
  const consistency = options?.consistency ?? "linearizable";
  switch (consistency) {
    case "linearizable":
      if (context.without.has("read-confirmed")) return done;
      return confirmed(context, replica, options, what);
    case "local":
      return done;
    case "session": {
      if (options?.after === undefined || context.without.has("session-waits")) return done;
      const after = parseAfter(options.after);
      return reached(context, replica, after, options, what);
    }
    default:
      throw new CarillonError("bad-request", `Cannot ${what()}: there is no consistency ${JSON.stringify(consistency)}`);
  }
}

const done = Promise.resolve();

/** Asks the groups' quorums how far they are, and waits for that. */
async function confirmed(context: Context, replica: Replica, options: CallOptions | undefined, what: () => string): Promise<void> {
  let cancel = () => {};
  try {
    await context.requests.ask<void>({ what, options, write: false }, (request) => {
      cancel = replica.confirm(replica.groups, () => context.requests.settle(request, undefined));
    });
  } finally {
    cancel();
  }
}

/** Waits, without asking anybody, until the replica has passed `after`; a silent group passes it by its clocks. */
async function reached(context: Context, replica: Replica, after: Position, options: CallOptions, what: () => string): Promise<void> {
  if (comparePositions(replica.applied, after) >= 0) return;
  let cancel = () => {};
  try {
    await context.requests.ask<void>({ what, options, write: false }, (request) => {
      cancel = replica.confirm([], () => context.requests.settle(request, undefined), after);
    });
  } catch (error) {
    if (!(error instanceof CarillonError) || error.code !== "timeout") throw error;
    const position = formatPosition(replica.applied);
    throw new CarillonError("behind", `Cannot ${what()}: this replica is at ${position}, behind ${formatPosition(after)}`, {
      retryable: true,
      facts: { position, after: formatPosition(after) },
    });
  } finally {
    cancel();
  }
}

/** Throws `bad-position`. */
export function parseAfter(text: string): Position {
  const position = typeof text === "string" ? parsePosition(text) : null;
  if (position === null) {
    throw new CarillonError("bad-position", `Cannot use ${JSON.stringify(text)} as a position: it is not 20 hex digits of an order`);
  }
  return position;
}

/** Throws `not-found`, listing the groups there are. */
export function parseGroup(context: Context, name: string): GroupSpec {
  const { groups } = context.orderer.topology;
  const group = groups.find((candidate) => candidate.name === name);
  if (group !== undefined) return group;
  throw new CarillonError("not-found", `Cannot find group ${JSON.stringify(name)}: there is none of that name`, {
    facts: { group: name, groups: groups.map((candidate) => candidate.name) },
  });
}

/** Throws `no-spanning-group`, listing what is spanned. */
export function noSpanningGroup(context: Context, groups: readonly GroupId[]): CarillonError {
  const name = (id: GroupId) => context.orderer.topology.groups.find((group) => group.id === id)!.name;
  const wanted = groups.map(name);
  const spanned = context.orderer.topology.groups
    .filter(({ spans }) => spans.length > 0)
    .map((group) => ({ group: group.name, spans: group.spans.map(name) }));
  return new CarillonError("no-spanning-group", `Cannot reach groups ${wanted.join(", ")} at once: no group spans them`, {
    facts: { groups: wanted, spanned },
  });
}

/** A whole number of items or bytes in a request. Throws `bad-request`; `too-large` with the limit above `max`. */
export function parseCount(value: number | undefined, fallback: number, max: number, name: string): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new CarillonError("bad-request", `Cannot use ${name} ${value}: it must be a whole number from 1`);
  }
  if (value > max) {
    throw new CarillonError("too-large", `Cannot use ${name} ${value}: at most ${max} is allowed`, { facts: { limit: max } });
  }
  return value;
}

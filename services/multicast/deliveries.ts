/**
 * The messages of some groups in merged order, for as long as somebody listens. The subscription is
 * the listener's own: it hears everything ordered in those groups and what spans them, passes on what
 * was sent to them, and lets no more come than the listener takes.
 */
import type { Delivery } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import type { GroupId } from "../../core/ids.ts";
import { comparePositions, formatPosition, type Position, start } from "../../core/position.ts";
import { groupById, groupsReaching } from "../../core/topology.ts";
import type { Delivered, DeliveryEvent, Version } from "../api.ts";
import { Reader } from "../bytes.ts";
import { eachDelivered, headerBytes, keyedBit, multicastService, readKey } from "../command.ts";
import { type Context, parseAfter } from "../context.ts";
import { Feed } from "../feed.ts";
import type { Subscription } from "../orderer.ts";
import { learns, unreachableGroup } from "../replicas.ts";
import type { Replica } from "../replica.ts";
import { type Cbor, type Content, Reading } from "../values.ts";
import { parseMessage } from "./command.ts";
import { parseGroups } from "./multicast.ts";

export interface DeliveryOptions {
  readonly after?: Version | "start";
  readonly signal?: AbortSignal;
}

export function deliveries(context: Context, names: readonly string[], options: DeliveryOptions | undefined): Feed<DeliveryEvent> {
  const { orderer } = context;
  if (context.requests.closed) throw new CarillonError("closed", "Cannot stream deliveries: this node is closed");
  const wanted = parseGroups(context, names).map(({ id }) => id);
  const heard = [...new Set(wanted.flatMap((id) => groupsReaching(orderer.topology, id)))];
  for (const id of heard) if (!learns(orderer, id)) throw unreachableGroup(orderer, id);
  const after = options?.after === undefined || options.after !== "start" && context.without.has("deliveries-resume")
    ? "now"
    : options.after === "start"
    ? null
    : parseAfter(options.after);
  return new Listener(context, new Set([...wanted, ...heard]), options?.signal).open(heard, after);
}

interface Queued {
  readonly event: DeliveryEvent;
  /** Of a message. */
  readonly bytes: number;
  /** Of a message with a key, which may be a repetition: where it was ordered. */
  readonly keyed: Position | null;
}

class Listener {
  readonly #context: Context;
  /** A message for one of these is the listener's: what it asked for, and the groups that reach all they span. */
  readonly #addressed: ReadonlySet<GroupId>;
  readonly #queue: Queued[] = [];
  readonly #reader = new Reader();
  readonly #feed: Feed<DeliveryEvent>;
  #subscription: Subscription | null = null;
  /** Commands that may still come. Invariant: with each as large as any may be, they and `#queue` keep to both bounds. */
  #asked = 0;
  /** Messages in `#queue`, and their bytes. */
  #messages = 0;
  #bytes = 0;
  #cancelWatch = () => {};
  /** Until a replica is as far as the first in `#queue`. */
  #waits = false;
  #cancelWait = () => {};
  #stopped = false;

  constructor(context: Context, addressed: ReadonlySet<GroupId>, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#addressed = addressed;
    this.#feed = new Feed({ take: () => this.#take(), stop: () => this.#stop() }, context.feeds, signal);
  }

  open(heard: readonly GroupId[], after: Position | null | "now"): Feed<DeliveryEvent> {
    const { orderer, limits } = this.#context;
    if (this.#stopped) return this.#feed;
    this.#asked = this.#room();
    const subscription = orderer.subscribe(
      heard,
      after,
      this.#asked,
      (delivery) => {
        if (this.#stopped) return;
        this.#asked -= delivery.to - delivery.from;
        this.#pass(delivery);
        this.#more();
        this.#feed.wake();
      },
      undefined,
      (oldest) => {
        const position = formatPosition(oldest);
        this.#feed.fail(
          new CarillonError("compacted", `Cannot go on with these deliveries: what was ordered up to ${position} has been forgotten`, {
            facts: { oldest: position },
          }),
        );
      },
    );
    this.#subscription = subscription;
    this.#more();
    const floor = after === "now" ? this.#behindNow(heard) : start;
    orderer.confirm(subscription, heard, (delivered) => {
      const position = comparePositions(delivered, floor) > 0 ? delivered : floor;
      this.#push({ kind: "caught-up", position: formatPosition(position) });
    });
    this.#watch(limits.stalledMs);
    return this.#feed;
  }

  /**
   * "Now" is a place in each group, not one position. Whoever resumes from where a stream caught up without hearing anything
   * must miss nothing: the earliest of those places is the one to give, even if some things then come twice.
   */
  #behindNow(heard: readonly GroupId[]): Position {
    const places = heard.map((id) => this.#context.replicas.messages(id).replica.applied);
    return places.reduce((least, place) => comparePositions(place, least) < 0 ? place : least);
  }

  #stop(): void {
    this.#stopped = true;
    this.#cancelWatch();
    this.#cancelWait();
    this.#subscription?.close();
  }

  /** How many more commands there is room for. */
  #room(): number {
    const { streamCommands, streamBytes, valueBytesMax } = this.#context.limits;
    return Math.min(streamCommands - this.#messages, Math.floor((streamBytes - this.#bytes) / valueBytesMax)) - this.#asked;
  }

  #more(): void {
    const commands = this.#room();
    if (commands <= 0 || this.#subscription === null) return;
    this.#asked += commands;
    this.#subscription.more(commands);
  }

  #take(): DeliveryEvent | null {
    for (let queued = this.#queue[0]; queued !== undefined; queued = this.#queue[0]) {
      const repeated = queued.keyed !== null && this.#isRepeated(queued.keyed);
      if (repeated === null) return null;
      this.#queue.shift();
      if (queued.event.kind === "message") {
        this.#messages--;
        this.#bytes -= queued.bytes;
        this.#more();
      }
      if (!repeated) return queued.event;
    }
    return null;
  }

  /** Null as long as it cannot be told, because the group's own replica here is not that far. Throws `compacted`. */
  #isRepeated(position: Position): boolean | null {
    const { replicas, without } = this.#context;
    const { replica, machine: { repeats } } = replicas.messages(position.group);
    if (without.has("message-once")) return false;
    if (comparePositions(replica.applied, position) < 0) {
      this.#waitFor(replica, position);
      return null;
    }
    if (comparePositions(position, repeats.forgotten) > 0) return repeats.has(position);
    const oldest = formatPosition(repeats.forgotten);
    throw new CarillonError(
      "compacted",
      `Cannot go on with these deliveries: which messages up to ${oldest} came again has been forgotten`,
      {
        facts: { oldest },
      },
    );
  }

  #waitFor(replica: Replica, position: Position): void {
    if (this.#waits) return;
    this.#waits = true;
    const reached = () => {
      this.#waits = false;
      this.#feed.wake();
    };
    this.#cancelWait = replica.confirm([], reached, position);
  }

  #push(event: DeliveryEvent): void {
    if (this.#stopped) return;
    this.#queue.push({ event, bytes: 0, keyed: null });
    this.#feed.wake();
  }

  /** Queues what is the listener's. What is not has used up nothing of the room. */
  #pass(delivery: Delivery): void {
    eachDelivered(delivery, this.#context.orderer.topology.order, (position, bytes, at, end) => {
      const keyed = bytes[at] === multicastService + keyedBit;
      if (end - at < headerBytes || !keyed && bytes[at] !== multicastService) return;
      const reader = this.#reader.reset(bytes, at + headerBytes, end);
      if (keyed && readKey(reader) === null) return;
      const message = parseMessage(reader);
      if (message === null || !message.groups.some((id) => this.#addressed.has(id))) return;
      const groups = message.groups.map((id) => groupById(this.#context.orderer.topology, id).name);
      const { byteLength } = message.bytes;
      const event = new Arrived(position, groups, message, this.#context.cbor);
      this.#queue.push({ event, bytes: byteLength, keyed: keyed ? position : null });
      this.#messages++;
      this.#bytes += byteLength;
    });
  }

  /** Says which group the merge waits for, once it has for a while and each time that has passed again. */
  #watch(inMs: number): void {
    const { orderer, after, limits } = this.#context;
    if (orderer.blocked === undefined || this.#stopped) return;
    this.#cancelWatch = after(inMs, () => {
      const blocked = this.#subscription === null ? null : orderer.blocked!(this.#subscription);
      if (blocked === null || !this.#feed.hungry) return this.#watch(limits.stalledMs);
      if (blocked.forMs < limits.stalledMs) return this.#watch(limits.stalledMs - blocked.forMs);
      this.#push({ kind: "stalled", group: groupById(orderer.topology, blocked.group).name, forMs: Math.round(blocked.forMs) });
      this.#watch(limits.stalledMs);
    });
  }
}

class Arrived extends Reading implements Delivered {
  readonly kind = "message";
  readonly position: string;
  readonly groups: readonly string[];

  constructor(position: Position, groups: readonly string[], content: Content, cbor: Cbor) {
    super(content, cbor);
    this.position = formatPosition(position);
    this.groups = groups;
  }
}

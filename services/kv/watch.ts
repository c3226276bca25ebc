/**
 * What happens to a range of keys, for as long as somebody listens: the entries there are, and every
 * change behind them. Nothing is queued for a listener but its place in the histories of the
 * partitions; whoever is too slow for them is told so.
 *
 * Partitions are merged by position. A change is handed out once every other partition of the range
 * has passed its position; a silent one is asked to say so, which it does by its group's clocks.
 */
import { CarillonError } from "../../core/errors.ts";
import { comparePositions, formatPosition, type Position, start } from "../../core/position.ts";
import type { Change, WatchOptions, WatchRange } from "../api.ts";
import { binaryBytes } from "../bytes.ts";
import { type Context, parseAfter } from "../context.ts";
import { Feed } from "../feed.ts";
import { binaryText, parseBound, parseKey, prefixEnd } from "../keys.ts";
import type { ServiceLimits } from "../limits.ts";
import type { Partitions } from "../partitions.ts";
import type { Hosted } from "../replicas.ts";
import { KvEntry } from "./entry.ts";
import type { Changed, Cursor } from "./history.ts";
import type { KvMachine, Stored } from "./machine.ts";

/** Entries and bytes read at a time for the listener that begins with what there is. */
const pageEntries = 256;
const pageBytes = 256 << 10;
/** Chunks of a history that go by before a listener for whom there was nothing is told where it is. */
const quietChunks = 4;

interface Range {
  /** Inclusive; binary string. */
  readonly from: string;
  /** Exclusive; null for no end. */
  readonly to: string | null;
}

/** Throws `bad-key`, `bad-position`, `bad-request`, `too-large`, `no-partition`, `unreachable` or `closed`. */
export function watch(
  context: Context,
  partitions: Partitions,
  range: WatchRange,
  options: WatchOptions | undefined,
): Feed<Change> {
  if (context.requests.closed) throw new CarillonError("closed", "Cannot watch: this node is closed");
  const keys = parseRange(range, context.limits);
  const after = options?.after === undefined ? null : parseAfter(options.after);
  if (range.key !== undefined) partitions.groupOf(keys.from);
  const groups = new Set(partitions.within(keys.from, keys.to, false).map(({ group }) => group));
  if (groups.size === 0) throw new CarillonError("no-partition", "Cannot watch these keys: no group owns any of them");
  const parts = Array.from(groups, (group) => new Part(context.replicas.kv(group)));
  return new Watcher(context, parts, keys, after, options?.signal).open();
}

/** The keys a watch is for. Throws `bad-key`, `bad-request` or `too-large`. */
export function parseRange(range: WatchRange, { keyBytesMax }: Pick<ServiceLimits, "keyBytesMax">): Range {
  if (typeof range !== "object" || range === null) {
    throw new CarillonError("bad-request", "Cannot watch this: say { key }, { prefix } or { start, end }");
  }
  const { key, prefix, start, end } = range;
  if (key !== undefined) {
    if (prefix !== undefined || start !== undefined || end !== undefined) {
      throw new CarillonError("bad-request", "Cannot watch a key and a range at once: say one of them");
    }
    const from = parseKey(key, keyBytesMax);
    return { from, to: `${from}\0` };
  }
  let from = start === undefined ? "" : parseBound(start, keyBytesMax);
  let to = end === undefined ? null : parseBound(end, keyBytesMax);
  if (prefix !== undefined) {
    const first = parseBound(prefix, keyBytesMax);
    const behind = prefixEnd(first);
    if (first > from) from = first;
    if (to === null || behind !== null && behind < to) to = behind;
  }
  return { from, to };
}

/** One partition of the range. */
class Part {
  readonly #hosted: Hosted<KvMachine>;
  cursor: Cursor | null = null;
  /** Of the next change to hand out; null if there is none yet. */
  head: Position | null = null;
  /** The next change has been dropped from the history. */
  lost = false;
  /** The chunk the cursor stood in when the listener last heard something. */
  toldChunk = 0;
  /** The state the listener began with; entries written since come as changes. */
  began: Position = start;
  /** The answer that is awaited, if any. */
  cancel: (() => void) | null = null;
  #passed: Position = start;

  constructor(hosted: Hosted<KvMachine>) {
    this.#hosted = hosted;
  }

  get machine(): KvMachine {
    return this.#hosted.machine;
  }

  get replica(): Hosted<KvMachine>["replica"] {
    return this.#hosted.replica;
  }

  /** Every change up to here is in the history, or was. */
  get passed(): Position {
    return latest(this.#passed, this.replica.applied);
  }

  pass(position: Position): void {
    this.#passed = latest(this.#passed, position);
  }

  seek(): void {
    if (this.cursor === null) return;
    const found = this.machine.history.seek(this.cursor);
    this.lost = found === "lost";
    this.head = found === "lost" ? null : found;
  }
}

class Watcher {
  readonly #context: Context;
  readonly #parts: readonly Part[];
  readonly #keys: Range;
  readonly #after: Position | null;
  readonly #feed: Feed<Change>;
  #unlisten: (() => void)[] = [];
  /** Partitions that have not confirmed what was completed when the watch began. */
  #unconfirmed = 0;
  /** Once confirmed: the partitions whose entries are still to be read, and what has been read of the first. */
  #reading: Part[] = [];
  #readTo = "";
  #page: Stored[] = [];
  /** Where to say `caught-up`; null if there is nothing to say. */
  #level: Position | null = null;
  #stopped = false;

  constructor(context: Context, parts: readonly Part[], keys: Range, after: Position | null, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#parts = parts;
    this.#keys = keys;
    this.#after = after;
    this.#feed = new Feed({ take: () => this.#take(), stop: () => this.#stop() }, context.feeds, signal);
  }

  open(): Feed<Change> {
    if (this.#stopped) return this.#feed;
    if (this.#after !== null && !this.#openCursors((part) => this.#resumeAt(part, this.#after!))) {
      this.#feed.fail(this.#compacted());
      return this.#feed;
    }
    this.#unconfirmed = this.#parts.length;
    for (const part of this.#parts) {
      const changed = (): void => {
        part.seek();
        this.#feed.wake();
      };
      this.#unlisten.push(part.machine.history.listen(this.#keys.from, this.#keys.to, changed));
      const confirmed = (): void => {
        part.cancel = null;
        if (this.#after !== null) part.pass(this.#after);
        if (--this.#unconfirmed === 0) this.#begin();
        else this.#feed.wake();
      };
      part.cancel = part.replica.confirm(part.replica.groups, confirmed, this.#after ?? undefined);
    }
    return this.#feed;
  }

  /** Behind what the listener has seen. */
  #resumeAt(part: Part, after: Position): Position {
    const { without } = this.#context;
    if (without.has("watch-resumes")) return latest(after, part.replica.applied);
    return without.has("watch-once") ? { ...after, major: after.major - 1 } : after;
  }

  /** Every partition here has everything that was completed when the watch began. */
  #begin(): void {
    if (this.#after === null) {
      for (const part of this.#parts) part.began = part.replica.applied;
      this.#openCursors(({ began }) => began);
      this.#reading = [...this.#parts];
    }
    this.#level = this.#furthest();
    this.#feed.wake();
  }

  /** False if the history of one of them does not reach so far back. */
  #openCursors(after: (part: Part) => Position): boolean {
    for (const part of this.#parts) {
      part.cursor = part.machine.history.open(after(part), this.#keys.from, this.#keys.to);
      if (part.cursor === null) return false;
      part.toldChunk = part.cursor.chunk;
      part.seek();
    }
    return true;
  }

  #stop(): void {
    this.#stopped = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#unlisten = [];
    for (const part of this.#parts) part.cancel?.();
  }

  #take(): Change | null {
    for (const { lost } of this.#parts) if (lost) throw this.#compacted();
    return this.#entry() ?? this.#change();
  }

  /** The next of the entries there were when the watch began. Read page by page, so that a large range is never held twice. */
  #entry(): Change | null {
    for (;;) {
      const stored = this.#page.shift();
      if (stored !== undefined) return { kind: "put", entry: new KvEntry(stored, this.#context.cbor) };
      const part = this.#reading[0];
      if (part === undefined) return null;
      const range = { from: later(this.#readTo, this.#keys.from), to: this.#keys.to };
      const page = part.machine.scan({ ...range, reverse: false, keysOnly: false, limit: pageEntries, bytes: pageBytes });
      // What was written since comes as a change, or has come as one.
      this.#page = page.entries.filter(({ version }) => comparePositions(version, part.began) <= 0);
      this.#readTo = page.more ? `${page.entries.at(-1)!.key}\0` : "";
      if (!page.more) this.#reading.shift();
      // What was written meanwhile was left out above: the listener knows what there is only once it has heard of that too.
      if (this.#reading.length === 0) this.#level = this.#furthest();
    }
  }

  /** The next change, or word that there is none up to `#level`: whichever is first, once all partitions have passed it. */
  #change(): Change | null {
    let best: Part | null = null;
    for (const part of this.#parts) {
      if (part.head !== null && (best === null || comparePositions(part.head, best.head!) < 0)) best = part;
    }
    if (best === null && this.#level === null && this.#unconfirmed === 0 && this.#isStale()) this.#level = this.#furthest();
    const level = this.#level;
    if (best !== null && (level === null || comparePositions(best.head!, level) <= 0)) {
      return this.#allPassed(best.head!) ? this.#hand(best) : null;
    }
    if (level === null || !this.#allPassed(level)) return null;
    this.#level = null;
    this.#tell();
    return { kind: "caught-up", position: formatPosition(level) };
  }

  #hand(part: Part): Change {
    const changed = part.machine.history.take(part.cursor!);
    part.seek();
    this.#tell();
    return this.#shown(changed);
  }

  #shown({ key, position, content }: Changed): Change {
    if (content !== null) return { kind: "put", entry: new KvEntry({ key, version: position, ...content }, this.#context.cbor) };
    return { kind: "delete", key: binaryText(key), keyBytes: binaryBytes(key), position: formatPosition(position) };
  }

  /** Asks those that have not. A partition with a change to hand out has passed everything before it. */
  #allPassed(position: Position): boolean {
    let all = true;
    if (this.#context.without.has("watch-in-order")) return true;
    for (const part of this.#parts) {
      if (part.head !== null || comparePositions(part.passed, position) >= 0) continue;
      all = false;
      this.#ask(part, latest(position, this.#furthest()));
    }
    return all;
  }

  /** One question at a time; it is about everything known, so that a busy partition does not ask a silent one for each change. */
  #ask(part: Part, position: Position): void {
    if (part.cancel !== null) return;
    part.cancel = part.replica.confirm([], () => {
      part.cancel = null;
      part.pass(position);
      this.#feed.wake();
    }, position);
  }

  #furthest(): Position {
    return this.#parts.map(({ replica }) => replica.applied).reduce(latest, this.#after ?? start);
  }

  /** Much has changed since the listener heard something: where it would go on from will be forgotten soon. */
  #isStale(): boolean {
    return this.#parts.some(({ cursor, toldChunk }) => cursor !== null && cursor.chunk - toldChunk >= quietChunks);
  }

  #tell(): void {
    for (const part of this.#parts) part.toldChunk = part.cursor!.chunk;
  }

  #compacted(): CarillonError {
    const oldest = formatPosition(this.#parts.map(({ machine }) => machine.history.oldest).reduce(latest));
    return new CarillonError("compacted", `Cannot go on with this watch: changes up to ${oldest} have been forgotten`, {
      facts: { oldest },
    });
  }
}

function latest(a: Position, b: Position): Position {
  return comparePositions(a, b) >= 0 ? a : b;
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}

/**
 * The logs of one home group. A log nobody has written to yet is empty, not absent: which logs there
 * are is the catalog's business, so that an append to several groups can never half succeed.
 */
import type { GroupId } from "../../core/ids.ts";
import type { Position } from "../../core/position.ts";
import type { Rule } from "../../core/rules.ts";
import type { Reader } from "../bytes.ts";
import { skipType } from "../content.ts";
import { Hash } from "../hash.ts";
import { Tree } from "../tree.ts";
import { type BadRequest, badRequest, type Machine, type Outcomes } from "../machine.ts";
import type { Intake } from "../restore.ts";
import { logName, opAppend, opTrim } from "./command.ts";
import { logOutcomes } from "./outcome.ts";
import { LogIntake } from "./restore.ts";
import { Segments, type StoredRecord } from "./segments.ts";
import { LogItems } from "./snapshot.ts";

export interface Extent {
  /** Oldest kept offset. */
  readonly first: number;
  /** The offset the next record gets. */
  readonly next: number;
  /** Payload bytes kept. */
  readonly bytes: number;
}

export interface Part {
  readonly first: number;
  readonly next: number;
}

export type LogResult =
  /** One per log of the command that is at home here, in the command's order. */
  | { readonly kind: "appended"; readonly parts: readonly Part[] }
  /** The first record would not have got the offset expected. */
  | { readonly kind: "unexpected"; readonly next: number }
  | { readonly kind: "trimmed"; readonly extent: Extent }
  | { readonly kind: "past-tail"; readonly tail: number }
  | BadRequest;

const empty: Extent = { first: 0, next: 0, bytes: 0 };

export class LogMachine implements Machine {
  readonly outcomes: Outcomes = logOutcomes;
  readonly #home: GroupId;
  readonly #without: ReadonlySet<Rule>;
  #logs = new Map<string, Segments>();
  /** Their names in order; the numbers say in which order they began. */
  #names = new Tree();
  /** Those that are under way. */
  #snapshots = new Set<LogItems>();
  readonly #watchers = new Map<string, Set<() => void>>();

  constructor(home: GroupId, without: ReadonlySet<Rule> = new Set()) {
    this.#home = home;
    this.#without = without;
  }

  apply(position: Position, reader: Reader, reply: boolean): LogResult | null {
    const op = reader.u8();
    const count = reader.u8();
    const names: string[] = [];
    const mine: string[] = [];
    for (let i = 0; i < count && reader.ok; i++) {
      const home = reader.u16();
      const name = reader.binary(reader.u8());
      if (!logName.test(name) || names.includes(name)) return badRequest;
      names.push(name);
      if (home === this.#home) mine.push(name);
    }
    if (!reader.ok || names.length === 0) return badRequest;
    if (mine.length === 0) return null;
    if (op === opAppend) return this.#append(position, reader, mine, names.length === 1, reply);
    if (op === opTrim && names.length === 1) return this.#trim(reader, names[0]!);
    return badRequest;
  }

  extent(name: string): Extent {
    const log = this.#logs.get(name);
    return log === undefined ? empty : { first: log.first, next: log.next, bytes: log.bytes };
  }

  /** See `Segments.read`. */
  read(name: string, from: number, limit: number, bytes: number): StoredRecord[] {
    return this.#logs.get(name)?.read(from, limit, bytes) ?? [];
  }

  /** Calls back after every change of the log, from inside `apply`: only to note that something is new. Returns a cancel. */
  watch(name: string, changed: () => void): () => void {
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(changed));
    return () => {
      watchers.delete(changed);
      if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name);
    };
  }

  stats(): { readonly logs: number; readonly records: number; readonly bytes: number; readonly heldBytes: number } {
    let records = 0;
    let bytes = 0;
    let heldBytes = 0;
    for (const log of this.#logs.values()) {
      records += log.next - log.first;
      bytes += log.bytes;
      heldBytes += log.heldBytes;
    }
    return { logs: this.#logs.size, records, bytes, heldBytes };
  }

  digest(): string {
    const hash = new Hash();
    this.#names.walk("", null, false, (name) => {
      const log = this.#logs.get(name)!;
      hash.text(name).number(log.first).number(log.next);
      for (let from = log.first; from < log.next;) {
        const records = log.read(from, 1_000, 1 << 20);
        for (const { position, type, bytes } of records) {
          hash.number(position.major).number(position.group).number(position.minor).text(type).bytes(bytes);
        }
        from += records.length;
      }
      return true;
    });
    return hash.digest();
  }

  snapshot(): LogItems {
    const items: LogItems = new LogItems(this.#names, this.#logs, () => this.#snapshots.delete(items));
    this.#snapshots.add(items);
    return items;
  }

  restore(position: Position): Intake {
    return new LogIntake(position, ({ logs, names }) => {
      this.#logs = logs;
      this.#names = names;
      // They go on with what they were of, which nobody writes any more.
      this.#snapshots = new Set();
      for (const name of [...this.#watchers.keys()]) this.#changed(name);
    });
  }

  #append(position: Position, reader: Reader, mine: readonly string[], alone: boolean, reply: boolean): LogResult | null {
    const expecting = reader.u8();
    const expect = expecting === 1 ? reader.u53() : 0;
    const count = reader.u16();
    const records = reader.at;
    // All of it is looked at before any of it is written.
    for (let i = 0; i < count && reader.ok; i++) takeRecord(null, position, reader);
    if (!reader.done || count === 0 || expecting > 1 || expecting === 1 && !alone) return badRequest;

    if (expecting === 1) {
      const { next } = this.extent(mine[0]!);
      if (next !== expect) return { kind: "unexpected", next };
    }
    const parts: Part[] = [];
    for (const name of reply || !this.#without.has("append-atomic") ? mine : mine.slice(0, 1)) {
      this.#keep(name);
      const log = this.#log(name);
      const first = log.next;
      reader.rewind(records);
      for (let i = 0; i < count; i++) takeRecord(log, position, reader);
      if (reply) parts.push({ first, next: log.next });
      this.#changed(name);
    }
    return reply ? { kind: "appended", parts } : null;
  }

  #trim(reader: Reader, name: string): LogResult {
    const offset = reader.u53();
    if (!reader.done) return badRequest;
    const { next } = this.extent(name);
    if (offset > next) return { kind: "past-tail", tail: next };
    this.#keep(name);
    this.#logs.get(name)?.trim(this.#without.has("trim-exact") && offset < next ? offset + 1 : offset);
    this.#changed(name);
    return { kind: "trimmed", extent: this.extent(name) };
  }

  #log(name: string): Segments {
    let log = this.#logs.get(name);
    if (log === undefined) {
      this.#names.set(name, this.#logs.size);
      this.#logs.set(name, log = new Segments());
    }
    return log;
  }

  /** For the snapshots under way, before the log changes. */
  #keep(name: string): void {
    if (this.#snapshots.size > 0) { for (const items of this.#snapshots) items.keep(name); }
  }

  #changed(name: string): void {
    const watchers = this.#watchers.get(name);
    if (watchers !== undefined) { for (const changed of watchers) changed(); }
  }
}

/** Appends the record at the reader; type and payload stay together, as they came. Without a log it only moves past it. */
function takeRecord(log: Segments | null, position: Position, reader: Reader): void {
  const length = reader.u32();
  const start = reader.at;
  skipType(reader);
  const size = reader.at - start + length;
  reader.rewind(start);
  if (log === null) reader.skip(size);
  else log.append(position, reader, size, length);
}

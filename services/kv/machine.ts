/**
 * The key-value state of one group: an ordered map whose values lie in slabs. An entry's version is
 * the position of its last write.
 *
 *   value in a slab: version 10 bytes · type · bytes
 */
import type { Position } from "../../core/position.ts";
import type { Rule } from "../../core/rules.ts";
import { positionBytes, Reader, writeU53 } from "../bytes.ts";
import { readType, skipType } from "../content.ts";
import { Hash } from "../hash.ts";
import { defaultServiceLimits } from "../limits.ts";
import { type BadRequest, badRequest, type Machine, type Outcomes } from "../machine.ts";
import type { Intake } from "../restore.ts";
import { Slabs } from "../slabs.ts";
import { always, ifAbsent, ifAtVersion, ifPresent, opDelete, opPut } from "./command.ts";
import { History } from "./history.ts";
import { kvOutcomes } from "./outcome.ts";
import { KvIntake } from "./restore.ts";
import { KvItems } from "./snapshot.ts";
import { Tree } from "../tree.ts";

/** A copy: nothing in it changes any more. */
export interface Stored {
  /** Binary string. */
  readonly key: string;
  readonly version: Position;
  readonly type: string;
  readonly bytes: Uint8Array;
}

export type KvResult =
  | { readonly kind: "written"; readonly created: boolean }
  | { readonly kind: "deleted"; readonly existed: boolean }
  /** The condition did not hold. */
  | { readonly kind: "refused"; readonly current: Stored | null }
  /** The same of a command that came again: the version met the first time, null for nothing. */
  | { readonly kind: "lost"; readonly version: Position | null }
  | BadRequest;

const created: KvResult = { kind: "written", created: true };
const replaced: KvResult = { kind: "written", created: false };
const deleted: KvResult = { kind: "deleted", existed: true };
const absent: KvResult = { kind: "deleted", existed: false };

export interface KvRange {
  /** Inclusive; binary string. */
  readonly from: string;
  /** Exclusive; null for no end. */
  readonly to: string | null;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
  readonly limit: number;
  /** Stops behind the entry with which the keys and values returned reach so many bytes. */
  readonly bytes: number;
}

const noBytes = new Uint8Array(0);
const noPosition: Position = { major: 0, group: 0, minor: 0 };

export class KvMachine implements Machine {
  readonly outcomes: Outcomes = kvOutcomes;
  /** Not part of the state: what a replica keeps of the past is its own affair. */
  readonly history: History;
  #tree = new Tree();
  #slabs = new Slabs();
  /** Those that are under way. */
  #snapshots = new Set<KvItems>();
  readonly #comparesVersions: boolean;
  readonly #content = new Reader();
  /** Keys and values of all entries. */
  #bytes = 0;

  constructor({ historyBytes }: { readonly historyBytes: number } = defaultServiceLimits, without: ReadonlySet<Rule> = new Set()) {
    this.#comparesVersions = !without.has("compare-version");
    this.history = new History(historyBytes);
  }

  apply(position: Position, reader: Reader, reply: boolean): KvResult | null {
    const op = reader.u8();
    const condition = reader.u8();
    const version = condition === ifAtVersion ? reader.position() : noPosition;
    const body = reader.at;
    const key = reader.binary(reader.u16());
    const content = reader.at;
    if (op === opPut) skipType(reader);
    if (!reader.ok || key === "" || condition > ifAtVersion || op !== opPut && !(op === opDelete && reader.done)) return badRequest;

    if (condition !== always) {
      const handle = this.#tree.get(key);
      const holds = condition === ifAbsent
        ? handle < 0
        : handle >= 0 && (condition === ifPresent || !this.#comparesVersions || this.#isAt(handle, version));
      if (!holds) return reply ? { kind: "refused", current: handle < 0 ? null : this.#copy(key, handle, false) } : null;
    }
    if (op === opDelete && !this.#delete(key)) return absent;
    reader.rewind(content);
    const result = op === opDelete ? deleted : this.#put(key, position, reader) ? replaced : created;
    reader.rewind(body);
    this.history.add(op, position, key, reader);
    return result;
  }

  read(key: string): Stored | null {
    const handle = this.#tree.get(key);
    return handle < 0 ? null : this.#copy(key, handle, false);
  }

  /** `more`: the range goes on behind what was returned. */
  scan(range: KvRange): { readonly entries: Stored[]; readonly more: boolean } {
    const entries: Stored[] = [];
    let bytes = 0;
    let more = false;
    this.#tree.walk(range.from, range.to, range.reverse, (key, handle) => {
      if (entries.length >= range.limit || bytes >= range.bytes) {
        more = true;
        return false;
      }
      const entry = this.#copy(key, handle, range.keysOnly);
      bytes += key.length + entry.bytes.byteLength;
      entries.push(entry);
      return true;
    });
    return { entries, more };
  }

  stats(): { readonly entries: number; readonly bytes: number; readonly heldBytes: number } {
    return { entries: this.#tree.size, bytes: this.#bytes, heldBytes: this.#slabs.heldBytes };
  }

  digest(): string {
    const hash = new Hash();
    this.#tree.walk("", null, false, (key, handle) => {
      const start = this.#slabs.start(handle);
      hash.text(key).bytes(this.#slabs.buffer(handle).subarray(start, start + this.#slabs.size(handle)));
      return true;
    });
    return hash.digest();
  }

  snapshot(position: Position): KvItems {
    const items: KvItems = new KvItems(this.#tree, this.#slabs, position, this.history.newest, () => this.#snapshots.delete(items));
    this.#snapshots.add(items);
    return items;
  }

  restore(position: Position): Intake {
    return new KvIntake(position, ({ tree, slabs, bytes, newest }) => {
      this.#tree = tree;
      this.#slabs = slabs;
      this.#bytes = bytes;
      // They go on with what they were of, which nobody writes any more.
      this.#snapshots = new Set();
      this.history.restart(newest!);
    });
  }

  /** Whether there was one before. Type and value are stored as they come. */
  #put(key: string, position: Position, content: Reader): boolean {
    const size = content.left;
    const current = this.#tree.get(key);
    if (current >= 0) this.#keep(key, current);
    if (current >= 0 && this.#slabs.size(current) === positionBytes + size) {
      // In place, so that nothing has to be compacted later. Nobody has a view of it: what is read is copied.
      this.#write(current, position, content, size);
      return true;
    }
    const handle = this.#slabs.allocate(positionBytes + size);
    this.#write(handle, position, content, size);
    this.#bytes += size;
    const before = this.#tree.set(key, handle);
    if (before < 0) {
      this.#bytes += key.length;
      return false;
    }
    this.#forget(before);
    return true;
  }

  #write(handle: number, position: Position, content: Reader, size: number): void {
    const buffer = this.#slabs.buffer(handle);
    const start = this.#slabs.start(handle);
    writeU53(buffer, start, position.major);
    buffer[start + 7] = position.group;
    buffer[start + 8] = position.group >>> 8;
    buffer[start + 9] = position.minor;
    content.copy(size, buffer, start + positionBytes);
  }

  #delete(key: string): boolean {
    const handle = this.#tree.delete(key);
    if (handle < 0) return false;
    this.#keep(key, handle);
    this.#bytes -= key.length;
    this.#forget(handle);
    return true;
  }

  /** For the snapshots under way, before the value goes. */
  #keep(key: string, handle: number): void {
    if (this.#snapshots.size > 0) { for (const items of this.#snapshots) items.keep(key, handle); }
  }

  #forget(handle: number): void {
    this.#bytes -= this.#slabs.size(handle) - positionBytes;
    this.#slabs.free(handle);
  }

  #read(handle: number): Reader {
    return this.#content.reset(this.#slabs.buffer(handle), this.#slabs.start(handle));
  }

  #isAt(handle: number, version: Position): boolean {
    const { major, group, minor } = this.#read(handle).position();
    return major === version.major && group === version.group && minor === version.minor;
  }

  #copy(key: string, handle: number, keysOnly: boolean): Stored {
    const end = this.#slabs.start(handle) + this.#slabs.size(handle);
    const reader = this.#read(handle);
    const version = reader.position();
    const type = readType(reader);
    return { key, version, type, bytes: keysOnly ? noBytes : reader.slice(end - reader.at) };
  }
}

/**
 * Which logs there are and which group orders each. Entries are made once and never change, so what
 * a node has seen of the catalog stays true; the first ordinary group orders it.
 *
 *   create: 1 · strict u8 · home group u16 · name length u8 · name
 */
import type { GroupId } from "../core/ids.ts";
import type { Position } from "../core/position.ts";
import { Reader, Writer } from "./bytes.ts";
import { headerBytes } from "./command.ts";
import { Hash } from "./hash.ts";
import { Tree } from "./tree.ts";
import { logName } from "./log/command.ts";
import { type BadRequest, badRequest, type Machine } from "./machine.ts";
import { corrupt, type Intake } from "./restore.ts";
import type { Items } from "./snapshot.ts";

const opCreate = 1;

export type CatalogResult =
  /** There it is, with the group asked for if one was. */
  | { readonly kind: "found"; readonly home: GroupId; readonly created: boolean }
  /** It exists in another group than the one insisted on. */
  | { readonly kind: "differs"; readonly home: GroupId }
  | BadRequest;

/** Room for the header is left in front. `strict`: no other group will do. */
export function encodeCreate(name: string, home: GroupId, strict: boolean): Uint8Array {
  const writer = new Writer(headerBytes + 5 + name.length);
  writer.at = headerBytes;
  return writer.u8(opCreate).u8(strict ? 1 : 0).u16(home).u8(name.length).binary(name).out;
}

export class Catalog implements Machine {
  /** From names to places in `#homes`, in order of the names. */
  #names = new Tree();
  /** In the order in which they were made. */
  #homes: GroupId[] = [];

  apply(_position: Position, reader: Reader): CatalogResult {
    const op = reader.u8();
    const strict = reader.u8();
    const home = reader.u16();
    const name = reader.binary(reader.u8());
    if (op !== opCreate || strict > 1 || home === 0 || !reader.done || !logName.test(name)) return badRequest;
    const existing = this.home(name);
    if (existing === undefined) {
      this.#names.set(name, this.#homes.length);
      this.#homes.push(home);
      return { kind: "found", home, created: true };
    }
    if (strict === 1 && existing !== home) return { kind: "differs", home: existing };
    return { kind: "found", home: existing, created: false };
  }

  /** Undefined if there is no such log. */
  home(name: string): GroupId | undefined {
    const index = this.#names.get(name);
    return index < 0 ? undefined : this.#homes[index];
  }

  /** By name, in the order of the alphabet. */
  all(): { readonly name: string; readonly home: GroupId }[] {
    const all: { readonly name: string; readonly home: GroupId }[] = [];
    this.#names.walk("", null, false, (name, index) => {
      all.push({ name, home: this.#homes[index]! });
      return true;
    });
    return all;
  }

  digest(): string {
    const hash = new Hash();
    for (const { name, home } of this.all()) hash.text(name).number(home);
    return hash.digest();
  }

  snapshot(): Items {
    return new CatalogItems(this.#names, this.#homes);
  }

  restore(): Intake {
    return new CatalogIntake((names, homes) => {
      this.#names = names;
      this.#homes = homes;
    });
  }
}

/** The entries there were when this was made: `name length u8 · name · home group u16` each, and a 0 u8 behind them. */
class CatalogItems implements Items {
  readonly #names: Tree;
  readonly #homes: readonly GroupId[];
  /** Entries from here on have been made since. */
  readonly #count: number;
  /** The entry to write, and before that the last written. */
  #name = "";
  #home: GroupId = 0;
  #ended = false;

  constructor(names: Tree, homes: readonly GroupId[]) {
    this.#names = names;
    this.#homes = homes;
    this.#count = homes.length;
  }

  next(): number {
    if (this.#ended) return 0;
    this.#home = 0;
    this.#names.walk(this.#name, null, false, this.#look);
    return this.#home === 0 ? 1 : 3 + this.#name.length;
  }

  write(writer: Writer): void {
    this.#ended = this.#home === 0;
    if (this.#ended) writer.u8(0);
    else writer.u8(this.#name.length).binary(this.#name).u16(this.#home);
  }

  close(): void {
    this.#ended = true;
  }

  readonly #look = (name: string, index: number): boolean => {
    if (name === this.#name || index >= this.#count) return true;
    this.#name = name;
    this.#home = this.#homes[index]!;
    return false;
  };
}

class CatalogIntake implements Intake {
  readonly #names = new Tree();
  readonly #homes: GroupId[] = [];
  readonly #put: (names: Tree, homes: GroupId[]) => void;
  readonly #reader = new Reader();
  #last = "";

  constructor(put: (names: Tree, homes: GroupId[]) => void) {
    this.#put = put;
  }

  measure(bytes: Uint8Array, at: number): number {
    return bytes[at] === 0 ? 1 : 3 + bytes[at]!;
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    const reader = this.#reader.reset(bytes, at, end);
    const length = reader.u8();
    if (length === 0) return false;
    const name = reader.binary(length);
    const home = reader.u16();
    if (!logName.test(name) || name <= this.#last || home === 0) throw corrupt("an entry of the catalog makes no sense");
    this.#names.set(name, this.#homes.length);
    this.#homes.push(home);
    this.#last = name;
    return true;
  }

  finish(): void {
    this.#put(this.#names, this.#homes);
  }
}

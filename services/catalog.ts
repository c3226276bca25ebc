/**
 * Which logs there are and which group orders each. Entries are made once and never change, so what
 * a node has seen of the catalog stays true; the first ordinary group orders it.
 *
 *   create: 1 · strict u8 · home group u16 · name length u8 · name
 */
import type { GroupId } from "../core/ids.ts";
import type { Position } from "../core/position.ts";
import { type Reader, Writer } from "./bytes.ts";
import { headerBytes } from "./command.ts";
import { Hash } from "./hash.ts";
import { logName } from "./log/command.ts";
import { type BadRequest, badRequest, type Machine } from "./machine.ts";

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
  readonly #homes = new Map<string, GroupId>();

  apply(_position: Position, reader: Reader): CatalogResult {
    const op = reader.u8();
    const strict = reader.u8();
    const home = reader.u16();
    const name = reader.binary(reader.u8());
    if (op !== opCreate || strict > 1 || home === 0 || !reader.done || !logName.test(name)) return badRequest;
    const existing = this.#homes.get(name);
    if (existing === undefined) {
      this.#homes.set(name, home);
      return { kind: "found", home, created: true };
    }
    if (strict === 1 && existing !== home) return { kind: "differs", home: existing };
    return { kind: "found", home: existing, created: false };
  }

  /** Undefined if there is no such log. */
  home(name: string): GroupId | undefined {
    return this.#homes.get(name);
  }

  /** By name, in the order of the alphabet. */
  all(): { readonly name: string; readonly home: GroupId }[] {
    return [...this.#homes.keys()].sort().map((name) => ({ name, home: this.#homes.get(name)! }));
  }

  digest(): string {
    const hash = new Hash();
    for (const { name, home } of this.all()) hash.text(name).number(home);
    return hash.digest();
  }
}

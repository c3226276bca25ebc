/** The entries of a KV machine from the bytes of a snapshot, as a tree and slabs of their own. */
import type { Position } from "../../core/position.ts";
import { liesBehind, positionBytes, Reader, readU32 } from "../bytes.ts";
import { skipType } from "../content.ts";
import { corrupt, type Intake } from "../restore.ts";
import { Slabs } from "../slabs.ts";
import { Tree } from "../tree.ts";

export class KvIntake implements Intake {
  readonly tree = new Tree();
  readonly slabs = new Slabs();
  /** Of the last change; null until it has come, which it does first. */
  newest: Position | null = null;
  /** Keys and values of all entries. */
  bytes = 0;
  readonly #position: Position;
  readonly #put: (restored: KvIntake) => void;
  readonly #reader = new Reader();
  #last = "";

  constructor(position: Position, put: (restored: KvIntake) => void) {
    this.#position = position;
    this.#put = put;
  }

  measure(bytes: Uint8Array, at: number, end: number): number {
    if (this.newest === null) return positionBytes;
    if (end - at < 2) return 2;
    const key = bytes[at]! | bytes[at + 1]! << 8;
    if (key === 0) return 2;
    const head = 2 + key + 4;
    return end - at < head ? head : head + readU32(bytes, at + 2 + key);
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    const reader = this.#reader.reset(bytes, at, end);
    if (this.newest === null) {
      this.newest = reader.position();
      if (!reader.ok || liesBehind(bytes, at, this.#position)) throw corrupt("its last change makes no sense");
      return true;
    }
    const length = reader.u16();
    if (length === 0) return false;
    const key = reader.binary(length);
    const size = reader.u32();
    const value = reader.at;
    if (key <= this.#last) throw corrupt("its keys are not in order");
    reader.position();
    skipType(reader);
    if (!reader.ok) throw corrupt("an entry makes no sense");
    if (liesBehind(bytes, value, this.newest)) throw corrupt("an entry was written behind its last change");

    const handle = this.slabs.allocate(size);
    reader.rewind(value);
    reader.copy(size, this.slabs.buffer(handle), this.slabs.start(handle));
    this.tree.set(key, handle);
    this.bytes += length + size - positionBytes;
    this.#last = key;
    return true;
  }

  finish(): void {
    this.#put(this);
  }
}

/**
 * Many byte strings in few big buffers. A typed array per value would cost 250 to 500 bytes each;
 * here a value costs 8 bytes of header and 8 bytes of table.
 *
 *   record: size u32 · handle u32 · bytes
 *
 * A handle stays valid until it is freed; where it points changes when slabs are compacted, which
 * happens only inside `allocate` and `free`.
 */
import { assert } from "../core/assert.ts";
import { readU32, writeU32 } from "./bytes.ts";

export interface SlabOptions {
  /** Bytes of one slab; a power of two. Values above a quarter of it get a buffer of their own. */
  readonly slabBytes: number;
}

interface Slab {
  readonly bytes: Uint8Array;
  /** Where the next record goes; everything below is records, live or dead. */
  used: number;
  /** Bytes of records that are still pointed at. */
  live: number;
}

const headerBytes = 8;
const firstHandles = 256;
/** No slab, and no next free handle. */
const none = -1;

export class Slabs {
  readonly #slabBytes: number;
  readonly #slabs: (Slab | null)[] = [];
  /** Free places in `#slabs`. */
  readonly #vacant: number[] = [];
  /** The slab being filled, or −1. */
  #current = -1;
  /** An empty slab kept for the next time one is needed. */
  #spare: Uint8Array | null = null;
  /** Per handle: its slab, or `none` while it is free; and the offset of its record there, or the next free handle. */
  #slabOf = new Int32Array(firstHandles);
  #offsets = new Int32Array(firstHandles);
  #handles = 0;
  #freeHandle = none;
  /** Over all shared slabs: used, and of that live. */
  #used = 0;
  #live = 0;
  /** Over the slabs that hold one value each. */
  #alone = 0;

  constructor(options: SlabOptions = { slabBytes: 1 << 20 }) {
    this.#slabBytes = options.slabBytes;
    assert(Number.isInteger(Math.log2(this.#slabBytes)) && this.#slabBytes >= 64, "Cannot make slabs: slabBytes must be a power of two");
  }

  /** Room for `size` bytes, whose content is undefined until the caller has written all of it. */
  allocate(size: number): number {
    const handle = this.#newHandle();
    this.#place(handle, size);
    return handle;
  }

  /** The buffer that holds the value now; it starts there at `start(handle)`. */
  buffer(handle: number): Uint8Array {
    return this.#slabs[this.#slabOf[handle]!]!.bytes;
  }

  start(handle: number): number {
    return this.#offsets[handle]! + headerBytes;
  }

  size(handle: number): number {
    return readU32(this.buffer(handle), this.#offsets[handle]!);
  }

  free(handle: number): void {
    const index = this.#slabOf[handle]!;
    assert(index !== none, `Cannot free value ${handle}: it is not in use`);
    const slab = this.#slabs[index]!;
    const bytes = headerBytes + readU32(slab.bytes, this.#offsets[handle]!);
    this.#slabOf[handle] = none;
    this.#offsets[handle] = this.#freeHandle;
    this.#freeHandle = handle;
    slab.live -= bytes;
    if (slab.bytes.byteLength !== this.#slabBytes) {
      this.#alone -= bytes;
      this.#drop(index);
      return;
    }
    this.#live -= bytes;
    if (slab.live === 0 && index !== this.#current) this.#drop(index);
    this.#tidy();
  }

  /** Bytes of the values held, headers included. */
  get liveBytes(): number {
    return this.#live + this.#alone;
  }

  /** Bytes of memory held for them. */
  get heldBytes(): number {
    const shared = this.#slabs.reduce((sum, slab) => sum + (slab === null ? 0 : slab.bytes.byteLength), 0);
    return shared + (this.#spare?.byteLength ?? 0) + this.#slabOf.byteLength + this.#offsets.byteLength;
  }

  #newHandle(): number {
    const free = this.#freeHandle;
    if (free !== none) {
      this.#freeHandle = this.#offsets[free]!;
      return free;
    }
    if (this.#handles === this.#slabOf.length) {
      this.#slabOf = longer(this.#slabOf);
      this.#offsets = longer(this.#offsets);
    }
    return this.#handles++;
  }

  #place(handle: number, size: number): void {
    const bytes = headerBytes + size;
    let index: number;
    if (bytes > this.#slabBytes / 4 && bytes !== this.#slabBytes) {
      index = this.#add(new Uint8Array(bytes));
      this.#alone += bytes;
    } else {
      if (this.#current < 0 || bytes > this.#slabBytes - this.#slabs[this.#current]!.used) this.#next();
      index = this.#current;
      this.#used += bytes;
      this.#live += bytes;
    }
    const slab = this.#slabs[index]!;
    writeU32(slab.bytes, slab.used, size);
    writeU32(slab.bytes, slab.used + 4, handle);
    this.#slabOf[handle] = index;
    this.#offsets[handle] = slab.used;
    slab.used += bytes;
    slab.live += bytes;
  }

  /** Seals the current slab and opens another. */
  #next(): void {
    const sealed = this.#current;
    const bytes = this.#spare ?? new Uint8Array(this.#slabBytes);
    this.#spare = null;
    this.#current = this.#add(bytes);
    if (sealed >= 0 && this.#slabs[sealed]!.live === 0) this.#drop(sealed);
  }

  #add(bytes: Uint8Array): number {
    const index = this.#vacant.pop() ?? this.#slabs.length;
    this.#slabs[index] = { bytes, used: 0, live: 0 };
    return index;
  }

  #drop(index: number): void {
    const slab = this.#slabs[index]!;
    this.#slabs[index] = null;
    this.#vacant.push(index);
    if (slab.bytes.byteLength !== this.#slabBytes) return;
    this.#used -= slab.used;
    this.#spare ??= slab.bytes;
  }

  /** Empties the sparsest slab while more than a fifth of the memory (and two slabs) is dead: one per free, so that no free takes long. */
  #tidy(): void {
    const dead = this.#used - this.#live;
    if (dead < 2 * this.#slabBytes || dead * 5 < this.#used) return;
    let sparsest = -1;
    for (let i = 0; i < this.#slabs.length; i++) {
      const slab = this.#slabs[i]!;
      if (slab === null || i === this.#current || slab.bytes.byteLength !== this.#slabBytes) continue;
      if (sparsest < 0 || slab.live < this.#slabs[sparsest]!.live) sparsest = i;
    }
    if (sparsest >= 0) this.#empty(sparsest);
  }

  #empty(index: number): void {
    const { bytes, used } = this.#slabs[index]!;
    for (let at = 0; at < used;) {
      const size = readU32(bytes, at);
      const handle = readU32(bytes, at + 4);
      // A handle that points elsewhere, or is free, has left this record behind.
      if (this.#slabOf[handle] === index && this.#offsets[handle] === at) {
        this.#live -= headerBytes + size;
        this.#place(handle, size);
        this.buffer(handle).set(bytes.subarray(at + headerBytes, at + headerBytes + size), this.start(handle));
      }
      at += headerBytes + size;
    }
    this.#drop(index);
  }
}

function longer(column: Int32Array): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(Math.ceil(column.length * 1.5));
  longer.set(column);
  return longer;
}

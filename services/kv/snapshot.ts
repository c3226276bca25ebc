/**
 * The entries of a KV machine as they were at one position, in key order, while the machine goes on being written.
 *
 *   head:  position of the last change 10 bytes
 *   entry: key length u16 · key · size u32 · value as in a slab
 *   end:   0 u16
 *
 * A scan by key. An entry that is written before the scan has come to it leaves its old value here first: values are overwritten
 * where they are. So what is held is what was written meanwhile, and no more. Entries written since are known by their versions.
 */
import type { Position } from "../../core/position.ts";
import { liesBehind, positionBytes, Reader, type Writer } from "../bytes.ts";
import { type Items, later } from "../snapshot.ts";
import { Slabs } from "../slabs.ts";
import { Tree } from "../tree.ts";

const endBytes = 2;
const headBytes = 6;
/** Entries looked up in the tree at a time. */
const aheadMax = 64;
/** Entries written since that are passed over before another turn gets its chance. */
const passedMax = 10_000;

export class KvItems implements Items {
  readonly #tree: Tree;
  readonly #slabs: Slabs;
  readonly #position: Position;
  readonly #newest: Position;
  readonly #stop: () => void;
  /** Up to this key everything has been handed out. */
  #done = "";
  /** Up to this key of the tree everything has been looked at, and lies ahead if it has not been handed out. */
  #looked = "";
  /** Entries found and still to be handed out, from `#at` on; of those that are written first, the handle becomes −1. */
  #keys: string[] = [];
  #handles: number[] = [];
  #at = 0;
  /** Entries written since that have been passed over lately. */
  #passed = 0;
  /** Nothing more will be found in the tree. */
  #exhausted = false;
  /** Old values of entries that were written first. */
  readonly #images = new Tree();
  readonly #kept = new Slabs();
  /** The one with the smallest key; −1 for none. */
  #image = -1;
  #imageKey = "";
  /** What `next` has found. */
  #found: "head" | "entry" | "image" | "end" = "head";
  #begun = false;
  readonly #value = new Reader();
  #ended = false;

  /** `newest`: of the last change. `stop` is called when nothing needs to be kept any more. */
  constructor(tree: Tree, slabs: Slabs, position: Position, newest: Position, stop: () => void) {
    this.#tree = tree;
    this.#slabs = slabs;
    this.#position = position;
    this.#newest = newest;
    this.#stop = stop;
  }

  /** Before the entry is overwritten or deleted. */
  keep(key: string, handle: number): void {
    if (key <= this.#done || liesBehind(this.#slabs.buffer(handle), this.#slabs.start(handle), this.#position)) return;
    const image = this.#kept.allocate(this.#slabs.size(handle));
    this.#copy(this.#slabs, handle, this.#kept.buffer(image), this.#kept.start(image));
    this.#images.set(key, image);
    if (this.#image < 0 || key < this.#imageKey) this.#lookAtImage(key, image);
    if (key <= this.#looked) this.#handles[this.#keys.indexOf(key, this.#at)] = -1;
  }

  next(): number {
    if (this.#ended) return 0;
    if (!this.#begun) return positionBytes;
    while (this.#handles[this.#at] === -1) this.#at++;
    if (this.#at === this.#keys.length && !this.#exhausted) {
      if (this.#passed < passedMax) this.#lookAhead();
      if (this.#at === this.#keys.length && !this.#exhausted) {
        this.#passed = 0;
        return later;
      }
    }
    const isEntry = this.#at < this.#keys.length;
    if (this.#image >= 0 && (!isEntry || this.#imageKey < this.#keys[this.#at]!)) {
      this.#found = "image";
      return headBytes + this.#imageKey.length + this.#kept.size(this.#image);
    }
    this.#found = isEntry ? "entry" : "end";
    return isEntry ? headBytes + this.#keys[this.#at]!.length + this.#slabs.size(this.#handles[this.#at]!) : endBytes;
  }

  write(writer: Writer): void {
    switch (this.#found) {
      case "head":
        writer.position(this.#newest);
        this.#begun = true;
        return;
      case "entry":
        this.#write(writer, this.#keys[this.#at]!, this.#slabs, this.#handles[this.#at]!);
        this.#at++;
        return;
      case "image":
        this.#write(writer, this.#imageKey, this.#kept, this.#image);
        this.#images.delete(this.#imageKey);
        this.#kept.free(this.#image);
        this.#image = -1;
        this.#images.walk("", null, false, this.#lookAtImage);
        return;
      case "end":
        writer.u16(0);
        this.close();
    }
  }

  close(): void {
    this.#ended = true;
    this.#stop();
  }

  #lookAhead(): void {
    this.#keys.length = 0;
    this.#handles.length = 0;
    this.#at = 0;
    this.#exhausted = true;
    this.#tree.walk(this.#looked, null, false, this.#look);
  }

  readonly #look = (key: string, handle: number): boolean => {
    if (key === this.#looked) return true;
    this.#looked = key;
    if (liesBehind(this.#slabs.buffer(handle), this.#slabs.start(handle), this.#position)) this.#passed++;
    else {
      this.#keys.push(key);
      this.#handles.push(handle);
    }
    // If it is the last that stops here, the next look finds nothing.
    this.#exhausted = this.#keys.length < aheadMax && this.#passed < passedMax;
    return this.#exhausted;
  };

  readonly #lookAtImage = (key: string, image: number): boolean => {
    this.#image = image;
    this.#imageKey = key;
    return false;
  };

  #write(writer: Writer, key: string, slabs: Slabs, handle: number): void {
    const size = slabs.size(handle);
    writer.u16(key.length).binary(key).u32(size);
    this.#copy(slabs, handle, writer.out, writer.at);
    writer.at += size;
    this.#done = key;
  }

  #copy(from: Slabs, handle: number, to: Uint8Array, at: number): void {
    this.#value.reset(from.buffer(handle), from.start(handle)).copy(from.size(handle), to, at);
  }
}

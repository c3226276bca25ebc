/**
 * The entries of a KV machine as they were at one position, in key order, while the machine goes on being written.
 *
 *   entry: key length u16 · key · size u32 · value as in a slab
 *   end:   0 u16
 *
 * A scan by key. An entry that is written before the scan has come to it leaves its old value here first: values are overwritten
 * where they are. So what is held is what was written meanwhile, and no more. Entries written since are known by their versions.
 */
import type { Position } from "../../core/position.ts";
import { liesBehind, type Writer } from "../bytes.ts";
import { type Items, later } from "../snapshot.ts";
import { Slabs } from "../slabs.ts";
import { Tree } from "../tree.ts";

const endBytes = 2;
const headBytes = 6;
/** Entries written since that are passed over in one turn. */
const passedMax = 10_000;

export class KvItems implements Items {
  readonly #tree: Tree;
  readonly #slabs: Slabs;
  readonly #position: Position;
  readonly #stop: () => void;
  /** Old values of entries the scan has not come to. */
  readonly #images = new Tree();
  readonly #kept = new Slabs();
  /** Up to this key everything has been handed out. */
  #done = "";
  /** Up to this key of the tree everything has been looked at, and handed out but for the last if that is `#ahead`. */
  #looked = "";
  /** The entry at `#looked`, still to be handed out; −1 for none. */
  #ahead = -1;
  #passed = 0;
  /** Nothing more will be found in the tree. */
  #exhausted = false;
  /** The image with the smallest key, if that comes next; −1 if it does not. */
  #image = -1;
  #imageKey = "";
  #ended = false;

  /** `stop` is called when nothing needs to be kept any more. */
  constructor(tree: Tree, slabs: Slabs, position: Position, stop: () => void) {
    this.#tree = tree;
    this.#slabs = slabs;
    this.#position = position;
    this.#stop = stop;
  }

  /** Before the entry is overwritten or deleted. */
  keep(key: string, handle: number): void {
    if (key <= this.#done || liesBehind(this.#slabs.buffer(handle), this.#slabs.start(handle), this.#position)) return;
    const size = this.#slabs.size(handle);
    const image = this.#kept.allocate(size);
    copy(this.#slabs, handle, this.#kept.buffer(image), this.#kept.start(image));
    this.#images.set(key, image);
    if (key === this.#looked) this.#ahead = -1;
  }

  next(): number {
    if (this.#ended) return 0;
    this.#passed = 0;
    if (this.#ahead < 0 && !this.#exhausted) {
      this.#tree.walk(this.#looked, null, false, this.#look);
      if (this.#ahead < 0 && this.#passed === passedMax) return later;
      this.#exhausted = this.#ahead < 0;
    }
    this.#image = -1;
    if (this.#images.size > 0) this.#images.walk("", null, false, this.#lookAtImage);
    if (this.#image >= 0) return headBytes + this.#imageKey.length + this.#kept.size(this.#image);
    return this.#ahead >= 0 ? headBytes + this.#looked.length + this.#slabs.size(this.#ahead) : endBytes;
  }

  write(writer: Writer): void {
    if (this.#image >= 0) {
      this.#write(writer, this.#imageKey, this.#kept, this.#image);
      this.#images.delete(this.#imageKey);
      this.#kept.free(this.#image);
    } else if (this.#ahead >= 0) {
      this.#write(writer, this.#looked, this.#slabs, this.#ahead);
      this.#ahead = -1;
    } else {
      writer.u16(0);
      this.close();
    }
  }

  close(): void {
    this.#ended = true;
    this.#stop();
  }

  readonly #look = (key: string, handle: number): boolean => {
    if (key === this.#looked) return true;
    this.#looked = key;
    if (liesBehind(this.#slabs.buffer(handle), this.#slabs.start(handle), this.#position)) return ++this.#passed < passedMax;
    this.#ahead = handle;
    return false;
  };

  readonly #lookAtImage = (key: string, image: number): boolean => {
    if (this.#ahead >= 0 && key > this.#looked) return false;
    this.#image = image;
    this.#imageKey = key;
    return false;
  };

  #write(writer: Writer, key: string, slabs: Slabs, handle: number): void {
    const size = slabs.size(handle);
    writer.u16(key.length).binary(key).u32(size);
    copy(slabs, handle, writer.out, writer.at);
    writer.at += size;
    this.#done = key;
  }
}

function copy(from: Slabs, handle: number, to: Uint8Array, at: number): void {
  const start = from.start(handle);
  to.set(from.buffer(handle).subarray(start, start + from.size(handle)), at);
}

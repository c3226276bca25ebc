/**
 * An ordered map from binary strings to small whole numbers: a B+ tree of plain arrays, and a hash map to find one key. Keys
 * ascending one after another fill its leaves; a node that runs low joins a neighbour it fits with.
 */

interface Leaf {
  readonly children: null;
  keys: string[];
  values: number[];
}

interface Inner {
  /** `keys[i]` is at or below everything in `children[i + 1]` and above everything in `children[i]`. */
  keys: string[];
  children: Node[];
}

type Node = Leaf | Inner;

/** Returns false to stop the walk. */
type Visit = (key: string, value: number) => boolean;

const widthMax = 64;
/** A node below this looks for a neighbour to join; together they must leave room to grow. */
const widthLow = 16;
const widthJoined = 48;
/** Engines refuse maps of 2^24 entries. */
const hashedDefault = 1 << 23;

export class Tree {
  #root: Node = { children: null, keys: [], values: [] };
  #size = 0;
  /** The same once more, by hash: on the way down a tree almost every comparison with a string misses the processor's cache. */
  #values: Map<string, number> | null = new Map();
  readonly #hashedMax: number;
  /** Set by the recursion: what `set` or `delete` found, −1 for nothing. */
  #found = -1;

  /** With more keys than `hashedMax` each is found down the tree, for good. */
  constructor(hashedMax: number = hashedDefault) {
    this.#hashedMax = hashedMax;
  }

  get size(): number {
    return this.#size;
  }

  /** −1 if absent. */
  get(key: string): number {
    if (this.#values !== null) return this.#values.get(key) ?? -1;
    let node = this.#root;
    while (node.children !== null) node = node.children[after(node.keys, key)]!;
    const at = before(node.keys, key);
    return at < node.keys.length && node.keys[at] === key ? node.values[at]! : -1;
  }

  /** Returns the value replaced, −1 for none. */
  set(key: string, value: number): number {
    this.#found = -1;
    const right = this.#set(this.#root, key, value, true);
    if (right !== null) this.#root = { keys: [right.key], children: [this.#root, right.node] };
    if (this.#found < 0) this.#size++;
    if (this.#size > this.#hashedMax) this.#values = null;
    this.#values?.set(key, value);
    return this.#found;
  }

  /** Returns the value removed, −1 for none. */
  delete(key: string): number {
    this.#found = -1;
    if (this.#values?.delete(key) === false) return -1;
    this.#delete(this.#root, key);
    if (this.#root.children !== null && this.#root.children.length === 1) this.#root = this.#root.children[0]!;
    if (this.#found >= 0) this.#size--;
    return this.#found;
  }

  /** Visits `from ≤ key < to` (null: no end) in order, or in reverse. */
  walk(from: string, to: string | null, reverse: boolean, visit: Visit): void {
    if (reverse) walkBack(this.#root, from, to, visit);
    else walk(this.#root, from, to, visit);
  }

  /** `last`: nothing is to the right of this node. */
  #set(node: Node, key: string, value: number, last: boolean): { key: string; node: Node } | null {
    if (node.children === null) {
      const at = before(node.keys, key);
      if (at < node.keys.length && node.keys[at] === key) {
        this.#found = node.values[at]!;
        node.values[at] = value;
        return null;
      }
      insert(node.keys, at, key);
      insert(node.values, at, value);
      if (node.keys.length <= widthMax) return null;
      // Ascending keys leave full leaves behind instead of half-full ones.
      const middle = last && at === widthMax ? widthMax : widthMax >>> 1;
      const right: Leaf = { children: null, keys: node.keys.slice(middle), values: node.values.slice(middle) };
      node.keys = node.keys.slice(0, middle);
      node.values = node.values.slice(0, middle);
      return { key: right.keys[0]!, node: right };
    }
    const at = after(node.keys, key);
    const split = this.#set(node.children[at]!, key, value, last && at === node.keys.length);
    if (split === null) return null;
    insert(node.keys, at, split.key);
    insert(node.children, at + 1, split.node);
    if (node.children.length <= widthMax) return null;
    const middle = last && at === node.keys.length - 1 ? widthMax - 1 : widthMax >>> 1;
    const up = node.keys[middle]!;
    const right: Inner = { keys: node.keys.slice(middle + 1), children: node.children.slice(middle + 1) };
    node.keys = node.keys.slice(0, middle);
    node.children = node.children.slice(0, middle + 1);
    return { key: up, node: right };
  }

  #delete(node: Node, key: string): void {
    if (node.children === null) {
      const at = before(node.keys, key);
      if (at === node.keys.length || node.keys[at] !== key) return;
      this.#found = node.values[at]!;
      remove(node.keys, at);
      remove(node.values, at);
      return;
    }
    const at = after(node.keys, key);
    const child = node.children[at]!;
    this.#delete(child, key);
    if (width(child) >= widthLow) return;
    if (at > 0 && joins(node.children[at - 1]!, child)) join(node, at - 1);
    else if (at < node.keys.length && joins(child, node.children[at + 1]!)) join(node, at);
  }
}

function width(node: Node): number {
  return node.children === null ? node.keys.length : node.children.length;
}

/** A node with nothing in it, or only one child, always goes: its neighbour has room for one. */
function joins(left: Node, right: Node): boolean {
  const least = left.children === null ? 0 : 1;
  return width(left) + width(right) <= widthJoined || width(left) <= least || width(right) <= least;
}

/** Moves `children[at + 1]` into `children[at]`. */
function join(parent: Inner, at: number): void {
  const left = parent.children[at]!;
  const right = parent.children[at + 1]!;
  if (left.children === null) {
    left.keys = left.keys.concat(right.keys);
    left.values = left.values.concat((right as Leaf).values);
  } else {
    left.keys = left.keys.concat(parent.keys[at]!, right.keys);
    left.children = left.children.concat((right as Inner).children);
  }
  remove(parent.keys, at);
  remove(parent.children, at + 1);
}

/** Index of the first key ≥ `key`. */
function before(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the first key > `key`. */
function after(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `splice` would allocate an array for nothing. */
function insert<T>(array: T[], at: number, item: T): void {
  array.push(item);
  for (let i = array.length - 1; i > at; i--) array[i] = array[i - 1]!;
  array[at] = item;
}

function remove<T>(array: T[], at: number): void {
  for (let i = at + 1; i < array.length; i++) array[i - 1] = array[i]!;
  array.pop();
}

function walk(node: Node, from: string, to: string | null, visit: Visit): boolean {
  if (node.children === null) {
    for (let i = before(node.keys, from); i < node.keys.length; i++) {
      const key = node.keys[i]!;
      if (to !== null && key >= to || !visit(key, node.values[i]!)) return false;
    }
    return true;
  }
  for (let i = after(node.keys, from); i < node.children.length; i++) {
    if (!walk(node.children[i]!, from, to, visit)) return false;
  }
  return true;
}

function walkBack(node: Node, from: string, to: string | null, visit: Visit): boolean {
  if (node.children === null) {
    for (let i = (to === null ? node.keys.length : before(node.keys, to)) - 1; i >= 0; i--) {
      const key = node.keys[i]!;
      if (key < from || !visit(key, node.values[i]!)) return false;
    }
    return true;
  }
  for (let i = to === null ? node.children.length - 1 : after(node.keys, to); i >= 0; i--) {
    if (!walkBack(node.children[i]!, from, to, visit)) return false;
  }
  return true;
}

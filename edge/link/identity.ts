/**
 * Who is who between nodes. Every node has a key of its own; the members of a cluster are the keys that the cluster lists.
 * A node may hold several keys and be listed with several while one takes the place of another.
 */
import type { NodeId } from "../../core/ids.ts";
import { fromBase64Url, toBase64Url } from "./base64url.ts";
import type { Joins } from "./join/joins.ts";

/** X25519; 32 bytes each. */
export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

/** Which keys the nodes of the cluster have; shared by the drivers, changed while they run. */
export class Roster {
  #keys: ReadonlyMap<NodeId, readonly Uint8Array[]>;
  #byKey = new Map<string, NodeId>();
  readonly #listeners = new Set<() => void>();

  constructor(keys: ReadonlyMap<NodeId, readonly Uint8Array[]>) {
    this.#keys = keys;
    this.#index();
  }

  /** The node a key belongs to; null for a stranger's, and for one that is not listed any more. */
  nodeOf(publicKey: Uint8Array): NodeId | null {
    return this.#byKey.get(keyText(publicKey)) ?? null;
  }

  /** In the order in which they are to be tried. */
  keysOf(node: NodeId): readonly Uint8Array[] {
    return this.#keys.get(node) ?? [];
  }

  /** From now on these. Connections made under a key that is not listed any more are ended by their drivers, at once. */
  replace(keys: ReadonlyMap<NodeId, readonly Uint8Array[]>): void {
    this.#keys = keys;
    this.#index();
    for (const listener of [...this.#listeners]) listener();
  }

  /** Called after each `replace`; returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #index(): void {
    this.#byKey = new Map([...this.#keys].flatMap(([node, keys]) => keys.map((key) => [keyText(key), node] as const)));
  }
}

/** What a node is among its peers. */
export interface Identity {
  readonly self: NodeId;
  /** Bound into every handshake: nodes of another cluster do not understand us. */
  readonly cluster: string;
  readonly roster: Roster;
  /** All are answered to. */
  readonly keys: readonly KeyPair[];
  /** Absent where no node is listed by a join token. */
  readonly joins?: Joins;
}

/** With which keys to introduce ourselves, in this order: those of which we are listed that we hold. */
export function ownKeys({ self, roster, keys }: Identity): readonly KeyPair[] {
  const listed = roster.keysOf(self).flatMap((key) => keys.find(({ publicKey }) => keyText(publicKey) === keyText(key)) ?? []);
  return listed.length > 0 ? listed : keys.slice(0, 1);
}

/** Whether one of `keys` is this one. The files may have been read anew: what counts is what is in them. */
export function holds(keys: readonly KeyPair[], publicKey: Uint8Array): boolean {
  return keys.some((key) => keyText(key.publicKey) === keyText(publicKey));
}

const keyPrefix = "ck1_";
const keyBytes = 32;

/** A public key as people see it: `ck1_` and 43 characters. */
export function keyText(publicKey: Uint8Array): string {
  return keyPrefix + toBase64Url(publicKey);
}

/** Null for what is no public key. */
export function parseKey(text: string): Uint8Array | null {
  const key = text.startsWith(keyPrefix) ? fromBase64Url(text.slice(keyPrefix.length)) : null;
  return key?.byteLength === keyBytes ? key : null;
}

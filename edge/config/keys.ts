/** The public keys of a cluster's nodes, as its file lists them: who is let in. */
import { parseKey } from "../link/identity.ts";
import { asText, asTexts, refuse, type Table } from "./read.ts";
import { named } from "./tables.ts";

/** By node name, as `ck1_…`, in the order in which they are to be tried. */
export type NodeKeys = ReadonlyMap<string, readonly string[]>;

/** More than an old one and a new one, and something has been forgotten. */
export const keysMax = 8;

/** `key = "ck1_…"` or `keys = […]` of each node that has either; an empty list shuts a node out. */
export function readKeys(nodes: unknown): NodeKeys {
  const lists = named(nodes, "nodes").flatMap(({ name, table, place }) => {
    const listed = listedIn(table, place);
    return listed === null ? [] : [{ name, place, listed }];
  });
  return checkKeys(lists);
}

/** Keys that are keys, each of one node. `place`: for complaints. */
export function checkKeys(
  lists: readonly { readonly name: string; readonly place: string; readonly listed: readonly string[] }[],
): NodeKeys {
  const owners = new Map<string, string>();
  for (const { name, place, listed } of lists) {
    if (listed.length > keysMax) refuse(`${place}: it lists ${listed.length} keys, and ${keysMax} are the most`);
    for (const key of listed) {
      if (parseKey(key) === null) refuse(`${place}: ${described(key)}`);
      const owner = owners.get(key);
      if (owner === name) refuse(`${place}: it lists the key ${key} twice`);
      if (owner !== undefined) refuse(`[[nodes]]: "${owner}" and "${name}" have the same key, ${key}`);
      owners.set(key, name);
    }
  }
  return new Map(lists.map(({ name, listed }) => [name, listed]));
}

/** The nodes that cannot be linked with, for want of a key; none where there are no links. */
export function withoutKeys(
  { topology: { nodes }, keys }: { readonly topology: { readonly nodes: readonly { readonly name: string }[] }; readonly keys: NodeKeys },
): string[] {
  return nodes.length === 1 ? [] : nodes.map(({ name }) => name).filter((name) => !keys.has(name));
}

/** Null where nothing is said. */
function listedIn({ key, keys }: Table, place: string): readonly string[] | null {
  if (key !== undefined && keys !== undefined) refuse(`${place}: it has both "key" and "keys"; put all of them in "keys"`);
  if (key !== undefined) return [asText(key, `${place}, key`)];
  return keys === undefined ? null : asTexts(keys, `${place}, keys`);
}

/** What is wrong with it. What might be a private key is not repeated. */
function described(key: string): string {
  if (key.includes("private")) return "that is a private key, which belongs nowhere but in its node's key file; make another";
  return `${JSON.stringify(key)} is no public key; those begin with ck1_, and "carillon init" prints them`;
}

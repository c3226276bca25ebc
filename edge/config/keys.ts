/** The public keys of a cluster's nodes, as its file lists them: who is let in. */
import { keyText, parseKey } from "../link/identity.ts";
import { type JoinListing, parseJoin } from "../link/join/token.ts";
import { asText, asTexts, refuse, type Table } from "./read.ts";
import { named } from "./tables.ts";

/**
 * By node name, as `ck1_…`, in the order in which they are to be tried. A node whose key is not known yet has a join token
 * instead, alone: `cj1_…`.
 */
export type NodeKeys = ReadonlyMap<string, readonly string[]>;

/** More than an old one and a new one, and something has been forgotten. */
export const keysMax = 8;

/** `key = "ck1_…"`, `keys = […]` or `join = "cj1_…"` of each node that has one; an empty list shuts a node out. */
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
      const join = parseJoin(key);
      if (join === null && parseKey(key) === null) refuse(`${place}: ${described(key)}`);
      if (join !== null && listed.length > 1) refuse(`${place}: a join token stands alone, in place of a key`);
      const id = join === null ? key : keyText(join.publicKey);
      const owner = owners.get(id);
      if (owner === name) refuse(`${place}: it lists the key ${key} twice`);
      if (owner !== undefined) refuse(`[[nodes]]: "${owner}" and "${name}" have the same key, ${key}`);
      owners.set(id, name);
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

/** The token by which the node is listed; null for one that is listed by keys, or not at all. */
export function joinOf(keys: NodeKeys, name: string): JoinListing | null {
  return parseJoin(keys.get(name)?.[0] ?? "");
}

/** First contact is made over HTTP/2: throws CarillonError `config` where a token is listed and nobody listens there. */
export function checkJoins(keys: NodeKeys, driver: string): void {
  if (driver !== "udp") return;
  for (const name of keys.keys()) {
    if (joinOf(keys, name) === null) continue;
    refuse(
      `[[nodes]] "${name}": a node joins over HTTP/2, which link.driver = "udp" has not; set "auto", or list its key instead of "join"`,
    );
  }
}

/** Null where nothing is said. */
function listedIn({ key, keys, join }: Table, place: string): readonly string[] | null {
  if (key !== undefined && keys !== undefined) refuse(`${place}: it has both "key" and "keys"; put all of them in "keys"`);
  if (join !== undefined) {
    if (key !== undefined || keys !== undefined) refuse(`${place}: it has a key and a join token; once the key is known, take "join" out`);
    const text = asText(join, `${place}, join`);
    if (parseJoin(text) === null) refuse(`${place}: ${describedJoin(text)}`);
    return [text];
  }
  if (key !== undefined) return [asText(key, `${place}, key`)];
  return keys === undefined ? null : asTexts(keys, `${place}, keys`);
}

/** Not repeated: it might be a token without its first word. */
function describedJoin(text: string): string {
  if (text.includes("carillon-join")) {
    return 'that is a join token, which is for the node alone; list what "carillon init --token" prints below it';
  }
  return 'that is no listing of a join token; those begin with cj1_, and "carillon init --token" prints them';
}

/** What is wrong with it. What might be a private key is not repeated. */
function described(key: string): string {
  if (key.includes("carillon-join")) return describedJoin(key);
  if (key.includes("private")) return "that is a private key, which belongs nowhere but in its node's key file; make another";
  return `${JSON.stringify(key)} is no public key; those begin with ck1_, and "carillon init" prints them`;
}

/** What a node in this process is among its peers, made of what its options say, and made anew while it runs. */
import { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import { checkJoins, checkKeys, joinOf, type NodeKeys, withoutKeys } from "../config/keys.ts";
import { type Identity, type KeyPair, keyText, parseKey, Roster } from "../link/identity.ts";
import { type JoinListing, newToken, parseToken } from "../link/join/token.ts";
import { checkToken, readTokenFile } from "../link/join/token_file.ts";
import { checkListed, makeKeyFile, readKeyFile } from "../link/key_file.ts";
import { keyFileText, newKeyPair, parseKeyFile } from "../link/node_key.ts";
import { type JoinFacts, OwnJoins } from "./joins.ts";
import type { NodeOptions, PublicKeys } from "./options.ts";
import { nameOf } from "./status.ts";
import { unixMillis } from "../runtime.ts";
import { runtime } from "#runtime";

/** A node's key as two texts: the private one is for `privateKey` of `open`, or for a key file; the public one for everybody's `keys`. */
export function newNodeKey(): { readonly privateKey: string; readonly publicKey: string } {
  const pair = newKeyPair(runtime.cryptography, () => runtime.entropy());
  return { privateKey: keyFileText([pair]), publicKey: keyText(pair.publicKey) };
}

/**
 * For a node whose key is not known yet: `token` is for its `joinToken` alone, `join` for everybody's `keys`, in place of a key, and
 * good for a first contact within `validMs`.
 */
export function newJoinToken(validMs: number): { readonly token: string; readonly join: string } {
  const { token, listing } = newToken(runtime, unixMillis(runtime.clock.now().wall) + validMs);
  return { token, join: listing.text };
}

/** What became other keys, as texts. */
export interface KeyChange {
  readonly node: NodeId;
  readonly added: readonly string[];
  readonly gone: readonly string[];
}

export class OwnIdentity implements Identity {
  readonly self: NodeId;
  readonly cluster: string;
  readonly roster: Roster;
  readonly joins: OwnJoins;
  readonly #options: NodeOptions;
  readonly #topology: Topology;
  #facts: JoinFacts;

  private constructor(options: NodeOptions, { topology, self, facts, joins }: {
    readonly topology: Topology;
    readonly self: NodeId;
    readonly facts: JoinFacts;
    readonly joins: OwnJoins;
  }) {
    this.#options = options;
    this.#topology = topology;
    this.#facts = facts;
    this.joins = joins;
    this.self = self;
    this.cluster = topology.cluster;
    this.roster = new Roster(this.#keys());
    joins.onLearned = () => this.roster.replace(this.#keys());
  }

  /** Throws CarillonError `config` for keys that are missing, damaged, readable by others, or not this node's. */
  static async of(options: NodeOptions, topology: Topology, self: NodeId): Promise<OwnIdentity> {
    const facts = await factsOf(options, { keys: options.keys ?? {}, topology, self, starts: true });
    const disk = options.data === undefined ? null : await runtime.openDisk(options.data);
    return new OwnIdentity(options, { topology, self, facts, joins: await OwnJoins.open(topology, disk, facts) });
  }

  /** All are answered to. */
  get keys(): readonly KeyPair[] {
    return this.#facts.held;
  }

  /** Takes over the lists, and what the key file holds by now. Throws, and changes nothing, where `of` would. */
  async change(keys: PublicKeys): Promise<{ readonly changes: readonly KeyChange[]; readonly heldChanged: boolean }> {
    const topology = this.#topology;
    const next = await factsOf(this.#options, { keys, topology, self: this.self, starts: false });
    const before = this.#facts;
    const changes = topology.nodes.flatMap(({ id, name }) => {
      const [old, young] = [before.listed.get(name) ?? [], next.listed.get(name) ?? []];
      const added = young.filter((key) => !old.includes(key));
      const gone = old.filter((key) => !young.includes(key));
      return added.length + gone.length === 0 ? [] : [{ node: id, added, gone }];
    });
    const heldChanged = textsOf(next.held) !== textsOf(before.held);
    // What rests on a key goes by the pair itself: one that is held on stays the same pair.
    const held = next.held.map((pair) => before.held.find(({ publicKey }) => keyText(publicKey) === keyText(pair.publicKey)) ?? pair);
    this.#facts = { ...next, held };
    this.joins.replace(this.#facts);
    // Also where only the order of keys is another, or what this node answers to.
    this.roster.replace(this.#keys());
    return { changes, heldChanged };
  }

  /** What is listed, and what was learned under tokens that are. */
  #keys(): ReadonlyMap<NodeId, readonly Uint8Array[]> {
    return new Map(this.#topology.nodes.map(({ id, name }) => {
      const learned = this.joins.learnedOf(id);
      const listed = (this.#facts.listed.get(name) ?? []).flatMap((key) => parseKey(key) ?? []);
      return [id, learned === null ? listed : [...listed, learned]];
    }));
  }
}

/** Throws CarillonError `config` for what cannot be. */
async function factsOf(
  options: NodeOptions,
  { keys, topology, self, starts }: {
    readonly keys: PublicKeys;
    readonly topology: Topology;
    readonly self: NodeId;
    readonly starts: boolean;
  },
): Promise<JoinFacts> {
  const all = listed(keys, topology);
  checkJoins(all, options.links?.driver ?? "auto");
  const name = nameOf(topology.nodes)(self);
  const join = joinOf(all, name);
  const token = join === null ? null : await tokenOf(options, { name, join });
  return { listed: all, held: await heldBy(options, all, { name, starts }), token };
}

async function tokenOf(
  { joinToken, joinFile, data }: NodeOptions,
  { name, join }: { readonly name: string; readonly join: JoinListing },
): Promise<KeyPair> {
  const { cryptography } = runtime;
  const path = joinFile ?? (data === undefined ? null : `${data}/join.token`);
  if (joinToken === undefined && path === null) {
    throw new CarillonError("config", `Cannot be node "${name}": a join token lists it, and it has none; say joinToken, joinFile or data`);
  }
  const place = joinToken === undefined ? path! : "its join token";
  const token = joinToken === undefined ? await readTokenFile(path!, cryptography) : parseToken(joinToken, "the option", cryptography);
  checkToken(name, token, join, place);
  return token;
}

function textsOf(keys: readonly KeyPair[]): string {
  return keys.map(({ publicKey }) => keyText(publicKey)).join();
}

/** Checked, and complete for a cluster; nodes that are not part of it are passed over. */
function listed(keys: PublicKeys, topology: Topology): NodeKeys {
  const lists = Object.entries(keys).map(([name, key]) => ({
    name,
    place: `the keys of node "${name}"`,
    listed: typeof key === "string" ? [key] : key,
  }));
  const checked = checkKeys(lists);
  const keyless = withoutKeys({ topology, keys: checked });
  if (keyless.length > 0) {
    throw new CarillonError(
      "config",
      `Cannot link nodes: there is no key of ${
        keyless.join(", ")
      }; "carillon init" makes one on each, and all nodes are told the public ones`,
    );
  }
  return checked;
}

async function heldBy(
  { privateKey, keyFile, data }: NodeOptions,
  keys: NodeKeys,
  { name, starts }: { readonly name: string; readonly starts: boolean },
): Promise<readonly KeyPair[]> {
  const { cryptography } = runtime;
  const path = keyFile ?? (data === undefined ? null : `${data}/node.key`);
  if (privateKey === undefined && path === null) {
    throw new CarillonError("config", `Cannot be node "${name}": it has peers and no private key; say privateKey, keyFile or data`);
  }
  const place = privateKey === undefined ? path! : "its private key";
  const joins = joinOf(keys, name) !== null;
  // Nobody has to list the key of a node that joins, so nobody has to make it before its first start.
  if (joins && starts && privateKey === undefined) return (await makeKeyFile(path!, runtime)).keys;
  const held = privateKey === undefined ? await readKeyFile(path!, cryptography) : parseKeyFile(privateKey, place, cryptography);
  if (!joins) checkListed(name, held, keys, place);
  return held;
}

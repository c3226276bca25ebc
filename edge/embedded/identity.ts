/** What a node in this process is among its peers, made of what its options say, and made anew while it runs. */
import { CarillonError } from "../../core/errors.ts";
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import { checkKeys, type NodeKeys, withoutKeys } from "../config/keys.ts";
import { type Identity, type KeyPair, keyText, parseKey, Roster } from "../link/identity.ts";
import { checkListed, readKeyFile } from "../link/key_file.ts";
import { keyFileText, newKeyPair, parseKeyFile } from "../link/node_key.ts";
import type { NodeOptions, PublicKeys } from "./options.ts";
import { nameOf } from "./status.ts";
import { runtime } from "#runtime";

/** A node's key as two texts: the private one is for `privateKey` of `open`, or for a key file; the public one for everybody's `keys`. */
export function newNodeKey(): { readonly privateKey: string; readonly publicKey: string } {
  const pair = newKeyPair(runtime.cryptography, () => runtime.entropy());
  return { privateKey: keyFileText([pair]), publicKey: keyText(pair.publicKey) };
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
  readonly #options: NodeOptions;
  readonly #topology: Topology;
  #held: readonly KeyPair[];

  private constructor(
    options: NodeOptions,
    topology: Topology,
    self: NodeId,
    { held, keys }: { readonly held: readonly KeyPair[]; readonly keys: NodeKeys },
  ) {
    this.#options = options;
    this.#topology = topology;
    this.#held = held;
    this.self = self;
    this.cluster = topology.cluster;
    this.roster = new Roster(byId(keys, topology));
  }

  /** Throws CarillonError `config` for keys that are missing, damaged, readable by others, or not this node's. */
  static async of(options: NodeOptions, topology: Topology, self: NodeId): Promise<OwnIdentity> {
    const keys = listed(options.keys ?? {}, topology);
    const held = await heldBy(options, keys, nameOf(topology.nodes)(self));
    return new OwnIdentity(options, topology, self, { held, keys });
  }

  /** All are answered to. */
  get keys(): readonly KeyPair[] {
    return this.#held;
  }

  /** Takes over the lists, and what the key file holds by now. Throws, and changes nothing, where `of` would. */
  async change(keys: PublicKeys): Promise<{ readonly changes: readonly KeyChange[]; readonly heldChanged: boolean }> {
    const next = listed(keys, this.#topology);
    const held = await heldBy(this.#options, next, nameOf(this.#topology.nodes)(this.self));
    const changes = this.#topology.nodes.flatMap(({ id, name }) => {
      const before = this.roster.keysOf(id).map(keyText);
      const after = next.get(name) ?? [];
      const added = after.filter((key) => !before.includes(key));
      const gone = before.filter((key) => !after.includes(key));
      return added.length + gone.length === 0 ? [] : [{ node: id, added, gone }];
    });
    const heldChanged = textsOf(held) !== textsOf(this.#held);
    // What rests on a key goes by the pair itself: one that is held on stays the same pair.
    this.#held = held.map((pair) => this.#held.find(({ publicKey }) => keyText(publicKey) === keyText(pair.publicKey)) ?? pair);
    // Also where only the order of keys is another, or what this node answers to.
    this.roster.replace(byId(next, this.#topology));
    return { changes, heldChanged };
  }
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
  name: string,
): Promise<readonly KeyPair[]> {
  const { cryptography } = runtime;
  const path = keyFile ?? (data === undefined ? null : `${data}/node.key`);
  if (privateKey === undefined && path === null) {
    throw new CarillonError("config", `Cannot be node "${name}": it has peers and no private key; say privateKey, keyFile or data`);
  }
  const place = privateKey === undefined ? path! : "its private key";
  const held = privateKey === undefined ? await readKeyFile(path!, cryptography) : parseKeyFile(privateKey, place, cryptography);
  checkListed(name, held, keys, place);
  return held;
}

function byId(keys: NodeKeys, { nodes }: Topology): ReadonlyMap<NodeId, readonly Uint8Array[]> {
  return new Map(nodes.map(({ id, name }) => [id, (keys.get(name) ?? []).map((key) => parseKey(key)!)]));
}

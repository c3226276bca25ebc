/** Keys of nodes in tests: made of the node's number, so that every process and every run knows everybody's. */
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import { type Identity, type KeyPair, Roster } from "../../edge/link/identity.ts";
import type { Cryptography } from "../../edge/runtime.ts";

export function testKey(cryptography: Cryptography, number: number): KeyPair {
  const privateKey = new Uint8Array(32).fill(number);
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
}

/** Of one node of a cluster in which everybody has the key of their number. */
export function testIdentity(cryptography: Cryptography, topology: Topology, self: NodeId): Identity {
  const { cluster, nodes } = topology;
  const roster = new Roster(new Map(nodes.map(({ id }) => [id, [testKey(cryptography, id).publicKey]])));
  return { self, cluster, roster, keys: [testKey(cryptography, self)] };
}

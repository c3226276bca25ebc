/** Keys for nodes in one process: a private one each, and the public ones that all are told. */
import { newNodeKey, type PublicKeys } from "../../mod.ts";

export interface NodeKeyRing {
  readonly keys: PublicKeys;
  readonly privateKeyOf: (name: string) => string;
}

export function newKeyRing(names: readonly string[]): NodeKeyRing {
  const made = new Map(names.map((name) => [name, newNodeKey()]));
  return {
    keys: Object.fromEntries([...made].map(([name, { publicKey }]) => [name, publicKey])),
    privateKeyOf: (name) => made.get(name)!.privateKey,
  };
}

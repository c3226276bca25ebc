/** Nodes 1 to 3 with keys of their own, and the chance of a story: the same in each, so that what keys agree on can be remembered. */
import type { NodeId } from "../../../core/ids.ts";
import { type KeyPair, Roster } from "../../../edge/link/identity.ts";
import { Random } from "../../fuzz/random.ts";
import { cryptography } from "./cryptography.ts";

const secretBytes = 32;
const random = new Random(7);
const keys: readonly KeyPair[] = [1, 2, 3].map(() => {
  const privateKey = random.bytes(secretBytes);
  return { privateKey, publicKey: cryptography.publicKey(privateKey) };
});
const ephemeral: readonly Uint8Array[] = Array.from({ length: 64 }, () => random.bytes(secretBytes));

export const cluster = "fuzz";
/** Node 3 is not listed in it. */
export const roster: Roster = new Roster(new Map([1, 2].map((node) => [node, [keyOf(node).publicKey]])));

export function keyOf(node: NodeId): KeyPair {
  return keys[node - 1]!;
}

export function chance(seed: number): (bytes: number) => Uint8Array {
  const own = new Random(seed);
  let next = seed;
  return (bytes) => bytes === secretBytes ? ephemeral[next++ % ephemeral.length]! : own.bytes(bytes);
}

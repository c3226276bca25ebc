/** What a node has promised, in so many words to another, binds all its lives: the next begins with no less. */
import type { Ballot, NodeId } from "../../../core/ids.ts";
import { decodeMessage } from "../../../edge/codec/message.ts";
import type { RunningNode } from "../../../edge/start_node.ts";
import { demand } from "../../sim/oracle/violation.ts";

/** Of a frame: its length. Of a message in it: the version, then the kind. */
const lengthBytes = 4;
const kindAt = lengthBytes + 1;
const promiseKind = 3;

export class Promises {
  compared = 0;
  /** Highest granted, by "node group". */
  readonly #granted = new Map<string, Ballot>();

  /** Nodes whose directory was wiped and that have not started since. */
  readonly #emptied = new Set<NodeId>();

  /** Whole frames that a node hands to its links. */
  said(node: NodeId, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += lengthBytes + view.getUint32(at, true)) {
      if (bytes[at + kindAt] !== promiseKind) continue;
      const message = decodeMessage(bytes.subarray(at + lengthBytes, at + lengthBytes + view.getUint32(at, true)));
      if (message.kind !== "promise" || !message.granted || message.trial) continue;
      const key = `${node} ${message.group}`;
      this.#granted.set(key, Math.max(this.#granted.get(key) ?? 0, message.ballot));
    }
  }

  /** Nothing that this node said binds its next lives: they have to hear it from others. */
  forgotten(node: NodeId): void {
    for (const key of [...this.#granted.keys()]) if (key.startsWith(`${node} `)) this.#granted.delete(key);
    this.#emptied.add(node);
  }

  started(node: NodeId, { view, recovery }: RunningNode): void {
    demand(
      recovery.rejoining || !this.#emptied.has(node),
      "promises",
      () => `n${node} takes itself for one that knows what it promised, with a directory that was wiped`,
    );
    this.#emptied.delete(node);
    // Who has lost its journal votes again only when it has heard the others.
    if (recovery.rejoining) return;
    for (const { group, promised } of view().groups) {
      const least = this.#granted.get(`${node} ${group}`) ?? 0;
      this.compared++;
      demand(
        promised >= least,
        "promises",
        () => `n${node} had promised ${least} in group ${group} and begins its next life with ${promised}`,
      );
    }
  }
}

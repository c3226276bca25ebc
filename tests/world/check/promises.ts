/** What a node has promised, in so many words to another, binds all its lives: the next begins with no less. */
import type { Ballot, NodeId } from "../../../core/ids.ts";
import type { Message } from "../../../core/message.ts";
import type { RunningNode } from "../../../edge/start_node.ts";
import { demand } from "../../sim/oracle/violation.ts";

export class Promises {
  compared = 0;
  /** Highest granted, by "node group". */
  readonly #granted = new Map<string, Ballot>();
  /** Nodes whose directory was wiped and that have not started since. */
  readonly #emptied = new Set<NodeId>();

  /** Handed to the links: it may reach somebody. */
  said(node: NodeId, message: Message): void {
    if (message.kind !== "promise" || !message.granted || message.trial) return;
    const key = `${node} ${message.group}`;
    this.#granted.set(key, Math.max(this.#granted.get(key) ?? 0, message.ballot));
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

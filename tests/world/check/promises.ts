/**
 * What a node has promised binds its next life. Where it was stopped in order everything it had handed over is durable, so
 * the next life may promise more and never less.
 */
import type { Ballot, GroupId, NodeId } from "../../../core/ids.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { RunningNode } from "../../../edge/start_node.ts";

export class Promises {
  compared = 0;
  readonly #before = new Map<NodeId, ReadonlyMap<GroupId, Ballot>>();

  /** Closed, and its journal with it. */
  stopped(node: NodeId, { view }: RunningNode): void {
    this.#before.set(node, new Map(view().groups.map(({ group, promised }) => [group, promised])));
  }

  started(node: NodeId, { view, recovery }: RunningNode): void {
    const before = this.#before.get(node);
    this.#before.delete(node);
    // Who has lost its journal votes again only when it has heard the others.
    if (before === undefined || recovery.rejoining) return;
    for (const { group, promised } of view().groups) {
      this.compared++;
      const least = before.get(group)!;
      demand(
        promised >= least,
        "promises",
        () => `n${node} had promised ${least} in group ${group}, was stopped, and has promised ${promised}`,
      );
    }
  }
}

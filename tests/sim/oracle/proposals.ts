/**
 * Exactly the acknowledged messages are in the logs: only what was proposed, each once, nothing that was
 * refused, and in the end everything whose proposer lived to see it.
 *
 * Names of oracles: `integrity`, `exactly-once`, `refused`, `validity`.
 */
import type { Refusal } from "../../../core/effects.ts";
import type { GroupId, NodeId } from "../../../core/ids.ts";
import type { Command } from "./order.ts";
import { demand } from "./violation.ts";

interface Proposal {
  readonly id: number;
  readonly node: NodeId;
  readonly life: number;
  readonly group: GroupId;
  state: "pending" | "ordered" | "refused";
}

export class Proposals {
  readonly #byId = new Map<number, Proposal>();
  readonly #byTicket = new Map<string, Proposal>();
  ordered = 0;
  refused = 0;

  get count(): number {
    return this.#byId.size;
  }

  proposed(node: NodeId, life: number, ticket: number, group: GroupId, id: number): void {
    const proposal: Proposal = { id, node, life, group, state: "pending" };
    this.#byId.set(id, proposal);
    this.#byTicket.set(`${node}/${life}/${ticket}`, proposal);
  }

  refuse(node: NodeId, life: number, { ticket, code, reason }: Refusal): void {
    const proposal = this.#byTicket.get(`${node}/${life}/${ticket}`);
    demand(proposal !== undefined, "refused", () => `n${node} refuses ticket ${ticket}, which it was not given (${code}: ${reason})`);
    demand(proposal.state === "pending", "refused", () => `n${node} refuses command ${proposal.id} (${code}), which is ${proposal.state}`);
    proposal.state = "refused";
    this.refused++;
  }

  /** A command with effect is decided. */
  order({ id, group, instance }: Command): void {
    const proposal = this.#byId.get(id);
    demand(proposal !== undefined, "integrity", () => `g${group}/${instance} holds command ${id}, which nobody proposed`);
    demand(proposal.group === group, "integrity", () => `g${group}/${instance} holds command ${id}, proposed to g${proposal.group}`);
    demand(proposal.state !== "refused", "refused", () => `g${group}/${instance} holds command ${id}, which n${proposal.node} had refused`);
    demand(proposal.state !== "ordered", "exactly-once", () => `g${group}/${instance} holds command ${id} a second time`);
    proposal.state = "ordered";
    this.ordered++;
  }

  /** Still pending although their proposer is in the same life and `owed` to get them through. */
  pendingOf(life: (node: NodeId) => number, owed: (node: NodeId) => boolean): string[] {
    const result: string[] = [];
    for (const proposal of this.#byId.values()) {
      if (proposal.state !== "pending" || !owed(proposal.node) || life(proposal.node) !== proposal.life) continue;
      result.push(`command ${proposal.id} of n${proposal.node} to g${proposal.group}`);
    }
    return result;
  }
}

/**
 * Durable before acknowledged: when a node first says that a write has happened, a quorum of its group's acceptors has it
 * where a power loss does not reach. Every value carries a mark that is looked for in what the simulated disks have made safe.
 */
import type { GroupId, NodeId } from "../../../core/ids.ts";
import { groupById } from "../../../core/topology.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { Plan } from "../plan.ts";

/** `#` and nine digits and `#`, somewhere in a value. */
const digits = 9;
const hash = 0x23;

export class Acknowledged {
  checked = 0;
  readonly #plan: Plan;
  readonly #safe = new Map<NodeId, Set<number>>();
  #last = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    for (const { id } of plan.topology.nodes) this.#safe.set(id, new Set());
  }

  /** A text nobody else has written; also what makes a value known again anywhere. */
  newMark(): string {
    return `#${String(++this.#last).padStart(digits, "0")}#`;
  }

  safe(node: NodeId, bytes: Uint8Array): void {
    const marks = this.#safe.get(node)!;
    for (let at = bytes.indexOf(hash); at >= 0 && at + digits + 1 < bytes.length; at = bytes.indexOf(hash, at + 1)) {
      if (bytes[at + digits + 1] !== hash) continue;
      let mark = 0;
      for (let index = at + 1; index <= at + digits; index++) mark = mark * 10 + bytes[index]! - 48;
      if (mark > 0 && mark <= this.#last) marks.add(mark);
    }
  }

  /** In the moment a node answers. */
  acknowledge(text: string, group: GroupId, by: NodeId): void {
    if (this.#plan.durability !== "sync") return;
    const mark = Number(text.slice(1, digits + 1));
    const { acceptors, q2, name } = groupById(this.#plan.topology, group);
    const holders = acceptors.filter((node) => this.#safe.get(node)!.has(mark));
    this.checked++;
    demand(
      holders.length >= q2,
      "durability",
      () =>
        `n${by} acknowledges ${text} of group ${name} while only ${holders.map((node) => `n${node}`).join(" ") || "nobody"} has it durably`,
    );
  }
}

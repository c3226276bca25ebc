/**
 * Which groups without a coordinator make a node unready. Its own do: it votes there. Of others it waits for those that could
 * have a coordinator it has not heard of yet. A group whose acceptors are gone is no reason: no other node could serve it
 * either, and a load balancer that took all nodes out would take the groups that work with it.
 */
import type { NodeView } from "../core/view.ts";
import type { ClusterStatus, GroupStatus } from "../services/api.ts";

/** A sentence for each. */
export function withoutCoordinator(status: Pick<ClusterStatus, "node" | "nodes" | "groups">, view: NodeView): string[] {
  const silent = new Set(view.peers.filter((peer) => peer.suspected).map(({ node }) => status.nodes.find(({ id }) => id === node)?.name));
  const answers = ({ acceptors }: GroupStatus): boolean => acceptors.filter((name) => !silent.has(name)).length > acceptors.length / 2;
  const concerned = status.groups.filter((group) => group.roles.length > 0);
  const headless = concerned.filter((group) => group.coordinator === null);
  const awaited = headless.filter((group) => group.acceptors.includes(status.node) || answers(group));
  // A node that hears of no coordinator at all is cut off from everybody.
  const reasons = awaited.length === 0 && headless.length === concerned.length ? headless : awaited;
  return reasons.map((group) => `group ${group.name} has no coordinator${answers(group) ? " yet" : ": too few of its acceptors answer"}`);
}

/** /v1/cluster, /v1/nodes, /v1/groups, /v1/links: what this node knows of the whole. */
import type { Hono } from "hono";
import type { ClusterStatus } from "../../services/api.ts";
import type { AppContext } from "./context.ts";
import type { Front } from "./endpoint.ts";
import { accepted, envelope } from "./negotiate.ts";
import { queryOf } from "./params.ts";

export function addClusterRoutes(app: Hono, front: Front): void {
  const { context } = front;
  const add = (path: string, part: (status: ClusterStatus) => Record<string, unknown>): void =>
    front.add(app, "GET", path, async (c) => {
      const request = c.req.raw;
      queryOf(request.url, []);
      const status = await context.carillon.status();
      return envelope(accepted(request.headers.get("accept"), ["json", "cbor"]), 200, { ...part(status), position: status.position });
    }, { always: true });
  add("/v1/cluster", (status) => ({ ...status }));
  add("/v1/nodes", ({ nodes }) => ({ nodes }));
  add("/v1/groups", ({ groups }) => ({ groups }));
  add("/v1/links", (status) => ({
    node: status.node,
    // Whoever asks several nodes can tell whether their clocks agree.
    at: new Date().toISOString(),
    links: linksOf(context, status),
    counts: context.metrics?.linkCounts?.() ?? null,
  }));
}

/** One per other node: what the core heard, and what the link's driver knows where there is one. */
function linksOf({ view, now, metrics }: AppContext, status: ClusterStatus): Record<string, unknown>[] {
  const peers = new Map(view().peers.map((peer) => [peer.node, peer]));
  const links = new Map((metrics?.links?.() ?? []).map((link) => [link.peer, link]));
  return status.nodes.filter(({ name }) => name !== status.node).map(({ id, name, region, connected, rttMs }) => {
    const peer = peers.get(id);
    const link = links.get(name);
    const heard = peer !== undefined && Number.isFinite(peer.heardAt);
    return {
      ...link,
      peer: name,
      region,
      connected: link === undefined ? connected : link.connectedMs !== null,
      // Heartbeats measure it as well, but pass through two event loops.
      rttMs: link?.rttMs ?? rttMs,
      suspected: peer?.suspected ?? false,
      learnedKey: metrics?.learnedKey?.(name) ?? null,
      heardMsAgo: heard ? Math.max(0, Math.round(now().mono - peer.heardAt)) : null,
    };
  });
}

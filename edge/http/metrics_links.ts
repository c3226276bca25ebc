/** The way to each peer, in `/metrics`: what heartbeats measure, and what the driver that carries its messages counts. */
import type { LinkStats } from "./context.ts";
import type { Front } from "./endpoint.ts";
import { type Labels, type Page, some } from "./metrics_page.ts";

export function writeLinks(page: Page, { context: { view, names, metrics } }: Front): void {
  const links = metrics?.links?.() ?? [];
  const { peers } = view();
  // Without the driver: what is counted goes on where another takes over.
  const each = (value: (link: LinkStats) => number | null): (readonly [Labels, number])[] =>
    links.flatMap((link) => {
      const known = value(link);
      return known === null ? [] : [[{ peer: link.peer }, known] as const];
    });
  page.gauge(
    "carillon_link_rtt_seconds",
    "Round trip to a peer, smoothed: of packets over UDP, of heartbeats over HTTP/2.",
    peers.flatMap(({ node, rttMs }) => {
      const link = links.find(({ peer }) => peer === names.node(node));
      const known = link?.rttMs ?? rttMs;
      return known === null ? [] : [[{ peer: names.node(node), transport: link?.driver ?? "" }, known / 1_000] as const];
    }),
  );
  page.gauge(
    "carillon_link_suspected",
    "1 while the peer's heartbeats are overdue.",
    peers.map(({ node, suspected }) => [{ peer: names.node(node) }, suspected ? 1 : 0] as const),
  );
  page.gauge("carillon_link_connected", "1 while there is a connection.", each(({ connectedMs }) => connectedMs === null ? 0 : 1));
  page.gauge("carillon_link_loss_ratio", "Share of the packets sent lately that were lost.", each(({ lossRatio }) => lossRatio));
  page.gauge("carillon_link_mtu_bytes", "The largest datagram that is used.", each(({ mtuBytes }) => mtuBytes));
  page.gauge(
    "carillon_link_congestion_window_bytes",
    "How much may be under way.",
    each(({ congestionWindowBytes }) => congestionWindowBytes),
  );
  page.counter("carillon_link_lost_total", "Packets given up as lost.", each(({ lost }) => lost));
  page.counter("carillon_link_retransmits_total", "Packets whose content was sent again.", each(({ retransmitted }) => retransmitted));
  page.counter("carillon_link_sent_bytes_total", "Bytes sent.", each(({ sentBytes }) => sentBytes));
  page.counter("carillon_link_received_bytes_total", "Bytes received.", each(({ receivedBytes }) => receivedBytes));
  page.counter("carillon_link_sent_messages_total", "Messages sent.", each(({ sent }) => sent));
  page.counter("carillon_link_received_messages_total", "Messages received.", each(({ received }) => received));
  page.counter(
    "carillon_link_dropped_messages_total",
    "Messages not sent: no connection, or too many were waiting.",
    each(({ dropped }) => dropped),
  );
  page.counter("carillon_link_reconnects_total", "Connections lost after they had been open.", each(({ reconnects }) => reconnects));
  page.gauge("carillon_link_queued_bytes", "Bytes waiting to be sent.", each(({ queuedBytes }) => queuedBytes));
  const counts = metrics?.linkCounts?.();
  page.counter("carillon_link_handshakes_total", "Handshakes completed.", some(counts?.handshakes));
  page.counter(
    "carillon_link_handshakes_refused_total",
    "Handshakes of somebody whom the cluster does not list, or that do not fit.",
    some(counts?.handshakesRefused),
  );
  page.counter(
    "carillon_link_datagrams_ignored_total",
    "Datagrams that belong to no connection, were replayed, or could not be opened.",
    some(counts?.datagramsIgnored),
  );
}

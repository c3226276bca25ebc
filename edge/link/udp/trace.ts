/**
 * What a connection does, as events for whoever looks into it, and their form as a qlog file (JSON text sequences, RFC 7464, with
 * the event names of draft-ietf-quic-qlog-quic-events), which qvis and the like can draw.
 */
import type { Millis } from "../../../core/ids.ts";

export type TraceEvent =
  | {
    readonly kind: "packet_sent";
    readonly at: Millis;
    readonly number: number;
    readonly bytes: number;
    readonly eliciting: boolean;
    readonly streams: readonly { readonly stream: number; readonly offset: number; readonly length: number }[];
    readonly ackLargest: number;
    readonly mtuProbe: boolean;
  }
  | { readonly kind: "packet_received"; readonly at: Millis; readonly number: number; readonly bytes: number }
  | { readonly kind: "packet_dropped"; readonly at: Millis; readonly bytes: number }
  | { readonly kind: "packet_lost"; readonly at: Millis; readonly number: number; readonly bytes: number }
  | {
    readonly kind: "metrics_updated";
    readonly at: Millis;
    readonly smoothedRttMs: Millis;
    readonly minRttMs: Millis;
    readonly windowBytes: number;
    readonly inFlightBytes: number;
    readonly probes: number;
  }
  | { readonly kind: "mtu_updated"; readonly at: Millis; readonly bytes: number }
  | { readonly kind: "migration_state_updated"; readonly at: Millis; readonly host: string; readonly port: number }
  | { readonly kind: "key_updated"; readonly at: Millis }
  | { readonly kind: "connection_closed"; readonly at: Millis; readonly reason: string; readonly byPeer: boolean };

const recordSeparator = "\x1e";

/** The first record of a file. */
export function qlogHead(role: "initiator" | "responder"): string {
  const vantage_point = { type: role === "initiator" ? "client" : "server" };
  const trace = { common_fields: { time_format: "relative", reference_time: 0 }, vantage_point };
  return record({ file_schema: "urn:ietf:params:qlog:file:sequential", serialization_format: "application/qlog+json-seq", trace });
}

/** One more record. */
export function qlogRecord(event: TraceEvent): string {
  const { kind, at } = event;
  switch (kind) {
    case "packet_sent": {
      const frames: object[] = event.streams.map(({ stream, offset, length }) => ({
        frame_type: "stream",
        stream_id: stream,
        offset,
        length,
      }));
      if (event.ackLargest >= 0) frames.push({ frame_type: "ack", acked_ranges: [[event.ackLargest]] });
      return line(at, "quic:packet_sent", { ...packet(event), frames, is_mtu_probe_packet: event.mtuProbe });
    }
    case "packet_received":
    case "packet_lost":
      return line(at, `quic:${kind}`, packet(event));
    case "packet_dropped":
      return line(at, "quic:packet_dropped", { raw: { length: event.bytes }, trigger: "decryption_failure" });
    case "metrics_updated":
      return line(at, "quic:recovery_metrics_updated", {
        smoothed_rtt: event.smoothedRttMs,
        min_rtt: event.minRttMs,
        congestion_window: event.windowBytes,
        bytes_in_flight: event.inFlightBytes,
        pto_count: event.probes,
      });
    case "mtu_updated":
      return line(at, "quic:mtu_updated", { new: event.bytes });
    case "migration_state_updated":
      return line(at, "quic:migration_state_updated", { new: "migration_complete", remote: `${event.host}:${event.port}` });
    case "key_updated":
      return line(at, "quic:key_updated", { key_type: "1rtt_secret", trigger: "local_update" });
    case "connection_closed":
      return line(at, "quic:connection_closed", { initiator: event.byPeer ? "remote" : "local", reason: event.reason });
  }
}

function packet(event: { readonly number: number; readonly bytes: number }): object {
  return { header: { packet_type: "1RTT", packet_number: event.number }, raw: { length: event.bytes } };
}

function line(time: Millis, name: string, data: object): string {
  return record({ time, name, data });
}

function record(value: object): string {
  return `${recordSeparator}${JSON.stringify(value)}\n`;
}

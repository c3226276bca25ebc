/** What a policy of congestion control is told and says. `cubic.ts` is the one we use; tests may bring another. */
import type { Millis } from "../../../core/ids.ts";

export interface Congestion {
  /** Bytes that may be in flight. It grows only by bytes that were sent, filled the window and have been acknowledged. */
  readonly windowBytes: number;
  readonly slowStart: boolean;
  /** Packets sent up to here belong to a loss that has been answered: they neither shrink nor grow the window (RFC 9002 section 7.3.2). */
  readonly recoveringSince: Millis;
  sent(number: number): void;
  acked(ack: Acked, now: Millis): void;
  /** A packet sent at `sentAt` was lost. */
  lost(sentAt: Millis, now: Millis): void;
  /** All that was lost since the window last shrank has come after all: it was only overtaken. */
  undo(): void;
  /** Nothing came through for so long that nothing is known of the path any more (RFC 9002 section 7.6). */
  collapse(): void;
  /** The size of packets has changed. */
  resize(packetBytes: number): void;
}

/** What one ACK frame has newly acknowledged. */
export interface Acked {
  readonly bytes: number;
  readonly largest: number;
  /** The newest sample, and the smoothed one. */
  readonly latestMs: Millis;
  readonly smoothedMs: Millis;
  /** So little was in flight that the window was not what limited us. */
  readonly limited: boolean;
}

/** RFC 9002 section 7.2. */
export function initialWindowBytes(packetBytes: number): number {
  return Math.min(10 * packetBytes, Math.max(14_720, 2 * packetBytes));
}

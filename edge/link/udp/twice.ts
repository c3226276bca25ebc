/**
 * Says what orders a second time, a little later, where loss is likely and an answer far away: a lost packet then costs its stream
 * milliseconds instead of a round trip. The plainest error correction there is: order traffic is small, and what it is worth is time.
 */
import type { Millis } from "../../../core/ids.ts";
import { isBulk } from "./lanes.ts";
import type { Piece } from "./send_stream.ts";

/** What loses one packet often loses its neighbours too. */
const againMs = 3;
/** It goes along with the next packet, since more packets are more losses; it has one of its own after this part of a round trip. */
const patience = 1 / 8;

export class Twice {
  /** Whether the path is one where it is worth it. */
  on = false;
  /** When what was said is to be said again in a packet of its own; Infinity if there is nothing. */
  dueAt: Millis = Infinity;
  /** When it may go along with something else. */
  #ripeAt: Millis = Infinity;
  #pieces: Piece[] = [];

  /**
   * Has left in a packet. One that is more than half full may be of a stream that fills the path, which would carry half as much then.
   * What was lost before is not said twice either: it may be lost because there is too much.
   */
  sent(pieces: readonly Piece[], packetBytes: number, roundTripMs: Millis, now: Millis): void {
    if (!this.on) return;
    const fresh = pieces.filter(({ stream, isNew }) => isNew && !isBulk(stream.id));
    const bytes = fresh.reduce((sum, { start, end }) => sum + end - start, 0);
    if (bytes === 0 || bytes > packetBytes / 2) return;
    if (this.#pieces.length === 0) {
      this.#ripeAt = now + againMs;
      this.dueAt = now + Math.max(againMs, roundTripMs * patience);
    }
    this.#pieces.push(...fresh);
  }

  /** What is to be said again now, once; `leaves`: a packet is about to leave anyway. */
  take(leaves: boolean, now: Millis): readonly Piece[] {
    if (now < (leaves ? this.#ripeAt : this.dueAt)) return none;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.dueAt = Infinity;
    this.#ripeAt = Infinity;
    return pieces;
  }
}

const none: readonly never[] = [];

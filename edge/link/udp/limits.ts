/** How much strangers may make us do: answers that keep nothing, handshakes, and when handshakes begin to need a cookie. */
import type { Millis, NodeId } from "../../../core/ids.ts";
import { Bucket, Buckets, type Rate } from "../bucket.ts";
import { neighbourhood } from "./address.ts";
import type { Address } from "./paths.ts";

/** A handshake costs a fraction of a millisecond: all of them together take a few hundredths of a processor. */
export const handshakeRate: Rate = { perSecond: 64, atOnce: 128 };
/** A cluster may live in one neighbourhood, and start all at once. */
const handshakeRateEach: Rate = { perSecond: 16, atOnce: 64 };
const handshakeRatePerPeer: Rate = { perSecond: 4, atOnce: 16 };
const replyRate: Rate = { perSecond: 1_000, atOnce: 200 };
const replyRateEach: Rate = { perSecond: 100, atOnce: 50 };
/** Strangers do not fill our operator's log. */
const noticeRate: Rate = { perSecond: 0.1, atOnce: 5 };
const neighbourhoodsMax = 1_024;
const peersMax = 1_024;

export class Limits {
  readonly #handshakes = new Bucket(handshakeRate);
  readonly #handshakesEach: Buckets<string> = new Buckets(handshakeRateEach, neighbourhoodsMax);
  readonly #handshakesPerPeer: Buckets<NodeId> = new Buckets(handshakeRatePerPeer, peersMax);
  readonly #replies = new Bucket(replyRate);
  readonly #notices = new Bucket(noticeRate);
  readonly #repliesEach: Buckets<string> = new Buckets(replyRateEach, neighbourhoodsMax);

  /** Half of what handshakes may cost at once is used up: from now on they prove their address first. */
  isLoaded(now: Millis): boolean {
    return this.#handshakes.level(now) < handshakeRate.atOnce / 2;
  }

  mayAgree({ host }: Address, now: Millis): boolean {
    return this.#handshakesEach.take(neighbourhood(host), now) && this.#handshakes.take(now);
  }

  /** Asked once the peer is known to be the peer. */
  mayAgreeWith(peer: NodeId, now: Millis): boolean {
    return this.#handshakesPerPeer.take(peer, now);
  }

  mayTell(now: Millis): boolean {
    return this.#notices.take(now);
  }

  mayReply({ host }: Address, now: Millis): boolean {
    return this.#repliesEach.take(neighbourhood(host), now) && this.#replies.take(now);
  }
}

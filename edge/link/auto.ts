/**
 * Both drivers under one link. For each peer messages go over UDP while that works and over HTTP/2 otherwise; HTTP/2 stays
 * connected all the time, so that a way that is shut costs nobody a handshake. What a switch loses or doubles, the protocol
 * bears. docs/link.md says which messages go where, and why.
 */
import type { Envelope } from "../../core/effects.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import { openHttp2Link } from "./http2.ts";
import {
  controlLane,
  type Driver,
  type DriverName,
  laneOf,
  type Link,
  type LinkCounts,
  type LinkEvents,
  type LinkOptions,
  type PeerStats,
} from "./link.ts";
import { openUdpLink, type UdpLink } from "./udp/driver.ts";
import type { Pulse } from "./udp/pulse.ts";

const checkMs = 250;
const checkGraceMs = 250;
/** A way on which nothing comes back is tried again ever more rarely: who does not let UDP through today may tomorrow. */
const retryMsMax = 30_000;
/** UDP has to work for so long before it is relied on again after a fallback, and before it is known how well it does. */
const settledMs = 1_000;
/** One heartbeat in so long goes both ways: HTTP/2 then knows that it works, and is not made anew for being silent. */
const standbyMs = 1_750;
/**
 * On a way this short and clean nothing waits for a lost packet, and payloads in packets this short cost four times over UDP what
 * they cost over HTTP/2. Only clear losses take them back: with each change some messages overtake others.
 */
const nearRttMs = 5;
const cleanLossRatio = 0.0002;
const shortBytes = 8_000;
const lossyRatio = 0.001;
/** Both drivers use one port number; the system picks one that is free for TCP. */
const bindAttempts = 10;

export async function openAutoLink(options: LinkOptions, events: LinkEvents): Promise<Link> {
  const link = new AutoLink(options, events);
  await link.listen();
  return link;
}

/** What carries messages to a peer. */
interface Choice {
  driver: DriverName;
  reason: string;
  /** The way is short and clean: payloads go over HTTP/2 while UDP carries the rest. */
  near: boolean;
  /** UDP has worked and then failed: it has to prove itself. */
  fellBack: boolean;
  standbyAt: Millis;
  /** The host has been told that the peer is unreachable, and nothing has come from it since. */
  lost: boolean;
}

class AutoLink implements Link {
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #choices = new Map<NodeId, Choice>();
  #http2!: Driver;
  #udp!: UdpLink;
  #cancelCheck: () => void = () => {};

  constructor(options: LinkOptions, events: LinkEvents) {
    this.#options = options;
    this.#events = events;
  }

  async listen(): Promise<void> {
    const { listen } = this.#options;
    for (let attempt = 1;; attempt++) {
      this.#http2 = await openHttp2Link(this.#options, this.#eventsOf("h2"));
      const port = Number(this.#http2.address.slice(this.#http2.address.lastIndexOf(":") + 1));
      const onChange = (peer: NodeId): void => this.#choose(peer);
      try {
        this.#udp = await openUdpLink({ ...this.#options, listen: { ...listen, port }, retryMsMax, onChange }, this.#eventsOf("udp"));
        break;
      } catch (error) {
        await this.#http2.close();
        if (listen.port !== 0 || attempt === bindAttempts) throw error;
      }
    }
    this.#checkLater();
  }

  get address(): string {
    return this.#http2.address;
  }

  open(peer: NodeId, address: string): void {
    if (!this.#choices.has(peer)) {
      this.#choices.set(peer, {
        driver: "h2",
        reason: "UDP has not answered yet",
        near: false,
        fellBack: false,
        standbyAt: -Infinity,
        lost: false,
      });
    }
    this.#udp.open(peer, address);
    this.#http2.open(peer, address);
  }

  send({ to, message }: Envelope): void {
    const over: Record<DriverName, NodeId[]> = { udp: [], h2: [] };
    for (const receiver of to) {
      const choice = this.#choices.get(receiver);
      if (choice === undefined) continue;
      const driver = this.#driverOf(choice, receiver, message);
      over[driver].push(receiver);
      if (driver === "udp" && message.kind === "heartbeat" && this.#isStandbyDue(choice)) over.h2.push(receiver);
    }
    if (over.udp.length > 0) this.#udp.send({ to: over.udp, message });
    if (over.h2.length > 0) this.#http2.send({ to: over.h2, message });
  }

  carries(peer: NodeId): boolean {
    return this.#udp.carries(peer) || this.#http2.carries(peer);
  }

  stats(): readonly PeerStats[] {
    const udp = new Map(this.#udp.stats().map((stats) => [stats.peer, stats]));
    return this.#http2.stats().map((stats) => both(udp.get(stats.peer)!, stats, this.#choices.get(stats.peer)!));
  }

  counts(): LinkCounts {
    const [udp, http2] = [this.#udp.counts(), this.#http2.counts()];
    return {
      handshakes: udp.handshakes + http2.handshakes,
      handshakesRefused: udp.handshakesRefused + http2.handshakesRefused,
      datagramsIgnored: udp.datagramsIgnored,
    };
  }

  async close(): Promise<void> {
    this.#cancelCheck();
    await Promise.all([this.#udp.close(), this.#http2.close()]);
  }

  #eventsOf(driver: DriverName): LinkEvents {
    return {
      onMessage: (from, message) => {
        const choice = this.#choices.get(from);
        if (choice !== undefined) choice.lost = false;
        this.#events.onMessage(from, message);
      },
      onUnreachable: (peer) => {
        const choice = this.#choices.get(peer)!;
        // Somebody in between who does not let UDP through any more takes nobody away. That a connection of HTTP/2 breaks is
        // worth a hint, whatever is in use: the peer's system ends it at once when the process dies, and says nothing over UDP.
        if (choice.lost || driver === "udp" && this.#http2.carries(peer)) return;
        choice.lost = true;
        this.#events.onUnreachable(peer);
      },
      onNotice: (sentence) => this.#events.onNotice(sentence),
    };
  }

  #choose(peer: NodeId): void {
    const choice = this.#choices.get(peer);
    // A peer may reach us that we have not been told to reach.
    if (choice === undefined) return;
    const carries = this.#udp.carries(peer);
    if (choice.driver === "udp" && !carries) {
      choice.driver = "h2";
      choice.fellBack = true;
      choice.reason = `UDP failed: ${this.#udp.failure(peer)}`;
    } else if (choice.driver === "h2" && carries && (!choice.fellBack || this.#hasSettled(peer))) {
      choice.driver = "udp";
      choice.reason = choice.fellBack ? "UDP works again" : "UDP works";
    } else if (choice.driver === "h2" && !carries && this.#udp.failure(peer) !== "") {
      choice.reason = `UDP failed: ${this.#udp.failure(peer)}`;
    }
  }

  #driverOf({ driver, near }: Choice, receiver: NodeId, message: Message): DriverName {
    if (driver === "h2") return driver;
    const lane = laneOf(message);
    // Odd lanes are for those who are behind: much at once, in no hurry.
    const spares = lane % 2 === 1 || near && lane !== controlLane;
    return spares && this.#http2.carries(receiver) ? "h2" : "udp";
  }

  #hasSettled(peer: NodeId): boolean {
    const openSince = this.#udp.openSince(peer);
    return openSince !== null && this.#now() - openSince >= settledMs;
  }

  #isStandbyDue(choice: Choice): boolean {
    const now = this.#now();
    if (now - choice.standbyAt < standbyMs) return false;
    choice.standbyAt = now;
    return true;
  }

  #checkLater(): void {
    this.#cancelCheck = this.#options.runtime.clock.wakeAt(this.#now() + checkMs, () => {
      for (const [peer, choice] of this.#choices) {
        const pulse = this.#udp.pulse(peer);
        // How long packets may be is found out first.
        if (pulse !== null && this.#hasSettled(peer)) choice.near = choice.near ? !isLossy(pulse) : isNear(pulse);
        this.#choose(peer);
      }
      this.#checkLater();
    }, checkGraceMs);
  }

  #now(): Millis {
    return this.#options.runtime.clock.now().mono;
  }
}

function isNear({ rttMinMs, lossRatio, mtuBytes }: Pulse): boolean {
  return rttMinMs < nearRttMs && lossRatio < cleanLossRatio && mtuBytes < shortBytes;
}

function isLossy({ lossRatio, mtuBytes }: Pulse): boolean {
  return lossRatio > lossyRatio || mtuBytes >= shortBytes;
}

function both(udp: PeerStats, http2: PeerStats, { driver, reason, near }: Choice): PeerStats {
  return {
    ...udp,
    driver,
    reason: driver === "udp" && near ? `${reason}, and HTTP/2 for payloads: the way is short and clean` : reason,
    sent: udp.sent + http2.sent,
    received: udp.received + http2.received,
    sentBytes: udp.sentBytes + http2.sentBytes,
    receivedBytes: udp.receivedBytes + http2.receivedBytes,
    dropped: udp.dropped + http2.dropped,
    reconnects: udp.reconnects + http2.reconnects,
    queuedBytes: udp.queuedBytes + http2.queuedBytes,
    connectedSince: (driver === "udp" ? udp : http2).connectedSince,
  };
}

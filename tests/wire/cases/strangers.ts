/** Strangers: whoever has no key of the cluster gets no answer, or a small one, and costs little. */
import { runtime } from "#runtime";
import { Cookies } from "../../../edge/link/udp/cookies.ts";
import { Roster } from "../../../edge/link/identity.ts";
import { Endpoint } from "../../../edge/link/udp/endpoint.ts";
import { macBytes, withCookie } from "../../../edge/link/udp/messages.ts";
import { mutate } from "../../fuzz/mutate.ts";
import { Random } from "../../fuzz/random.ts";
import type { Prng } from "../../sim/prng.ts";
import type { Case, Outcome } from "../case.ts";
import type { Address } from "../net.ts";
import { keyPair } from "../nodes.ts";
import { greet, type Two, two } from "./handshakes.ts";

const { cryptography } = runtime;

/** What is sent to `b`, from anywhere, and what `b` says to it. */
class Traffic {
  sent = 0;
  sentBytes = 0;
  replies = 0;
  replyBytes = 0;
  /** Replies that were not smaller than what they answered. */
  large = 0;
  readonly #two: Two;

  constructor(pair: Two) {
    this.#two = pair;
  }

  send(bytes: Uint8Array, from: Address): void {
    const { net, b } = this.#two;
    this.sent++;
    this.sentBytes += bytes.byteLength;
    b.host.onSend = (reply) => {
      if (reply.host !== from.host || reply.port !== from.port) return;
      this.replies++;
      this.replyBytes += reply.bytes.byteLength;
      if (reply.bytes.byteLength >= bytes.byteLength) this.large++;
    };
    net.inject(bytes, from, b.host);
    b.host.onSend = () => {};
  }
}

/** First byte of a cookie. */
const cookieType = 0x83;

function somewhere(index: number): Address {
  return { host: `198.18.${(index >> 8) & 0xff}.${index & 0xff}`, port: 1_024 + index % 60_000 };
}

/** INITs to `b` of somebody who knows its key, and is not listed: each passes the first check and costs an agreement. */
function uninvited({ cluster, net, b }: Two, prng: Prng, count: number): Uint8Array[] {
  const stranger = keyPair(prng.split("stranger"));
  const keys = new Map([[1, [stranger.publicKey]], [2, [cluster.keyOf(2).publicKey]]]);
  return Array.from({ length: count }, (_, index) => {
    const own = prng.split(`init ${index}`);
    const endpoint = new Endpoint({
      identity: { self: 1, cluster: cluster.name, roster: new Roster(keys), keys: [stranger] },
      cryptography,
      random: (bytes) => Uint8Array.from({ length: bytes }, () => own.int(256)),
      now: () => net.now,
      wall: () => 1,
      datagramBytesMax: 1_472,
      events: {
        onConnected: () => ({ onStream: () => {}, onDatagram: () => {}, onWritable: () => {} }),
        onClosed: () => {},
        onNotice: () => {},
      },
    });
    endpoint.connect(2, b.host.address, net.now);
    return endpoint.take(net.now)!.bytes;
  });
}

export const strangerCases: readonly Case[] = [
  {
    name: "strangers",
    promise: "garbage, damaged handshakes and packets, and whoever does not know the node's key: not one byte back",
    run: (seed, size): Outcome => {
      const pair = two(seed);
      const random = new Random(seed);
      const good: Uint8Array[] = [];
      pair.b.host.onArrive = (bytes) => good.push(bytes.slice());
      greet(pair);
      pair.net.run(pair.net.now + 2_000);
      const inits = good.filter((bytes) => (bytes[0]! & 0x80) !== 0);
      const traffic = new Traffic(pair);
      const packets = good.filter((bytes) => (bytes[0]! & 0x80) === 0);
      const inputs = size === "full" ? 100_000 : 4_000;
      for (let input = 0; input < inputs; input++) {
        const bytes = random.chance(0.3)
          ? random.bytes(random.below(1_400))
          : mutate(random, random.pick(random.chance(0.5) ? inits : packets), random.pick(good));
        // With nothing damaged but the second MAC, which is looked at under load only, it is a replay.
        if (inits.some((init) => Buffer.compare(init.subarray(0, -macBytes), bytes.subarray(0, -macBytes)) === 0)) continue;
        traffic.send(bytes, somewhere(input));
      }
      return { figure: `${traffic.sent} datagrams, ${traffic.replies} replies`, holds: traffic.replies === 0 };
    },
  },
  {
    name: "not-listed",
    promise: "who knows a node's key and is not listed gets nothing, or under load a cookie, which is smaller",
    run: (seed): Outcome => {
      const pair = two(seed);
      const traffic = new Traffic(pair);
      const inits = uninvited(pair, pair.net.prng, 100);
      inits.forEach((init, index) => traffic.send(init, somewhere(index)));
      const { agreements, handshakes } = pair.b.endpoint.counts();
      return {
        figure:
          `${traffic.sent} INITs, ${traffic.replies} replies of ${(traffic.replyBytes / traffic.sentBytes).toFixed(3)} times the bytes, ` +
          `${agreements} agreements, ${handshakes} connections`,
        holds: handshakes === 0 && traffic.large === 0 && traffic.replyBytes <= traffic.sentBytes / 10,
      };
    },
  },
  {
    name: "handshake-flood",
    promise: "2 000 INITs a second from everywhere cost no more than the handshakes allowed, and a member still gets through within 2 s",
    run: (seed, size): Outcome => {
      const pair = two(seed);
      const traffic = new Traffic(pair);
      const inits = uninvited(pair, pair.net.prng, 20);
      const seconds = size === "full" ? 20 : 3;
      let sent = 0;
      const flood = (): void => {
        for (let each = 0; each < 20; each++, sent++) traffic.send(inits[sent % inits.length]!, somewhere(sent * 37));
        if (pair.net.now < seconds * 1_000) pair.net.queue.after(10, flood);
      };
      pair.net.queue.after(0, flood);
      pair.net.run(1_000);
      const tookMs = greet(pair);
      pair.net.run(seconds * 1_000 + 100);
      const { agreements } = pair.b.endpoint.counts();
      return {
        figure: `${sent} INITs in ${seconds} s, ${agreements} agreements, ${traffic.large} replies too large, the member is through after ${
          tookMs.toFixed(0)
        } ms`,
        holds: agreements <= 128 + 64 * (seconds + 1) && traffic.large === 0 && tookMs <= 2_000,
      };
    },
  },
  {
    name: "retry",
    promise: "under load a member shows a cookie, and is through a round trip later than without",
    run: (seed): Outcome => {
      const calmMs = greet(two(seed));
      const pair = two(seed);
      const traffic = new Traffic(pair);
      const { net, a } = pair;
      const inits = uninvited(pair, net.prng, 120);
      // All at once, and then so often that what is allowed again is gone at once.
      inits.forEach((init, index) => traffic.send(init, somewhere(index * 300)));
      const flood = (): void => {
        traffic.send(inits[traffic.sent % inits.length]!, somewhere(traffic.sent * 300));
        if (net.now < 1_000) net.queue.after(0.2, flood);
      };
      net.queue.after(0, flood);
      let cookies = 0;
      a.host.onArrive = (bytes) => {
        if (bytes[0] === cookieType) cookies++;
      };
      const tookMs = greet(pair);
      return {
        figure: `${cookies} cookie, ${tookMs.toFixed(0)} ms instead of ${calmMs.toFixed(0)} ms`,
        holds: cookies === 1 && tookMs > calmMs && tookMs <= calmMs + 35,
      };
    },
  },
  {
    name: "forged-tokens",
    promise: "a cookie of another's making, of another address, or too old opens nothing",
    run: (seed): Outcome => {
      const pair = two(seed);
      const { net, b } = pair;
      const traffic = new Traffic(pair);
      const inits = uninvited(pair, net.prng, 120);
      // Load, until cookies are asked for.
      inits.forEach((init, index) => traffic.send(init, somewhere(index * 300)));
      const before = b.endpoint.counts().agreements;
      const prng = net.prng.split("forged");
      const own = new Cookies(cryptography, (bytes) => Uint8Array.from({ length: bytes }, () => prng.int(256)), net.now);
      inits.forEach((init, index) => {
        const from = somewhere(index * 300 + 7);
        traffic.send(withCookie(cryptography, init, own.issue(from, net.now)), from);
        traffic.send(withCookie(cryptography, init, new Uint8Array(16)), from);
      });
      const forged = b.endpoint.counts().agreements - before;
      return { figure: `240 forged tokens, ${forged} taken for good, ${before} agreements before`, holds: forged === 0 && before >= 32 };
    },
  },
  {
    name: "replayed-handshakes",
    promise:
      "recorded datagrams, again to the node and to its next life: no connection, nothing delivered, replies smaller than what they answer",
    run: (seed): Outcome => {
      const pair = two(seed);
      const { net, a, b } = pair;
      const recorded: Uint8Array[] = [];
      b.host.onArrive = (bytes) => recorded.push(bytes.slice());
      greet(pair);
      net.run(net.now + 1_000);
      b.host.onArrive = () => {};
      const packets = [...recorded];
      const { handshakes } = b.endpoint.counts();
      const heard = b.received.get(1);
      const ignored = b.endpoint.counts().datagramsIgnored + b.endpoint.counts().handshakesRefused;
      const same = new Traffic(pair);
      for (const packet of packets) same.send(packet, a.host.address);
      for (const [index, packet] of packets.entries()) same.send(packet, somewhere(index));
      const counted = b.endpoint.counts().datagramsIgnored + b.endpoint.counts().handshakesRefused - ignored;
      const holdsNow = same.replies === 0 && counted === same.sent && b.endpoint.counts().handshakes === handshakes &&
        b.received.get(1) === heard;
      // Another life: it has none of the keys, and does not know what it has seen.
      b.restart();
      a.host.party = null;
      const next = new Traffic(pair);
      for (const packet of packets) next.send(packet, a.host.address);
      for (const [index, packet] of packets.entries()) next.send(packet, somewhere(index));
      const { connections } = b.endpoint.size;
      return {
        figure:
          `${same.sent} to the same life: ${same.replies} replies, ${counted} counted; ${next.sent} to the next: ${next.replies} replies of ` +
          `${(next.replyBytes / next.sentBytes).toFixed(2)} times the bytes, ${connections} connections`,
        holds: holdsNow && next.large === 0 && connections === 0 && b.received.get(1) === heard,
      };
    },
  },
];

/** What an endpoint makes of what nobody should have sent: floods, forgeries, and noise. */
import { describe, expect, test } from "bun:test";
import { runtime } from "#runtime";
import type { KeyPair } from "../../../edge/link/identity.ts";
import { Handshake } from "../../../edge/link/noise/handshake.ts";
import { neighbourhood } from "../../../edge/link/udp/address.ts";
import { Buckets } from "../../../edge/link/bucket.ts";
import { cookieLifeMs } from "../../../edge/link/udp/cookies.ts";
import { decodeInit, encodeInit, prologue } from "../../../edge/link/udp/handshake.ts";
import { type Held, HeldConnections } from "../../../edge/link/udp/held.ts";
import { handshakeRate } from "../../../edge/link/udp/limits.ts";
import {
  type HandshakeMessage,
  initBytes,
  macKey,
  parseHandshake,
  writeCookie,
  writeInit,
  writeResponse,
} from "../../../edge/link/udp/messages.ts";
import { mutate } from "../../fuzz/mutate.ts";
import { Random } from "../../fuzz/random.ts";
import type { Address } from "../../wire/net.ts";
import { altered, Cluster, delayMs, keyPair, type Node } from "./nodes.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** An INIT that shows that its sender knows the node's key, and nothing else of worth. */
function emptyInit(to: Node, random: Random, version = 1): Uint8Array {
  const bytes = writeInit(runtime.cryptography, macKey(runtime.cryptography, to.identity.keys[0]!.publicKey), {
    connectionId: random.bytes(8),
    from: 1,
    noise: random.bytes(initBytes - 44),
  });
  if (version === 1) return bytes;
  bytes[1] = version;
  const key = macKey(runtime.cryptography, to.identity.keys[0]!.publicKey);
  bytes.set(runtime.cryptography.hmacSha256(key, bytes.subarray(0, -32)).subarray(0, 16), bytes.byteLength - 32);
  return bytes;
}

function somewhere(random: Random): Address {
  return { host: `${1 + random.below(200)}.${random.below(256)}.${random.below(256)}.${random.below(256)}`, port: random.below(65_536) };
}

/** Brings the node to where it asks for cookies. */
function load(node: Node, random: Random): void {
  for (let sent = 0; sent < handshakeRate.atOnce / 2 + 1; sent++) node.answers(emptyInit(node, random), somewhere(random));
}

describe("a flood of INITs", () => {
  test("from anywhere: cookies instead of work, no state, and never more bytes than came in", () => {
    const random = new Random(1);
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    let [received, sent, longest] = [0, 0, 0];
    const seconds = 4;
    for (let tick = 0; tick < seconds * 100; tick++) {
      cluster.pass(10);
      for (let each = 0; each < 20; each++) {
        const init = emptyInit(b, random);
        received += init.byteLength;
        for (const answer of b.answers(init, somewhere(random))) {
          sent += answer.byteLength;
          longest = Math.max(longest, answer.byteLength);
        }
      }
    }
    const { agreements, replies } = b.endpoint.counts();
    expect(agreements).toBeGreaterThan(10);
    expect(agreements).toBeLessThanOrEqual(handshakeRate.atOnce + handshakeRate.perSecond * seconds);
    expect(replies).toBeGreaterThan(1_000);
    expect(b.endpoint.size).toEqual({ connections: 0, waiting: 0 });
    expect(sent / received).toBeLessThan(0.05);
    expect(longest).toBeLessThan(100);
    // Whoever belongs there still comes in.
    a.connect(b);
    cluster.pass(300);
    expect([a.log.length, b.log.at(-1)]).toEqual([1, expect.stringContaining("connected 1")]);
  });

  test("from one place uses up what that place may do, and nothing of what others may", () => {
    const random = new Random(2);
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    for (let sent = 0; sent < 500; sent++) b.answers(emptyInit(b, random), { host: `9.8.7.${random.below(256)}`, port: 1 + sent });
    expect(b.endpoint.counts().agreements).toBeLessThanOrEqual(64);
    a.connect(b);
    cluster.pass(100);
    expect(a.log).toHaveLength(1);
  });

  test("a cookie is good for the address it was given to, unchanged, for its time", () => {
    const random = new Random(3);
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { loss: 1 });
    a.connect(b);
    const init = a.sent[0]!.bytes;
    load(b, random);
    const before = b.endpoint.counts().agreements;
    const cookie = b.answers(init, a.address);
    expect([cookie.length, parseHandshake(cookie[0]!)?.kind]).toEqual([1, "cookie"]);
    expect(cookie[0]!.byteLength).toBeLessThan(init.byteLength);
    // It shows a new one each time, sealed; forged ones are not believed.
    for (let at = 0; at < cookie[0]!.byteLength; at++) {
      a.endpoint.receive({ ...b.address, bytes: altered(cookie[0]!, at) }, cluster.net.now);
    }
    const forged = writeCookie(runtime.cryptography, macKey(runtime.cryptography, a.identity.keys[0]!.publicKey), {
      connectionId: init.slice(2, 10),
      mac1: init.slice(-32, -16),
    }, { nonce: random.bytes(16), cookie: random.bytes(16) });
    a.endpoint.receive({ ...b.address, bytes: forged }, cluster.net.now);
    expect(a.endpoint.take(cluster.net.now)).toBe(null);
    a.endpoint.receive({ ...b.address, bytes: cookie[0]! }, cluster.net.now);
    const shown = a.endpoint.take(cluster.net.now)!.bytes;
    expect(hex(shown.subarray(0, -16))).toBe(hex(init.subarray(0, -16)));
    const kind = (bytes: Uint8Array, from: Address): string | undefined => parseHandshake(b.answers(bytes, from)[0]!)?.kind;
    expect(kind(shown, { ...a.address, port: a.address.port + 1 })).toBe("cookie");
    expect(kind(shown, { ...a.address, host: "10.0.0.77" })).toBe("cookie");
    for (let at = shown.byteLength - 16; at < shown.byteLength; at++) expect(kind(altered(shown, at), a.address)).toBe("cookie");
    expect(b.endpoint.counts().agreements).toBe(before);
    expect(kind(shown, a.address)).toBe("response");
    expect(b.endpoint.counts().agreements).toBe(before + 1);
  });

  test("an old cookie is worth nothing", () => {
    for (const [ageMs, kind] of [[cookieLifeMs / 2 - 1, "response"], [cookieLifeMs, "cookie"]] as const) {
      const random = new Random(4);
      const cluster = new Cluster();
      const [a, b] = [cluster.node(1), cluster.node(2)];
      cluster.net.join(a.host, b.host, { loss: 1 });
      a.connect(b);
      load(b, random);
      a.endpoint.receive({ ...b.address, bytes: b.answers(a.sent[0]!.bytes, a.address)[0]! }, cluster.net.now);
      const shown = a.endpoint.take(cluster.net.now)!.bytes;
      cluster.pass(ageMs);
      load(b, random);
      expect(parseHandshake(b.answers(shown, a.address)[0]!)?.kind).toBe(kind);
    }
  });

  test("of another version is told ours, in less than it asked with, and not too often", () => {
    const random = new Random(5);
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    const answers = Array.from({ length: 500 }, () => b.answers(emptyInit(b, random, 2), a.address));
    expect(answers[0]!.map(({ byteLength }) => byteLength)).toEqual([10]);
    expect(answers.filter(({ length }) => length > 0).length).toBeLessThanOrEqual(60);
    expect([b.agreements, b.log[0]]).toEqual([
      0,
      "0 notice Cannot speak version 2 of the UDP link with 10.0.0.1: this node speaks version 1",
    ]);
    // Whom it concerns hears of it, and goes on trying.
    a.connect(b);
    const told = answers[0]![0]!.slice();
    a.endpoint.receive({ ...b.address, bytes: told }, cluster.net.now);
    expect(a.log).toEqual([]);
    told.set(a.sent[0]!.bytes.subarray(2, 10), 2);
    told[1] = 3;
    a.endpoint.receive({ ...b.address, bytes: told }, cluster.net.now);
    expect(a.log).toEqual(["0 notice Cannot link to node 2 over UDP: it speaks version 3, this node version 1"]);
    cluster.pass(100);
    expect(a.log.at(-1)).toContain("connected 2");
  });
});

describe("a member that misbehaves", () => {
  test("gets so many handshakes, and so much state, and no more", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    for (let made = 0; made < 60; made++) {
      a.connect(b);
      cluster.pass(35);
      a.endpoint.disconnect(2);
      expect([b.endpoint.size.connections <= 5, b.endpoint.size.waiting <= 3]).toEqual([true, true]);
    }
    expect(b.endpoint.counts().handshakes).toBeLessThanOrEqual(16 + Math.ceil(cluster.net.now / 1_000 * 4));
    const waits = new Cluster();
    const [c, d] = [waits.node(1), waits.node(2)];
    waits.net.join(c.host, d.host, {}, { loss: 1 });
    for (let begun = 0; begun < 10; begun++) {
      c.endpoint.disconnect(2);
      c.connect(d);
      waits.pass(40);
    }
    expect([d.endpoint.counts().agreements, d.endpoint.size]).toEqual([10, { connections: 0, waiting: 3 }]);
  });

  test("crowds out what it has given up, and never the connection that runs", () => {
    const held = new HeldConnections();
    const make = (first: number): Held =>
      ({ agreement: { peer: 1, connectionId: Uint8Array.of(first, 0, 0, 0, 0, 0, 0, 0) } }) as unknown as Held;
    const current = make(0);
    held.add(current, null);
    for (let next = 1; next <= 20; next++) held.add(make(next), current);
    expect(held.of(1).map(({ agreement }) => agreement.connectionId[0])).toEqual([0, 16, 17, 18, 19, 20]);
  });

  test("and has our own key, cannot be us", () => {
    const b = new Cluster().node(2);
    const random = new Random(11);
    const own = b.identity.keys[0]!;
    const init = (from: number, by: KeyPair): Uint8Array => {
      const connectionId = random.bytes(8);
      const handshake = new Handshake({
        cryptography: runtime.cryptography,
        role: "initiator",
        prologue: prologue("test", from, 2, connectionId),
        own: by,
        ephemeral: random.bytes(32),
        remote: own.publicKey,
      });
      const said = { instance: random.bytes(8), resetToken: random.bytes(16), datagramBytesMax: 1_472, responseKey: random.bytes(16) };
      const noise = handshake.write(encodeInit({ ...said, timestamp: 1, seen: 0 }))!;
      return writeInit(runtime.cryptography, macKey(runtime.cryptography, own.publicKey), { connectionId, from, noise });
    };
    expect(b.answers(init(2, own), { host: "6.6.6.6", port: 6 })).toEqual([]);
    expect(b.answers(init(1, keyPair(1)), { host: "6.6.6.6", port: 6 })).toHaveLength(1);
  });

  test("as a responder cannot make us fall over its nonsense", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    const init = parseHandshake(a.sent[0]!.bytes) as HandshakeMessage & { kind: "init" };
    const own = b.identity.keys[0]!;
    const handshake = new Handshake({
      cryptography: runtime.cryptography,
      role: "responder",
      prologue: prologue("test", 1, 2, init.connectionId),
      own,
      ephemeral: new Random(9).bytes(32),
    });
    const { responseKey } = decodeInit(handshake.read(init.noise)!)!;
    const nonsense = writeResponse(runtime.cryptography, responseKey, init.connectionId, new Random(10).bytes(100));
    for (let again = 0; again < 3; again++) a.endpoint.receive({ ...b.address, bytes: nonsense }, cluster.net.now);
    // Nor send without end at its wish.
    const key = macKey(runtime.cryptography, own.publicKey);
    let sent = 0;
    for (let asked = 0; asked < 20; asked++) {
      const cookie = writeCookie(runtime.cryptography, key, init, {
        nonce: new Random(asked).bytes(16),
        cookie: new Random(asked).bytes(16),
      });
      a.endpoint.receive({ ...b.address, bytes: cookie }, cluster.net.now);
      while (a.endpoint.take(cluster.net.now) !== null) sent++;
    }
    expect([sent, a.log]).toEqual([4, []]);
  });
});

describe("what strangers are held to", () => {
  test("is counted by their network, and no more of them are remembered than there is room for", () => {
    expect(["10.1.2.3", "10.1.2.250", "10.1.3.3"].map(neighbourhood)).toEqual(["10.1.2", "10.1.2", "10.1.3"]);
    const six = ["2001:db8:1:2:3:4:5:6", "2001:0DB8:1:2::9", "2001:db8:1:3::9", "::1", "fe80::1%eth0", "1::2:3:4:5:6"];
    expect(six.map(neighbourhood)).toEqual(["2001:db8:1:2", "2001:db8:1:2", "2001:db8:1:3", "0:0:0:0", "fe80:0:0:0", "1:0:0:2"]);
    const buckets = new Buckets<number>({ perSecond: 1, atOnce: 2 }, 3);
    expect([1, 1, 1, 2, 3, 1, 4, 2].map((key) => buckets.take(key, 0))).toEqual([true, true, false, true, true, false, true, true]);
    expect([buckets.size, buckets.take(1, 0), buckets.take(1, 1_000), buckets.take(1, 1_500)]).toEqual([3, false, true, false]);
  });
});

test("whoever knows a node's public key cannot change on the way what an INIT says in the open, and have the INIT refused for it", () => {
  const cluster = new Cluster();
  const [a, b] = [cluster.node(1), cluster.node(2)];
  cluster.net.join(a.host, b.host, { drop: [1] });
  a.connect(b);
  const key = macKey(runtime.cryptography, b.identity.keys[0]!.publicKey);
  for (let at = 2; at < 12; at++) {
    const init = altered(a.sent[0]!.bytes, at);
    init.set(runtime.cryptography.hmacSha256(key, init.subarray(0, -32)).subarray(0, 16), init.byteLength - 32);
    expect(b.answers(init, a.address)).toEqual([]);
  }
  cluster.pass(600);
  expect(a.log).toEqual([expect.stringContaining("connected 2")]);
});

describe("noise", () => {
  test("in the place of a first packet, or that packet from elsewhere, neither confirms a connection nor gives it away", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { drop: [2] });
    a.connect(b);
    cluster.pass(delayMs * 2 + 5);
    const first = a.sent[1]!.bytes;
    expect(b.answers(first, { host: "6.6.6.6", port: 6 })).toEqual([]);
    for (let at = 0; at < first.byteLength; at++) if (at < 1 || at > 8) expect(b.answers(altered(first, at), a.address)).toEqual([]);
    expect([b.log, b.endpoint.size]).toEqual([[], { connections: 0, waiting: 1 }]);
    cluster.net.inject(first, a.address, b.host);
    expect(b.log).toHaveLength(1);
    a.say(b, "hello");
    cluster.pass(100);
    expect([b.heard, a.log.length]).toEqual([["hello"], 1]);
  });

  test("resets do not answer each other for ever", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.knows(b);
    b.knows(a);
    const packet = new Random(7).bytes(1_200);
    packet[0] = 0x40;
    cluster.net.inject(packet, b.address, a.host);
    cluster.pass(60_000);
    const lengths = [...a.sent, ...b.sent].map(({ bytes }) => bytes.byteLength);
    expect([lengths.length <= 20, Math.max(...lengths)]).toEqual([true, 40]);
  });

  test("in quantity is answered only so often, and does not pile up answers", () => {
    const random = new Random(8);
    const cluster = new Cluster(1, 200);
    const b = cluster.node(2);
    const packet = (): Uint8Array => Uint8Array.from([0x40, ...random.bytes(60)]);
    const count = (from: Address): number => {
      const answered = Array.from({ length: 3_000 }, () => b.answers(packet(), from).length);
      return answered.reduce((sum, answers) => sum + answers);
    };
    expect(count({ host: "6.6.6.6", port: 6 })).toBe(0);
    const a = cluster.node(1);
    b.knows(a);
    expect(count(a.address)).toBe(50);
    for (let peer = 3; peer <= 200; peer++) {
      const address = somewhere(random);
      b.endpoint.connect(peer, address, 0);
      b.endpoint.disconnect(peer);
      for (let sent = 0; sent < 3; sent++) b.endpoint.receive({ ...address, bytes: packet() }, 0);
    }
    let waiting = 0;
    while (b.endpoint.take(0) !== null) waiting++;
    expect(waiting).toBe(64);
  });

  test("of any kind changes nothing and is never answered with more", () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    a.say(b, "one");
    cluster.pass(1_000);
    const seen = [...a.arrived, ...b.arrived].map(({ bytes }) => bytes);
    for (let round = 0; round < 4_000; round++) {
      const bytes = random.chance(0.3) ? random.bytes(random.below(100)) : mutate(random, random.pick(seen), random.pick(seen));
      const from = random.chance(0.5) ? a.address : somewhere(random);
      for (const answer of b.answers(bytes, from)) expect(answer.byteLength).toBeLessThan(bytes.byteLength);
      if (round % 100 === 0) cluster.pass(10);
    }
    expect(b.endpoint.size).toEqual({ connections: 1, waiting: 0 });
    a.say(b, "two");
    cluster.pass(1_000);
    expect([b.heard, b.log.length]).toEqual([["one", "two"], 1]);
  });
});

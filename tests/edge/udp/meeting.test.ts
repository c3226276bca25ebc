/** Two endpoints that have, or get, more than one connection: both begin at once, one starts again, moves, or ends. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../fuzz/random.ts";
import { Cluster, delayMs, type Node } from "./nodes.ts";

/** Which connection a node is in, by what both sides know of it. */
function talks(a: Node, b: Node, cluster: Cluster): readonly string[] {
  const [heardA, heardB] = [a.heard.length, b.heard.length];
  a.say(b, "to b");
  b.say(a, "to a");
  cluster.net.run(cluster.net.now + 30_000, () => a.heard.length > heardA && b.heard.length > heardB);
  return [...a.heard.slice(heardA), ...b.heard.slice(heardB)];
}

describe("both begin", () => {
  test("at the same moment: one connection comes of it, the lower node's, in one round trip", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { delayMs, bytesPerMs: Infinity });
    a.connect(b);
    b.connect(a);
    cluster.pass(5_000);
    expect([a.log, b.log]).toEqual([[`${2 * delayMs} connected 2`], [`${3 * delayMs} connected 1`]]);
    expect([a.endpoint.size.connections, b.endpoint.size.connections]).toEqual([1, 1]);
    expect(talks(a, b, cluster)).toEqual(["to a", "to b"]);
  });

  test("at about the same moment, on any path: both are soon in one connection", () => {
    const seed = Math.floor(Math.random() * 1_000_000);
    console.log(`seed ${seed}`);
    for (let run = 0; run < 60; run++) {
      const cluster = new Cluster(seed + run, 2);
      const [a, b] = [cluster.node(1), cluster.node(2)];
      const random = new Random(seed + run);
      const rough = run % 3 === 0 ? {} : { loss: 0.2, burstMax: 3, reorder: 0.2, reorderMs: 40, duplicate: 0.1 };
      const [there, back] = [1 + random.below(80), 1 + random.below(80)];
      cluster.net.join(a.host, b.host, { delayMs: there, ...rough }, { delayMs: back, ...rough });
      const [first, second] = run % 2 === 0 ? [a, b] : [b, a];
      first.connect(second);
      cluster.pass(random.below(300));
      second.connect(first);
      const both = (): boolean => a.connection(b) !== null && b.connection(a) !== null;
      expect([run, cluster.net.run(cluster.net.now + 6_000, both)]).toEqual([run, true]);
      // What came of the other attempt may still have to go. A path as rough as that now and then loses for two seconds all there is.
      cluster.net.join(a.host, b.host, { delayMs: there }, { delayMs: back });
      cluster.pass(12_000);
      expect([run, talks(a, b, cluster)]).toEqual([run, ["to a", "to b"]]);
      expect([run, a.endpoint.size, b.endpoint.size]).toEqual([run, { connections: 1, waiting: 0 }, { connections: 1, waiting: 0 }]);
    }
  });

  test("and the lower node cannot get through: the higher one's connection is made all the same", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    // The clock of node 1 is behind what node 2 has heard from it.
    a.connect(b);
    cluster.pass(200);
    const again = a.restart({ skewMicros: -3_600_000_000 });
    again.connect(b);
    cluster.pass(1_000);
    expect([again.log, b.endpoint.counts().handshakesRefused > 0]).toEqual([[], true]);
    expect(b.log).toHaveLength(1);
    b.say(again, "are you there?");
    cluster.pass(100);
    expect(b.log.at(-1)).toContain("closed 1: the peer has forgotten it");
    b.connect(again);
    cluster.pass(200);
    expect([again.log.length, b.log.length]).toEqual([1, 3]);
    expect(talks(again, b, cluster)).toEqual(["to a", "to b"]);
  });
});

describe("a node that starts again", () => {
  test("is noticed with the first packet it gets, and connected to again", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { delayMs, bytesPerMs: Infinity });
    a.connect(b);
    cluster.pass(200);
    const again = b.restart();
    again.knows(a);
    a.say(b, "hello?");
    const asked = cluster.net.now;
    cluster.pass(500);
    expect(a.log.slice(1)).toEqual([`${asked + 2 * delayMs} closed 2: the peer has forgotten it`]);
    a.connect(again);
    cluster.pass(200);
    expect(talks(a, again, cluster)).toEqual(["to a", "to b"]);
  });

  test("and begins itself takes the place of what it was, whoever began that", () => {
    for (const began of ["a", "b"]) {
      const cluster = new Cluster();
      const [a, b] = [cluster.node(1), cluster.node(2)];
      if (began === "a") a.connect(b);
      else b.connect(a);
      cluster.pass(200);
      const again = b.restart();
      again.connect(a);
      cluster.pass(200);
      expect(a.log.map((line) => line.replace(/^\d+ /, ""))).toEqual(["connected 2", "connected 2"]);
      expect(a.endpoint.size.connections).toBe(1);
      expect(talks(a, again, cluster)).toEqual(["to a", "to b"]);
    }
  });

  test("tells nobody but peers where it knows them to be: others are left to find out by themselves", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    const packet = a.sent.at(-1)!.bytes;
    const again = b.restart();
    expect(again.answers(packet, a.address)).toEqual([]);
    again.knows(a);
    expect(again.answers(packet, a.address)).toHaveLength(1);
    // Others on the same machine, or behind the same translator.
    expect(again.answers(packet, { ...a.address, port: a.address.port + 1 })).toEqual([]);
    expect(again.answers(packet, { ...a.address, host: "10.0.0.9" })).toEqual([]);
    again.identity.roster.replace(new Map([[2, cluster.listed.get(2)!]]));
    expect(again.answers(packet, a.address)).toEqual([]);
    // Without a word the peer finds out all the same.
    a.say(b, "hello?");
    cluster.pass(20_000);
    expect(a.log.at(-1)).toContain("closed 2: nothing was heard for too long");
  });

  test("or forgets a connection knows its peer by where it was in that life, wherever it had moved to", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    const before = { ...a.address };
    a.connect(b);
    cluster.pass(200);
    cluster.net.rebind(a.host, { host: "10.0.7.7", port: 5000 });
    a.say(b, "from elsewhere");
    cluster.pass(1_000);
    a.host.party = null;
    b.endpoint.disconnect(1);
    cluster.pass(10_000);
    expect(b.endpoint.size.connections).toBe(0);
    const packet = a.sent.at(-1)!.bytes;
    expect([a.address, before, { ...before, port: 4_001 }].map((from) => b.answers(packet, from).length)).toEqual([1, 1, 0]);
  });

  test("is not taken for one that has by what others send", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    const stateless = b.restart();
    stateless.knows(a);
    const token = stateless.answers(a.sent.at(-1)!.bytes, a.address)[0]!;
    b.host.party = null;
    const forged = token.slice();
    forged[forged.byteLength - 1]! ^= 1;
    cluster.net.inject(forged, b.address, a.host);
    cluster.net.inject(token.slice(0, 24), b.address, a.host);
    cluster.net.inject(token, { host: "10.0.0.9", port: 4000 }, a.host);
    expect([a.log.length, a.connection(b) === null]).toEqual([1, false]);
    cluster.net.inject(token, b.address, a.host);
    expect(a.log.at(-1)).toContain("closed 2: the peer has forgotten it");
  });
});

describe("a connection", () => {
  test("goes with a peer whose address changes", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    cluster.net.rebind(a.host, { host: "10.0.7.7", port: 5000 });
    a.say(b, "from elsewhere");
    cluster.pass(1_000);
    expect(b.connection(a)!.address).toEqual({ host: "10.0.7.7", port: 5000 });
    expect([...talks(a, b, cluster), a.log.length, b.log.length]).toEqual(["to a", "to b", 1, 1]);
  });

  test("that the peer has given up unheard is replaced by its next, and is gone a little later", () => {
    for (const [givesUp, stays] of [[1, 2], [2, 1]] as const) {
      const cluster = new Cluster();
      const nodes = [cluster.node(1), cluster.node(2)];
      const [a, b] = [nodes[givesUp - 1]!, nodes[stays - 1]!];
      // Node 1 begins the first one in any case.
      nodes[0]!.connect(nodes[1]!);
      cluster.pass(200);
      const { there } = cluster.net.join(a.host, b.host, { loss: 1 }, {});
      a.endpoint.disconnect(stays);
      cluster.net.turn(a.host);
      there.conditions = { ...there.conditions, loss: 0 };
      a.connect(b);
      cluster.pass(200);
      expect(b.log.map((line) => line.replace(/^\d+ /, ""))).toEqual([`connected ${givesUp}`, `connected ${givesUp}`]);
      expect(talks(a, b, cluster)).toEqual(["to a", "to b"]);
      cluster.pass(5_000);
      expect([a.endpoint.size.connections, b.endpoint.size.connections, b.log.length]).toEqual([1, 1, 2]);
    }
  });

  test("is not made any more once its peer is disconnected or its key gone, before the first packet comes", () => {
    for (const end of ["disconnect", "revoke"]) {
      const cluster = new Cluster();
      const [a, b] = [cluster.node(1), cluster.node(2)];
      a.connect(b);
      cluster.pass(2 * delayMs - 5);
      expect(b.endpoint.size).toEqual({ connections: 0, waiting: 1 });
      if (end === "disconnect") b.endpoint.disconnect(1);
      else b.identity.roster.replace(new Map([[2, cluster.listed.get(2)!]]));
      cluster.pass(500);
      expect([b.log, b.endpoint.size]).toEqual([[], { connections: 0, waiting: 0 }]);
      // Nobody has shown that a peer is where the first packet comes from, so that nobody there is told.
      cluster.pass(1_500);
      expect(a.log.at(-1)).toContain("closed 2: the peer does not answer");
    }
  });

  test("is ended on both sides by either, and nothing is left of it", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    a.endpoint.disconnect(2);
    cluster.net.turn(a.host);
    cluster.pass(5_000);
    expect([a.log.length, b.log.at(-1)]).toEqual([2, "215 closed 1: one side wants it no more"]);
    expect([a.endpoint.size.connections, b.endpoint.size.connections]).toEqual([0, 0]);
  });

  test("ends with its node, which tells the peer and calls nobody back", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(200);
    a.endpoint.close();
    cluster.net.turn(a.host);
    cluster.pass(100);
    expect([a.log.length, b.log.at(-1), a.endpoint.wakeAt]).toEqual([1, "215 closed 1: the node has ended", Infinity]);
  });
});

/** Handshakes between endpoints: how they are made, under loss, at the same moment, with changed keys, and by whom they are not. */
import { describe, expect, test } from "bun:test";
import type { KeyPair } from "../../../edge/link/identity.ts";
import { altered, Cluster, delayMs, keyPair } from "./nodes.ts";

describe("a handshake", () => {
  test("takes one round trip; the responder counts on it with the first packet", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { delayMs, bytesPerMs: Infinity });
    a.connect(b);
    cluster.pass(200);
    expect([a.log, b.log]).toEqual([[`${2 * delayMs} connected 2`], [`${3 * delayMs} connected 1`]]);
    expect(a.sent.map(({ bytes }) => bytes.byteLength)[0]).toBe(1_200);
    a.say(b, "hello");
    b.say(a, "hello too");
    cluster.pass(100);
    expect([a.heard, b.heard]).toEqual([["hello too"], ["hello"]]);
    expect([a.endpoint.counts(), b.endpoint.counts()]).toEqual([
      { handshakes: 1, handshakesRefused: 0, datagramsIgnored: 0, agreements: 0, replies: 0 },
      { handshakes: 1, handshakesRefused: 0, datagramsIgnored: 0, agreements: 1, replies: 0 },
    ]);
    expect([a.agreements, b.agreements]).toEqual([4, 4]);
    expect([a.endpoint.size, b.endpoint.size]).toEqual([{ connections: 1, waiting: 0 }, { connections: 1, waiting: 0 }]);
  });

  test("succeeds in 50 of 50 attempts where 30 % are lost both ways", () => {
    const seed = Math.floor(Math.random() * 1_000_000);
    console.log(`seed ${seed}`);
    for (let run = 0; run < 50; run++) {
      const cluster = new Cluster(seed + run, 2);
      const [a, b] = [cluster.node(1), cluster.node(2)];
      cluster.net.join(a.host, b.host, { delayMs, loss: 0.3, burstMax: 3, duplicate: 0.05, corrupt: 0.05 });
      a.connect(b);
      const both = (): boolean => a.connection(b) !== null && b.connection(a) !== null;
      expect([run, cluster.net.run(9_000, both), a.log.length]).toEqual([run, true, 1]);
    }
  });

  test("is made again after a pause that is the driver's, and given up while nobody answers", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    const { there } = cluster.net.join(a.host, b.host, { loss: 1 });
    a.connect(b);
    cluster.pass(11_000);
    expect(a.log).toEqual(["10000 closed 2: no answer within 10000 ms"]);
    expect(there.counts.sent).toBe(22);
    cluster.net.join(a.host, b.host, {});
    cluster.pass(5_000);
    expect(a.log).toHaveLength(1);
    a.connect(b);
    cluster.pass(100);
    expect(a.log.at(-1)).toMatch(/connected 2/);
  });

  test("that a repeated INIT asks for is answered the same, without new state", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, {}, { loss: 1 });
    a.connect(b);
    cluster.pass(50);
    const init = a.sent[0]!.bytes;
    const first = b.sent[0]!.bytes;
    for (let again = 0; again < 20; again++) expect(b.answers(init, a.address)).toEqual([first]);
    expect([b.agreements, b.endpoint.size]).toEqual([4, { connections: 0, waiting: 1 }]);
    // From elsewhere it is not the peer who asks.
    expect(b.answers(init, { host: "10.0.0.9", port: 4000 })).toEqual([]);
    cluster.pass(25_000);
    expect([b.log, b.endpoint.size]).toEqual([[], { connections: 0, waiting: 0 }]);
  });

  test("goes on with the answer of the peer where others make answers up", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    cluster.pass(delayMs + 5);
    const response = b.sent[0]!.bytes;
    for (let at = 0; at < response.byteLength; at++) cluster.net.inject(altered(response, at), b.address, a.host);
    expect([a.agreements, a.log]).toEqual([2, []]);
    cluster.pass(100);
    expect([a.log.length, b.log.length]).toEqual([1, 1]);
  });
});

describe("nobody is answered", () => {
  test("who is not listed, nor told why", () => {
    const cluster = new Cluster();
    const b = cluster.node(2);
    const stranger = cluster.node(1, { keys: [keyPair(99)], listed: new Map([...cluster.listed, [1, [keyPair(99).publicKey]]]) });
    const outsider = cluster.node(7, { keys: [keyPair(98)], listed: new Map([...cluster.listed, [7, [keyPair(98).publicKey]]]) });
    stranger.connect(b);
    outsider.connect(b);
    cluster.pass(3_000);
    expect([b.sent, b.endpoint.size]).toEqual([[], { connections: 0, waiting: 0 }]);
    // One secret to find out who it is, none for who is not even said to be a node.
    expect(b.agreements).toBe(b.endpoint.counts().agreements);
    expect(new Set(b.log.map((line) => line.replace(/^\d+ /, "")))).toEqual(
      new Set(["notice Cannot accept a link from 10.0.0.2: its key or its cluster is not that of node 1 here"]),
    );
  });

  test("who is of another cluster, or takes us for another node", () => {
    const cluster = new Cluster();
    const [b, c] = [cluster.node(2), cluster.node(3)];
    const foreign = cluster.node(1, { cluster: "other" });
    foreign.connect(b);
    cluster.pass(2_000);
    expect([b.sent, b.endpoint.size.waiting]).toEqual([[], 0]);
    expect(b.log[0]).toContain("notice Cannot accept a link from 10.0.0.3: its key or its cluster");
    const confused = cluster.node(1, { listed: new Map([...cluster.listed, [2, cluster.listed.get(3)!]]) });
    confused.endpoint.connect(2, c.address, cluster.net.now);
    cluster.net.turn(confused.host);
    cluster.pass(2_000);
    expect([c.sent, c.endpoint.size.waiting]).toEqual([[], 0]);
  });

  test("who is a member, and claims to be another", () => {
    const cluster = new Cluster();
    const b = cluster.node(2);
    cluster.node(1, { keys: [cluster.keys.get(3)!] }).connect(b);
    cluster.pass(2_000);
    expect([b.sent, b.endpoint.size.waiting]).toEqual([[], 0]);
  });

  test("who does not know our key: not a byte, and no work", () => {
    const cluster = new Cluster();
    const b = cluster.node(2);
    const ignorant = cluster.node(1, { listed: new Map([...cluster.listed, [2, [keyPair(50).publicKey]]]) });
    ignorant.connect(b);
    cluster.pass(3_000);
    expect([b.sent, b.agreements, b.log]).toEqual([[], 0, []]);
  });

  test("whose INIT is altered in any byte of what its first MAC covers", () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    cluster.net.join(a.host, b.host, { loss: 1 });
    a.connect(b);
    const init = a.sent[0]!.bytes;
    for (let at = 0; at < init.byteLength - 16; at++) expect(b.answers(altered(init, at), a.address)).toEqual([]);
    for (const length of [0, 1, 9, 10, 43, 44, 1_199]) expect(b.answers(init.subarray(0, length), a.address)).toEqual([]);
    expect([b.agreements, b.endpoint.size.waiting]).toEqual([0, 0]);
    expect(b.answers(init, a.address)).toHaveLength(1);
  });
});

describe("keys", () => {
  test("are tried pair by pair, while nodes learn of new ones at different times", () => {
    const cluster = new Cluster();
    const [old, fresh] = [cluster.keys.get(1)!, keyPair(41)];
    const [oldB, freshB] = [cluster.keys.get(2)!, keyPair(42)];
    const listed = (a: KeyPair[], b: KeyPair[]): ReadonlyMap<number, Uint8Array[]> =>
      new Map([[1, a.map(({ publicKey }) => publicKey)], [2, b.map(({ publicKey }) => publicKey)]]);
    // Node 1 would rather be known by its new key, and know node 2 by its new one. Node 2 has neither.
    const a = cluster.node(1, { keys: [old, fresh], listed: listed([fresh, old], [freshB, oldB]) });
    const b = cluster.node(2, { keys: [oldB], listed: listed([old], [oldB]) });
    a.connect(b);
    cluster.pass(8_000);
    expect([a.log.length, b.log.at(-1)]).toEqual([1, expect.stringContaining("connected 1")]);
    a.say(b, "hello");
    cluster.pass(100);
    expect(b.heard).toEqual(["hello"]);
    // More listed, and in another order, ends nothing; its own key taken away does.
    a.identity.roster.replace(listed([old, fresh, keyPair(43)], [oldB, freshB]));
    expect(a.log).toHaveLength(1);
    a.identity.roster.replace(listed([fresh], [oldB, freshB]));
    expect(a.log.at(-1)).toContain("closed 2: a key of it is not listed any more");
  });

  test("that are listed anew are tried at once by an attempt that goes on", () => {
    const cluster = new Cluster();
    const wrong = new Map([...cluster.listed, [2, [keyPair(40).publicKey]]]);
    const [a, b] = [cluster.node(1, { listed: wrong }), cluster.node(2)];
    a.connect(b);
    cluster.pass(1_000);
    a.identity.roster.replace(cluster.listed);
    cluster.net.turn(a.host);
    cluster.pass(50);
    expect(a.log).toHaveLength(1);
    const unknown = cluster.node(3, { listed: new Map([[3, cluster.listed.get(3)!]]) });
    unknown.connect(b);
    cluster.pass(1);
    expect([unknown.log.map((line) => line.replace(/^\d+ /, "")), unknown.sent]).toEqual([["closed 2: no key is listed for it"], []]);
  });

  test("that are not listed any more end what was made with them, at once and for good", () => {
    const cluster = new Cluster();
    const [a, b, c] = [cluster.node(1), cluster.node(2), cluster.node(3)];
    a.connect(b);
    c.connect(b);
    cluster.pass(200);
    expect(b.log).toHaveLength(2);
    b.identity.roster.replace(new Map([...cluster.listed, [1, [keyPair(60).publicKey]]]));
    expect(b.log.at(-1)).toBe("200 closed 1: a key of it is not listed any more");
    expect(b.connection(a)).toBe(null);
    cluster.net.turn(b.host);
    cluster.pass(100);
    expect(a.log.at(-1)).toContain("closed 2: a key of it is not listed any more");
    const sent = b.sent.length;
    a.connect(b);
    cluster.pass(2_000);
    expect(b.connection(a)).toBe(null);
    expect(b.sent.slice(sent).filter(({ host }) => host === a.address.host)).toEqual([]);
    c.say(b, "still here");
    cluster.pass(100);
    expect(b.heard).toEqual(["still here"]);
  });
});

/** What an endpoint makes of datagrams that somebody recorded: nothing, also after a change of keys and after a restart. */
import { describe, expect, test } from "bun:test";
import { Cluster, type Node } from "./nodes.ts";

describe("what was recorded", () => {
  /** Two that have talked, and changed keys. */
  function talked(): readonly [Cluster, Node, Node] {
    const cluster = new Cluster();
    const [a, b] = [cluster.node(1), cluster.node(2)];
    a.connect(b);
    for (let round = 0; round < 20; round++) {
      cluster.pass(200);
      a.say(b, `to b ${round}`);
      b.say(a, `to a ${round}`);
    }
    cluster.pass(1_000);
    return [cluster, a, b];
  }

  test("is dropped when it comes again, all of it, and counted; nobody answers", () => {
    const [cluster, a, b] = talked();
    const before = [a.log.length, b.log.length, a.heard.length, b.heard.length, a.endpoint.size, b.endpoint.size];
    for (const [node, from] of [[a, b.address], [b, a.address], [b, { host: "6.6.6.6", port: 6 }]] as const) {
      const recorded = [...node.arrived];
      const ignored = (): number => node.endpoint.counts().datagramsIgnored + node.endpoint.counts().handshakesRefused;
      const already = ignored();
      expect(recorded.length).toBeGreaterThan(20);
      for (const { bytes } of recorded) expect(node.answers(bytes, from)).toEqual([]);
      expect(ignored() - already).toBe(recorded.length);
    }
    expect([a.log.length, b.log.length, a.heard.length, b.heard.length, a.endpoint.size, b.endpoint.size]).toEqual(before);
    expect([a.connection(b)!.address, b.connection(a)!.address]).toEqual([b.address, a.address]);
    expect(cluster.net.astray).toBe(0);
  });

  test("gets nowhere with a node that has started again, and keeps nobody out", () => {
    const [cluster, a, b] = talked();
    const recorded = [...b.arrived];
    const again = b.restart();
    const answers = recorded.flatMap(({ bytes }) => again.answers(bytes, a.address).map((answer) => answer.byteLength - bytes.byteLength));
    // The old INIT is answered, as a new one would be; packets are told that they are forgotten. Nothing is larger than its trigger.
    expect(Math.max(...answers)).toBeLessThan(0);
    expect([again.log, again.heard, again.endpoint.size.connections]).toEqual([[], [], 0]);
    // Those answers say no more than the truth: what was told to us in the old connection would end it.
    cluster.pass(20_000);
    a.connect(again);
    cluster.pass(200);
    expect([a.log.length, again.log.length]).toEqual([3, 1]);
    const more = again.endpoint.counts().agreements;
    for (const { bytes } of recorded) {
      expect(again.answers(bytes, { host: "6.6.6.6", port: 6 }).every((answer) => answer.byteLength <= 40)).toBe(true);
    }
    expect([again.endpoint.counts().agreements - more, again.endpoint.size]).toEqual([1, { connections: 1, waiting: 0 }]);
    again.say(a, "well");
    cluster.pass(100);
    expect(a.heard.at(-1)).toBe("well");
  });

  test("gets nowhere with the other one after that one has started again either", () => {
    const [cluster, a, b] = talked();
    const recorded = [...a.arrived];
    const again = a.restart();
    for (const { bytes } of recorded) {
      for (const answer of again.answers(bytes, b.address)) expect(answer.byteLength).toBeLessThanOrEqual(40);
    }
    expect([again.log, again.heard, again.endpoint.size]).toEqual([[], [], { connections: 0, waiting: 0 }]);
    cluster.pass(100);
  });

  test("a handshake that is never confirmed does not touch the connection that runs", () => {
    const [cluster, a, b] = talked();
    const clone = cluster.node(1, { skewMicros: 3_600_000_000 });
    cluster.net.join(clone.host, b.host, {}, { loss: 1 });
    clone.connect(b);
    cluster.pass(2_000);
    expect(b.endpoint.size).toEqual({ connections: 1, waiting: 1 });
    a.say(b, "still");
    cluster.pass(100);
    expect([b.heard.at(-1), b.log.length]).toEqual(["still", 1]);
  });
});

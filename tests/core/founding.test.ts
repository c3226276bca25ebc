/** How a new group gets past the rule that an empty directory may be one that was wiped: a node's note that it is none comes before its vote. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import type { NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Beat } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

class Founder {
  readonly core = new CoreNode({
    id: 1,
    topology,
    limits: defaultLimits,
    durability: "sync",
    seed: 1,
    incarnation: 1,
  });
  prepares = 0;
  #now = 1_000;
  #sequence = 0;

  get voting(): boolean {
    return this.core.view().groups[0]!.voting;
  }

  step(input: Input): void {
    this.core.step(input, { mono: this.#now += 10, wall: this.#now * 1_000 });
    for (const { message } of this.core.drain().send) if (message.kind === "prepare") this.prepares++;
  }

  hears(from: NodeId, says: Partial<Beat>): void {
    const nothing = { promised: 0, logBallot: 0, voted: 0, last: 0, decided: 0, clock: 0, coordinates: 0, slots: 0, safe: 0, trimmed: 0 };
    this.step({
      kind: "receive",
      from,
      message: {
        kind: "heartbeat",
        incarnation: from,
        sequence: ++this.#sequence,
        sentAt: this.#now,
        echoIncarnation: 1,
        echoSentAt: this.#now,
        echoHeldMs: 0,
        nextInMs: 10,
        hurry: false,
        beats: [{ group: 1, voting: false, ...nothing, ...says }],
      },
    });
  }
}

test("a new acceptor votes, and stands, once its journal says that its next life may", () => {
  const founder = new Founder();
  founder.core.forget(false);
  founder.step({ kind: "wake" });
  founder.hears(2, {});
  expect([founder.core.rejoined, founder.voting]).toEqual([false, false]);
  for (let round = 0; round < 100; round++) founder.hears(2 + round % 2, { voting: true });
  expect([founder.core.rejoined, founder.voting, founder.prepares]).toEqual([true, false, 0]);
  founder.step({ kind: "rejoined" });
  expect(founder.voting).toBe(true);
  for (let round = 0; round < 20; round++) founder.hears(2 + round % 2, { voting: true });
  expect(founder.prepares).toBeGreaterThan(0);
});

test("an empty directory in a group with a past votes when it has the coordinator's log, and not because its journal says so", () => {
  const founder = new Founder();
  founder.core.forget(false);
  founder.step({ kind: "wake" });
  founder.hears(2, { voting: true, promised: 65_538 });
  founder.hears(3, {});
  expect([founder.core.rejoined, founder.voting]).toEqual([false, false]);
  founder.step({ kind: "rejoined" });
  expect(founder.voting).toBe(false);
});

test("one that lost its records does not take a group for new of which nobody else knows a past", () => {
  const founder = new Founder();
  founder.core.forget(true);
  founder.step({ kind: "wake" });
  for (let round = 0; round < 20; round++) founder.hears(2 + round % 2, {});
  expect([founder.core.rejoined, founder.voting]).toEqual([false, false]);
  founder.step({ kind: "rejoined" });
  expect(founder.voting).toBe(false);
});

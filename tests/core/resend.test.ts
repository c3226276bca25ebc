/** What is undecided is sent again: to a new coordinator at once, in messages of bounded size; to the same when it had time to come round. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import { ballot, type NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message, Propose } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

/** `echoes`: it says that it heard what we said then, at once. */
function coordinates(
  from: NodeId,
  round: number,
  echoes: { readonly incarnation: number; readonly sentAt: number } | null = null,
): Message {
  const of = ballot(round, from);
  return {
    kind: "heartbeat",
    incarnation: from,
    sequence: round,
    sentAt: 0,
    echoIncarnation: echoes?.incarnation ?? 0,
    echoSentAt: echoes?.sentAt ?? 0,
    echoHeldMs: 0,
    nextInMs: 10,
    hurry: false,
    beats: [{
      group: 1,
      voting: true,
      promised: of,
      logBallot: 0,
      voted: 0,
      last: 0,
      decided: 0,
      clock: 0,
      coordinates: of,
      slots: 0,
      safe: 0,
      trimmed: 0,
    }],
  };
}

test("what is proposed or sent again at once travels in pieces", () => {
  const core = new CoreNode({ id: 2, topology, limits: defaultLimits, durability: "sync", seed: 1, incarnation: 1 });
  const now = { mono: 1_000, wall: 1_000_000 };
  const proposals = (): Propose[] => core.drain().send.map(({ message }) => message).filter((message) => message.kind === "propose");
  core.step({ kind: "receive", from: 1, message: coordinates(1, 1) }, now);
  const commands = 400;
  for (let ticket = 1; ticket <= commands; ticket++) {
    core.step({ kind: "propose", ticket, group: 1, payload: new Uint8Array(70_000) }, now);
  }
  const first = proposals();
  core.step({ kind: "receive", from: 3, message: coordinates(3, 2) }, now);
  const again = proposals();
  for (const sent of [first, again]) {
    const numbers = sent.flatMap(({ batches }) => batches.map(({ sequence }) => sequence));
    expect(numbers).toEqual(Array.from({ length: commands }, (_, index) => index + 1));
    for (const { batches } of sent) {
      const bytes = batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0);
      expect(bytes).toBeLessThanOrEqual(defaultLimits.fetchBytes + 70_004);
    }
  }
});

test("a far coordinator is not sent everything twice", () => {
  const core = new CoreNode({ id: 2, topology, limits: defaultLimits, durability: "sync", seed: 1, incarnation: 1 });
  const rtt = 400;
  let now = 1_000;
  const step = (input: Input): number => {
    core.step(input, { mono: now, wall: now * 1_000 });
    return core.drain().send.filter(({ message }) => message.kind === "propose").length;
  };
  step({ kind: "wake" });
  now += rtt;
  step({ kind: "receive", from: 1, message: coordinates(1, 1, { incarnation: 1, sentAt: now - rtt }) });
  expect(step({ kind: "propose", ticket: 1, group: 1, payload: new Uint8Array(9) })).toBe(1);
  const sentAt = now;
  let again = 0;
  for (let round = 2; again === 0 && now < sentAt + 5_000; round++) {
    now += 10;
    const message = coordinates(1, 1, { incarnation: 1, sentAt: now - rtt });
    again = step({ kind: "receive", from: 1, message: { ...message, sequence: round } as Message });
  }
  // There, to the farthest acceptor, and back here is a round trip and a half at most.
  expect(now - sentAt).toBeGreaterThan(1.5 * rtt);
  expect(now - sentAt).toBeLessThan(defaultLimits.resendMs + 3 * rtt);
});

test("a coordinator heard again after a silence gets only what it was not sent", () => {
  const core = new CoreNode({ id: 2, topology, limits: defaultLimits, durability: "sync", seed: 1, incarnation: 1 });
  let now = 1_000;
  const step = (input: Input): number[] => {
    core.step(input, { mono: ++now, wall: now * 1_000 });
    const sent = core.drain().send.map(({ message }) => message).filter((message) => message.kind === "propose");
    return sent.flatMap(({ batches }) => batches.map(({ sequence }) => sequence));
  };
  const propose = (ticket: number): number[] => step({ kind: "propose", ticket, group: 1, payload: new Uint8Array(9) });
  step({ kind: "receive", from: 1, message: coordinates(1, 1) });
  expect(propose(1)).toEqual([1]);
  step({ kind: "unreachable", node: 1 });
  expect(core.view().groups[0]!.coordinator).toBe(0);
  expect(propose(2)).toEqual([]);
  expect(step({ kind: "receive", from: 1, message: { ...coordinates(1, 1), sequence: 2 } as Message })).toEqual([2]);
  // A new one gets both.
  expect(step({ kind: "receive", from: 3, message: coordinates(3, 2) })).toEqual([1, 2]);
});

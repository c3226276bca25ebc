/** A coordinator that learns of a higher promise in passing follows nobody, itself least of all. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import { ballot, type NodeId } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });

test("its proposals wait for the next coordinator", () => {
  const core = new CoreNode({ id: 1, topology, limits: defaultLimits, durability: "memory", seed: 1, incarnation: 1 });
  let now = 1_000;
  const sent: { readonly to: NodeId; readonly message: Message }[] = [];
  let lsn = 0;
  const step = (input: Input): void => {
    core.step(input, { mono: ++now, wall: now * 1_000 });
    const effects = core.drain();
    for (const { to, message } of [...effects.send, ...effects.sendAfterPersist]) for (const node of to) sent.push({ to: node, message });
    if (effects.records.length > 0) step({ kind: "persisted", upTo: lsn += effects.records.length });
  };
  const receive = (from: NodeId, message: Message): void => step({ kind: "receive", from, message });
  let sequence = 0;
  const beat = (from: NodeId): void =>
    receive(from, {
      kind: "heartbeat",
      incarnation: from,
      sequence: ++sequence,
      sentAt: now,
      echoIncarnation: 1,
      echoSentAt: now,
      echoHeldMs: 0,
      nextInMs: 10,
      hurry: false,
      beats: [{
        group: 1,
        voting: true,
        promised: 0,
        logBallot: 0,
        voted: 0,
        last: 0,
        decided: 0,
        clock: 0,
        coordinates: 0,
        slots: 0,
        safe: 0,
        trimmed: 0,
      }],
    });
  const view = () => core.view().groups[0]!;
  for (let round = 0; round < 300 && view().coordinates === 0; round++) {
    beat(2);
    beat(3);
    for (const { to, message } of sent.splice(0)) {
      if (message.kind !== "prepare" || to !== 2) continue;
      const { ballot: of, trial } = message;
      const promised = trial ? 0 : of;
      receive(2, { kind: "promise", group: 1, ballot: of, trial, granted: true, promised, logBallot: 0, last: 0, decided: 0, clock: 0 });
    }
  }
  expect(view()).toMatchObject({ coordinates: ballot(1, 1), coordinator: 1, last: 1, decided: 0 });
  // n2 knows the start decided and has heard of a later candidate.
  receive(2, {
    kind: "entries",
    group: 1,
    promised: ballot(2, 3),
    ballot: ballot(1, 1),
    base: 0,
    start: 1,
    last: 1,
    decided: 1,
    entries: [],
  });
  expect(view()).toMatchObject({ coordinates: 0, coordinator: 0, promised: ballot(2, 3), decided: 1 });
  sent.length = 0;
  step({ kind: "propose", ticket: 1, group: 1, payload: new Uint8Array(1) });
  expect(sent.filter(({ message }) => message.kind === "propose")).toEqual([]);
  expect(view().pendingCommands).toBe(1);
});

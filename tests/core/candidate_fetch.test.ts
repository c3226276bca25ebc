/** A candidate far behind takes over a long log chunk by chunk, each chunk once. */
import { expect, test } from "bun:test";
import type { Input } from "../../core/effects.ts";
import { type Entry, entryBytes, packCommands } from "../../core/entry.ts";
import { ballot, type NodeId, origin } from "../../core/ids.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Beat, Message } from "../../core/message.ts";
import { CoreNode } from "../../core/node.ts";
import { parseTopology } from "../../core/topology.ts";

const topology = parseTopology({ nodes: ["n1", "n2", "n3"].map((name) => ({ name })) });
const last = 3_000;
const old = ballot(5, 2);
const log = Array.from({ length: last }, (_, index): Entry => ({
  instance: index + 1,
  ballot: old,
  stamp: 1_000 + index,
  count: 1,
  slotBase: Math.max(0, index - 1),
  slots: index === 0 ? 0 : 1,
  kind: index === 0 ? "start" : "batch",
  batches: index === 0 ? [] : [{ origin: origin(3, 1), sequence: index, count: 1, bytes: packCommands([new Uint8Array(4)]) }],
}));
const fetchBytes = 10 * entryBytes(log[1]!);

/** Node 1 is real, what n2 and n3 say is made up: they hold the log, n3 dead or alive. */
function candidacy(decided: number): { fetches: number; chunks: number; coordinates: number } {
  const core = new CoreNode({ id: 1, topology, limits: { ...defaultLimits, fetchBytes }, durability: "sync", seed: 1, incarnation: 1 });
  const inbox: Input[] = [];
  let now = 1_000;
  let lsn = 0;
  let fetches = 0;
  let sequence = 0;
  let promised = old;
  const beat = (): Beat => ({
    group: 1,
    voting: true,
    promised,
    logBallot: old,
    voted: last,
    last,
    decided,
    clock: 5_000,
    coordinates: 0,
    slots: last - 1,
    safe: 0,
    trimmed: 0,
  });
  const answer = (to: NodeId, message: Message): Message | null => {
    if (message.kind === "prepare") {
      if (!message.trial) promised = message.ballot;
      const { ballot: of, trial } = message;
      return { kind: "promise", group: 1, ballot: of, trial, granted: true, promised, logBallot: old, last, decided, clock: 5_000 };
    }
    if (message.kind === "fetch" && to === 2) {
      fetches++;
      const entries = log.slice(message.from - 1, message.from + 9);
      return { kind: "entries", group: 1, promised, ballot: old, base: 0, start: 1, last, decided, entries };
    }
    return null;
  };
  const turn = (...inputs: Input[]): void => {
    for (const input of inputs) core.step(input, { mono: now, wall: now * 1_000 });
    const effects = core.drain();
    lsn += effects.records.length;
    if (effects.records.length > 0) inbox.push({ kind: "persisted", upTo: lsn });
    for (const { to, message } of [...effects.send, ...effects.sendAfterPersist]) {
      for (const node of to) {
        const said = answer(node, message);
        if (said) inbox.push({ kind: "receive", from: node, message: said });
      }
    }
  };
  for (let round = 0; round < 2_000 && core.view().groups[0]!.coordinates === 0; round++, now++) {
    if (round % 10 === 0) {
      sequence++;
      for (const from of [2, 3]) {
        inbox.push({
          kind: "receive",
          from,
          message: {
            kind: "heartbeat",
            incarnation: from,
            sequence,
            sentAt: now,
            echoIncarnation: 0,
            echoSentAt: 0,
            echoHeldMs: 0,
            nextInMs: 10,
            hurry: false,
            beats: [beat()],
          },
        });
      }
    }
    // A millisecond there, a millisecond back.
    const arrived = inbox.splice(0);
    turn({ kind: "wake" }, ...arrived);
  }
  return { fetches, chunks: last / 10, coordinates: core.view().groups[0]!.coordinates };
}

test.each([["decided", last], ["mostly undecided", 3]])("a log that is %s", (_what, decided) => {
  const { fetches, chunks, coordinates } = candidacy(decided);
  expect(coordinates).not.toBe(0);
  expect(fetches).toBeLessThanOrEqual(1.2 * chunks);
});

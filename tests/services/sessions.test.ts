/** The table of keys by itself: against a model, and what is kept of outcomes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Position } from "../../core/position.ts";
import { binaryBytes, Reader } from "../../services/bytes.ts";
import { withKey } from "../../services/command.ts";
import { Hash } from "../../services/hash.ts";
import { encodePut } from "../../services/kv/command.ts";
import type { KvResult } from "../../services/kv/machine.ts";
import { kvOutcomes } from "../../services/kv/outcome.ts";
import type { LogResult } from "../../services/log/machine.ts";
import { logOutcomes } from "../../services/log/outcome.ts";
import { type Session, sessionLimits, Sessions } from "../../services/sessions.ts";

const at = (major: number): Position => ({ major, group: 1, minor: 0 });
const limits = { countMax: 5, ageMax: 40 };

/** A list, walked from the front: what the table has to be like. */
class Model {
  list: { readonly key: string; readonly session: Session }[] = [];

  find(key: string, position: Position): Session | undefined {
    this.list = this.list.filter(({ session }) => position.major - session.position.major <= limits.ageMax);
    return this.list.find((one) => one.key === key)?.session;
  }

  keep(key: string, session: Session): void {
    this.list = [...this.list, { key, session }].slice(-limits.countMax);
  }
}

function digest(sessions: Sessions): string {
  const hash = new Hash();
  sessions.addTo(hash);
  return hash.digest();
}

test("a table remembers the newest keys, neither too many nor too long, as a list would", () => {
  const command = fc.record({ key: fc.constantFrom(..."abcdefghij"), step: fc.integer({ min: 1, max: 25 }) });
  fc.assert(fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
    const [sessions, twin, model] = [new Sessions(limits), new Sessions(limits), new Model()];
    let major = 0;
    for (const { key, step } of commands) {
      const position = at(major += step);
      const found = sessions.find(key, position);
      expect(found).toEqual(model.find(key, position));
      expect(twin.find(key, position)).toEqual(found);
      if (found === undefined) {
        for (const table of [sessions, twin, model]) table.keep(key, { fingerprint: `${step}`, position, outcome: key });
      }
      expect(sessions.size).toBe(model.list.length);
      expect(digest(sessions)).toBe(digest(twin));
    }
  }));
});

test("the digest tells tables apart by every part of what they hold", () => {
  const session: Session = { fingerprint: "f", position: at(1), outcome: "o" };
  const tables = [
    [],
    [["k", session]],
    [["l", session]],
    [["k", { ...session, fingerprint: "g" }]],
    [["k", { ...session, position: at(2) }]],
    [["k", { ...session, outcome: "" }]],
  ] as const;
  const digests = tables.map((entries) => {
    const sessions = new Sessions(limits);
    for (const [key, kept] of entries) sessions.keep(key, kept);
    return digest(sessions);
  });
  expect(new Set(digests).size).toBe(tables.length);
});

test("a day is a day under clocks; slots do not age", () => {
  const day = 24 * 60 * 60 * 1_000_000;
  for (const [order, later] of [[{ merge: "ts" }, undefined], [{ merge: "rr", turn: 4 }, "o"]] as const) {
    const sessions = new Sessions(sessionLimits(order));
    sessions.keep("k", { fingerprint: "f", position: at(5), outcome: "o" });
    expect(sessions.find("k", at(5 + day))?.outcome).toBe("o");
    expect(sessions.find("k", at(6 + day))?.outcome).toBe(later as string);
  }
});

test("outcomes come back as they were kept; of what a condition met, its version", () => {
  const version = { major: 2 ** 52 + 7, group: 65_000, minor: 255 };
  const kv: readonly (readonly [KvResult, KvResult?])[] = [
    [{ kind: "bad-request" }],
    [{ kind: "written", created: true }],
    [{ kind: "written", created: false }],
    [{ kind: "deleted", existed: true }],
    [{ kind: "deleted", existed: false }],
    [{ kind: "refused", current: null }, { kind: "lost", version: null }],
    [{ kind: "refused", current: { key: "k", version, type: "", bytes: new Uint8Array(9) } }, { kind: "lost", version }],
  ];
  for (const [result, kept] of kv) expect(again(kvOutcomes, result)).toEqual(kept ?? result);
  const log: readonly LogResult[] = [
    { kind: "bad-request" },
    { kind: "appended", parts: [{ first: 0, next: 1_000 }] },
    { kind: "appended", parts: [{ first: 2 ** 52, next: 2 ** 52 + 3 }, { first: 0, next: 3 }] },
    { kind: "unexpected", next: 2 ** 53 - 1 },
    { kind: "trimmed", extent: { first: 1, next: 2 ** 40, bytes: 3 } },
    { kind: "past-tail", tail: 0 },
  ];
  for (const result of log) expect(again(logOutcomes, result)).toEqual(result);
});

function again(outcomes: typeof kvOutcomes, result: object): object {
  const reader = new Reader().reset(binaryBytes(outcomes.write(result)));
  const read = outcomes.read(reader);
  expect(reader.done).toBe(true);
  return read;
}

test("a key costs 17 bytes and itself on the wire, and nothing where there is none", () => {
  const plain = encodePut("user/ada", "", new Uint8Array(100), "always");
  expect(withKey(plain, 0, "a key").byteLength - plain.byteLength).toBe(17 + 5);
});

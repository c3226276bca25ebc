/** Server-sent events arrive in pieces of any size; what they say does not depend on it. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { eventsOf, type ServerEvent } from "../../edge/client/lines.ts";

async function read(pieces: readonly Uint8Array[]): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of eventsOf(give(pieces))) events.push(event);
  return events;
}

async function* give(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
  await Promise.resolve();
}

const utf8 = new TextEncoder();

test("names, ids, heartbeats, several lines of data, and an event that was cut off", async () => {
  const text = ": still here\n\nevent: record\r\nid: 7\r\ndata: é\r\n\r\ndata: one\ndata:two\n\nid: 9\n\nevent: lost\ndata: x";
  expect(await read([utf8.encode(text)])).toEqual([
    { event: "record", data: "é", id: "7" },
    { event: "message", data: "one\ntwo", id: "7" },
  ]);
});

test("pieces may end anywhere, also inside a character", async () => {
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n]/g, " "));
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 5 }), fc.array(fc.nat(200)), async (lines, cuts) => {
      const bytes = utf8.encode(lines.map((text, index) => `id: ${index}\ndata: ${text}\n\n`).join(""));
      const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length])].sort((a, b) => a - b);
      const pieces = places.slice(1).map((to, index) => bytes.subarray(places[index], to));
      const expected = lines.map((data, id) => ({ event: "message", data, id: String(id) }));
      expect(await read(pieces)).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

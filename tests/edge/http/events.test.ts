/** What is told of a node as data: a page, a stream that goes on behind an id, and the ring behind both. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { NodeHealth } from "../../../edge/embedded/health.ts";
import { describe as sentence, type Happening } from "../../../edge/events/event.ts";
import { Events, eventsMax } from "../../../edge/events/events.ts";
import { startNodes, type TestCluster } from "./nodes.ts";

const stalled = (group: string): Happening => ({ kind: "stalled", group, forMs: 1_200 });
const events = new Events("n1", "life");
const damage = { found: 3, repaired: 2 };
const health: NodeHealth = {
  checkpoints: () => [{ group: "main", ageMs: 1_500, bytes: 4_096, made: 2, installed: 0 }],
  trims: () => [{ group: "main", upTo: 17 }],
  repairs: () => damage,
  disk: () => ({ full: true }),
};

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startNodes({ nodes: [{ name: "n1" }] }, () => ({ events, health, limits: { heartbeatMs: 20 } }));
  for (const group of ["a", "b", "c"]) events.tell(stalled(group));
});
afterAll(() => cluster[Symbol.asyncDispose]());

const request = (path: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> =>
  cluster.nodes[0]!.request(path, { headers, ...(signal === undefined ? {} : { signal }) });

describe("/v1/events", () => {
  test("is a page, with a place to go on from", async () => {
    const { events: all, next } = await (await request("/v1/events")).json();
    expect(all).toMatchObject(["a", "b", "c"].map((group, index) => ({
      id: `life-${index + 1}`,
      node: "n1",
      kind: "stalled",
      group,
      forMs: 1_200,
      text: sentence(stalled(group)),
    })));
    expect(new Date(all[0].at).toISOString()).toBe(all[0].at);
    expect(next).toBe("life-3");
    const groups = async (query: string): Promise<string[]> =>
      (await (await request(`/v1/events${query}`)).json()).events.map(({ group }: { group: string }) => group);
    expect(await groups("?after=life-1")).toEqual(["b", "c"]);
    expect(await groups("?after=life-1&limit=1")).toEqual(["b"]);
    expect(await groups("?after=life-3")).toEqual([]);
    // Of another life of the process: nothing is known of what was seen then.
    expect(await groups("?after=older-3")).toEqual(["a", "b", "c"]);
    expect((await (await request("/v1/events?after=life-3")).json()).next).toBe("life-3");
  });

  test("streams what there is as lines, and goes on where that is asked for", async () => {
    const ended = await (await request("/v1/events", { accept: "application/x-ndjson" })).text();
    expect(ended.trimEnd().split("\n").map((line) => JSON.parse(line).group)).toEqual(["a", "b", "c"]);
    const following = await request("/v1/events?follow&after=life-2&limit=2", { accept: "application/x-ndjson" });
    const text = following.text();
    events.tell(stalled("d"));
    expect((await text).trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).group)).toEqual(["c", "d"]);
  });

  test("resumes behind Last-Event-ID as a browser does", async () => {
    const leave = new AbortController();
    const stream = await request("/v1/events", { accept: "text/event-stream", "last-event-id": "life-3" }, leave.signal);
    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toMatch(/^event: stalled\nid: life-4\ndata: \{"id":"life-4",.*"group":"d".*\}\n\n$/);
    for (const group of ["e", "f"]) events.tell(stalled(group));
    let text = "";
    while (!text.includes('"group":"f"')) text += (await reader.read()).value;
    expect([...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id)).toEqual(["life-5", "life-6"]);
    expect(events.listeners).toBe(1);
    leave.abort();
    while (!(await reader.read()).done);
    expect(events.listeners).toBe(0);
  });

  test("is followed by no more than so many at once", async () => {
    const leave = new AbortController();
    const bodies: ReadableStream[] = [];
    for (let follower = 0; follower < 256; follower++) {
      bodies.push((await request("/v1/events?after=life-1", { accept: "text/event-stream" }, leave.signal)).body!);
    }
    const refused = await request("/v1/events", { accept: "text/event-stream" });
    expect([refused.status, (await refused.json()).code]).toEqual([429, "overloaded"]);
    leave.abort();
    await Promise.all(bodies.map((body) => new Response(body).text()));
    expect(events.listeners).toBe(0);
  });
});

describe("the ring", () => {
  test("keeps the newest thousand, whatever came before", () => {
    const ring = new Events("n", "l");
    for (let count = 1; count <= 3 * eventsMax + 7; count++) {
      ring.tell({ kind: "ready" });
      if (count % 500 !== 0) continue;
      const kept = ring.after(null);
      expect([kept.length, kept.at(-1)!.id]).toEqual([Math.min(count, eventsMax), `l-${count}`]);
    }
    const last = 3 * eventsMax + 7;
    expect(ring.after(`l-${last - 2}`).map(({ id }) => id)).toEqual([`l-${last - 1}`, `l-${last}`]);
    expect(ring.after("l-1").length).toBe(eventsMax);
    expect(ring.after(`l-${last + 5}`)).toEqual([]);
    expect(ring.counts.get("ready")).toBe(last);
  });

  test("a reader that takes its time misses nothing", async () => {
    const ring = new Events("n", "l");
    const stop = new AbortController();
    const seen: string[] = [];
    ring.tell(stalled("1"));
    for await (const event of ring.follow(null, stop.signal)) {
      seen.push(event.id);
      if (seen.length === 1) { for (const group of ["2", "3"]) ring.tell(stalled(group)); }
      if (seen.length === 3) setTimeout(() => ring.tell(stalled("4")), 1);
      if (seen.length === 4) break;
    }
    expect(seen).toEqual(["l-1", "l-2", "l-3", "l-4"]);
    expect(ring.listeners).toBe(0);
  });
});

describe("what a node's parts say of their health", () => {
  test("is measured", async () => {
    const text = await (await request("/metrics")).text();
    for (
      const line of [
        'carillon_checkpoint_age_seconds{group="main"} 1.5',
        'carillon_checkpoint_bytes{group="main"} 4096',
        'carillon_checkpoint_made_total{group="main"} 2',
        'carillon_group_trimmed{group="main"} 17',
        "carillon_journal_damaged_records_total 3",
        "carillon_journal_repaired_records_total 2",
        "carillon_disk_full 1",
        'carillon_events_total{kind="stalled"} 6',
        "carillon_admission_requests 0",
        "carillon_admission_refused_total 0",
      ]
    ) expect(text.split("\n")).toContain(line);
  });

  test("is told by /readyz, and a full disk makes it unready", async () => {
    const answer = await request("/readyz?verbose");
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      detail: "Cannot call this node ready: disk: writes are refused: the disk is full",
      waits: [],
      lag: [{ group: "main", entries: 0, ms: 0 }],
      checkpoints: [{ group: "main", ageMs: 1_500 }],
      repairs: { found: 3, repaired: 2 },
    });
    expect((await request("/readyz?exclude=disk")).status).toBe(200);
  });

  test("is nowhere where nothing says it", async () => {
    await using plain = await startNodes({ nodes: [{ name: "n1" }] });
    const text = await (await plain.nodes[0]!.request("/metrics")).text();
    expect(text).not.toMatch(/checkpoint|trimmed|damaged|repaired|disk_full/);
    const facts = await (await plain.nodes[0]!.request("/readyz?verbose")).json();
    expect(Object.keys(facts)).toEqual(["status", "checks", "waits", "lag", "journalBytes"]);
    expect(facts.checks.map(({ name }: { name: string }) => name)).toEqual(["joined", "quorum", "lag", "journal", "draining"]);
  });
});

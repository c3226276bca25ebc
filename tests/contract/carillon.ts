/**
 * The interface of a Carillon, told once and run twice: against a node in this process, and against the same kind of node
 * over HTTP. Whatever passes here a caller may rely on in both.
 */
import type { Runtime } from "../../edge/runtime.ts";
import { type Carillon, type CarillonError, open } from "../../mod.ts";
import { equal, eventually, ok, rejects, test } from "./check.ts";
import { watches } from "./watches.ts";

const topology = {
  nodes: [{ name: "n1" }],
  groups: [
    { name: "left", keys: [{ from: "", to: "m" }] },
    { name: "right", keys: [{ from: "m" }] },
    { name: "both", spans: ["left", "right"] },
  ],
};

interface Flavour {
  readonly name: string;
  /** Opens one, hands it to the story, and closes everything. */
  readonly run: (story: (carillon: Carillon) => Promise<void>) => Promise<void>;
}

export const flavoursOn = (runtime: Runtime): readonly Flavour[] => [
  {
    name: "embedded",
    run: async (story) => {
      await using carillon = await open({ durability: "memory", topology });
      await story(carillon);
    },
  },
  {
    name: "remote",
    run: async (story) => {
      await using node = await open({ durability: "memory", topology, http: { host: "127.0.0.1", port: 0 } });
      // Nobody listens at the first address any more: it must not matter.
      const gone = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, () => new Response());
      await gone.close();
      await using carillon = await open([`http://127.0.0.1:${gone.port}`, node.url!]);
      await story(carillon);
    },
  },
];

export function carillon(runtime: Runtime): void {
  for (const { name, run } of flavoursOn(runtime)) {
    const fact = (what: string, story: (carillon: Carillon) => Promise<void>): void => test(`carillon, ${name}: ${what}`, () => run(story));
    values(fact);
    conditions(fact);
    scans(fact);
    logs(fact);
    streams(fact);
    watches(fact);
    edges(fact);
  }
}

type Fact = (what: string, story: (carillon: Carillon) => Promise<void>) => void;

function values(fact: Fact): void {
  fact("a value comes back as it went in, with its type and version", async ({ kv }) => {
    const put = await kv.put("user/ada", "héllo");
    ok(put.ok && put.created && /^[0-9a-f]{20}$/.test(put.version), "the put says that it created, and when");
    const entry = (await kv.get("user/ada"))!;
    equal([entry.key, entry.version, entry.type, entry.text()], ["user/ada", put.version, "text/plain;charset=utf-8", "héllo"]);
    equal([...entry.keyBytes], [...new TextEncoder().encode("user/ada")]);

    await kv.put("json", { json: { name: "Ada", tags: [1, 2] } });
    const json = (await kv.get("json"))!;
    equal([json.type, json.json()], ["application/json", { name: "Ada", tags: [1, 2] }]);

    await kv.put("cbor", { cbor: { at: Uint8Array.of(1, 2) } });
    const cbor = (await kv.get("cbor"))!;
    equal([cbor.type, cbor.cbor()], ["application/cbor", { at: Uint8Array.of(1, 2) }]);

    await kv.put("bytes", Uint8Array.of(0, 255, 10));
    const bytes = (await kv.get("bytes"))!;
    equal([bytes.type, bytes.bytes()], ["", Uint8Array.of(0, 255, 10)]);

    await kv.put("image", { bytes: Uint8Array.of(1), type: "image/png" });
    equal((await kv.get("image"))!.type, "image/png");

    await kv.put("empty", "");
    equal((await kv.get("empty"))!.bytes().byteLength, 0);
  });

  fact("what is absent is null, and the answer has a position", async ({ kv }) => {
    equal(await kv.get("nobody"), null);
    const put = await kv.put("nobody/else", "1");
    const { entry, position } = await kv.read("nobody");
    equal(entry, null);
    ok(put.ok && position >= put.version, "the absence is as new as the last write to its partition");
  });

  fact("keys that a path would fold or break are keys like any other", async ({ kv }) => {
    const keys = [".", "..", "a/../b", "a//b", "/a", "a/", "ä ö?#&=%2F+", "%", "a\nb", "k".repeat(2_048)];
    for (const key of keys) await kv.put(key, key);
    for (const key of keys) {
      const entry = await kv.get(key);
      equal([entry?.key, entry?.text()], [key, key]);
    }
    const bytes = Uint8Array.of(0xff, 0x00, 0xfe);
    await kv.put(bytes, "raw");
    const raw = (await kv.get(bytes))!;
    equal([raw.text(), raw.keyBytes], ["raw", bytes]);
    equal((await kv.scan({ start: bytes })).entries.map((entry) => entry.keyBytes), [bytes]);
  });

  fact("reads as old as they may be", async ({ kv }) => {
    const put = await kv.put("a", "1");
    ok(put.ok, "it was put");
    equal((await kv.get("a", { consistency: "session", after: put.version }))!.text(), "1");
    await eventually("a local read has it too", async () => (await kv.get("a", { consistency: "local" })) !== null);
  });
}

function conditions(fact: Fact): void {
  fact("insert only creates, update only replaces", async ({ kv }) => {
    const update = await kv.update("k", "0");
    ok(!update.ok && update.current === null, "there is nothing to update");
    const insert = await kv.insert("k", "1");
    ok(insert.ok && insert.created, "the first insert creates");
    const again = await kv.insert("k", "2");
    ok(!again.ok, "the second does not");
    equal([again.current!.version, again.current!.text()], [insert.version, "1"]);
    ok(again.position >= insert.version, "and says where in the order that was");
    const second = await kv.update("k", "3");
    ok(second.ok && !second.created, "now there is something to update");
    equal((await kv.get("k"))!.text(), "3");
  });

  fact("compare-and-set is lost and won by version", async ({ kv }) => {
    const first = await kv.put("k", "1", { ifVersion: null });
    ok(first.ok, "nothing was there");
    const second = await kv.put("k", "2", { ifVersion: first.version });
    ok(second.ok && !second.created, "the version was the one expected");
    const lost = await kv.put("k", "3", { ifVersion: first.version });
    ok(!lost.ok, "it is another one now");
    equal([lost.current!.version, lost.current!.text()], [second.version, "2"]);
    const none = await kv.put("k", "4", { ifVersion: null });
    ok(!none.ok && none.current!.text() === "2", "something is there now");
  });

  fact("of many who compare and set the same version, one wins", async ({ kv }) => {
    const first = await kv.put("k", "0");
    ok(first.ok, "it was put");
    const results = await Promise.all(Array.from({ length: 8 }, (_, i) => kv.put("k", String(i), { ifVersion: first.version })));
    equal(results.filter((result) => result.ok).length, 1);
  });

  fact("delete says what it found", async ({ kv }) => {
    const nothing = await kv.delete("k");
    ok(nothing.ok && !nothing.existed, "there was nothing");
    const put = await kv.put("k", "1");
    ok(put.ok, "it was put");
    const lost = await kv.delete("k", { ifVersion: "0".repeat(20) });
    ok(!lost.ok && lost.current!.version === put.version, "it has another version");
    const kept = await kv.delete("k", { ifVersion: null });
    ok(!kept.ok && kept.current!.version === put.version, "it is there");
    const gone = await kv.delete("k", { ifVersion: put.version });
    ok(gone.ok && gone.existed && gone.position > put.version, "it is gone");
    equal(await kv.get("k"), null);
    const absent = await kv.delete("k", { ifVersion: null });
    ok(absent.ok && !absent.existed, "it was to be absent, and is");
  });
}

function scans(fact: Fact): void {
  fact("a scan has order, bounds, pages and two directions, across partitions", async ({ kv }) => {
    for (const key of ["a/1", "a/2", "a/3", "b", "z"]) await kv.put(key, key.toUpperCase());
    const keys = async (options: Parameters<typeof kv.scan>[0]): Promise<string[]> =>
      (await kv.scan(options)).entries.map((entry) => `${entry.key}=${entry.text()}`);
    equal(await keys({}), ["a/1=A/1", "a/2=A/2", "a/3=A/3", "b=B", "z=Z"]);
    equal(await keys({ prefix: "a/" }), ["a/1=A/1", "a/2=A/2", "a/3=A/3"]);
    equal(await keys({ start: "a/2", end: "b" }), ["a/2=A/2", "a/3=A/3"]);
    equal(await keys({ reverse: true, limit: 2 }), ["z=Z", "b=B"]);
    const page = await kv.scan({ limit: 2 });
    equal([page.entries.length, typeof page.cursor], [2, "string"]);
    equal(await keys({ limit: 2, cursor: page.cursor! }), ["a/3=A/3", "b=B"]);
    equal((await kv.scan()).cursor, null);
    const bare = await kv.scan({ prefix: "a/1", keysOnly: true });
    equal(bare.entries.map((entry) => [entry.key, entry.version.length]), [["a/1", 20]]);
  });

  fact("list goes through all pages", async ({ kv }) => {
    for (let i = 0; i < 25; i++) await kv.put(`n/${String(i).padStart(2, "0")}`, "x");
    const seen: string[] = [];
    for await (const entry of kv.list({ prefix: "n/", limit: 10 })) seen.push(entry.key);
    equal([seen.length, seen[0], seen[24]], [25, "n/00", "n/24"]);
  });
}

function logs(fact: Fact): void {
  fact("a log is created once, and found again", async (carillon) => {
    const created = await carillon.log("audit").create();
    equal([created.created, created.name, created.first, created.next], [true, "audit", 0, 0]);
    equal((await carillon.log("audit").create()).created, false);
    const other = created.group === "left" ? "right" : "left";
    await rejects(carillon.log("audit").create({ group: other }), "exists-differently");
    equal((await carillon.log("chosen").create({ group: other })).group, other);
    equal((await carillon.logs()).map((log) => log.name).sort(), ["audit", "chosen"]);
    await rejects(carillon.log("nope").info(), "not-found");
    await rejects(carillon.log("nope").append("x"), "not-found");
  });

  fact("offsets are dense from 0, a batch is contiguous, and expect is a condition", async (carillon) => {
    const log = carillon.log("audit");
    await log.create();
    const first = await log.append("one");
    ok(first.ok, "it was appended");
    equal([first.log, first.first, first.next], ["audit", 0, 1]);
    const batch = await log.appendAll(["two", { json: 3 }, Uint8Array.of(4)]);
    ok(batch.ok && batch.position > first.position, "the batch comes after");
    equal([batch.first, batch.next], [1, 4]);
    const lost = await log.append("five", { expect: 2 });
    ok(!lost.ok, "the tail is elsewhere");
    equal(lost.next, 4);
    ok((await log.append({ bytes: Uint8Array.of(123, 125, 10), type: "application/x-ndjson" }, { expect: 4 })).ok, "now it fits");
    const page = await log.read();
    equal([page.next, page.tail], [5, 5]);
    equal(page.records.map((record) => [record.offset, record.type, record.bytes().byteLength]), [
      [0, "text/plain;charset=utf-8", 3],
      [1, "text/plain;charset=utf-8", 3],
      [2, "application/json", 1],
      [3, "", 1],
      [4, "application/x-ndjson", 3],
    ]);
    equal([page.records[0]!.position, page.records[2]!.json()], [first.position, 3]);
  });

  fact("a log is read from an offset or from its end, and trimmed", async (carillon) => {
    const log = carillon.log("audit");
    await log.create();
    await log.appendAll(["0", "1", "2", "3", "4"]);
    const texts = async (options: Parameters<typeof log.read>[0]): Promise<string> =>
      (await log.read(options)).records.map((record) => record.text()).join("");
    equal(await texts({ from: 3 }), "34");
    equal(await texts({ from: "tail-2" }), "34");
    equal(await texts({ from: 1, limit: 2 }), "12");
    equal(await texts({ from: 1, bytes: 1 }), "1");
    equal(await texts({ from: 5 }), "");
    const past = await rejects(log.read({ from: 9 }), "past-tail");
    equal((past as CarillonError).outcome, "none");
    equal(await texts({ from: 9, clamp: true }), "");
    equal((await log.trim(2)).first, 2);
    const trimmed = await rejects(log.read({ from: 0 }), "trimmed");
    equal((trimmed as CarillonError).facts.oldest, 2);
    equal(await texts({ from: 0, clamp: true }), "234");
    equal((await log.trim(1)).first, 2);
    await rejects(log.trim(99), "past-tail");
  });

  fact("one batch goes to several logs, all or none", async (carillon) => {
    await carillon.log("a").create({ group: "left" });
    await carillon.log("b").create({ group: "right" });
    await carillon.log("b").append("before");
    const [a, b] = await carillon.append(["a", "b"], ["x", "y"]);
    equal([a!.log, a!.first, a!.next, b!.log, b!.first, b!.next], ["a", 0, 2, "b", 1, 3]);
    equal(a!.position, b!.position);
    await rejects(carillon.append(["a", "missing"], ["z"]), "not-found");
    equal((await carillon.log("a").info()).next, 2);
  });
}

function streams(fact: Fact): void {
  fact("a read waits for what comes", async (carillon) => {
    const log = carillon.log("audit");
    await log.create();
    const waiting = log.read({ from: 0, waitMs: 5_000 });
    await log.append("late");
    equal((await waiting).records.map((record) => record.text()), ["late"]);
    equal((await log.read({ from: 1, waitMs: 30 })).records, []);
  });

  fact("a tail goes through what is there and on with what comes", async (carillon) => {
    const log = carillon.log("audit");
    await log.create();
    await log.appendAll(["0", "1"]);
    const seen: string[] = [];
    for await (const record of log.tail({ from: 0 })) {
      seen.push(`${record.offset}:${record.text()}`);
      if (seen.length === 2) await log.appendAll(["2", "3"]);
      if (seen.length === 4) break;
    }
    equal(seen, ["0:0", "1:1", "2:2", "3:3"]);
    const stop = new AbortController();
    const ended = rejects(async () => {
      for await (const _ of log.tail({ signal: stop.signal })) ok(false, "nothing comes");
    }, "cancelled");
    setTimeout(() => stop.abort(), 30);
    await ended;
  });

  fact("messages come in one order, and the stream goes on behind a position", async (carillon) => {
    const sent: string[] = [];
    for (const [groups, text] of [["left", "1"], ["right", "2"], ["left,right", "3"], ["left", "4"]] as const) {
      sent.push((await carillon.multicast(groups.split(","), text)).position);
    }
    ok(sent.every((position, at) => at === 0 || position > sent[at - 1]!), "positions go up");
    const heard = async (groups: string[], after: string): Promise<string[]> => {
      const messages: string[] = [];
      for await (const event of carillon.deliveries(groups, { after })) {
        if (event.kind === "message") messages.push(`${event.text()}@${event.groups.join("+")}`);
        if (event.kind === "caught-up") break;
      }
      return messages;
    };
    equal(await heard(["left", "right"], "start"), ["1@left", "2@right", "3@left+right", "4@left"]);
    equal(await heard(["left"], "start"), ["1@left", "3@left+right", "4@left"]);
    equal(await heard(["left", "right"], sent[1]!), ["3@left+right", "4@left"]);
    await rejects(carillon.multicast(["nowhere"], "x"), "not-found");
  });

  fact("from now on means from now on", async (carillon) => {
    await carillon.multicast(["left"], "old");
    const events: string[] = [];
    for await (const event of carillon.deliveries(["left"])) {
      events.push(event.kind === "message" ? event.text() : event.kind);
      if (event.kind === "caught-up") await carillon.multicast(["left"], "new");
      if (event.kind === "message") break;
    }
    equal(events, ["caught-up", "new"]);
  });
}

function edges(fact: Fact): void {
  fact("what makes no sense is refused by name", async (carillon) => {
    await rejects(carillon.kv.put("", "x"), "bad-key");
    await rejects(carillon.kv.put("k".repeat(2_049), "x"), "too-large");
    await rejects(carillon.kv.put("k", "x", { ifVersion: "not a version" }), "bad-position");
    await rejects(carillon.kv.put("k", new Uint8Array((1 << 20) + 1)), "too-large");
    await rejects(carillon.kv.scan({ cursor: "nonsense" }), "bad-cursor");
    await rejects(carillon.kv.put("k", undefined as unknown as string), "bad-request");
    equal(await carillon.kv.get("k"), null);
  });

  fact("a caller may change their mind before anything is sent", async (carillon) => {
    const error = await rejects(carillon.kv.get("k", { signal: AbortSignal.abort() }), "cancelled");
    equal((error as CarillonError).outcome, "none");
  });

  fact("status names the node, its groups and that it is ready", async (carillon) => {
    const status = await carillon.status();
    equal([status.node, status.nodes.map((node) => node.name), status.notReady], ["n1", ["n1"], []]);
    equal(status.groups.map((group) => [group.name, group.coordinator, group.spans]), [
      ["left", "n1", []],
      ["right", "n1", []],
      ["both", "n1", ["left", "right"]],
    ]);
  });

  fact("fetch is the whole HTTP API as one function", async (carillon) => {
    const put = await carillon.fetch(new Request("http://any.host/v1/kv/hello", { method: "PUT", body: "world" }));
    equal([put.status, /^"[0-9a-f]{20}"$/.test(put.headers.get("etag") ?? "")], [201, true]);
    const get = await carillon.fetch(new Request("http://any.host/v1/kv/hello"));
    equal([get.status, await get.text()], [200, "world"]);
    equal((await carillon.kv.get("hello"))!.text(), "world");
  });

  fact("after close nothing is answered any more, and closing twice is fine", async (carillon) => {
    await carillon.close();
    await carillon.close();
    await rejects(carillon.kv.get("k"), "closed");
  });
}

/**
 * The services on every runtime: the same commands in the same order make the same state, to the digest. Strings, typed
 * arrays and base64 are where runtimes could differ, so those are what this leans on.
 */
import { settled } from "../harness/sequencer.ts";
import { type ServicesCluster, servicesCluster, twoGroups } from "../harness/services_cluster.ts";
import { equal, ok, rejects, test } from "./check.ts";

async function withCluster(use: (cluster: ServicesCluster) => Promise<void>): Promise<void> {
  const cluster = servicesCluster({ topology: twoGroups, seed: 11 });
  await use(cluster);
  for (const each of cluster.services) await each.close();
}

export function services(): void {
  test("services: one load makes one state, the same at every node and on every runtime", () =>
    withCluster(async ({ services: [a, b] }) => {
      await a!.log("e").create({ group: "eu" });
      await b!.log("u").create({ group: "us" });
      for (let n = 0; n < 200; n++) {
        const at = n % 2 ? a! : b!;
        await at.kv.put(`${"az"[n % 2]}${n % 40}é`, { bytes: new Uint8Array(n * 13).fill(n), type: n % 3 ? "" : "application/x-n" });
        if (n % 5 === 0) await at.kv.delete(`a${n % 40}é`);
        if (n % 4 === 0) await at.log("e").appendAll([`${n}`, { json: { n } }]);
        if (n % 7 === 0) await at.append(["u", "e"], [{ cbor: { n } }]);
        // Asked for twice, at both nodes.
        if (n % 9 === 0) { for (const each of [a!, b!]) await each.log("u").append(`${n}`, { idempotencyKey: `${n}` }); }
        if (n % 11 === 0) { for (const each of [b!, a!]) await each.multicast(["eu"], `${n}`, { idempotencyKey: `${n}` }); }
      }
      await a!.log("e").trim(50);
      await settled();
      equal(b!.digest(), a!.digest(), "state of the second node");
      // Changes with the load above, the sequencer, or what a machine holds; never from runtime to runtime.
      equal(a!.digest(), {
        "eu/kv": "38d5acce8d5094dd",
        "us/kv": "46e2f8dfaca8b0b9",
        "eu/log": "be0a0c504e06295a",
        "us/log": "5caed30895b51abd",
        "eu/catalog": "46cf5cba986213d7",
        "eu/messages": "a66825177a690fc8",
        "us/messages": "1a1362fca9960df2",
        "world/messages": "1a1362fca9960df2",
        "eu/sessions": "ce5c8a75bc7afe76",
        "eu/log-sessions": "3e6292542b81481b",
        "us/sessions": "5deb1a6ec017cb30",
        "us/log-sessions": "fc8ee099405f6f2f",
        "world/sessions": "22c5fe47564fc805",
      }, "state");
    }));

  test("services: keys of any bytes keep their order, their bytes and their cursors", () =>
    withCluster(async ({ services: [a, b] }) => {
      const keys = [[0], [0, 0], [1, 255], [109], [109, 0], [127], [128], [194, 128], [255], [255, 255]].map((bytes) =>
        new Uint8Array(bytes)
      );
      for (const key of [...keys].reverse()) await a!.kv.put(key, key);
      for (const reverse of [false, true]) {
        const seen: Uint8Array[] = [];
        let cursor: string | null = null;
        do {
          const page = await b!.kv.scan({ limit: 3, reverse, ...(cursor === null ? {} : { cursor }) });
          for (const entry of page.entries) {
            equal(entry.bytes(), entry.keyBytes, "value");
            seen.push(entry.keyBytes);
          }
          cursor = page.cursor;
        } while (cursor !== null);
        equal(seen, reverse ? [...keys].reverse() : keys, "keys in order");
      }
    }));

  test("services: compare-and-set, wrong offsets and missing logs come out as they should", () =>
    withCluster(async ({ services: [a, b] }) => {
      const first = await a!.kv.insert("k", "1");
      ok(first.ok && first.created, "an insert of a new key succeeds");
      const lost = await b!.kv.put("k", "2", { ifVersion: null });
      ok(!lost.ok && lost.current?.text() === "1" && lost.current.version === first.version, "a lost condition shows what is there");
      await a!.log("l").create();
      equal((await a!.log("l").append("x", { expect: 1 })).ok, false);
      await rejects(b!.log("l").read({ from: 1 }), "past-tail");
      await rejects(b!.log("none").info(), "not-found");
      await rejects(a!.kv.put("k".repeat(3_000), ""), "too-large");
    }));

  test("services: streams deliver in one order, and end when they are told to", () =>
    withCluster(async ({ services: [a, b] }) => {
      const abort = new AbortController();
      const streams = [a!, b!].map((node) => node.deliveries(["eu", "us"], { signal: abort.signal })[Symbol.asyncIterator]());
      await a!.log("l").create();
      const tail = a!.log("l").tail({ signal: abort.signal })[Symbol.asyncIterator]();
      const record = tail.next();
      await settled();
      await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? a! : b!).multicast([["eu"], ["us"], ["eu", "us"]][n % 3]!, `${n}`)));
      await b!.log("l").append("there");
      const [atA, atB] = await Promise.all(streams.map(async (stream) => {
        const heard: string[] = [];
        while (heard.length < 20) {
          const { value } = await stream.next();
          if (value?.kind === "message") heard.push(`${value.position} ${value.text()}`);
        }
        return heard;
      }));
      equal(atA, atB, "order");
      equal((await record).value?.text(), "there");
      const waiting = streams[0]!.next();
      abort.abort();
      await rejects(waiting, "cancelled");
      await rejects(tail.next(), "cancelled");
    }));
}

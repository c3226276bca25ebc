/** A client's watch while nodes die: it goes on at another node, and hears every change once and in order. */
import { expect, test } from "bun:test";
import { open } from "../../mod.ts";
import { RealCluster } from "../harness/real_cluster.ts";

test("a watch outlives the node it came from, and the coordinator, without a gap or a repetition", async () => {
  await using cluster = await RealCluster.start();
  const urls = cluster.nodes.map(({ url }) => url);
  await using watcher = await open(urls);
  await using writer = await open([urls[1]!, urls[2]!, urls[0]!]);
  const heard: string[] = [];
  const stop = new AbortController();
  let level = 0;
  const watching = (async () => {
    for await (const change of watcher.kv.watch({ prefix: "k/" }, { signal: stop.signal })) {
      if (change.kind === "caught-up") level++;
      else heard.push(change.kind === "put" ? `${change.entry.version} ${change.entry.text()}` : `${change.position} -${change.key}`);
    }
  })();
  const acknowledged: string[] = [];
  const tried = new Set<string>();
  const write = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      tried.add(`${n}`);
      // A write that ends without an answer may have happened: it is not asked for again.
      const result = await writer.kv.put(`k/${n % 5}`, `${n}`, { timeoutMs: 4_000 }).catch(() => null);
      if (result?.ok) acknowledged.push(`${result.version} ${n}`);
    }
  };
  const until = async (done: () => boolean): Promise<void> => {
    for (const end = performance.now() + 20_000; !done() && performance.now() < end;) await Bun.sleep(10);
    expect(done()).toBe(true);
  };
  await until(() => level > 0);
  await write(0, 20);
  // The node the watch came from.
  const first = write(20, 120);
  await Bun.sleep(100);
  await cluster.nodes[0]!.kill();
  await first;
  await until(() => heard.some((line) => line.endsWith(" 119")));
  cluster.nodes[0]!.start();
  await cluster.ready();
  // Whoever coordinates now.
  const second = write(120, 220);
  await Bun.sleep(100);
  const coordinator = await cluster.coordinator();
  await coordinator.kill();
  await second;
  coordinator.start();
  await cluster.ready();
  await write(220, 240);
  await until(() => heard.some((line) => line.endsWith(" 239")));
  stop.abort();
  await watching.catch(() => {});
  expect(heard).toEqual([...new Set(heard)].sort());
  // Everything acknowledged, and nothing that nobody wrote.
  expect(acknowledged.filter((line) => !heard.includes(line))).toEqual([]);
  expect(heard.filter((line) => !tried.has(line.slice(21)))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(200);

  // A node that was down has the same past to offer.
  const place = heard[50]!.slice(0, 20);
  for (const url of urls) {
    await using client = await open(url);
    const rest: string[] = [];
    for await (const change of client.kv.watch({ prefix: "k/" }, { after: place })) {
      if (change.kind === "caught-up") break;
      if (change.kind === "put") rest.push(`${change.entry.version} ${change.entry.text()}`);
    }
    expect(rest).toEqual(heard.slice(51));
  }
}, 90_000);

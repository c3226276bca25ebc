/** The users' token of nodes that run as processes is changed under load: no request fails, and the old one is shut out. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CarillonError, open } from "../../mod.ts";
import { RealCluster, type RealNode } from "../harness/real_cluster.ts";

const [old, young, third] = ["the old token", "the young token", "the third token"];
const tokenFile = (node: RealNode, name: string): string => join(node.config, "..", `token-${name}`);

/** Adds or replaces the line. */
function list(node: RealNode, ...names: string[]): void {
  const text = readFileSync(node.config, "utf8").replace(/\ntoken = .*/, "");
  const files = names.map((name) => JSON.stringify(`file:${tokenFile(node, name)}`));
  writeFileSync(node.config, text.replace(/\[listen\]/, `[listen]\ntoken = ${files.length === 1 ? files[0] : `[${files.join(", ")}]`}`));
}

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start({
    durability: "memory",
    beforeStart(nodes) {
      for (const node of nodes) {
        writeFileSync(tokenFile(node, "old"), `${old}\n`);
        writeFileSync(tokenFile(node, "young"), young);
        list(node, "old");
      }
      return Promise.resolve();
    },
  });
}, 30_000);
afterAll(() => cluster[Symbol.asyncDispose]());

async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
  const started = performance.now();
  while (!(await isSo())) {
    if (performance.now() - started > withinMs) throw new Error(`Waited ${withinMs} ms in vain until ${what}`);
    await Bun.sleep(20);
  }
}

const status = async (node: RealNode, token: string): Promise<number> => {
  const answer = await fetch(`${node.url}/v1/kv/k`, { method: "PUT", body: "v", headers: { authorization: `Bearer ${token}` } });
  await answer.body?.cancel();
  return answer.status;
};

/** What ends it; and how long after `since`. */
async function ending(stream: AsyncIterable<unknown>, since: () => number): Promise<{ readonly code: string; readonly ms: number }> {
  try {
    for await (const _ of stream);
    return { code: "", ms: 0 };
  } catch (error) {
    return { code: (error as CarillonError).code, ms: performance.now() - since() };
  }
}

test("old and new are listed at once, then the old one goes: no request fails, and within 5 s nobody reads or writes with it", async () => {
  let [token, stopped, done, changedAt] = [old, false, 0, 0];
  const failures: string[] = [];
  const writers = cluster.nodes.flatMap((node) => [node, node]).map(async ({ url }, index) => {
    for (let count = 0; !stopped; count++, done++) {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${url}/v1/kv/load/${index}`, { method: "PUT", body: `${count}`, headers });
      if (!answer.ok) failures.push(`${answer.status} ${await answer.text()}`);
      else await answer.body?.cancel();
    }
  });
  expect(await status(cluster.nodes[0]!, young)).toBe(401);
  await using former = await open(cluster.nodes[1]!.url, { token: old });
  const watch = ending(former.kv.watch({ prefix: "load/" }), () => changedAt);
  const deliveries = ending(former.deliveries(["main"]), () => changedAt);

  for (const node of cluster.nodes) list(node, "old", "young");
  for (const node of cluster.nodes) await until(`${node.name} lists both`, async () => await status(node, young) < 300, 5_000);
  await using latter = await open(cluster.nodes[1]!.url, { token: young });
  const heard: string[] = [];
  const listening = (async () => {
    for await (const event of latter.deliveries(["main"])) {
      heard.push(event.kind === "message" ? event.text() : event.kind);
      if (heard.at(-1) === "end") return;
    }
  })();
  await until("the new stream is open", () => heard.includes("caught-up"), 5_000);
  token = young;
  // What was sent with the old one has been answered.
  const mark = done;
  await until("every writer has turned to the new one", () => done > mark + 2 * writers.length, 10_000);

  changedAt = performance.now();
  for (const node of cluster.nodes) list(node, "young");
  for (const node of cluster.nodes) await until(`${node.name} refuses the old one`, async () => await status(node, old) === 401, 5_000);
  const ends = await Promise.all([watch, deliveries]);
  expect(ends.map(({ code }) => code)).toEqual(["unauthenticated", "unauthenticated"]);
  for (const { ms } of ends) expect(ms).toBeLessThan(5_000);
  await latter.multicast(["main"], "end");
  await listening;
  const after = done;
  await until("writes go on", () => done > after + 50, 10_000);
  stopped = true;
  await Promise.all(writers);
  console.log(
    `${done} writes while the token was changed, ${failures.length} failed; streams ended after ${ends.map(({ ms }) => Math.round(ms))} ms`,
  );
  expect(failures).toEqual([]);
}, 60_000);

test("a file that holds another token is taken over as well, and no token is in anything a node says", async () => {
  const [n1] = cluster.nodes as [RealNode];
  writeFileSync(tokenFile(n1, "young"), `${third}\n`);
  await until("the third one is known", async () => await status(n1, third) < 300, 5_000);
  expect(await status(n1, young)).toBe(401);
  writeFileSync(n1.config, `${readFileSync(n1.config, "utf8")}\n[listen`);
  process.kill(n1.pid, "SIGHUP");
  await until("the slip is told", () => n1.output.includes("goes on with the configuration it has"), 5_000);
  expect(await status(n1, third)).toBeLessThan(300);
  const headers = { authorization: `Bearer ${third}` };
  const paths = ["/metrics", "/v1/links", "/v1/events", "/v1/cluster", "/readyz?verbose"];
  const answers = await Promise.all(paths.map(async (path) => await (await fetch(n1.url + path, { headers })).text()));
  expect(answers[2]).toContain("knows its users by other tokens: 1 new, 1 gone");
  for (const text of [n1.output, ...answers]) {
    expect(text.length).toBeGreaterThan(0);
    for (const secret of [old, young, third]) expect(text.includes(secret!)).toBe(false);
  }
}, 30_000);

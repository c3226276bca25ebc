/** Keys of nodes that run as processes, under load: one is changed without a failed request, and one that is revoked is shut out. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { runProgram } from "../edge/program.ts";
import { RealCluster, type RealNode } from "../harness/real_cluster.ts";

let cluster: RealCluster;
let load: Load;
beforeAll(async () => {
  cluster = await RealCluster.start({ durability: "memory" });
  load = new Load(cluster.nodes.map(({ url }) => url));
}, 30_000);
afterAll(async () => {
  await load.stop();
  await cluster[Symbol.asyncDispose]();
});

/** Writers at every node, one request after the other each. Every answer that is no success is kept. */
class Load {
  readonly failures: string[] = [];
  done = 0;
  readonly #writers: readonly Promise<void>[];
  #stopped = false;

  constructor(urls: readonly string[]) {
    this.#writers = [...urls, ...urls].map((url, index) => this.#write(`${url}/v1/kv/load/${index}`));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#writers);
  }

  async #write(url: string): Promise<void> {
    for (let count = 0; !this.#stopped; count++) {
      const answer = await fetch(url, { method: "PUT", body: String(count) }).catch((error: Error) => error);
      if (answer instanceof Error || !answer.ok) {
        this.failures.push(answer instanceof Error ? answer.message : `${answer.status} ${await answer.text()}`);
        await Bun.sleep(50);
      } else await answer.body?.cancel();
      this.done++;
    }
  }
}

interface LinkSeen {
  readonly peer: string;
  readonly connected: boolean;
}

async function seen(
  node: RealNode,
): Promise<{ readonly links: readonly LinkSeen[]; readonly counts: { readonly handshakesRefused: number } }> {
  return await (await fetch(`${node.url}/v1/links`)).json() as never;
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
  const started = performance.now();
  while (!(await isSo())) {
    if (performance.now() - started > withinMs) throw new Error(`Waited ${withinMs} ms in vain until ${what}`);
    await Bun.sleep(20);
  }
  return performance.now() - started;
}

const connected = (node: RealNode, peer: string, as: boolean) => async (): Promise<boolean> =>
  (await seen(node)).links.find((link) => link.peer === peer)!.connected === as;

/** Resolves once the nodes have taken over what this writes: asked to by a signal, which is quicker, or by themselves. */
async function listFor(
  name: string,
  line: string,
  { nodes = cluster.nodes, asked = true }: { readonly nodes?: readonly RealNode[]; readonly asked?: boolean } = {},
): Promise<void> {
  const before = await Promise.all(nodes.map(changes));
  for (const node of nodes) {
    const text = readFileSync(node.config, "utf8");
    writeFileSync(node.config, text.replace(new RegExp(`(name = "${name}"\\n)keys? = .*`), `$1${line}`));
    if (asked) process.kill(node.pid, "SIGHUP");
  }
  for (const [index, node] of nodes.entries()) {
    await until(`${node.name} has taken over the keys of ${name}`, async () => await changes(node) > before[index]!, 5_000);
  }
}

async function changes(node: RealNode): Promise<number> {
  const { events } = await (await fetch(`${node.url}/v1/events`)).json() as { events: { kind: string }[] };
  return events.filter(({ kind }) => kind === "keys-changed").length;
}

test("a node's key is changed under load, in three commands, without a restart and without a failed request", async () => {
  const node = cluster.nodes[0]!;
  const init = (...flags: string[]) => runProgram(["init", "--config", node.config, ...flags]);
  const before = readFileSync(node.config, "utf8");
  const rotated = await init("--rotate");
  const both = rotated.stdout.trimEnd().split("\n").at(-1)!;
  const [old, young] = [...both.matchAll(/ck1_[\w-]+/g)].map(([key]) => key) as [string, string];
  expect(before).toContain(`key = "${old}"`);
  await until("the node answers to its new key", () => node.output.includes(`answers to its keys ${old} and ${young}`), 5_000);
  await listFor("n1", both);
  await listFor("n1", `key = "${young}"`);
  expect(await init("--drop")).toMatchObject({ code: 0, stderr: expect.stringContaining(`forgot ${old}`) });
  await until("it answers to that one alone", () => node.output.includes(`answers to its key ${young}`), 5_000);
  for (const other of cluster.nodes.slice(1)) {
    await until(`${other.name} and n1 are linked`, connected(other, "n1", true), 5_000);
    await until(`n1 and ${other.name} are linked`, connected(node, other.name, true), 5_000);
  }
  const mark = load.done;
  await until("writes go on", () => load.done > mark + 50, 10_000);
  expect(load.failures).toEqual([]);
  // It starts with the new key as well.
  const kept = readFileSync(node.keyFile, "utf8");
  expect([kept.includes(young), kept.includes(old)]).toEqual([true, false]);
}, 60_000);

test("a key that is revoked is refused, and its links have ended within 5 s, while the rest goes on", async () => {
  const [n1, n2, n3] = cluster.nodes as [RealNode, RealNode, RealNode];
  const key = /name = "n3"\n(key = .*)/.exec(readFileSync(n1.config, "utf8"))![1]!;
  const started = performance.now();
  await listFor("n3", "keys = []", { nodes: [n1, n2], asked: false });
  for (const node of [n1, n2]) {
    await until(`${node.name} has no link to n3`, connected(node, "n3", false), 5_000);
    await until(`n3 has no link to ${node.name}`, connected(n3, node.name, false), 5_000);
  }
  expect(performance.now() - started).toBeLessThan(5_000);
  const { counts } = await seen(n1);
  await until("n3 tries again and is refused", async () => (await seen(n1)).counts.handshakesRefused > counts.handshakesRefused, 10_000);
  expect([await connected(n1, "n3", false)(), await connected(n3, "n1", false)()]).toEqual([true, true]);
  const put = await fetch(`${n1.url}/v1/kv/without`, { method: "PUT", body: "n3" });
  expect(put.status).toBe(201);
  await listFor("n3", key, { nodes: [n1, n2] });
  await until("n3 is back", async () => (await fetch(`${n3.url}/v1/kv/without`).catch(() => null))?.ok === true, 20_000);
}, 60_000);

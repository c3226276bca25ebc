/** Three nodes tell what happens to them: who coordinates and why, who is missed, who waits for whom. */
import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeEvent } from "../../edge/events/event.ts";
import { type LocalCarillon, open } from "../../edge/open.ts";
import { newKeyRing } from "../harness/node_keys.ts";
import { freePorts } from "../harness/real_cluster.ts";

const closers: (() => Promise<void>)[] = [];
const removals: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  for (const remove of removals.splice(0)) await remove();
});

interface Told {
  readonly node: LocalCarillon;
  readonly events: NodeEvent[];
}

const names = ["n1", "n2", "n3"];

async function starter(groups: readonly object[]): Promise<(self: string) => Promise<Told>> {
  const ports = await freePorts(3);
  const nodes = names.map((name, index) => ({ name, link: `127.0.0.1:${ports[index]}` }));
  const { keys, privateKeyOf } = newKeyRing(names);
  const directory = await mkdtemp(join(tmpdir(), "carillon-events-"));
  removals.push(() => rm(directory, { recursive: true, force: true }));
  return async (self) => {
    const events: NodeEvent[] = [];
    const kept = { data: join(directory, self), durability: "async", keys, privateKey: privateKeyOf(self) } as const;
    const node = await open({ ...kept, topology: { nodes, groups } as never, self, onEvent: (event) => events.push(event) });
    closers.push(() => node.close());
    return { node, events };
  };
}

async function until<T>(what: string, found: () => T | undefined | false): Promise<T> {
  const end = performance.now() + 15_000;
  for (;;) {
    const value = found();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`Waited in vain for ${what}`);
    await Bun.sleep(5);
  }
}

const find = <K extends NodeEvent["kind"]>({ events }: Told, kind: K, more: object = {}): Extract<NodeEvent, { kind: K }> | undefined =>
  events.find((event) =>
    event.kind === kind && Object.entries(more).every(([name, value]) => event[name as keyof NodeEvent] === value)
  ) as never;

test("a coordinator that closes makes way, is missed, and is heard again when it is back", async () => {
  const start = await starter([{ name: "main", keys: [{}] }]);
  const [n1, n2, n3] = [await start("n1"), await start("n2"), await start("n3")];
  await Promise.all([n1, n2, n3].map(({ node }) => node.ready(10_000)));
  const first = await until("a coordinator", () => [n1, n2, n3].find((one) => find(one, "coordinates") !== undefined));
  const others = [n1, n2, n3].filter((one) => one !== first);
  const name = names[[n1, n2, n3].indexOf(first)]!;
  for (const other of others) await until("a follower", () => find(other, "follows", { group: "main", coordinator: name }));
  await until("all ready", () => [n1, n2, n3].every((one) => find(one, "ready")));
  for (const { events } of [n1, n2, n3]) events.length = 0;
  await first.node.close();
  expect(find(first, "draining")).toMatchObject({ node: name });
  expect(find(first, "leaderless")).toMatchObject({ group: "main", lost: name, why: "handed-over" });
  const won = await until("a successor", () => others.map((one) => find(one, "coordinates")).find((event) => event !== undefined));
  expect(won).toMatchObject({ group: "main", why: "released" });
  for (const other of others) await until("suspicion", () => find(other, "suspected", { peer: name }));
  await start(name);
  for (const other of others) await until("its return", () => find(other, "returned", { peer: name }));
}, 40_000);

test("what is delivered of a group waits for one that has lost its quorum; status and events say which and since when", async () => {
  const start = await starter([
    { name: "home", acceptors: ["n1"], keys: [{}] },
    { name: "away", acceptors: ["n2", "n3"] },
    { name: "world", acceptors: ["n1", "n2", "n3"], spans: ["home", "away"] },
  ]);
  const [n1, n2, n3] = [await start("n1"), await start("n2"), await start("n3")];
  await Promise.all([n1, n2, n3].map(({ node }) => node.ready(10_000)));
  await n1.node.kv.put("k", "before");
  await Promise.all([n2.node.close(), n3.node.close()]);
  // Ordered at home, and not delivered: something of group world might come before it.
  const write = n1.node.kv.put("k", "after", { timeoutMs: 20_000 }).catch(() => null);
  const stalled = await until("a stall", () => find(n1, "stalled"));
  expect(stalled).toMatchObject({ group: "world", node: "n1" });
  expect(stalled.forMs).toBeGreaterThanOrEqual(1_000);
  const { waits } = await n1.node.status();
  expect(waits).toContainEqual({ groups: ["home", "world"], on: "world", forMs: expect.any(Number) });
  expect(waits[0]!.forMs).toBeGreaterThanOrEqual(1_000);
  const verbose = await (await n1.node.fetch(new Request("http://n1/readyz?verbose"))).json();
  expect(verbose.waits[0]).toMatchObject({ groups: ["home", "world"], on: "world" });
  const metrics = await (await n1.node.fetch(new Request("http://n1/metrics"))).text();
  expect(Number(/^carillon_merge_wait_seconds\{group="world"\} (.*)$/m.exec(metrics)![1])).toBeGreaterThanOrEqual(1);
  await Promise.all([start("n2"), start("n3")]);
  expect(await write).toMatchObject({ ok: true });
  expect((await until("its end", () => find(n1, "resumed"))).afterMs).toBeGreaterThanOrEqual(stalled.forMs);
}, 60_000);

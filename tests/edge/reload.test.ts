/** A node's configuration file changes while it runs: keys are taken over, the rest waits, and what cannot be used changes nothing. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { waitingIn } from "../../edge/config/changes.ts";
import { type Config, loadConfig } from "../../edge/config.ts";
import { newNodeKey } from "../../mod.ts";
import { RealCluster, type RealNode } from "../harness/real_cluster.ts";

let cluster: RealCluster;
let node: RealNode;
let original = "";
let originalKeys = "";
beforeAll(async () => {
  cluster = await RealCluster.start({ durability: "memory", nodes: 2 });
  node = cluster.nodes[0]!;
  original = readFileSync(node.config, "utf8");
  originalKeys = readFileSync(node.keyFile, "utf8");
}, 30_000);
afterAll(() => cluster[Symbol.asyncDispose]());

interface Told {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
}

async function eventsAfter(id: string | null): Promise<{ readonly events: readonly Told[]; readonly next: string }> {
  return await (await fetch(`${node.url}/v1/events${id === null ? "" : `?after=${id}`}`)).json() as never;
}

/** What the node tells of its configuration after a file is written: by itself, or because it is asked to look. */
async function toldAfter(file: string, text: string, how: "by itself" | "asked"): Promise<string[]> {
  const { next } = await eventsAfter(null);
  writeFileSync(file, text);
  if (how === "asked") process.kill(node.pid, "SIGHUP");
  for (;;) {
    const { events } = await eventsAfter(next);
    const told = events.filter(({ kind }) => /^(own-)?keys-|^config-/.test(kind));
    if (told.length > 0) return told.map(({ kind, text }) => `${kind}: ${text}`);
    await Bun.sleep(20);
  }
}

const keyOf = (text: string, name: string): string => new RegExp(`name = "${name}"\\nkey = "(\\S+)"`).exec(text)![1]!;

test("another key of a peer is taken over by itself, and the other way round at once on SIGHUP", async () => {
  const old = keyOf(original, "n2");
  const { publicKey } = newNodeKey();
  const both = original.replace(`key = "${old}"`, `keys = ["${old}", "${publicKey}"]`);
  expect(await toldAfter(node.config, both, "by itself")).toEqual([
    `keys-changed: knows node n2 by other keys: ${publicKey} is new`,
  ]);
  const back = await toldAfter(node.config, original, "asked");
  expect(back).toEqual([`keys-changed: knows node n2 by other keys: ${publicKey} is gone`]);
}, 30_000);

test("a key that is added to its own file is answered to", async () => {
  const { privateKey, publicKey } = newNodeKey();
  const own = keyOf(original, "n1");
  expect(await toldAfter(node.keyFile, originalKeys + privateKey, "by itself")).toEqual([
    `own-keys-changed: answers to its keys ${own} and ${publicKey}`,
  ]);
  expect(await toldAfter(node.keyFile, originalKeys, "asked")).toEqual([`own-keys-changed: answers to its key ${own}`]);
}, 30_000);

test("what cannot be used is told once and changes nothing; what was right in it neither", async () => {
  const { publicKey } = newNodeKey();
  const broken = `${original.replace(keyOf(original, "n2"), publicKey)}\n[[nodes`;
  const [told] = await toldAfter(node.config, broken, "asked");
  expect(told).toStartWith(`config-refused: goes on with the configuration it has: Cannot use ${node.config}, line`);
  // This node's own key is not in the list any more: it is a mistake, and taking it over would end every link.
  const strange = original.replace(keyOf(original, "n1"), publicKey);
  const [refused] = await toldAfter(node.config, strange, "asked");
  expect(refused).toStartWith(`config-refused: goes on with the configuration it has: Cannot be node "n1": ${node.keyFile} holds`);
  const keyless = original.replace(/name = "n2"\nkey = .*\n/, 'name = "n2"\n');
  const [missing] = await toldAfter(node.config, keyless, "asked");
  expect(missing).toStartWith('config-refused: goes on with the configuration it has: Cannot use [[nodes]] "n2": it has no key');
  // Nothing was taken over meanwhile, so that nothing has to be taken back.
  const waits = await toldAfter(node.config, original.replace('ack = "memory"', 'ack = "async"'), "asked");
  expect(waits).toEqual(["config-waits: takes over at its next start what was changed in its configuration: durability.ack"]);
}, 30_000);

test("no private key is in what it prints, tells, answers or shows", async () => {
  const secret = /carillon-private-key-1 (\S+)/.exec(originalKeys)![1]!;
  const paths = ["/metrics", "/v1/links", "/v1/events", "/v1/cluster", "/readyz?verbose"];
  const answers = await Promise.all(paths.map(async (path) => await (await fetch(node.url + path)).text()));
  const shown = Bun.spawnSync([process.execPath, "edge/main.ts", "config", "show", "--origin", "--json", "--config", node.config]);
  expect(shown.exitCode).toBe(0);
  for (const text of [node.output, ...answers, shown.stdout.toString()]) {
    expect(text.length).toBeGreaterThan(0);
    expect(text.includes(secret)).toBe(false);
    expect(text.includes("carillon-private-key")).toBe(false);
  }
});

test("everything but keys and tokens waits, by its name", () => {
  const load = (text: string): Config =>
    loadConfig({ file: { path: "f", text }, environment: {}, flags: new Map(), hostName: "a", readSecret: () => "" });
  const before = load('[listen]\ntoken = "one"\n[[nodes]]\nname = "a"\nlink = "h:1"\n[[nodes]]\nname = "b"\nlink = "h:2"');
  const same = load(`[listen]\ntoken = "one"\n[[nodes]]\nname = "a"\nlink = "h:1"\nkey = "${newNodeKey().publicKey}"
[[nodes]]\nname = "b"\nlink = "h:2"`);
  expect(waitingIn(before, same)).toEqual([]);
  const after = load('[link]\nmtu = 1400\n[listen]\ntoken = "two"\n[[nodes]]\nname = "a"\nlink = "h:1"\n[groups.g]\nkeys = { from = "" }');
  expect(waitingIn(before, after)).toEqual(["link.mtu", "[[nodes]]", "[groups]"]);
});

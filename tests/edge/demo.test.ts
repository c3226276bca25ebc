/** carillon demo: three real nodes with simulated distances, and the story its printed lines tell. */
import { describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { type DemoLayout, layOut, portsFrom } from "../../edge/cli/demo/layout.ts";
import { parse } from "smol-toml";
import { configText } from "../../edge/cli/demo/layout.ts";
import { pasteable } from "../../edge/cli/demo.ts";
import { checkSafety, loadConfig } from "../../edge/config.ts";
import { newNodeKey } from "../../mod.ts";
import { Running, runProgram } from "./program.ts";

function layout(regions: readonly string[], nodesPerRegion = 1, roundTrips: readonly (readonly [string, number])[] = []): DemoLayout {
  return layOut({ regions, nodesPerRegion, ports: portsFrom(4100, regions.length, nodesPerRegion), roundTrips: new Map(roundTrips) });
}

describe("on paper", () => {
  test("a group per region at home, and one that spans them with the best placed first", () => {
    const { groups, delays } = layout(["sin", "fra", "iad"]);
    expect(groups.map(({ name, acceptors, spans, leadMs }) => [name, acceptors, spans, leadMs])).toEqual([
      ["sin", ["sin-1"], [], 0],
      ["fra", ["fra-1"], [], 0],
      ["iad", ["iad-1"], [], 0],
      ["world", ["fra-1", "iad-1", "sin-1"], ["sin", "fra", "iad"], 104],
    ]);
    expect([...delays]).toEqual([["sin-fra", 79], ["sin-iad", 110.5], ["fra-iad", 44]]);
  });

  test("every key belongs to one region: its own name, or else the first", () => {
    const { groups } = layout(["iad", "fra", "sin"]);
    const owners = (key: string): string[] =>
      groups.filter(({ keys }) => keys.some(({ from, to }) => from <= key && (to === null || key < to))).map(({ name }) => name);
    for (
      const [key, owner] of [["fra/a", "fra"], ["iad/a", "iad"], ["sin/a", "sin"], ["a", "iad"], ["g", "iad"], ["zz", "iad"], [
        "fra",
        "iad",
      ]]
    ) {
      expect([key, owners(key!)]).toEqual([key, [owner!]]);
    }
  });

  test("round trips can be changed, all of them or one by one", () => {
    expect([...layout(["fra", "iad"], 1, [["iad-fra", 10]]).delays]).toEqual([["fra-iad", 5]]);
    expect([...layout(["fra", "iad", "sin"], 1, [["all", 0], ["fra-sin", 30]]).delays]).toEqual([["fra-sin", 15]]);
  });

  test("ports are neighbours in a region and ten apart between regions", () => {
    expect(portsFrom(4100, 2, 3)).toEqual([4100, 4101, 4102, 4110, 4111, 4112, 4105, 4106, 4107, 4115, 4116, 4117]);
  });

  test("each node's configuration is one a node starts with", () => {
    const plan = layout(["fra", "iad", "sin"], 3);
    const keys = new Map(plan.nodes.map(({ name }) => [name, newNodeKey().publicKey]));
    for (const node of plan.nodes) {
      const text = configText(plan, node, { data: `/tmp/"odd"/${node.name}`, durability: "sync", keys });
      expect(Object.keys(parse(text))).toContain("groups");
      const config = loadConfig({
        file: { path: "demo.toml", text },
        environment: {},
        flags: new Map(),
        hostName: "box",
        readSecret: () => "",
      });
      expect([config.self, config.http.port, config.link!.port, config.data]).toEqual([
        node.name,
        node.httpPort,
        node.linkPort,
        `/tmp/"odd"/${node.name}`,
      ]);
      expect(config.keys.size).toBe(9);
      checkSafety(config, false);
      expect(config.topology.groups!.map((group) => group.name)).toEqual(["fra", "iad", "sin", "world"]);
    }
  });

  test("a region alone has no group that spans, and no lines about several", () => {
    const alone = layout(["fra"]);
    expect(alone.groups.map((group) => group.name)).toEqual(["fra"]);
    expect(pasteable(alone).join("\n")).not.toContain("multicast");
  });
});

describe("for real", () => {
  test("put, a CAS lost and won, scan, append, tail, and one order at two nodes; then nothing is left", async () => {
    await using demo = await Running.start(["demo", "--regions", "fra,iad,sin", "--port", "0", "--seconds", "90"]);
    const facts = demo.first as { nodes: { name: string; httpPort: number; linkPort: number }[]; times: Times[]; directory: string };
    const [fra, iad, sin] = facts.nodes.map((node) => `http://127.0.0.1:${node.httpPort}`) as [string, string, string];
    felt(facts.times);

    const put = await fetch(`${fra}/v1/kv/fra/ada`, { method: "PUT", body: "hello" });
    const version = put.headers.get("etag")!;
    expect(put.status).toBe(201);
    expect(await (await fetch(`${sin}/v1/kv/fra/ada`)).text()).toBe("hello");
    const won = await fetch(`${sin}/v1/kv/fra/ada`, { method: "PUT", body: "bye", headers: { "if-match": version } });
    expect(won.status).toBe(204);
    const lost = await fetch(`${iad}/v1/kv/fra/ada`, { method: "PUT", body: "late", headers: { "if-match": version } });
    expect([lost.status, lost.headers.get("etag")]).toEqual([412, won.headers.get("etag")]);
    const scan = await (await fetch(`${iad}/v1/kv?prefix=fra/a`)).json() as { entries: { key: string; text: string }[] };
    expect(scan.entries.map(({ key, text }) => [key, text])).toEqual([["fra/ada", "bye"]]);

    expect((await fetch(`${fra}/v1/logs/audit`, { method: "PUT" })).status).toBe(201);
    for (const [url, text] of [[iad, "from iad"], [sin, "from sin"]] as const) {
      expect((await fetch(`${url}/v1/logs/audit/records`, { method: "POST", body: text })).status).toBe(201);
    }
    const tail = await runProgram(["log", "tail", "audit", "--from", "0", "--count", "2", "--url", sin]);
    expect(tail.stdout).toBe("from iad\nfrom sin\n");

    const texts = Array.from({ length: 6 }, (_, index) => `message ${index}`);
    await Promise.all(texts.map((text, index) => {
      const groups = ["fra", "iad", "sin", "fra,sin", "iad,fra", "fra,iad,sin"][index]!;
      return fetch(`${[fra, iad, sin][index % 3]}/v1/multicast?groups=${groups}`, { method: "POST", body: text });
    }));
    const heard = await Promise.all([fra, sin].map((url) => messages(url, "fra,iad,sin", 6)));
    expect(heard[0]!.toSorted()).toEqual(texts);
    expect(heard[1]).toEqual(heard[0]!);

    expect(await demo.stop("SIGTERM")).toBe(0);
    for (const url of [fra, iad, sin]) expect(await fetch(`${url}/livez`).catch(() => "gone")).toBe("gone");
    expect(existsSync(facts.directory)).toBeFalse();
  }, 90_000);

  test("a demonstration that is killed leaves no node behind", async () => {
    await using demo = await Running.start(["demo", "--regions", "fra,iad", "--delay", "all=0", "--durability", "memory", "--port", "0"]);
    const { nodes, directory } = demo.first as { nodes: { httpPort: number }[]; directory: string };
    await demo.stop("SIGKILL");
    for (const { httpPort } of nodes) {
      const until = performance.now() + 5_000;
      while (await fetch(`http://127.0.0.1:${httpPort}/livez`).then(() => true, () => false)) {
        expect(performance.now()).toBeLessThan(until);
        await Bun.sleep(20);
      }
    }
    // Killed like that, it could not tidy up.
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  test("a port that is taken is said before anything starts", async () => {
    using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const { code, stderr } = await runProgram(["demo", "--port", String(taken.port)]);
    expect([code, stderr.split("\n")[0]]).toEqual([
      2,
      `✗ Cannot run "carillon demo": port ${taken.port} is taken; try --port ${taken.port! + 100}, or --port 0 for free ones`,
    ]);
  });
});

interface Times {
  readonly region: string;
  readonly ownPutMs: number;
  readonly ownGetMs: number;
  readonly farPutMs: number;
  readonly worldMs: number;
}

/** Distances are felt where they must be and nowhere else: at home less than the shortest way, which is 88 ms there and back. */
function felt(times: readonly Times[]): void {
  const by = new Map(times.map((one) => [one.region, one]));
  // Each region writes to the next one's keys: there and back.
  expect(by.get("fra")!.farPutMs).toBeGreaterThan(88);
  expect(by.get("iad")!.farPutMs).toBeGreaterThan(221);
  expect(by.get("sin")!.farPutMs).toBeGreaterThan(158);
  for (const { region, ownPutMs, ownGetMs, worldMs } of times) {
    expect([region, ownPutMs < 80, ownGetMs < 80, worldMs > 80]).toEqual([region, true, true, true]);
  }
}

async function messages(url: string, groups: string, count: number): Promise<string[]> {
  // The measurements sent messages too; ours are told by their text.
  const answer = await fetch(`${url}/v1/deliveries?groups=${groups}&after=start`, { signal: AbortSignal.timeout(20_000) });
  const texts: string[] = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of answer.body!) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const item = line === "" ? {} : JSON.parse(line) as { kind?: string; text?: string };
      if (item.kind === "message" && item.text!.startsWith("message ")) texts.push(item.text!);
    }
    if (texts.length >= count) return texts;
  }
  return texts;
}

/** A node that has lost its key comes back with nothing but a join token, as an operator would do it: by pasting what commands print. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../edge/program.ts";
import { RealCluster, type RealNode } from "../harness/real_cluster.ts";

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start({ durability: "memory" });
}, 30_000);
afterAll(() => cluster[Symbol.asyncDispose]());

async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`Waited ${withinMs} ms in vain until ${what}`);
    await Bun.sleep(20);
  }
}

/** n3's line in the file of every node. */
function list(line: string): void {
  for (const { config } of cluster.nodes) {
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace(/(name = "n3"\n)(key|join) = .*/, `$1${line}`));
  }
}

interface LinkSeen {
  readonly peer: string;
  readonly connected: boolean;
}

async function linked(node: RealNode, peer: string): Promise<boolean> {
  const { links } = await (await fetch(`${node.url}/v1/links`)).json() as { links: LinkSeen[] };
  return links.find((link) => link.peer === peer)!.connected;
}

const allLinked = async (): Promise<boolean> => {
  const pairs = cluster.nodes.flatMap((node) => cluster.nodes.filter((peer) => peer !== node).map((peer) => linked(node, peer.name)));
  return (await Promise.all(pairs)).every((is) => is);
};

test("a token is made, listed and given; the node makes a key, joins, and is listed by it", async () => {
  const [n1, n2, n3] = cluster.nodes as [RealNode, RealNode, RealNode];
  await n3.kill();
  rmSync(n3.directory, { recursive: true });

  const [token, line] = (await runProgram(["init", "--token", "n3", "--valid", "10m"])).stdout.split("\n") as [string, string];
  list(line);
  await mkdir(n3.directory);
  writeFileSync(join(n3.directory, "join.token"), `${token}\n`, { mode: 0o600 });
  expect(await runProgram(["config", "check", "--config", n3.config])).toMatchObject({ code: 0 });
  n3.start();
  await n3.ready(20_000);
  const put = await fetch(`${n3.url}/v1/kv/from`, { method: "PUT", body: "n3" });
  expect(put.status).toBe(201);
  await until("n1 has it as well", async () => await (await fetch(`${n1.url}/v1/kv/from`)).text() === "n3");

  // What looks after the cluster says which line is to take the token's place.
  const doctor = (await runProgram(["doctor", "--url", n1.url, "--json"])).stdout;
  const { findings } = JSON.parse(doctor) as { findings: { what: string; text: string; remedy: string | null }[] };
  const finding = findings.find(({ what }) => what === "join n3")!;
  expect(finding.text).toStartWith("n1, n2 let it in by a key");
  const key = /^key = "ck1_[\w-]{43}"/.exec(finding.remedy!)![0];
  expect(readFileSync(n3.keyFile, "utf8")).toContain(key.slice(7, -1));
  list(key);
  await until(
    "all have taken over the key",
    () => cluster.nodes.every(({ output }) => output.includes("knows node n3 by other keys: ck1_")),
  );
  expect(await allLinked()).toBe(true);

  // The token is of no use any more, and nobody has said it.
  rmSync(join(n3.directory, "join.token"));
  const events = await (await fetch(`${n1.url}/v1/events`)).text();
  expect(events).toContain("learned the key of node n3");
  for (const text of [n1.output, n2.output, n3.output, doctor, events]) {
    expect(text).not.toContain(token.split(" ")[1]!);
    expect(text).not.toContain("carillon-join-1");
  }
}, 90_000);

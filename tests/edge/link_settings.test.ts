/** How links are made is up to whoever starts a node: the driver, the size of datagrams, and traces of what they do. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinkStats } from "../../edge/http/app.ts";
import { type LocalCarillon, type NodeOptions, open } from "../../mod.ts";
import { newKeyRing } from "../harness/node_keys.ts";
import { freePorts } from "../harness/real_cluster.ts";

const directory = mkdtempSync(join(tmpdir(), "carillon-links-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function two(links: NonNullable<NodeOptions["links"]>): Promise<LocalCarillon[]> {
  const ports = await freePorts(2);
  const nodes = ["a", "b"].map((name, index) => ({ name, link: `127.0.0.1:${ports[index]}` }));
  const { keys, privateKeyOf } = newKeyRing(["a", "b"]);
  return await Promise.all(
    nodes.map(({ name }) => open({ topology: { nodes }, self: name, keys, privateKey: privateKeyOf(name), links, readyWithinMs: 10_000 })),
  );
}

async function linkOf(node: LocalCarillon): Promise<LinkStats> {
  for (;;) {
    const { links: [link] } = await (await node.fetch(new Request("http://any/v1/links"))).json() as { links: [LinkStats] };
    if (link.connectedMs !== null) return link;
    await Bun.sleep(10);
  }
}

test("over HTTP/2, nothing is known of packets", async () => {
  const [a, b] = await two({ driver: "h2" }) as [LocalCarillon, LocalCarillon];
  const { driver, mtuBytes, lossRatio, udp } = await linkOf(a);
  expect({ driver, mtuBytes, lossRatio, udp }).toEqual({ driver: "h2", mtuBytes: null, lossRatio: null, udp: null });
  await Promise.all([a.close(), b.close()]);
}, 30_000);

test("over UDP, in datagrams that are no larger than allowed, with a trace of each link", async () => {
  const trace = join(directory, "traces");
  const [a, b] = await two({ driver: "udp", mtuBytesMax: 1_400, trace }) as [LocalCarillon, LocalCarillon];
  expect((await a.kv.put("k", "v".repeat(50_000))).ok).toBeTrue();
  expect((await b.kv.get("k"))!.text().length).toBe(50_000);
  const { driver, mtuBytes, udp } = await linkOf(a);
  expect([driver, udp!.state, mtuBytes! <= 1_400]).toEqual(["udp", "open", true]);
  await Promise.all([a.close(), b.close()]);
  const files = readdirSync(trace).toSorted();
  expect(files.map((file) => file.replace(/-\d{4}.*/, ""))).toEqual(["a-b", "b-a"]);
  for (const file of files) {
    const [head, ...events] = readFileSync(join(trace, file), "utf8").split("\x1e").slice(1).map((record) => JSON.parse(record));
    expect(head.file_schema).toBe("urn:ietf:params:qlog:file:sequential");
    const sent = events.filter(({ name }) => name === "quic:packet_sent");
    expect(sent.length).toBeGreaterThan(10);
    for (const { data } of sent) expect(data.raw.length).toBeLessThanOrEqual(1_400);
  }
}, 30_000);

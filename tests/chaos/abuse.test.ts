/** Real nodes and bad input: on every port, from every file, nothing ends a node or loses what it holds. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { RealCluster, type RealNode } from "../harness/real_cluster.ts";
import { request } from "./request.ts";

test("a second node on the same data directory is refused, and the first goes on", async () => {
  await using cluster = await RealCluster.start();
  const node = cluster.nodes[0]!;
  const second = Bun.spawn([process.execPath, "edge/main.ts", "start", "--config", node.config, "--listen.http", "127.0.0.1:0"], {
    cwd: `${import.meta.dir}/../..`,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => second.kill("SIGKILL"), 10_000);
  const [code, stderr] = await Promise.all([second.exited, new Response(second.stderr).text()]);
  clearTimeout(timer);
  expect(code).toBeGreaterThan(0);
  expect(second.signalCode).toBeNull();
  expect(stderr).toContain("Cannot ");
  expect(stderr).toContain(node.directory);
  expect((await put(node, "after", "alive")).status).toBeLessThan(300);
}, 30_000);

test("garbage on every port: nobody ends, nothing is lost", async () => {
  await using cluster = await RealCluster.start();
  const [first] = cluster.nodes as [RealNode];
  expect((await put(first, "kept", "this")).status).toBe(201);
  for (const node of cluster.nodes) {
    for (const port of [node.httpPort, node.linkPort]) {
      for (const bytes of garbage(port)) await throwAt(port, bytes);
    }
  }
  for (const node of cluster.nodes) {
    expect(node.running, node.output).toBeTrue();
    const reply = await request(`${node.url}/v1/kv/kept`);
    expect(reply).toMatchObject({ kind: "answer", status: 200, body: "this" });
    expect((await put(node, `after/${node.name}`, "alive")).status).toBe(201);
  }
}, 30_000);

async function put(node: RealNode, key: string, value: string): Promise<{ status: number }> {
  const reply = await request(`${node.url}/v1/kv/${key}`, { method: "PUT", body: value });
  if (reply.kind !== "answer") throw new Error(`Cannot put ${key} at ${node.name}: ${reply.reason}`);
  return reply;
}

/** Random bytes, broken HTTP/1.1, HTTP/2 that stops, lies or floods. The same for the same port. */
function garbage(seed: number): Uint8Array[] {
  let word = seed;
  const random = () => (word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0) >>> 24;
  const noise = (bytes: number) => Uint8Array.from({ length: bytes }, random);
  const text = (line: string) => new TextEncoder().encode(line);
  const preface = text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
  const settings = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0);
  return [
    noise(1),
    noise(10_000),
    new Uint8Array(100_000),
    text("GET / HTTP/1.1\r\n"),
    text("PUT /v1/kv/kept HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\nlies"),
    text("PUT /v1/kv/kept HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ncut off"),
    text("PUT /v1/kv/kept HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nnot a length\r\n"),
    text(`GET /${"a".repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`),
    preface,
    join(preface, settings, noise(5_000)),
    join(preface, settings, Uint8Array.of(0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1)),
    join(preface, settings, Uint8Array.of(0, 0, 4, 1, 4, 0, 0, 0, 1), noise(4)),
    join(preface, ...Array.from({ length: 2_000 }, () => settings)),
  ];
}

/** Connects, writes, waits a moment for whatever comes back, and hangs up. A refusal is fine too. */
async function throwAt(port: number, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const done = () => {
      socket.destroy();
      resolve();
    };
    socket.on("error", done).on("close", done);
    socket.on("connect", () => socket.write(bytes, () => setTimeout(done, 30)));
    socket.on("data", () => {});
  });
}

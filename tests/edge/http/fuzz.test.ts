/**
 * Random requests from the words of the API, glued together rightly and wrongly: every one is answered, with a success or
 * a problem document, and never with a mistake of ours. Prints its seed; CARILLON_SEED repeats a run.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Prng } from "../../../core/prng.ts";
import { startNodes, type TestCluster } from "./nodes.ts";

const seed = Number(process.env["CARILLON_SEED"] ?? 20_261_122);
const requests = Number(process.env["CARILLON_FUZZ_REQUESTS"] ?? 4_000);

let cluster: TestCluster;
const reported: unknown[] = [];
beforeAll(async () => {
  const groups = [{ name: "main", keys: [{}] }, { name: "side" }, { name: "both", spans: ["main", "side"] }];
  cluster = await startNodes({ nodes: [{ name: "n1" }], groups }, () => ({
    report: (error) => reported.push(error),
    limits: { heartbeatMs: 5, waitMsMax: 20 },
  }));
});
afterAll(() => cluster[Symbol.asyncDispose]());

const segments = [
  "v1",
  "kv",
  "logs",
  "records",
  "trim",
  "append",
  "multicast",
  "deliveries",
  "groups",
  "nodes",
  "links",
  "cluster",
  "livez",
  "readyz",
  "version",
  "metrics",
  "problems",
  "l1",
  "l2",
  "main",
  "0",
  "1",
  "99",
  "",
  "a%2Fb",
  "%ff",
  "%",
  "..",
  "%2e%2e",
  "é",
  "__proto__",
  "constructor",
  "\u0000",
];
const paths = [
  "/v1/kv/k1",
  "/v1/kv/k2/deep",
  "/v1/kv",
  "/v1/logs",
  "/v1/logs/l1",
  "/v1/logs/l1/records",
  "/v1/logs/l2/records",
  "/v1/logs/l1/records/0",
  "/v1/logs/l1/trim",
  "/v1/append",
  "/v1/multicast",
  "/v1/deliveries",
  "/v1/cluster",
  "/readyz",
];
const methods = ["GET", "GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"];
const names = [
  "prefix",
  "start",
  "end",
  "prefix64",
  "key64",
  "limit",
  "cursor",
  "reverse",
  "keys-only",
  "from",
  "bytes",
  "clamp",
  "follow",
  "wait",
  "before",
  "logs",
  "groups",
  "after",
  "timeout",
  "consistency",
  "verbose",
  "exclude",
  "x",
  "",
];
const words = [
  "0",
  "1",
  "2",
  "10",
  "-1",
  "1e9",
  "9007199254740993",
  "tail-1",
  "tail-",
  "start",
  "main",
  "main,side",
  "side,none",
  "l1,l2",
  "local",
  "session",
  "linearizable",
  "10ms",
  "1s",
  "k",
  "",
  "YQ",
  "%ff",
  "%00",
  "00000000000000000000",
  "001fffffffffffff0001",
  "ffffffffffffffffffff",
  "é€😀",
  "*",
  "true",
];
const headerNames = [
  "accept",
  "content-type",
  "if-match",
  "if-none-match",
  "prefer",
  "carillon-position",
  "carillon-timeout",
  "carillon-expect-offset",
  "last-event-id",
  "content-length",
  "authorization",
  "origin",
  "host",
  "carillon-hop",
];
const headerWords = [
  ...["*", '"001fffffffffffff0001"', 'W/"x"', "text/event-stream", "application/x-ndjson", "application/cbor-seq", "application/cbor"],
  ...["application/json", "application/vnd.carillon.records+json", "a/b;q=x, */*;q=2", "return=representation", "1", "0", "-1", "5ms", ""],
  ...["1e400", "001fffffffffffff0001", "x".repeat(5_000)],
];
const bodies: readonly BodyInit[] = [
  ...[
    "",
    "x",
    "{}",
    "[]",
    "null",
    '{"group":"main"}',
    '{"records":[{"text":"a"},{"json":1}]}',
    '{"logs":["l1","l2"],"records":[{"base64":"YQ=="}]}',
  ],
  ...['{"before":1}', '{"__proto__":1}', "1\n2\n", '{"a":\n', "[".repeat(5_000), '"' + "x".repeat(10_000) + '"'],
  Uint8Array.of(0x01, 0x61, 0x61, 0x82, 0x01, 0x02),
  Uint8Array.of(0x9f, 0x9f, 0x9f),
  Uint8Array.of(0xff, 0xfe, 0x00),
];

function randomRequest(random: Prng): Request {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const chance = (percent: number): boolean => random.below(100) < percent;
  let path = chance(75) ? pick(paths) : "/" + Array.from({ length: random.below(5) }, () => pick(segments)).join("/");
  const parameters = chance(50) ? random.below(4) : 0;
  if (parameters > 0) {
    path += "?" + Array.from({ length: parameters }, () => chance(85) ? `${pick(names)}=${pick(words)}` : pick(names)).join("&");
  }
  const headers = new Headers();
  for (let count = chance(50) ? random.below(4) : 0; count > 0; count--) headers.append(pick(headerNames), pick(headerWords));
  const method = pick(methods);
  const body = method === "GET" || method === "HEAD" || chance(20) ? null : pick(bodies);
  return new Request(`http://localhost:4100${path}`, { method, headers, body });
}

/** Answers that are ours to give when something is in the way; anything else above 499 is a mistake. */
const declared = new Set(["timeout", "behind", "unreachable", "no-quorum", "overloaded"]);

test("every request is answered, and nothing is a mistake of ours", async () => {
  console.log(`seed ${seed}`);
  const random = new Prng(seed);
  const statuses = new Map<number, number>();
  for (let count = 0; count < requests; count++) {
    const request = randomRequest(random);
    const what = `request ${count} of seed ${seed}: ${request.method} ${request.url} ${JSON.stringify([...request.headers])}`;
    const response = await cluster.nodes[0]!.app.fetch(request);
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    expect(response.headers.get("carillon-position"), what).toMatch(/^[0-9a-f]{20}$/);
    const type = response.headers.get("content-type") ?? "";
    if (response.status >= 400) {
      expect(type, what).toBe("application/problem+json");
      if (request.method === "HEAD") continue;
      const problem = await response.json();
      expect(problem, what).toMatchObject({ status: response.status, code: expect.any(String), outcome: expect.any(String) });
      if (response.status >= 500) expect(declared.has(problem.code), `${what}\n${JSON.stringify(problem)}`).toBe(true);
    } else if (/event-stream|ndjson|cbor-seq/.test(type) && response.body !== null) {
      const reader = response.body.getReader();
      await reader.read();
      await reader.cancel();
    } else {
      await response.arrayBuffer();
    }
  }
  expect(reported).toEqual([]);
  // A run that is refused everything, or nothing, tests nothing.
  expect([...statuses.keys()].sort()).toEqual(expect.arrayContaining([200, 201, 204, 400, 404, 405, 412, 415]));
  for (let turn = 0; turn < 100 && cluster.nodes[0]!.services.stats().streams > 0; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(cluster.nodes[0]!.services.stats()).toMatchObject({ streams: 0, waiting: 0 });
}, 60_000);

/** Keys over HTTP, against a real core: what each status means is what the store did. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startNodes, type TestCluster } from "./nodes.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startNodes({ nodes: [{ name: "n1" }] });
});
afterAll(() => cluster[Symbol.asyncDispose]());

const request = (path: string, init?: RequestInit): Promise<Response> => cluster.nodes[0]!.request(path, init);
const put = (key: string, body: BodyInit, headers: Record<string, string> = {}): Promise<Response> =>
  request(`/v1/kv/${key}`, { method: "PUT", body, headers });
const etag = (response: Response): string => response.headers.get("etag")!;

describe("one entry", () => {
  test("a value comes back as it was sent, with its type and version", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const written = await put("photos/1", bytes, { "content-type": "image/png" });
    expect([written.status, await written.text()]).toEqual([201, ""]);
    const read = await request("/v1/kv/photos%2F1");
    expect(read.status).toBe(200);
    expect(new Uint8Array(await read.arrayBuffer())).toEqual(bytes);
    expect(read.headers.get("content-type")).toBe("image/png");
    expect(etag(read)).toBe(etag(written));
    expect(etag(written)).toBe(`"${written.headers.get("carillon-position")}"`);
  });

  test("every answer says where in the order it holds and who gave it", async () => {
    for (
      const response of [await put("headers", "x"), await request("/v1/kv/headers"), await request("/v1/kv/none"), await request("/no")]
    ) {
      expect(response.headers.get("carillon-position")).toMatch(/^[0-9a-f]{20}$/);
      expect(response.headers.get("carillon-served-by")).toBe("n1");
      expect(response.headers.get("server-timing")).toMatch(/^total;dur=[\d.]+$/);
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(response.headers.has("access-control-allow-origin")).toBe(false);
    }
  });

  test("replacing is 204, and what curl -d says about types counts as nothing", async () => {
    await put("plain", "1", { "content-type": "text/plain" });
    expect((await put("plain", "2", { "content-type": "application/x-www-form-urlencoded" })).status).toBe(204);
    expect((await request("/v1/kv/plain")).headers.get("content-type")).toBe("application/octet-stream");
  });

  test("an empty value is a value", async () => {
    await put("empty", "");
    const read = await request("/v1/kv/empty");
    expect([read.status, await read.text()]).toEqual([200, ""]);
  });

  test("bytes that are no text are keys too", async () => {
    const path = "/v1/kv?key64=_wBh";
    expect((await request(path, { method: "PUT", body: "raw" })).status).toBe(201);
    expect(await (await request(path)).text()).toBe("raw");
    const page = await (await request("/v1/kv?prefix64=_w")).json();
    expect(page.entries).toMatchObject([{ key: "\ufffd\u0000a", key64: "_wBh", text: "raw" }]);
    expect((await request(path, { method: "DELETE" })).status).toBe(204);
    expect((await request(path)).status).toBe(404);
  });

  test("a key may look like anything", async () => {
    for (const key of ["a%2F%2Fb//c", "%00%0A%25", "%F0%9F%94%94?".replace("?", "%3F"), "records", "a".repeat(2_048)]) {
      expect((await put(key, key)).status).toBe(201);
      expect(await (await request(`/v1/kv/${key}`)).text()).toBe(key);
    }
  });

  test("a page from here cannot act for this origin", async () => {
    await put("page", "<script>alert(1)</script>", { "content-type": "text/html" });
    expect((await request("/v1/kv/page")).headers.get("content-security-policy")).toBe("sandbox");
  });

  test("absence carries the position at which it was so", async () => {
    const response = await request("/v1/kv/nobody");
    const position = response.headers.get("carillon-position");
    expect([response.status, response.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
    expect(await response.json()).toEqual({
      type: "/problems/not-found",
      title: "Not found",
      status: 404,
      code: "not-found",
      detail: 'Cannot get key "nobody": there is no entry',
      outcome: "none",
      retryable: false,
      position,
    });
  });

  test("deleting is idempotent, and later positions are greater", async () => {
    const written = await put("gone", "x");
    const first = await request("/v1/kv/gone", { method: "DELETE" });
    const second = await request("/v1/kv/gone", { method: "DELETE" });
    expect([first.status, second.status]).toEqual([204, 204]);
    const positions = [written, first, second].map((response) => response.headers.get("carillon-position")!);
    expect(positions).toEqual([...positions].sort());
    expect(new Set(positions).size).toBe(3);
  });
});

describe("conditions", () => {
  test("create only: the second one loses and learns what is there", async () => {
    const created = await put("lock", "me", { "if-none-match": "*" });
    const lost = await put("lock", "you", { "if-none-match": "*" });
    expect([created.status, lost.status]).toEqual([201, 412]);
    expect(etag(lost)).toBe(etag(created));
    const problem = await lost.json();
    expect(problem).toMatchObject({ code: "check-failed", outcome: "none", current: { version: JSON.parse(etag(created)) } });
    expect(problem.current.text).toBeUndefined();
  });

  test("the loser may ask for the value", async () => {
    await put("wanted", "theirs", { "content-type": "text/plain" });
    const lost = await put("wanted", "mine", { "if-none-match": "*", prefer: "return=representation" });
    expect(lost.headers.get("preference-applied")).toBe("return=representation");
    expect((await lost.json()).current).toMatchObject({ key: "wanted", type: "text/plain", text: "theirs" });
  });

  test("compare and set: of writers with one version, one wins", async () => {
    const tag = etag(await put("counter", "0"));
    const writers = await Promise.all([1, 2, 3, 4, 5].map((value) => put("counter", String(value), { "if-match": tag })));
    expect(writers.map(({ status }) => status).sort()).toEqual([204, 412, 412, 412, 412]);
    const winner = writers.find(({ status }) => status === 204)!;
    for (const loser of writers.filter(({ status }) => status === 412)) expect(etag(loser)).toBe(etag(winner));
  });

  test("existing only, for writes and deletes", async () => {
    const match = { "if-match": "*" };
    expect((await put("later", "x", match)).status).toBe(412);
    expect((await request("/v1/kv/later", { method: "DELETE", headers: match })).status).toBe(412);
    await put("later", "x");
    expect((await put("later", "y", match)).status).toBe(204);
    expect((await request("/v1/kv/later", { method: "DELETE", headers: match })).status).toBe(204);
  });

  test("a delete under an old version changes nothing", async () => {
    const old = etag(await put("kept", "1"));
    const now = etag(await put("kept", "2"));
    const refused = await request("/v1/kv/kept", { method: "DELETE", headers: { "if-match": old } });
    expect([refused.status, etag(refused)]).toEqual([412, now]);
    expect((await request("/v1/kv/kept", { method: "DELETE", headers: { "if-match": now } })).status).toBe(204);
    const absent = await request("/v1/kv/kept", { method: "DELETE", headers: { "if-match": now } });
    expect([absent.status, absent.headers.get("etag")]).toEqual([412, null]);
    expect((await absent.json()).current).toBe(null);
  });

  test("what has not changed is not sent again", async () => {
    const tag = etag(await put("cached", "x".repeat(100)));
    const same = await request("/v1/kv/cached", { headers: { "if-none-match": `"other", ${tag}` } });
    expect([same.status, etag(same), await same.text()]).toEqual([304, tag, ""]);
    await put("cached", "y");
    expect((await request("/v1/kv/cached", { headers: { "if-none-match": tag } })).status).toBe(200);
    expect((await request("/v1/kv/cached", { headers: { "if-match": tag } })).status).toBe(412);
  });
});

describe("scans", () => {
  const keys = ["s/a", "s/b", "s/c", "s/d", "s/e"];
  beforeAll(async () => {
    for (const key of keys) await put(key, `value of ${key}`, { "content-type": "text/plain" });
    await put("s/\u00ff", Uint8Array.of(0xff, 0xfe));
  });
  const scan = async (query: string): Promise<{ entries: { key: string }[]; cursor: string | null; position: string }> =>
    await (await request(`/v1/kv?${query}`)).json();
  const keysOf = async (query: string): Promise<string[]> => (await scan(query)).entries.map(({ key }) => key);

  test("by prefix or range, either way round", async () => {
    expect(await keysOf("prefix=s/")).toEqual([...keys, "s/\u00ff"]);
    expect(await keysOf("start=s/b&end=s/d")).toEqual(["s/b", "s/c"]);
    expect(await keysOf("prefix=s/&reverse&limit=2")).toEqual(["s/\u00ff", "s/e"]);
    expect(await keysOf("prefix=nobody/")).toEqual([]);
  });

  test("text is text, other bytes are base64, keys alone are keys alone", async () => {
    const page = await scan("prefix=s/");
    expect(page.entries[0]).toEqual({ key: "s/a", version: expect.any(String), type: "text/plain", text: "value of s/a" } as never);
    expect(page.entries[5]).toEqual({ key: "s/\u00ff", version: expect.any(String), type: "", base64: "//4=" } as never);
    expect((await scan("prefix=s/a&keys-only")).entries).toEqual([{ key: "s/a", version: expect.any(String) } as never]);
  });

  test("pages follow one another by cursor until there is none", async () => {
    const seen: string[] = [];
    let cursor: string | null = "";
    for (let pages = 0; cursor !== null; pages++) {
      expect(pages).toBeLessThan(5);
      const page = await scan(`prefix=s/&limit=2${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
      seen.push(...page.entries.map(({ key }) => key));
      cursor = page.cursor;
    }
    expect(seen).toEqual([...keys, "s/\u00ff"]);
  });

  test("the streamed forms hold the same entries", async () => {
    const lines = await request("/v1/kv?prefix=s/&limit=4&keys-only", { headers: { accept: "application/x-ndjson" } });
    expect(lines.headers.get("content-type")).toBe("application/x-ndjson");
    expect((await lines.text()).trim().split("\n").map((line) => JSON.parse(line).key)).toEqual(keys.slice(0, 4));
    const { decodeCbor } = await import("../../../edge/codec/cbor.ts");
    const { cborItems } = await import("../../../edge/http/cbor_items.ts");
    const sequence = await request("/v1/kv?prefix=s/", { headers: { accept: "application/cbor-seq" } });
    const entries = cborItems(new Uint8Array(await sequence.arrayBuffer())).map(decodeCbor) as { key: string; bytes: Uint8Array }[];
    expect(entries.map(({ key }) => key)).toEqual([...keys, "s/\u00ff"]);
    expect(new TextDecoder().decode(entries[0]!.bytes)).toBe("value of s/a");
    const page = await request("/v1/kv?prefix=s/", { headers: { accept: "application/cbor" } });
    expect(decodeCbor(new Uint8Array(await page.arrayBuffer()))).toMatchObject({ cursor: null, entries: { length: 6 } });
  });

  test("a long range streams page by page", async () => {
    await Promise.all(Array.from({ length: 1_203 }, (_, index) => put(`long/${String(index).padStart(5, "0")}`, "x")));
    const stream = await request("/v1/kv?prefix=long/&keys-only", { headers: { accept: "application/x-ndjson" } });
    const got = (await stream.text()).trim().split("\n").map((line) => JSON.parse(line).key as string);
    expect(got.length).toBe(1_203);
    expect(got).toEqual([...got].sort());
    const some = await request("/v1/kv?prefix=long/&keys-only&limit=1001", { headers: { accept: "application/x-ndjson" } });
    expect((await some.text()).trim().split("\n").length).toBe(1_001);
  });
});

describe("consistency", () => {
  test("a session reads its own writes by sending a position along", async () => {
    const written = await put("mine", "x");
    const headers = { "carillon-position": written.headers.get("carillon-position")! };
    expect(await (await request("/v1/kv/mine?consistency=session", { headers })).text()).toBe("x");
    expect((await request("/v1/kv/mine?consistency=local")).status).toBe(200);
    // An idle group lacks nothing: a confirmed read is as good as a position nobody has reached.
    const future = { "carillon-position": "000fffffffffffff0000" };
    expect((await request("/v1/kv/mine?consistency=session", { headers: future })).status).toBe(200);
  });
});

test("HEAD is GET without the body", async () => {
  await put("head", "twelve bytes", { "content-type": "text/plain" });
  const paths = ["/v1/kv/head", "/v1/kv/none", "/v1/kv?prefix=head", "/v1/cluster", "/livez", "/version", "/nowhere", "/v1/kv?x=1"];
  for (const path of paths) {
    const [get, head] = [await request(path), await request(path, { method: "HEAD" })];
    const [body, nothing] = [await get.arrayBuffer(), await head.arrayBuffer()];
    expect(nothing.byteLength).toBe(0);
    expect(head.status).toBe(get.status);
    expect(head.headers.get("content-length")).toBe(String(body.byteLength));
    for (const name of ["content-type", "etag", "cache-control", "carillon-served-by"]) {
      expect(head.headers.get(name)).toBe(get.headers.get(name));
    }
  }
});

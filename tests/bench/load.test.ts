/** The load generator measures what it says: quantiles, ends of answers, keys and values of the right size. */
import { expect, test } from "bun:test";
import { Histogram } from "../../bench/load/histogram.ts";
import { answerEnd, statusOf } from "../../bench/load/http1.ts";
import { readStatus } from "../../bench/load/http2.ts";
import { keyText, template } from "../../bench/load/request.ts";

test("quantiles are within half a microsecond or 1.6 % of the true ones, also after a trip through JSON", () => {
  const a = new Histogram();
  const b = new Histogram();
  for (let micros = 1; micros <= 100_000; micros++) (micros % 2 === 0 ? a : b).record(micros);
  a.add(Histogram.from(JSON.parse(JSON.stringify(b))));
  for (const q of [0.0001, 0.5, 0.9, 0.99, 1]) {
    const exact = q * 100_000;
    expect(Math.abs(a.quantile(q) - exact)).toBeLessThanOrEqual(Math.max(0.5, exact * 0.016));
  }
  expect([a.total, a.max, a.mean]).toEqual([100_000, 100_000, 50_000.5]);
});

test("an empty histogram has zeros only", () => {
  expect([new Histogram().quantile(0.5), new Histogram().mean]).toEqual([0, 0]);
});

test.each(
  [
    ["head not complete", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", -1],
    ["with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 43],
    ["with a length, body not complete", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", 43],
    ["without a body", "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n", 36],
    ["chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 62],
    ["chunked, not complete", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", -1],
  ] as const,
)("the end of an HTTP/1.1 answer: %s", (_name, answer, end) => {
  expect(answerEnd(Buffer.from(answer, "latin1"))).toBe(end);
});

test("the status of an HTTP/1.1 answer", () => {
  expect(statusOf(Buffer.from("HTTP/1.1 503 Service Unavailable\r\n"))).toBe(503);
});

test.each(
  [
    ["indexed", [0x88], 200],
    ["indexed, 404", [0x8d], 404],
    ["after a table size update", [0x20, 0x89], 204],
    ["literal", [0x48, 3, 0x32, 0x30, 0x31], 201],
    ["literal in Huffman code, 201", [0x08, 0x82, 0x10, 0x03], 201],
    ["literal in Huffman code, 302", [0x48, 0x82, 0x64, 0x02], 302],
    ["literal in Huffman code, 503", [0x08, 0x83, 0x6c, 0x0c, 0xff], 503],
  ] as const,
)("the status of an HTTP/2 answer: %s", (_name, block, status) => {
  expect(readStatus(Buffer.from(block), 0)).toBe(status);
});

test.each(
  [
    ["carillon", "h1", "put"],
    ["carillon", "h1", "get"],
    ["carillon", "h2", "put"],
    ["etcd", "h2", "put"],
    ["etcd", "h2", "get"],
  ] as const,
)("a new key replaces the old one in place: %s %s %s", (dialect, transport, operation) => {
  const { head, body, setKey } = template({ dialect, transport, operation, valueBytes: 100 }, "127.0.0.1:4100");
  const whole = () => Buffer.concat([head, body]).toString("latin1");
  const before = whole();
  setKey(12_345);
  expect(whole()).toBe(before.replace(keyText(0), keyText(12_345)));
});

test("etcd's JSON gateway gets the key in base64", () => {
  const { head, setKey } = template({ dialect: "etcd", transport: "h1", operation: "put", valueBytes: 3 }, "127.0.0.1:2379");
  setKey(7);
  const [start, body] = head.toString("latin1").split("\r\n\r\n");
  expect(start).toStartWith("POST /v3/kv/put HTTP/1.1\r\n");
  expect(start).toEndWith(`content-length: ${body!.length}`);
  expect(JSON.parse(body!)).toEqual({ key: btoa("key-00007"), value: btoa("car") });
});

/** Batches of records as they come in. */
import { describe, expect, test } from "bun:test";
import { CarillonError } from "../../../core/errors.ts";
import { encodeCbor } from "../../../edge/codec/cbor.ts";
import { readBody } from "../../../edge/http/body.ts";
import { cborItems } from "../../../edge/http/cbor_items.ts";
import { defaultHttpLimits } from "../../../edge/http/context.ts";
import { readRecords } from "../../../edge/http/records.ts";

const limits = { ...defaultHttpLimits, valueBytesMax: 64, batchBodyBytesMax: 256, batchRecordsMax: 4 };

/** The records as text, or `code: message` of what is thrown. */
async function records(type: string, body: string | Uint8Array): Promise<unknown> {
  try {
    const request = new Request("http://h/", { method: "POST", body: body as BodyInit, headers: { "content-type": type } });
    const { records, single } = await readRecords(request, limits);
    return [single, ...records.map((record) => [record.type, new TextDecoder().decode(record.bytes)])];
  } catch (error) {
    if (error instanceof CarillonError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe("forms of a batch", () => {
  test("any other body is one record with its type", async () => {
    expect(await records("image/png", "x")).toEqual([true, ["image/png", "x"]]);
    expect(await records("application/json", "[1,2]")).toEqual([true, ["application/json", "[1,2]"]]);
    expect(await records("application/x-www-form-urlencoded", "hi")).toEqual([true, ["", "hi"]]);
  });

  test("lines of NDJSON keep their bytes", async () => {
    expect(await records("application/x-ndjson", '{"a": 1.10}\r\n\n"two"\n12345678901234567890')).toEqual([
      false,
      ["application/json", '{"a": 1.10}'],
      ["application/json", '"two"'],
      ["application/json", "12345678901234567890"],
    ]);
    expect(await records("application/x-ndjson", '{"a":1}\n\n{"a":')).toStartWith("bad-request: Cannot read line 3: not JSON");
    expect(await records("application/x-ndjson", Uint8Array.of(0x22, 0xff, 0x22))).toBe("bad-request: Cannot read line 1: not UTF-8");
    expect(await records("application/x-ndjson", "\n\n")).toBe("bad-request: Cannot take an empty batch: it has no records");
  });

  test("a list of records says what each is", async () => {
    const type = "application/vnd.carillon.records+json";
    const list = { records: [{ text: "a" }, { json: { b: 1 } }, { base64: "Yw==", type: "image/png" }, { base64: "" }] };
    expect(await records(type, JSON.stringify(list))).toEqual([
      false,
      ["text/plain;charset=utf-8", "a"],
      ["application/json", '{"b":1}'],
      ["image/png", "c"],
      ["", ""],
    ]);
    const one = (record: unknown) => records(type, JSON.stringify({ records: [record] }));
    expect(await one({})).toStartWith("bad-request: Cannot read record 0: it needs exactly one of");
    expect(await one({ text: "a", json: 1 })).toStartWith("bad-request: Cannot read record 0: it needs exactly one of");
    expect(await one({ txt: "a" })).toBe(
      'bad-request: Cannot use field "txt" of record 0: known are text, json, base64, type; did you mean "text"?',
    );
    expect(await one({ text: 1 })).toBe('bad-request: Cannot use field "text": it must be text');
    expect(await one({ base64: "!" })).toBe('bad-request: Cannot read record 0: "base64" is not base64');
    expect(await one({ text: "a", type: "é" })).toStartWith("bad-request: Cannot use content type");
    expect(await one([])).toBe("bad-request: Cannot read record 0: not a JSON object");
    expect(await records(type, "[]")).toBe("bad-request: Cannot read the body: not a JSON object");
    expect(await records(type, "{}")).toBe('bad-request: Cannot use field "records": it must be a list');
  });

  test("more than the bounds is refused with the bound", async () => {
    expect(await records("text/plain", "x".repeat(65))).toBe("too-large: Cannot take a body of 65 or more bytes: at most 64");
    expect(await records("application/x-ndjson", "1\n".repeat(5))).toBe("too-large: Cannot take a batch of 5 records: at most 4");
    expect(await records("application/x-ndjson", "1\n".repeat(200))).toBe(
      "too-large: Cannot take a body of 400 or more bytes: at most 256",
    );
  });
});

describe("bodies", () => {
  const streamed = (chunks: number, cancelled: () => void) =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (chunks-- > 0) controller.enqueue(new Uint8Array(100));
        else controller.close();
      },
      cancel: cancelled,
    });

  test("an announced length is refused before anything is read", async () => {
    const request = new Request("http://h/", { method: "PUT", body: streamed(1, () => {}), headers: { "content-length": "1001" } });
    await expect(readBody(request, 1_000)).rejects.toThrow("Cannot take a body of 1001 bytes: at most 1000");
    expect(request.bodyUsed).toBe(false);
  });

  test("a stream is read no further than the bound", async () => {
    let cancelled = false;
    const endless = new Request("http://h/", { method: "PUT", body: streamed(Infinity, () => cancelled = true) });
    await expect(readBody(endless, 1_000)).rejects.toThrow("Cannot take a body of 1100 or more bytes: at most 1000");
    expect(cancelled).toBe(true);
    expect((await readBody(new Request("http://h/", { method: "PUT", body: streamed(10, () => {}) }), 1_000)).byteLength).toBe(1_000);
  });

  test("nonsense for a length is no way around the bound", async () => {
    const lying = new Request("http://h/", { method: "PUT", body: "x".repeat(2_000), headers: { "content-length": "12" } });
    await expect(readBody(lying, 1_000)).rejects.toThrow("at most 1000");
    const nonsense = new Request("http://h/", { method: "PUT", body: "x", headers: { "content-length": "abc" } });
    await expect(readBody(nonsense, 1_000)).rejects.toThrow("at most 1000");
  });
});

describe("CBOR sequences", () => {
  const join = (parts: Uint8Array[]): Uint8Array => new Uint8Array(parts.flatMap((part) => [...part]));

  test("the items are found without decoding them", () => {
    const values = [0, 23, 24, -1, 70_000, 1.5, null, true, "text", "x".repeat(300), [1, [2, []]], { a: { b: Uint8Array.of(1, 2) } }];
    const items = values.map((value) => new Uint8Array(encodeCbor(value)));
    expect(cborItems(join(items)).map((item) => new Uint8Array(item))).toEqual(items);
    // Indefinite lengths and tags, which our encoder does not write.
    const others = [
      Uint8Array.of(0x9f, 0x01, 0x82, 0x02, 0x03, 0xff),
      Uint8Array.of(0xbf, 0x61, 0x61, 0x01, 0xff),
      Uint8Array.of(0x5f, 0x41, 0x01, 0x42, 0x02, 0x03, 0xff),
      Uint8Array.of(0xc1, 0x1a, 0, 0, 0, 1),
      Uint8Array.of(0xf8, 0xff),
    ];
    expect(cborItems(join(others)).map((item) => new Uint8Array(item))).toEqual(others);
  });

  test.each([
    ["an array that promises more than there is", [0x9b, 0, 0, 0, 1, 0, 0, 0, 0]],
    ["a map without its last value", [0xa1, 0x01]],
    ["an odd indefinite map", [0xbf, 0x01, 0xff]],
    ["a string that ends early", [0x62, 0x61]],
    ["a length that ends early", [0x19, 0x01]],
    ["a break alone", [0xff]],
    ["a reserved length", [0x1c]],
    ["an indefinite list without an end", [0x9f, 0x01]],
    ["a text chunk in a byte string", [0x5f, 0x61, 0x61, 0xff]],
    ["a nest without a bottom", Array(200).fill(0x81)],
    ["a chain of tags", Array(200).fill(0xc1)],
  ])("%s is refused", (_what, bytes) => {
    expect(() => cborItems(Uint8Array.from(bytes as number[]))).toThrow("Cannot read the CBOR sequence");
  });
});

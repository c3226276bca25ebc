/** What a URL or a header may say, and how a wrong one is named. */
import { describe, expect, test } from "bun:test";
import { CarillonError } from "../../../core/errors.ts";
import { readCondition, writeCondition } from "../../../edge/http/conditions.ts";
import { duration, fromParameter, keyOfPath, nameOfPath, queryOf, readOptions, wholeNumber } from "../../../edge/http/params.ts";
import { defaultHttpLimits } from "../../../edge/http/context.ts";
import { fromBase64, toBase64, toBase64Url, utf8OrNull } from "../../../edge/http/text.ts";

/** `code: message` of what is thrown, or the result. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof CarillonError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe("keys", () => {
  test("an encoded slash and a plain one are the same key", () => {
    expect(keyOfPath("http://h/v1/kv/a/b")).toBe("a/b");
    expect(keyOfPath("http://h/v1/kv/a%2Fb?x=1")).toBe("a/b");
    expect(keyOfPath("http://h/v1/kv//v1/kv/")).toBe("/v1/kv/");
    expect(keyOfPath("http://h:4100/v1/kv/%C3%A9%00%0A+")).toBe("é\u0000\n+");
  });

  test("a path that is not percent-encoded UTF-8 is refused with the way out", () => {
    const refusal = "not percent-encoded UTF-8; send other bytes as ?key64= on /v1/kv";
    expect(outcome(() => keyOfPath("http://h/v1/kv/%zz"))).toBe(`bad-key: Cannot use key "%zz": ${refusal}`);
    expect(outcome(() => keyOfPath("http://h/v1/kv/%ff"))).toBe(`bad-key: Cannot use key "%ff": ${refusal}`);
    expect(outcome(() => keyOfPath("http://h/v1/kv/%"))).toBe(`bad-key: Cannot use key "%": ${refusal}`);
  });

  test("a log's name is one segment, decoded once", () => {
    expect(nameOfPath("http://h/v1/logs/a%2520b/records/7?x")).toBe("a%20b");
    expect(outcome(() => nameOfPath("http://h/v1/logs/a%2Cb"))).toBe(
      'bad-request: Cannot use log name "a,b": 1 to 255 characters, no commas or control characters',
    );
  });
});

describe("queries", () => {
  test("names and values are decoded the way URLSearchParams writes them", () => {
    const written = new URLSearchParams({ prefix: "a b+c&d=é", limit: "2" });
    expect([...queryOf(`http://h/v1/kv?${written}`, ["prefix", "limit"])]).toEqual([["prefix", "a b+c&d=é"], ["limit", "2"]]);
    expect([...queryOf("http://h/v1/kv?reverse&", ["reverse"])]).toEqual([["reverse", ""]]);
    expect([...queryOf("http://h/v1/kv", [])]).toEqual([]);
  });

  test("an unknown name is refused with the nearest one", () => {
    expect(outcome(() => queryOf("http://h/?limt=2", ["limit", "cursor"]))).toBe(
      'bad-request: Cannot use query parameter "limt": this route knows limit, cursor; did you mean "limit"?',
    );
    expect(outcome(() => queryOf("http://h/?x=2", []))).toBe('bad-request: Cannot use query parameter "x": this route knows none');
    expect(outcome(() => queryOf("http://h/?a=1&a=2", ["a"]))).toBe('bad-request: Cannot use query parameter "a": it is given twice');
    expect(outcome(() => queryOf("http://h/?a=%e9", ["a"]))).toBe('bad-request: Cannot decode "%e9": not percent-encoded UTF-8');
  });

  test("durations have units, and seconds are what a bare number means", () => {
    const ms = (text: string) => outcome(() => duration(text, "wait", 0, 60_000));
    expect(["250ms", "2s", "1m", "1.5", "0"].map(ms)).toEqual([250, 2_000, 60_000, 1_500, 0]);
    for (const bad of ["", "-1s", "2h", "61s", "1e3", "NaN", "s", "2 s 3"]) {
      expect(ms(bad)).toBe(`bad-request: Cannot use wait ${JSON.stringify(bad)}: a duration such as 250ms or 2s, at most 60s`);
    }
  });

  test("whole numbers stay exact", () => {
    expect(wholeNumber("9007199254740991", "from", 0, Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
    for (const bad of ["", "-1", "1.5", "1e3", "0x10", "9007199254740993", " 1", "١"]) {
      expect(outcome(() => wholeNumber(bad, "from", 0, Number.MAX_SAFE_INTEGER))).toStartWith("bad-request: Cannot use from");
    }
  });

  test("a log is read from an offset or from so many before its tail", () => {
    const from = (text: string) => outcome(() => fromParameter(new Map([["from", text]])));
    expect([from("0"), from("17"), from("tail-0"), from("tail-10")]).toEqual([0, 17, "tail-0", "tail-10"]);
    for (const bad of ["-1", "tail", "tail-", "tail--1", "head-3", "2026-11-22T00:00Z", ""]) expect(from(bad)).toStartWith("bad-request:");
  });

  test("a session read waits for the position it is sent", () => {
    const read = (url: string, headers: Record<string, string>) =>
      outcome(() => readOptions(new Request(url, { headers }), queryOf(url, ["consistency", "timeout"]), defaultHttpLimits));
    const position = "0000000a3f2100010000";
    expect(read("http://h/?consistency=session&timeout=2s", { "carillon-position": position })).toEqual({
      consistency: "session",
      after: position,
      timeoutMs: 2_000,
    });
    expect(read("http://h/", { "carillon-timeout": "50ms", "carillon-position": "anything" })).toEqual({ timeoutMs: 50 });
    expect(read("http://h/?consistency=session", { "carillon-position": "7" })).toStartWith("bad-position: ");
    expect(read("http://h/?consistency=lokal", {})).toBe(
      'bad-request: Cannot use consistency "lokal": it is one of linearizable, session, local; did you mean "local"?',
    );
  });
});

describe("conditions", () => {
  const version = "0000000a3f2100010000";
  const write = (headers: Record<string, string>) => outcome(() => writeCondition(new Headers(headers)));

  test("HTTP's words say what must be there", () => {
    expect(write({})).toEqual({ kind: "always" });
    expect(write({ "if-none-match": "*" })).toEqual({ kind: "absent" });
    expect(write({ "if-match": "*" })).toEqual({ kind: "present" });
    expect(write({ "if-match": ` "${version}" ` })).toEqual({ kind: "version", version });
  });

  test("what cannot be a condition of a write is refused, not ignored", () => {
    expect(write({ "if-match": version })).toStartWith("bad-request: ");
    expect(write({ "if-match": `W/"${version}"` })).toStartWith("bad-request: ");
    expect(write({ "if-match": `"${version}", "${version}"` })).toStartWith("bad-request: ");
    expect(write({ "if-match": '"7"' })).toStartWith("bad-position: ");
    expect(write({ "if-none-match": `"${version}"` })).toStartWith("bad-request: ");
    expect(write({ "if-match": "*", "if-none-match": "*" })).toStartWith("bad-request: ");
  });

  test("a read is answered 304 for any tag that names the version", () => {
    const read = (headers: Record<string, string>) => outcome(() => readCondition(new Headers(headers), version));
    expect(read({})).toBe(null);
    expect(read({ "if-none-match": `"${version}"` })).toBe(304);
    expect(read({ "if-none-match": `"other", W/"${version}"` })).toBe(304);
    expect(read({ "if-none-match": "*" })).toBe(304);
    expect(read({ "if-none-match": '"other"' })).toBe(null);
    expect(read({ "if-match": `"other", "${version}"` })).toBe(null);
    expect(read({ "if-match": '"other"' })).toStartWith("check-failed: ");
    expect(read({ "if-match": `W/"${version}"` })).toStartWith("check-failed: ");
  });
});

describe("text and bytes", () => {
  test("base64 is read in both alphabets, padded or not, and nothing else is", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    for (let length = 0; length < 8; length++) {
      const part = bytes.subarray(248 - length * 7, 248 - length * 6);
      expect(fromBase64(toBase64(part))).toEqual(part);
      expect(fromBase64(toBase64Url(part))).toEqual(part);
    }
    expect(toBase64Url(bytes)).not.toMatch(/[+/=]/);
    for (const bad of ["a", "a===", "YQ=a", "Y Q", "é", "a.b"]) expect(fromBase64(bad)).toBe(null);
  });

  test("large values take the same way", () => {
    const bytes = new Uint8Array(100_003).map((_, index) => index * 31);
    expect(fromBase64(toBase64(bytes))).toEqual(bytes);
  });

  test("only what is UTF-8 is text, its byte order mark included", () => {
    expect(utf8OrNull(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe("\ufeffa");
    expect(utf8OrNull(Uint8Array.of(0xff))).toBe(null);
  });
});

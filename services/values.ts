/** Values as users give and take them: what goes in says what it is, what comes out is read the way the reader says. */
import { CarillonError } from "../core/errors.ts";
import type { Value } from "./api.ts";

/** A value as it is stored. */
export interface Content {
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface Cbor {
  readonly encodeCbor: (value: unknown) => Uint8Array;
  readonly decodeCbor: (bytes: Uint8Array) => unknown;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const printable = /^[\x20-\x7e]*$/;

/** Throws `bad-request`, `unsupported-type`, or `too-large` with the limit. */
export function parseValue(value: Value, cbor: Cbor, limits: { readonly valueBytesMax: number; readonly typeBytesMax: number }): Content {
  const content = encode(value, cbor);
  if (!printable.test(content.type)) {
    throw new CarillonError("unsupported-type", "Cannot store this value: its content type is not printable ASCII");
  }
  if (content.type.length > limits.typeBytesMax) {
    const limit = limits.typeBytesMax;
    throw new CarillonError("too-large", `Cannot store this value: its content type is longer than ${limit} bytes`, { facts: { limit } });
  }
  if (content.bytes.byteLength > limits.valueBytesMax) {
    const limit = limits.valueBytesMax;
    throw new CarillonError("too-large", `Cannot store a value of ${content.bytes.byteLength} bytes: at most ${limit} are allowed`, {
      facts: { limit },
    });
  }
  return content;
}

function encode(value: Value, cbor: Cbor): Content {
  if (typeof value === "string") return { type: "text/plain;charset=utf-8", bytes: encoder.encode(value) };
  if (value instanceof Uint8Array) return { type: "", bytes: value };
  if (typeof value === "object" && value !== null) {
    if ("json" in value) return { type: "application/json", bytes: encoder.encode(json(value.json)) };
    if ("cbor" in value) return { type: "application/cbor", bytes: encodeCbor(value.cbor, cbor) };
    if (value.bytes instanceof Uint8Array && typeof value.type === "string") return { type: value.type, bytes: value.bytes };
  }
  throw new CarillonError("bad-request", "Cannot store this value: it is neither text, bytes, { json }, { cbor } nor { bytes, type }");
}

function json(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new CarillonError("bad-request", "Cannot store this value: it cannot be written as JSON", { cause });
  }
  if (text === undefined) throw new CarillonError("bad-request", "Cannot store this value: JSON has no word for it");
  return text;
}

function encodeCbor(value: unknown, cbor: Cbor): Uint8Array {
  try {
    return cbor.encodeCbor(value);
  } catch (cause) {
    throw new CarillonError("bad-request", "Cannot store this value: it cannot be written as CBOR", { cause });
  }
}

/** The reading half: what entries, records and messages have in common. */
export class Reading {
  readonly type: string;
  readonly #bytes: Uint8Array;
  readonly #cbor: Cbor;

  constructor(content: Content, cbor: Cbor) {
    this.type = content.type;
    this.#bytes = content.bytes;
    this.#cbor = cbor;
  }

  /** The caller's to keep. */
  bytes(): Uint8Array {
    return this.#bytes;
  }

  /** As UTF-8; what is none shows as replacement characters. */
  text(): string {
    return decoder.decode(this.#bytes);
  }

  /** Throws `unsupported-type` if it is no JSON. */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T;
    } catch (cause) {
      throw new CarillonError("unsupported-type", "Cannot read this value as JSON: it is none", { cause });
    }
  }

  /** Throws `unsupported-type` if it is no CBOR. */
  cbor<T = unknown>(): T {
    try {
      return this.#cbor.decodeCbor(this.#bytes) as T;
    } catch (cause) {
      throw new CarillonError("unsupported-type", "Cannot read this value as CBOR: it is none", { cause });
    }
  }
}

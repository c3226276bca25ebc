/** Entries, records and messages as they come over HTTP, turned into what the embedded API hands out. */
import { CarillonError } from "../../core/errors.ts";
import type { Change, Delivered, Entry, LogRecord, Value } from "../../services/api.ts";
import { defaultServiceLimits } from "../../services/limits.ts";
import { type Content, parseValue, Reading } from "../../services/values.ts";
import { decodeCbor, encodeCbor } from "../codec/cbor.ts";
import { fromBase64, toBase64, utf8OrNull } from "../http/text.ts";

/** A document of the other side: looked at before it is believed. */
export type Document = Readonly<Record<string, unknown>>;

const cbor = { encodeCbor, decodeCbor };
const utf8 = new TextEncoder();

/** Throws what the embedded API would, before anything is sent. */
export function contentOf(value: Value): Content {
  return parseValue(value, cbor, defaultServiceLimits);
}

/** Of a body alone. A quiet type stays quiet: "application/octet-stream" is how HTTP says "not said". */
export function entryOf(key: string, keyBytes: Uint8Array, version: string, content: Content): Entry {
  return new RemoteEntry(key, keyBytes, version, content);
}

export function entryOfDocument(document: Document): Entry {
  const { key, keyBytes } = keyOf(document);
  return new RemoteEntry(key, keyBytes, textOf(document, "version"), contentOfDocument(document));
}

export function changeOf(kind: Change["kind"], document: Document): Change {
  if (kind === "put") return { kind, entry: entryOfDocument(document) };
  const position = textOf(document, "position");
  return kind === "caught-up" ? { kind, position } : { kind, ...keyOf(document), position };
}

function keyOf(document: Document): Pick<Entry, "key" | "keyBytes"> {
  const key = textOf(document, "key");
  const key64 = document.key64;
  return { key, keyBytes: typeof key64 === "string" ? bytesOf64(key64) : utf8.encode(key) };
}

export function recordOf(document: Document): LogRecord {
  return new RemoteRecord(numberOf(document, "offset"), textOf(document, "position"), contentOfDocument(document));
}

export function messageOf(document: Document): { readonly kind: "message" } & Delivered {
  return new RemoteMessage(textOf(document, "position"), textsOf(document, "groups"), contentOfDocument(document));
}

/** A record of a batch. Without a type only base64 says that there is none. */
export function documentOf({ type, bytes }: Content): Document {
  const text = type === "" ? null : utf8OrNull(bytes);
  return { ...(type === "" ? {} : { type }), ...(text === null ? { base64: toBase64(bytes) } : { text }) };
}

export function textOf(document: Document, name: string): string {
  const value = document[name];
  return typeof value === "string" ? value : misshapen(`"${name}" is no text`);
}

export function numberOf(document: Document, name: string): number {
  const value = document[name];
  return typeof value === "number" ? value : misshapen(`"${name}" is no number`);
}

export function textsOf(document: Document, name: string): readonly string[] {
  const value = document[name];
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : misshapen(`"${name}" is no list of texts`);
}

export function documentsOf(document: Document, name: string): readonly Document[] {
  const value = document[name];
  return Array.isArray(value) ? value.map((item) => asDocument(item)) : misshapen(`"${name}" is no list`);
}

export function asDocument(value: unknown): Document {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Document : misshapen("it is no JSON object");
}

export function parseDocument(text: string): Document {
  try {
    return asDocument(JSON.parse(text));
  } catch (error) {
    if (error instanceof CarillonError) throw error;
    misshapen("it is no JSON");
  }
}

/** The other end is not what we took it for, or of another version. */
export function misshapen(why: string): never {
  throw new CarillonError("internal", `Cannot use the answer: ${why}; is this the URL of a Carillon node?`);
}

function contentOfDocument(document: Document): Content {
  const type = typeof document.type === "string" ? document.type : "";
  if (typeof document.text === "string") return { type, bytes: utf8.encode(document.text) };
  if (typeof document.base64 === "string") return { type, bytes: bytesOf64(document.base64) };
  // A page of keys alone.
  return { type, bytes: new Uint8Array(0) };
}

function bytesOf64(text: string): Uint8Array {
  return fromBase64(text) ?? misshapen("it has bytes that are no base64");
}

class RemoteEntry extends Reading implements Entry {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly version: string;

  constructor(key: string, keyBytes: Uint8Array, version: string, content: Content) {
    super(content, cbor);
    this.key = key;
    this.keyBytes = keyBytes;
    this.version = version;
  }
}

class RemoteRecord extends Reading implements LogRecord {
  readonly offset: number;
  readonly position: string;

  constructor(offset: number, position: string, content: Content) {
    super(content, cbor);
    this.offset = offset;
    this.position = position;
  }
}

class RemoteMessage extends Reading implements Delivered {
  readonly kind = "message" as const;
  readonly position: string;
  readonly groups: readonly string[];

  constructor(position: string, groups: readonly string[], content: Content) {
    super(content, cbor);
    this.position = position;
    this.groups = groups;
  }
}

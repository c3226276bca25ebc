/** Request bodies, read up to a bound and no further, and taken apart without trusting them. */
import { CarillonError } from "../../core/errors.ts";
import { didYouMean } from "../suggest.ts";
import { type Admitted, admittedOf } from "./admission.ts";
import { quote } from "./params.ts";
import { badRequest } from "./problems.ts";
import { utf8OrNull } from "./text.ts";

const typeCharsMax = 255;
const empty: Uint8Array = new Uint8Array(0);

function tooLarge(bytes: string, limit: number): CarillonError {
  return new CarillonError("too-large", `Cannot take a body of ${bytes} bytes: at most ${limit}`, { facts: { limit } });
}

/** The whole body. Throws `too-large` with the limit, before reading if the length is announced. */
export async function readBody(request: Request, limit: number): Promise<Uint8Array> {
  const announced = request.headers.get("content-length");
  if (announced !== null) {
    const length = Number(announced);
    if (!(length <= limit)) throw tooLarge(announced, limit);
    // A known length is read in one piece, which every runtime does cheapest.
    const bytes = new Uint8Array(await arrayBuffer(request));
    if (bytes.byteLength > limit) throw tooLarge(String(bytes.byteLength), limit);
    return bytes;
  }
  return request.body === null ? empty : await gather(request.body, limit, admittedOf(request));
}

/** What is announced of a body, and will be read if anything is: nobody reads more than `limit`. */
export function announcedBytes(request: Request, limit: number): number {
  const length = Number(request.headers.get("content-length") ?? 0);
  return length > 0 ? Math.min(length, limit) : 0;
}

async function arrayBuffer(request: Request): Promise<ArrayBuffer> {
  try {
    return await request.arrayBuffer();
  } catch (cause) {
    throw new CarillonError("cancelled", "Cannot read the body: it broke off", { cause });
  }
}

async function gather(body: ReadableStream<Uint8Array>, limit: number, admitted: Admitted | undefined): Promise<Uint8Array> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((cause) => {
      throw new CarillonError("cancelled", "Cannot read the body: it broke off", { cause });
    });
    if (done) break;
    length += value.byteLength;
    try {
      if (length > limit) throw tooLarge(`${length} or more`, limit);
      admitted?.hold(value.byteLength);
    } catch (error) {
      // Not awaited: a client that keeps sending must not keep us waiting.
      reader.cancel().catch(() => {});
      throw error;
    }
    chunks.push(value);
  }
  if (chunks.length === 1) return chunks[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** What the sender says the body is; "" if nothing, or what `curl -d` says unasked and nobody means. */
export function contentType(request: Request): string {
  const type = request.headers.get("content-type");
  if (type === null || type.startsWith("application/x-www-form-urlencoded")) return "";
  return checkedType(type);
}

export function checkedType(type: string): string {
  if (type.length > typeCharsMax || !/^[\x20-\x7e]*$/.test(type)) {
    throw badRequest(`Cannot use content type ${quote(type)}: at most ${typeCharsMax} printable ASCII characters`);
  }
  return type;
}

/** `text/html` of `Text/HTML; charset=utf-8`. */
export function mediaType(type: string): string {
  const end = type.indexOf(";");
  return (end === -1 ? type : type.slice(0, end)).trim().toLowerCase();
}

/** A JSON object with no fields but these. An empty body is an empty object. */
export async function readJsonObject(request: Request, limit: number, fields: readonly string[]): Promise<Record<string, unknown>> {
  const type = mediaType(contentType(request));
  if (type !== "" && type !== "application/json" && !type.endsWith("+json")) {
    throw new CarillonError("unsupported-type", `Cannot read a body of type ${quote(type)}: this route reads application/json`);
  }
  const bytes = await readBody(request, limit);
  return bytes.byteLength === 0 ? {} : jsonObject(parseJson(bytes, "the body"), fields, "the body");
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  const text = utf8OrNull(bytes);
  if (text === null) throw badRequest(`Cannot read ${what}: not UTF-8`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badRequest(`Cannot read ${what}: not JSON (${cause instanceof Error ? cause.message : "malformed"})`);
  }
}

export function jsonObject(value: unknown, fields: readonly string[], what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw badRequest(`Cannot read ${what}: not a JSON object`);
  for (const field of Object.keys(value)) {
    if (!fields.includes(field)) {
      throw badRequest(
        `Cannot use field ${quote(field)} of ${what}: known are ${fields.join(", ")}${didYouMean(field.slice(0, 64), fields)}`,
        { field },
      );
    }
  }
  return value as Record<string, unknown>;
}

export function textField(object: Record<string, unknown>, field: string): string | undefined {
  const value = object[field];
  if (value !== undefined && typeof value !== "string") throw badRequest(`Cannot use field "${field}": it must be text`, { field });
  return value;
}

export function wholeNumberField(object: Record<string, unknown>, field: string): number | undefined {
  const value = object[field];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw badRequest(`Cannot use field "${field}": it must be a whole number from 0`, { field });
  }
  return value;
}

/**
 * Everything a URL or a header can say, checked in one place: keys, names, offsets, positions, durations, flags. Unknown
 * query parameters are refused, because a misspelt `limt=` that is silently ignored is a wrong answer.
 */
import { CarillonError } from "../../core/errors.ts";
import { parsePosition } from "../../core/position.ts";
import type { CallOptions, Consistency, From, IdempotentOptions, Key, ReadOptions } from "../../services/api.ts";
import { didYouMean } from "../suggest.ts";
import type { HttpLimits } from "./context.ts";
import { badRequest } from "./problems.ts";
import { fromBase64 } from "./text.ts";

export type Query = ReadonlyMap<string, string>;
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const readParameters: readonly string[] = ["consistency", "timeout"];
export const writeParameters: readonly string[] = ["timeout"];

const none: Query = new Map();

/** The query of a URL. Throws `bad-request` for an unknown, repeated or undecodable parameter. */
export function queryOf(url: string, known: readonly string[]): Query {
  const from = url.indexOf("?");
  if (from === -1) return none;
  const hash = url.indexOf("#", from);
  const query = new Map<string, string>();
  for (const pair of url.slice(from + 1, hash === -1 ? undefined : hash).split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decodeQuery(equals === -1 ? pair : pair.slice(0, equals));
    if (!known.includes(name)) {
      throw badRequest(
        `Cannot use query parameter ${quote(name)}: this route knows ${known.length === 0 ? "none" : known.join(", ")}${
          didYouMean(name.slice(0, 64), known)
        }`,
        { parameter: name },
      );
    }
    if (query.has(name)) throw badRequest(`Cannot use query parameter "${name}": it is given twice`, { parameter: name });
    query.set(name, equals === -1 ? "" : decodeQuery(pair.slice(equals + 1)));
  }
  return query;
}

/** As browsers and URLSearchParams write it: `+` is a space. */
function decodeQuery(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw badRequest(`Cannot decode ${quote(text)}: not percent-encoded UTF-8`);
  }
}

/** For messages: bounded, and harmless in a terminal. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

/** The rest of the path behind /v1/kv/, decoded: `a/b` and `a%2Fb` are one key. */
export function keyOfPath(url: string): string {
  const from = url.indexOf("/v1/kv/", url.indexOf("://") + 3) + 7;
  let to = url.indexOf("?", from);
  if (to === -1) to = url.indexOf("#", from);
  const raw = to === -1 ? url.slice(from) : url.slice(from, to);
  if (!raw.includes("%")) return raw;
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new CarillonError("bad-key", `Cannot use key ${quote(raw)}: not percent-encoded UTF-8; send other bytes as ?key64= on /v1/kv`);
  }
}

/** A byte string given as text (`name`) or as base64url (`name64`); undefined if neither is. */
export function bytesParameter(query: Query, name: string): Key | undefined {
  const text = query.get(name);
  const encoded = query.get(`${name}64`);
  if (text !== undefined && encoded !== undefined) throw badRequest(`Cannot use "${name}" and "${name}64" together`);
  if (encoded === undefined) return text;
  const bytes = fromBase64(encoded);
  if (bytes === null) throw new CarillonError("bad-key", `Cannot decode "${name}64": not base64url`, { facts: { parameter: `${name}64` } });
  return bytes;
}

/**
 * The log's name in /v1/logs/{log}…, decoded once. What a log or group may be called is for the service to say; here only what
 * no name can be.
 */
export function nameOfPath(url: string): string {
  const from = url.indexOf("/v1/logs/", url.indexOf("://") + 3) + 9;
  const raw = /^[^/?#]*/.exec(url.slice(from))![0];
  let name: string;
  try {
    name = decodeURIComponent(raw);
  } catch {
    throw badRequest(`Cannot use log name ${quote(raw)}: not percent-encoded UTF-8`);
  }
  return checkedName(name, "log");
}

export function checkedName(name: string, what: string): string {
  // deno-lint-ignore no-control-regex
  if (name === "" || name.length > 255 || /[\u0000-\u001f\u007f,]/.test(name)) {
    throw badRequest(`Cannot use ${what} name ${quote(name)}: 1 to 255 characters, no commas or control characters`);
  }
  return name;
}

/** Names separated by commas. Throws if there is none, one is empty, or one comes twice. */
export function namesParameter(query: Query, parameter: string, what: string): string[] {
  const text = query.get(parameter);
  if (text === undefined || text === "") throw badRequest(`Cannot tell which ${what}s are meant: give ?${parameter}=a,b`, { parameter });
  return checkedNames(text.split(","), what);
}

export function checkedNames(names: readonly string[], what: string): string[] {
  if (names.length > 1_024) throw badRequest(`Cannot use ${names.length} ${what}s at once: at most 1024`);
  const checked = names.map((name) => checkedName(name, what));
  if (new Set(checked).size !== checked.length) throw badRequest(`Cannot use the same ${what} twice`);
  return checked;
}

/** A whole number; `least` and `most` inclusive. */
export function wholeNumber(text: string, name: string, least: number, most: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw badRequest(`Cannot use ${name} ${quote(text)}: it must be a whole number from ${least} to ${most}`, { parameter: name });
  }
  return value;
}

export function numberParameter(query: Query, name: string, least: number, most: number): number | undefined {
  const text = query.get(name);
  return text === undefined ? undefined : wholeNumber(text, name, least, most);
}

/** `?flag`, `?flag=1`, `?flag=true`; off when absent, `0` or `false`. */
export function flagParameter(query: Query, name: string): boolean {
  const text = query.get(name);
  if (text === undefined || text === "0" || text === "false") return false;
  if (text === "" || text === "1" || text === "true") return true;
  throw badRequest(`Cannot use ${name} ${quote(text)}: it is a switch, 1 or 0`, { parameter: name });
}

export function fromParameter(query: Query): From | undefined {
  const text = query.get("from");
  if (text === undefined) return undefined;
  const back = /^tail-(.*)$/s.exec(text);
  if (back !== null) return `tail-${wholeNumber(back[1]!, "from", 0, Number.MAX_SAFE_INTEGER)}`;
  if (!/^\d+$/.test(text)) {
    throw badRequest(`Cannot use from ${quote(text)}: an offset, or tail-N for the last N records`, { parameter: "from" });
  }
  return wholeNumber(text, "from", 0, Number.MAX_SAFE_INTEGER);
}

export function checkedPosition(text: string, name: string): string {
  if (parsePosition(text) === null) {
    throw new CarillonError("bad-position", `Cannot use ${name} ${quote(text)}: a position is 20 lowercase hex digits`, {
      facts: { parameter: name },
    });
  }
  return text;
}

/** `250ms`, `2s`, `1m`; a bare number is seconds. In milliseconds. */
export function duration(text: string, name: string, leastMs: number, mostMs: number): number {
  const parts = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text.trim());
  const ms = parts === null ? NaN : Number(parts[1]) * (parts[2] === "ms" ? 1 : parts[2] === "m" ? 60_000 : 1_000);
  if (!(ms >= leastMs && ms <= mostMs)) {
    throw badRequest(`Cannot use ${name} ${quote(text)}: a duration such as 250ms or 2s, at most ${mostMs / 1_000}s`, { parameter: name });
  }
  return Math.round(ms);
}

/** The deadline: `?timeout=` or `Carillon-Timeout`. */
export function callOptions(request: Request, query: Query, limits: HttpLimits): Mutable<CallOptions> {
  const fromUrl = query.get("timeout");
  const text = fromUrl ?? request.headers.get("carillon-timeout");
  return text === null ? {} : { timeoutMs: duration(text, fromUrl === undefined ? "Carillon-Timeout" : "timeout", 1, limits.timeoutMsMax) };
}

/** The deadline and `Idempotency-Key`: a string in double quotes as the draft has it, or bare as many clients send it. */
export function writeOptions(request: Request, query: Query, limits: HttpLimits): Mutable<IdempotentOptions> {
  const options: Mutable<IdempotentOptions> = callOptions(request, query, limits);
  const text = request.headers.get("idempotency-key");
  if (text === null) return options;
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text);
  if (quoted === null && text.startsWith('"')) {
    throw badRequest(`Cannot use the header "idempotency-key" ${quote(text)}: it is a string in double quotes`, {
      header: "idempotency-key",
    });
  }
  options.idempotencyKey = quoted === null ? text : quoted[1]!.replace(/\\(["\\])/g, "$1");
  return options;
}

const levels: readonly string[] = ["linearizable", "session", "local"];

/** `?consistency=`, and for `session` the position of the Carillon-Position header. */
export function readOptions(request: Request, query: Query, limits: HttpLimits): Mutable<ReadOptions> {
  const options: Mutable<ReadOptions> = callOptions(request, query, limits);
  const level = query.get("consistency");
  if (level === undefined) return options;
  if (!levels.includes(level)) {
    throw badRequest(`Cannot use consistency ${quote(level)}: it is one of ${levels.join(", ")}${didYouMean(level.slice(0, 64), levels)}`, {
      parameter: "consistency",
    });
  }
  options.consistency = level as Consistency;
  const after = request.headers.get("carillon-position");
  if (level === "session" && after !== null) options.after = checkedPosition(after, "Carillon-Position");
  return options;
}

/** What these headers promise is not built yet; to ignore them would break the promise silently. */
export function refusePromises(headers: Headers): void {
  for (const name of ["carillon-ttl", "producer-id"]) {
    if (headers.has(name)) throw badRequest(`Cannot honour the header "${name}": this version does not know it`, { header: name });
  }
}

/** /v1/logs and /v1/append: create, append, read, follow, trim. */
import type { Context, Hono } from "hono";
import { CarillonError } from "../../core/errors.ts";
import type { Appended, AppendResult, Log, LogInfo } from "../../services/api.ts";
import { contentType, jsonObject, mediaType, parseJson, readBody, readJsonObject, textField, wholeNumberField } from "./body.ts";
import { readCondition } from "./conditions.ts";
import { withinDeadline } from "./deadline.ts";
import type { Front, Reply } from "./endpoint.ts";
import { forward } from "./forward.ts";
import { accepted, envelope } from "./negotiate.ts";
import {
  checkedNames,
  nameOfPath,
  namesParameter,
  numberParameter,
  queryOf,
  readOptions,
  readParameters,
  refusePromises,
  wholeNumber,
  writeOptions,
  writeParameters,
} from "./params.ts";
import { badRequest, problemReply, replayedHeaders } from "./problems.ts";
import { readLog } from "./log_reads.ts";
import { readRecords, recordsField, recordsType } from "./records.ts";
import { valueHeaders } from "./value_headers.ts";

export function addLogRoutes(app: Hono, front: Front): void {
  front.add(app, "GET", "/v1/logs", (c) => listLogs(front, c.req.raw));
  front.add(app, "PUT", "/v1/logs/:log", (c) => createLog(front, c.req.raw, logOf(c)));
  front.add(app, "GET", "/v1/logs/:log", (c) => logInfo(front, c.req.raw, logOf(c)));
  front.add(app, "POST", "/v1/logs/:log/records", (c) => append(front, c.req.raw, logOf(c)));
  front.add(app, "GET", "/v1/logs/:log/records", (c) => readLog(front, c.req.raw, logOf(c)));
  front.add(app, "GET", "/v1/logs/:log/records/:offset", (c) => oneRecord(front, c.req.raw, logOf(c), c.req.param("offset") ?? ""));
  front.add(app, "POST", "/v1/logs/:log/trim", (c) => trim(front, c.req.raw, logOf(c)));
  front.add(app, "POST", "/v1/append", (c) => appendToSeveral(front, c.req.raw));
}

function logOf(c: Context): string {
  return nameOfPath(c.req.raw.url);
}

async function listLogs(front: Front, request: Request): Promise<Reply | Response> {
  const options = readOptions(request, queryOf(request.url, readParameters), front.limits);
  const urls = front.context.locate?.("logs", "") ?? null;
  if (urls !== null) return forward(front, request, urls);
  const logs = await front.context.carillon.logs(options);
  const format = accepted(request.headers.get("accept"), ["json", "cbor"]);
  return envelope(format, 200, { logs });
}

async function createLog(front: Front, request: Request, name: string): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const options = writeOptions(request, queryOf(request.url, writeParameters), limits);
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const body = await readJsonObject(request, limits.batchBodyBytesMax, ["group"]);
  const group = textField(body, "group");
  const left = withinDeadline(request, options, limits);
  const { created, ...info } = await context.carillon.log(name).create(group === undefined ? left : { ...left, group });
  const headers = infoHeaders(info);
  if (created) headers["location"] = `/v1/logs/${encodeURIComponent(name)}`;
  return envelope("json", created ? 201 : 200, { ...info, created }, headers);
}

async function logInfo(front: Front, request: Request, name: string): Promise<Reply | Response> {
  const { context, limits } = front;
  const options = readOptions(request, queryOf(request.url, readParameters), limits);
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const info = await context.carillon.log(name).info(options);
  return envelope(accepted(request.headers.get("accept"), ["json", "cbor"]), 200, { ...info }, infoHeaders(info));
}

function infoHeaders(info: Pick<LogInfo, "first" | "next">): Record<string, string> {
  return { "carillon-first": String(info.first), "carillon-tail": String(info.next) };
}

async function append(front: Front, request: Request, name: string): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const options = writeOptions(request, queryOf(request.url, writeParameters), limits);
  const header = request.headers.get("carillon-expect-offset");
  const expect = header === null ? undefined : wholeNumber(header, "Carillon-Expect-Offset", 0, Number.MAX_SAFE_INTEGER);
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const { records, single } = await readRecords(request, limits);
  const left = withinDeadline(request, options, limits);
  const conditional = expect === undefined ? left : { ...left, expect };
  const log = context.carillon.log(name);
  const result = single ? await log.append(records[0]!, conditional) : await log.appendAll(records, conditional);
  return result.ok ? appended(name, result) : unexpected(name, result, expect!);
}

function appended(name: string, result: Extract<AppendResult, { ok: true }>): Reply {
  const { log, first, next, position } = result;
  const headers = {
    location: `/v1/logs/${encodeURIComponent(name)}/records/${first}`,
    "carillon-tail": String(next),
    ...replayedHeaders(result),
  };
  return envelope("json", 201, { log, first, next, position }, headers);
}

function unexpected(name: string, result: Extract<AppendResult, { ok: false }>, expect: number): Reply {
  const { next, position } = result;
  const error = new CarillonError("unexpected-offset", `Cannot append to log ${JSON.stringify(name)} at ${expect}: its tail is ${next}`, {
    facts: { next, position },
  });
  return problemReply(error, { "carillon-tail": String(next), ...replayedHeaders(result) });
}

/** `{ "logs": […], "records": […] }`, or `?logs=a,b` and a body as for one log. */
async function appendToSeveral(front: Front, request: Request): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const expect = "carillon-expect-offset";
  if (request.headers.has(expect)) throw badRequest(`Cannot use the header "${expect}" here: it is for one log`, { header: expect });
  const query = queryOf(request.url, ["logs", ...writeParameters]);
  const options = writeOptions(request, query, limits);
  if (query.has("logs")) {
    const logs = namesParameter(query, "logs", "log");
    const urls = context.locate?.("logs", logs.join(",")) ?? null;
    if (urls !== null) return forward(front, request, urls);
    const { records } = await readRecords(request, limits);
    return severalAppended(await context.carillon.append(logs, records, withinDeadline(request, options, limits)));
  }
  const type = mediaType(contentType(request));
  if (type !== "" && type !== "application/json" && type !== recordsType) {
    throw new CarillonError(
      "unsupported-type",
      `Cannot read a body of type ${JSON.stringify(type)}: without ?logs= this route reads application/json`,
    );
  }
  const bytes = await readBody(request, limits.batchBodyBytesMax);
  const body = jsonObject(parseJson(bytes, "the body"), ["logs", "records"], "the body");
  const { logs } = body;
  if (!Array.isArray(logs) || logs.length === 0 || !logs.every((log) => typeof log === "string")) {
    throw badRequest('Cannot use field "logs": it must be a list of names', { field: "logs" });
  }
  const names = checkedNames(logs as string[], "log");
  const records = recordsField(body, limits);
  const urls = context.locate?.("logs", names.join(",")) ?? null;
  if (urls !== null) return forward(front, request, urls, bytes);
  return severalAppended(await context.carillon.append(names, records, withinDeadline(request, options, limits)));
}

function severalAppended(results: readonly Appended[]): Reply {
  const { position } = results[0]!;
  const data = results.map(({ log, first, next }) => ({ log, first, next }));
  return envelope("json", 201, { results: data, position }, replayedHeaders(results[0]!));
}

/** The payload alone. A record never changes, so whoever has it may keep it. */
async function oneRecord(front: Front, request: Request, name: string, text: string): Promise<Reply | Response> {
  const { context, limits } = front;
  const offset = wholeNumber(text, "offset", 0, Number.MAX_SAFE_INTEGER);
  const options = readOptions(request, queryOf(request.url, readParameters), limits);
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const page = await context.carillon.log(name).read({ ...options, from: offset, limit: 1 });
  const record = page.records[0];
  if (record === undefined) {
    throw new CarillonError("past-tail", `Cannot read log ${JSON.stringify(name)} at ${offset}: its tail is ${page.tail}`, {
      facts: { next: page.tail, position: page.position },
    });
  }
  const headers = valueHeaders(record.type);
  headers["etag"] = `"${record.position}"`;
  headers["cache-control"] = "public, max-age=31536000, immutable";
  headers["carillon-record-position"] = record.position;
  if (readCondition(request.headers, record.position) === 304) {
    delete headers["content-type"];
    return { status: 304, headers, position: page.position };
  }
  return { status: 200, headers, body: record.bytes(), position: page.position };
}

/** `?before=7` or `{ "before": 7 }`. */
async function trim(front: Front, request: Request, name: string): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const query = queryOf(request.url, ["before", ...writeParameters]);
  const options = writeOptions(request, query, limits);
  const inUrl = numberParameter(query, "before", 0, Number.MAX_SAFE_INTEGER);
  const urls = context.locate?.("log", name) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const inBody = wholeNumberField(await readJsonObject(request, limits.batchBodyBytesMax, ["before"]), "before");
  if (inUrl !== undefined && inBody !== undefined) throw badRequest('Cannot use "before" in the URL and in the body');
  const before = inUrl ?? inBody;
  if (before === undefined) throw badRequest("Cannot trim: give ?before=OFFSET, the first offset to keep", { parameter: "before" });
  const log: Log = context.carillon.log(name);
  const { replayed, ...info } = await log.trim(before, withinDeadline(request, options, limits));
  return envelope("json", 200, info, { ...infoHeaders(info), ...replayedHeaders(replayed ? { replayed } : {}) });
}

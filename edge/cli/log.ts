/** carillon log …: distributed logs from a shell. Off a terminal, records come out as they went in, one a line. */
import { CarillonError } from "../../core/errors.ts";
import type { Appended, Carillon, From, LogInfo, LogRecord, Value } from "../../services/api.ts";
import { inputChunks, isTerminal, onSignals } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { readingOf, timeoutOf, valueOf, withNode, writingOf } from "./connect.ts";
import { payload, preview, size } from "./content.ts";

export function create(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const group = call.text("group");
    const info = await carillon.log(call.operands[0]!).create({ ...timeoutOf(call), ...(group === undefined ? {} : { group }) });
    if (call.output.format !== "text") await call.output.json(info);
    else {await call.output.line(
        `${info.created ? "created" : "there already:"} ${info.name} in group ${info.group}, next offset ${info.next}`,
      );}
    return exits.fine;
  });
}

export async function append(call: Call): Promise<number> {
  const [name, ...operands] = call.operands as [string, ...string[]];
  const expect = call.number("expect");
  const also = call.all("also");
  if (also.length > 0 && expect !== undefined) call.fail("--expect goes with one log, not with --also");
  if (operands.filter((operand) => operand === "-").length > 1) call.fail("standard input can be read only once");
  if (operands.length > 0) {
    const values: Value[] = [];
    for (const operand of operands) values.push(await valueOf(call, operand));
    return await withNode(call, async (carillon) => await appendOnce(call, carillon, [name, ...also], values, expect));
  }
  if (isTerminal("stdin")) call.fail("RECORD is missing (or pipe records in, one a line)");
  if (expect !== undefined) call.fail("--expect goes with records on the command line");
  // The lines of an input may become several appends, and each would need a key of its own.
  if (call.text("idempotency-key") !== undefined) call.fail("--idempotency-key goes with records on the command line");
  return await withNode(call, async (carillon) => await appendLines(call, carillon, [name, ...also]));
}

async function appendOnce(
  call: Call,
  carillon: Carillon,
  names: readonly string[],
  values: readonly Value[],
  expect?: number,
): Promise<number> {
  for (const appended of await appendTo(call, carillon, names, values, expect)) {
    if (call.output.format !== "text") await call.output.json(appended);
    else if (!call.output.human) await call.output.line(String(appended.first));
    else await call.output.line(`${appended.log} ${range(appended)}`);
  }
  return exits.fine;
}

/** Records in one request: enough to be fast, few enough for any node. */
const batchRecords = 500;
const batchBytes = 256 << 10;

/** Every line a record, in batches; says how far it came when it fails. */
async function appendLines(call: Call, carillon: Carillon, names: readonly string[]): Promise<number> {
  let done = 0;
  let lines: Uint8Array[] = [];
  let bytes = 0;
  const type = call.text("type") ?? "";
  const flush = async (): Promise<void> => {
    if (lines.length === 0) return;
    try {
      await appendTo(call, carillon, names, lines.map((line) => ({ bytes: line, type })));
    } catch (error) {
      if (done > 0) await call.output.note(`${done} records were appended before this:`);
      throw error;
    }
    done += lines.length;
    lines = [];
    bytes = 0;
  };
  for await (const line of linesOf(inputChunks())) {
    if (lines.length >= batchRecords || bytes + line.byteLength > batchBytes) await flush();
    lines.push(line);
    bytes += line.byteLength;
  }
  await flush();
  const { output } = call;
  if (output.format !== "text") await output.json({ appended: done });
  else await output.note(`appended ${done} records`);
  return exits.fine;
}

/** With `--create`, a log that is missing is created and the same is tried again: nothing had happened. */
async function appendTo(
  call: Call,
  carillon: Carillon,
  names: readonly string[],
  values: readonly Value[],
  expect?: number,
): Promise<readonly Appended[]> {
  const options = writingOf(call);
  const once = async (): Promise<readonly Appended[]> => {
    if (names.length > 1) return await carillon.append(names, values, options);
    const result = await carillon.log(names[0]!).appendAll(values, { ...options, ...(expect === undefined ? {} : { expect }) });
    if (result.ok) return [result];
    throw new CarillonError("unexpected-offset", `Cannot append to "${names[0]}" at ${expect}: its next offset is ${result.next}`);
  };
  try {
    return await once();
  } catch (error) {
    if (!call.on("create") || !(error instanceof CarillonError) || error.code !== "not-found") throw error;
    for (const name of names) await carillon.log(name).create(timeoutOf(call));
    return await once();
  }
}

export function read(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const log = carillon.log(call.operands[0]!);
    const bytesMax = call.number("bytes", { min: 1 }) ?? Infinity;
    let left = call.number("limit", { min: 1 }) ?? Infinity;
    let bytes = 0;
    // Without --from: whatever is the oldest that is kept.
    let from: From = fromOf(call) ?? (await log.info(readingOf(call))).first;
    const records: LogRecord[] = [];
    let clamp = call.on("clamp");
    for (;;) {
      const page = await log.read({ ...readingOf(call), from, limit: Math.min(left, 1_000), ...(clamp ? { clamp } : {}) });
      left -= page.records.length;
      for (const record of page.records) {
        bytes += record.bytes().byteLength;
        if (call.output.format === "json") records.push(record);
        else await show(call, record);
      }
      from = page.next;
      clamp = false;
      if (page.records.length === 0 || page.next >= page.tail || left <= 0 || bytes >= bytesMax) break;
    }
    if (call.output.format === "json") await call.output.json(records.map(documentOf));
    return exits.fine;
  });
}

export function tail(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const from = fromOf(call) ?? "tail-10";
    let left = call.number("count", { min: 1 }) ?? Infinity;
    const stop = new AbortController();
    let code: number = exits.fine;
    const off = onSignals((signal) => {
      if (signal === "SIGINT") code = exits.interrupted;
      stop.abort();
    });
    try {
      for await (const record of carillon.log(call.operands[0]!).tail({ from, signal: stop.signal })) {
        await show(call, record);
        if (--left <= 0) break;
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      off();
    }
    return code;
  });
}

export function trim(call: Call): Promise<number> {
  const [name, text] = call.operands as [string, string];
  if (!/^\d{1,15}$/.test(text)) call.fail(`OFFSET must be a whole number, not "${text}"`);
  return withNode(call, async (carillon) => await described(call, await carillon.log(name).trim(Number(text), writingOf(call))));
}

export function info(call: Call): Promise<number> {
  return withNode(call, async (carillon) => await described(call, await carillon.log(call.operands[0]!).info(timeoutOf(call))));
}

export function ls(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const logs = await carillon.logs(timeoutOf(call));
    if (call.output.format === "json") await call.output.json(logs);
    else if (call.output.format === "ndjson") { for (const log of logs) await call.output.json(log); }
    else await call.output.table(headings, logs.map(row));
    return exits.fine;
  });
}

const headings = ["LOG", "GROUP", "FIRST", "NEXT", "SIZE"];

function row(log: LogInfo): (string | number)[] {
  return [log.name, log.group, log.first, log.next, size(log.bytes)];
}

async function described(call: Call, log: LogInfo): Promise<number> {
  if (call.output.format !== "text") await call.output.json(log);
  else await call.output.table(headings, [row(log)]);
  return exits.fine;
}

function fromOf(call: Call): From | undefined {
  const text = call.text("from");
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (/^tail-\d{1,15}$/.test(text)) return text as From;
  call.fail(`--from must be an offset or tail-N, not "${text}"`);
}

async function show(call: Call, record: LogRecord): Promise<void> {
  const { output } = call;
  if (output.format !== "text") return await output.json(documentOf(record));
  if (output.human) return await output.line(`${output.paint("dim", String(record.offset).padStart(6))}  ${preview(record.bytes())}`);
  await output.bytes(record.bytes());
  await output.line();
}

function documentOf(record: LogRecord): Record<string, unknown> {
  const { offset, position, type } = record;
  return { offset, position, type, ...payload(record.bytes()) };
}

function range({ first, next }: Appended): string {
  return next - first === 1 ? `at ${first}` : `from ${first} to ${next - 1}`;
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = new Uint8Array(rest.byteLength + chunk.byteLength);
    bytes.set(rest);
    bytes.set(chunk, rest.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      yield bytes.slice(from, bytes[end - 1] === 13 && end > from ? end - 1 : end);
      from = end + 1;
    }
    rest = bytes.slice(from);
  }
  if (rest.byteLength > 0) yield rest;
}

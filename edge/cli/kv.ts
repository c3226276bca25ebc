/** carillon kv …: the store from a shell. `get` writes the value and nothing else; writes print the new version. */
import { CarillonError } from "../../core/errors.ts";
import type { DeleteResult, Entry, WriteResult } from "../../services/api.ts";
import { isTerminal } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { readingOf, valueOf, withNode, writingOf } from "./connect.ts";
import { payload, preview } from "./content.ts";

export function get(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const key = call.operands[0]!;
    const { entry, position } = await carillon.kv.read(key, readingOf(call));
    if (entry === null) throw new CarillonError("not-found", `Cannot get "${key}": there is no such key`, { facts: { position } });
    if (call.output.format !== "text") await call.output.json(documentOf(entry, true));
    else {
      const bytes = entry.bytes();
      await call.output.bytes(bytes);
      // The prompt belongs on a line of its own; the value stays what it is.
      if (isTerminal("stdout") && isTerminal("stderr") && bytes.at(-1) !== 10) await call.output.note("");
    }
    return exits.fine;
  });
}

export async function put(call: Call): Promise<number> {
  const [key, operand] = call.operands as [string, string];
  const condition = ifVersion(call);
  const value = await valueOf(call, operand);
  return await withNode(call, async ({ kv }) => await written(call, await kv.put(key, value, { ...writingOf(call), ...condition })));
}

export async function insert(call: Call): Promise<number> {
  const [key, operand] = call.operands as [string, string];
  const value = await valueOf(call, operand);
  return await withNode(call, async ({ kv }) => await written(call, await kv.insert(key, value, writingOf(call))));
}

export async function update(call: Call): Promise<number> {
  const [key, operand] = call.operands as [string, string];
  const value = await valueOf(call, operand);
  return await withNode(call, async ({ kv }) => await written(call, await kv.update(key, value, writingOf(call))));
}

export async function cas(call: Call): Promise<number> {
  const [key, version, operand] = call.operands as [string, string, string];
  const value = await valueOf(call, operand);
  return await withNode(call, async ({ kv }) => await written(call, await kv.put(key, value, { ...writingOf(call), ifVersion: version })));
}

export function del(call: Call): Promise<number> {
  const key = call.operands[0]!;
  const condition = ifVersion(call);
  return withNode(call, async ({ kv }) => {
    const result = await kv.delete(key, { ...writingOf(call), ...condition });
    if (!result.ok) refuse(key, result);
    if (call.output.format !== "text") await call.output.json(result);
    else if (call.output.human) await call.output.line(result.existed ? `deleted ${key}` : `${key} was not there`);
    return exits.fine;
  });
}

export function ls(call: Call): Promise<number> {
  return withNode(call, async ({ kv }) => {
    const { output } = call;
    const limit = call.number("limit", { min: 1 }) ?? Infinity;
    const keysOnly = call.on("keys-only");
    const [prefix] = call.operands;
    const start = call.text("start");
    const end = call.text("end");
    const range = {
      ...(prefix === undefined ? {} : { prefix }),
      ...(start === undefined ? {} : { start }),
      ...(end === undefined ? {} : { end }),
      ...(call.on("reverse") ? { reverse: true } : {}),
      ...(keysOnly ? { keysOnly } : {}),
      ...readingOf(call),
    };
    let cursor: string | null = null;
    let left = limit;
    const documents: unknown[] = [];
    // Page by page, so that a long list appears as it comes.
    do {
      const page: Awaited<ReturnType<typeof kv.scan>> = await kv.scan({
        ...range,
        limit: Math.min(left, 1_000),
        ...(cursor === null ? {} : { cursor }),
      });
      left -= page.entries.length;
      cursor = left > 0 ? page.cursor : null;
      if (output.format === "json") documents.push(...page.entries.map((entry) => documentOf(entry, !keysOnly)));
      else if (output.format === "ndjson") { for (const entry of page.entries) await output.json(documentOf(entry, !keysOnly)); }
      else await output.table(keysOnly ? ["KEY"] : ["KEY", "VERSION", "VALUE"], page.entries.map((entry) => row(entry, keysOnly)));
    } while (cursor !== null);
    if (output.format === "json") await output.json(documents);
    return exits.fine;
  });
}

function row(entry: Entry, keysOnly: boolean): string[] {
  return keysOnly ? [entry.key] : [entry.key, entry.version, preview(entry.bytes())];
}

function documentOf(entry: Entry, value: boolean): Record<string, unknown> {
  const { key, version, type } = entry;
  return value ? { key, version, type, ...payload(entry.bytes()) } : { key, version };
}

function ifVersion(call: Call): { ifVersion?: string | null } {
  const text = call.text("if-version");
  return text === undefined ? {} : { ifVersion: text === "none" ? null : text };
}

async function written(call: Call, result: WriteResult): Promise<number> {
  if (!result.ok) refuse(call.operands[0]!, result);
  if (call.output.format !== "text") await call.output.json(result);
  else await call.output.line(call.output.human ? `${result.version}  ${result.created ? "created" : "replaced"}` : result.version);
  return exits.fine;
}

/** A lost condition is an expected outcome for a program, and exit code 4 for a script. */
function refuse(key: string, { current, position }: Extract<WriteResult | DeleteResult, { ok: false }>): never {
  const found = current === null ? "there is nothing" : `its version is ${current.version}`;
  throw new CarillonError("check-failed", `Cannot change "${key}" under this condition: ${found}`, { facts: { position } });
}

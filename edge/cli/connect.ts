/** How a command reaches a node: `--url`, else CARILLON_URL, else this machine. */
import type { Carillon, Value } from "../../services/api.ts";
import { open } from "../open.ts";
import { inputChunks } from "../runtime/system.ts";
import { type Call, UsageError } from "./command.ts";

const defaultUrl = "http://localhost:4100";

export function urlsOf(call: Call): string[] {
  const text = call.text("url") ?? (call.environment.CARILLON_URL || defaultUrl);
  return text.split(",").map((part) => {
    const trimmed = part.trim();
    const url = /^[a-z]+:\/\//i.test(trimmed) ? trimmed : `http://${trimmed.startsWith(":") ? "localhost" : ""}${trimmed}`;
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new UsageError(`Cannot use the URL "${part}": it must look like http://host:4100`, "export CARILLON_URL=http://localhost:4100");
    }
    return url.replace(/\/+$/, "");
  });
}

/** Opens a client, does the work, closes it whatever happens. `urls`: default where the command line says. */
export async function withNode<T>(
  call: Call,
  work: (carillon: Carillon) => Promise<T>,
  urls: readonly string[] = urlsOf(call),
): Promise<T> {
  const token = call.text("token") ?? (call.environment.CARILLON_TOKEN || undefined);
  await using carillon = await open(urls, token === undefined ? {} : { token });
  return await work(carillon);
}

export function timeoutOf(call: Call): { readonly timeoutMs?: number } {
  const timeoutMs = call.duration("timeout");
  return timeoutMs === undefined ? {} : { timeoutMs };
}

/** Of a write. */
export function writingOf(call: Call): { readonly timeoutMs?: number; readonly idempotencyKey?: string } {
  const idempotencyKey = call.text("idempotency-key");
  return { ...timeoutOf(call), ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
}

export function readingOf(call: Call): {
  readonly timeoutMs?: number;
  readonly consistency?: "linearizable" | "session" | "local";
  readonly after?: string;
} {
  const consistency = call.choice("consistency", ["linearizable", "session", "local"]);
  const after = call.text("after");
  return { ...timeoutOf(call), ...(consistency === undefined ? {} : { consistency }), ...(after === undefined ? {} : { after }) };
}

/** The operand itself, or all of standard input for `-`; with `--type` it is of that content type. */
export async function valueOf(call: Call, operand: string): Promise<Value> {
  const type = call.text("type");
  if (operand !== "-") return type === undefined ? operand : { bytes: new TextEncoder().encode(operand), type };
  return { bytes: await allInput(), type: type ?? "" };
}

export async function allInput(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of inputChunks()) chunks.push(chunk);
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

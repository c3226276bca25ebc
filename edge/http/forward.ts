/**
 * Any node answers any request: what this node does not learn is asked of one that does, and its answer handed on. Only URLs
 * of the topology are ever called, one hop deep.
 */
import { CarillonError, type Outcome } from "../../core/errors.ts";
import { sentOnce } from "../once.ts";
import { admittedOf } from "./admission.ts";
import { readBody } from "./body.ts";
import { leftMs } from "./deadline.ts";
import { duration } from "./params.ts";
import { problemReply } from "./problems.ts";
import type { Reply } from "./endpoint.ts";
import type { Front } from "./endpoint.ts";

/** Set by the forwarding node; who sees it answers itself or says that it cannot. */
const hopHeader = "carillon-hop";
const timeoutHeader = "carillon-timeout";

/** Meant for the next hop only (RFC 9110 7.6.1), or made anew by `fetch`. */
const hopByHop: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "content-length",
  "accept-encoding",
  "content-encoding",
  "expect",
];

/** Added to the request's own deadline before a node that says nothing is given up. */
const graceMs = 1_000;

/** `read`: the body, if the route has it already. Throws `unreachable`; for a write that broke after it was sent with `outcome: "unknown"`. */
export async function forward(front: Front, request: Request, urls: readonly string[], read?: Uint8Array): Promise<Reply | Response> {
  const { nodeName } = front.context;
  if (request.headers.has(hopHeader)) {
    const error = new CarillonError(
      "unreachable",
      `Cannot answer: node ${request.headers.get(hopHeader)} and node ${nodeName} each take the other for the one to ask`,
    );
    return problemReply(error, {}, { status: 508, title: "Loop between nodes" });
  }
  const write = request.method !== "GET" && request.method !== "HEAD";
  // Kept whole, so that a node that refuses the connection can be replaced by the next: bodies are bounded.
  // With a key another node may be asked too: it knows whether the write happened.
  const keyed = request.headers.has("idempotency-key");
  const body = write ? (read ?? await readBody(request, front.limits.batchBodyBytesMax)) as Uint8Array<ArrayBuffer> : null;
  const headers = new Headers(request.headers);
  for (const name of hopByHop) headers.delete(name);
  headers.set("accept-encoding", "identity");
  headers.set(hopHeader, nodeName);
  const path = request.url.slice(request.url.indexOf("/", request.url.indexOf("://") + 3));
  const time = timeOf(front, request);
  if (time.waitMs > 0) admittedOf(request)?.linger();
  let cause: unknown;
  let outcome: Outcome = "none";
  for (const url of urls) {
    const left = leftMs(request, time.timeoutMs, outcome);
    headers.set(timeoutHeader, `${left}ms`);
    try {
      const init = { method: request.method, headers, ...(write ? sentOnce(body) : {}) };
      const target = url.replace(/\/+$/, "") + withoutTimeout(path);
      return handOn(await ask(request, target, left + time.waitMs, init), nodeName);
    } catch (error) {
      cause = error;
      if (request.signal.aborted) break;
      if (!write || refused(error)) continue;
      outcome = "unknown";
      if (!keyed) {
        throw new CarillonError("unreachable", `Cannot tell whether the write happened: the connection to ${url} broke`, {
          outcome,
          retryable: true,
          facts: { node: url },
          cause,
        });
      }
    }
  }
  throw new CarillonError("unreachable", `Cannot answer: none of ${urls.length} nodes that could serve this answers`, {
    outcome,
    retryable: true,
    facts: { nodes: urls },
    cause,
  });
}

async function ask(request: Request, url: string, forMs: number, init: RequestInit): Promise<Response> {
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  request.signal.addEventListener("abort", leave, { once: true });
  // Until the headers are here; a stream may then take as long as it likes.
  const timer = setTimeout(leave, forMs + graceMs);
  try {
    return await fetch(url, { ...init, redirect: "manual", signal: leaving.signal });
  } finally {
    clearTimeout(timer);
  }
}

interface Time {
  /** Of the whole request: what is left of it goes along in place of what the client said. */
  readonly timeoutMs: number;
  /** It was asked to wait so long for something to happen, on top. */
  readonly waitMs: number;
}

function timeOf({ limits }: Front, request: Request): Time {
  const { searchParams } = new URL(request.url);
  const wait = searchParams.get("wait");
  const timeout = searchParams.get("timeout") ?? request.headers.get(timeoutHeader);
  try {
    const waitMs = wait === null ? 0 : duration(wait, "wait", 0, limits.waitMsMax);
    const timeoutMs = timeout === null ? limits.timeoutMs : duration(timeout, "timeout", 1, limits.timeoutMsMax);
    return { timeoutMs, waitMs };
  } catch {
    // A header the route has no use for, and has not looked at.
    return { timeoutMs: limits.timeoutMs, waitMs: 0 };
  }
}

/** The header says it now, and the URL would win. The rest stays as it was sent, letter by letter. */
function withoutTimeout(path: string): string {
  const from = path.indexOf("?");
  if (from === -1) return path;
  const kept = path.slice(from + 1).split("&").filter((pair) => !/^timeout(=|$)/.test(pair));
  return kept.length === 0 ? path.slice(0, from) : `${path.slice(0, from)}?${kept.join("&")}`;
}

/** Nothing was sent: the connection was never made. Bun names it itself, the others in the cause. */
function refused(error: unknown): boolean {
  const { code, cause } = error as { code?: string; cause?: { code?: string } };
  const why = `${code ?? ""} ${cause?.code ?? ""} ${error instanceof Error ? error.message : ""}`;
  return /ECONNREFUSED|ConnectionRefused|Connection refused|ENOTFOUND|EHOSTUNREACH|ENETUNREACH/i.test(why);
}

function handOn(response: Response, nodeName: string): Response {
  const headers = new Headers(response.headers);
  for (const name of ["connection", "keep-alive", "transfer-encoding", "content-encoding"]) headers.delete(name);
  headers.set("carillon-via", nodeName);
  return new Response(response.body, { status: response.status, headers });
}

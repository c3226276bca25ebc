/**
 * One wrapper around every route, instead of a chain of middleware: it guards, runs the handler, turns whatever was
 * thrown into a problem document, and puts the headers every answer has on it.
 */
import type { Context, Hono } from "hono";
import { Admission, admittedOf } from "./admission.ts";
import { announcedBytes } from "./body.ts";
import type { AppContext, HttpLimits } from "./context.ts";
import { defaultHttpLimits } from "./context.ts";
import { Events } from "../events/events.ts";
import { guard } from "./guard.ts";
import { Histogram } from "./histogram.ts";
import { asCarillonError, problemReply } from "./problems.ts";

/** An answer before it is a Response. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. Handed over: the wrapper adds to it. */
  readonly headers?: Record<string, string>;
  /** A function makes a stream, which says when it has ended; it is not called for HEAD. */
  readonly body?: string | Uint8Array | ((ended: () => void) => ReadableStream<Uint8Array>) | null;
  /** Where in the order this answer holds. Absent: what this node has delivered. */
  readonly position?: string;
}

/** A Response comes from another node and goes on as it is. */
export type Handler = (c: Context) => Reply | Response | Promise<Reply | Response>;

export type Method = "GET" | "PUT" | "POST" | "DELETE";

interface Route {
  readonly method: Method;
  readonly path: string;
  readonly pattern: RegExp;
}

export interface RouteOptions {
  /** Also in a full house: whoever looks after a node has to see it when it is in trouble. */
  readonly always?: boolean;
}

export interface RequestSeries {
  readonly route: string;
  readonly method: string;
  readonly code: number;
  readonly duration: Histogram;
}

const methods: readonly string[] = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS"];

/** How long one is told as it is. */
const refusalMs = 10;

const utf8 = new TextEncoder();

/** Everything the routes share. */
export class Front {
  readonly context: AppContext;
  readonly limits: HttpLimits;
  readonly admission: Admission;
  readonly events: Events;
  readonly routes: Route[] = [];
  /** Paths answered also in a full house. */
  readonly #always = new Set<string>();
  /** What everybody else is told then: its headers are put together once in a while, for that is most of what it costs. */
  #refusal: { readonly body: string; readonly head: ResponseInit; readonly until: number } | null = null;
  /** By `method route`, then status. */
  readonly #series: Map<string, (RequestSeries | undefined)[]> = new Map();

  constructor(context: AppContext) {
    this.context = context;
    this.limits = { ...defaultHttpLimits, ...context.limits };
    this.admission = context.admission ?? new Admission();
    this.events = context.events ?? new Events(context.nodeName);
  }

  add(app: Hono, method: Method, path: string, handler: Handler, options: RouteOptions = {}): void {
    // {key} is what documentation and metrics call :key{.+}.
    const route = path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}");
    this.routes.push({ method, path: route, pattern: patternOf(path) });
    if (options.always === true) this.#always.add(path);
    app.on(method, path, this.endpoint(route, handler, options));
  }

  /**
   * The answer to whoever comes to a full house, before anything is looked at but where they want to go; null if that is answered also
   * then. Refusing is what a node in trouble does most, and what it spends on it the others lack.
   */
  turnedAway(request: Request, path: string): Response | null {
    if (!path.startsWith("/v1/") || this.#always.has(path)) return null;
    const now = performance.now();
    if (this.#refusal === null || now > this.#refusal.until) this.#refusal = this.#newRefusal(now);
    this.admission.count();
    const { body, head } = this.#refusal;
    return new Response(request.method === "HEAD" ? null : body, head);
  }

  endpoint(route: string, handler: Handler, { always = false }: RouteOptions = {}): (c: Context) => Promise<Response> {
    const open = !route.startsWith("/v1") && route !== "/metrics";
    return async (c: Context): Promise<Response> => {
      const started = performance.now();
      const request = c.req.raw;
      const method = request.method;
      const { tokens } = this.context;
      const changes = tokens?.changes;
      let reply: Reply | Response;
      try {
        if (!open) guard(this.context, request);
        if (!always) this.admission.enter(request, announcedBytes(request, this.limits.batchBodyBytesMax));
        reply = await handler(c);
        // Whoever waited for something to read may have been shut out meanwhile; a write is told how it went all the same.
        if (!open && changes !== tokens?.changes && (method === "GET" || method === "HEAD")) guard(this.context, request);
      } catch (thrown) {
        const error = asCarillonError(thrown, method !== "GET" && method !== "HEAD");
        if (error.code === "internal" || error.code === "corrupt") this.context.report?.(thrown, `${method} ${route}`);
        reply = problemReply(error);
      }
      const seconds = (performance.now() - started) / 1_000;
      this.#observe(method, route, reply.status, seconds);
      const admitted = admittedOf(request);
      if (reply instanceof Response || typeof reply.body !== "function" || method === "HEAD") admitted?.leave();
      return reply instanceof Response ? reply : this.#respond(method, reply, seconds, () => admitted?.leave());
    };
  }

  *series(): Iterable<RequestSeries> {
    for (const codes of this.#series.values()) {
      for (const series of codes) if (series !== undefined) yield series;
    }
  }

  #newRefusal(now: number): { readonly body: string; readonly head: ResponseInit; readonly until: number } {
    const { status, body, headers } = problemReply(this.admission.refusal());
    const served = { "carillon-served-by": this.context.nodeName, "x-content-type-options": "nosniff", "cache-control": "no-store" };
    // A position of a moment ago is as true as one of now: this node has delivered up to there.
    const head = { status, headers: new Headers({ ...headers, ...served, "carillon-position": this.context.position() }) };
    return { body: body as string, head, until: now + refusalMs };
  }

  #respond(method: string, reply: Reply, seconds: number, ended: () => void): Response {
    const headers = reply.headers ?? {};
    headers["carillon-position"] = reply.position ?? this.context.position();
    headers["carillon-served-by"] = this.context.nodeName;
    headers["server-timing"] = `total;dur=${Math.round(seconds * 100_000) / 100}`;
    headers["x-content-type-options"] = "nosniff";
    headers["cache-control"] ??= "no-store";
    let body: BodyInit | null = null;
    if (typeof reply.body === "function") {
      if (method !== "HEAD") body = reply.body(ended);
    } else if (reply.body !== undefined && reply.body !== null) {
      // Said also for HEAD, whose answer has a length and no body.
      const bytes = typeof reply.body === "string" ? utf8.encode(reply.body) : reply.body;
      headers["content-length"] = String(bytes.byteLength);
      if (method !== "HEAD") body = bytes as Uint8Array<ArrayBuffer>;
    }
    return new Response(body, { status: reply.status, headers });
  }

  #observe(sent: string, route: string, code: number, seconds: number): void {
    // Anybody can invent methods; every one would be a series for ever.
    const method = methods.includes(sent) ? sent : "other";
    const key = method + route;
    let codes = this.#series.get(key);
    if (codes === undefined) this.#series.set(key, codes = []);
    // Sparse on purpose: a route has a handful of statuses.
    let series = codes.find((known) => known!.code === code);
    if (series === undefined) codes.push(series = { route, method, code, duration: new Histogram() });
    series.duration.observe(seconds);
  }
}

function patternOf(path: string): RegExp {
  const source = path.split("/").map((part) => part.startsWith(":") ? (part.includes("{") ? ".+" : "[^/]+") : part).join("/");
  return new RegExp(`^${source}$`);
}
